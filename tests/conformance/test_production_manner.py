"""The reading cases as they are run against the real exchange: its name, HTTPS, no stage, time that has to pass."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from tests.conformance import target
from tests.conformance.registry import all_cases, chosen
from tests.foreign.disguise import Disguised

pytest.importorskip("cryptography")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:SSL connection is closed:ResourceWarning")]
KEYS = "emulator-key", "emulator-secret"


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disguised]:
    disguised = Disguised(tmp_path_factory.mktemp("tls"), "--assume=public_per_second=1000", "--assume=private_per_second=1000")
    try:
        yield disguised
    finally:
        disguised.close()


def test_they_hold_there(exchange: Disguised, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "_POLITE_SECONDS", 0.0)
    monkeypatch.setattr(target, "COMMAND_SECONDS", 1.01)

    async def play() -> None:
        for case in chosen(all_cases(), production=True, keys=True):
            async with target.production(KEYS, connector=exchange.connector()) as found:
                await case.run(found)
                assert case.codes <= found.codes, case.title
        (books,) = (await exchange.ask("/ledger")).values()
        assert (books["orders"], books["executions"], books["positions"]) == ([], [], [])
        access = (await exchange.ask("/access"))["access"]
        assert {record["method"] for record in access} == {"GET"}

    asyncio.run(play())
