"""The suite itself: what it covers, and that it can change nothing on the real exchange."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.conformance.__main__ import table
from tests.conformance.registry import ENDPOINTS, Case, Production, all_cases, case, chosen
from tests.conformance.stage import SkippingLoop
from tests.conformance.target import NotReadOnlyError, Target, emulator, production

import gmobot.emulator
from gmobot.emulator.protocol.private import PrivateApi
from gmobot.emulator.protocol.public import PublicApi

_CASES = all_cases()
_READING = chosen(_CASES, production=True, keys=True)
_NOBODY = "127.0.0.1:1"
"""Where these tests look for the real exchange: should a guard be broken, nothing leaves this machine."""
_CODE = re.compile(r"ERR-\d+")


def _run(work: Callable[[], Awaitable[None]]) -> None:
    async def play() -> None:
        await work()

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        runner.run(play())


def _given_codes() -> set[str]:
    """Return every code that stands in the emulator's source, comments left out."""
    found: set[str] = set()
    for path in Path(gmobot.emulator.__file__).parent.rglob("*.py"):
        found.update(_CODE.findall("".join(re.findall(r'"(?:[^"\n]*)"', path.read_text(encoding="utf-8")))))
    return found


def test_there_are_enough_cases_each_with_a_title_and_a_section() -> None:
    assert len(_CASES) >= 120
    assert all(re.fullmatch(r"§\d+(\.\d+)?", one.section) for one in _CASES)
    assert len({one.title for one in _CASES}) == len(_CASES)


def test_every_endpoint_and_channel_of_the_reference_has_a_case() -> None:
    assert set(ENDPOINTS) <= {one.section for one in _CASES}


def test_every_endpoint_of_the_emulator_is_one_of_the_reference() -> None:
    async def work() -> None:
        async with emulator() as target:
            private, public = target.stage.api._private, target.stage.api._public
            assert isinstance(private, PrivateApi)
            assert isinstance(public, PublicApi)
            served = {f"{method} /private{path}" for method, path in private._routes} | {f"GET /public{path}" for path in public._handlers}
        assert served == {place for places in ENDPOINTS.values() for place in places if " " in place}

    _run(work)


def test_every_code_the_emulator_can_give_is_met_by_a_case() -> None:
    met = {code for one in _CASES for code in one.codes}
    assert _given_codes() - met == set()
    assert met - _given_codes() == set()


@pytest.mark.parametrize("keys", [False, True])
def test_no_case_that_is_not_marked_is_chosen_for_the_real_exchange(keys: bool) -> None:
    allowed = {Production.PUBLIC, Production.KEYS} if keys else {Production.PUBLIC}
    found = chosen(_CASES, production=True, keys=keys)
    assert found
    assert {one.production for one in found} == allowed
    assert not any(one.production is Production.NEVER for one in found)


@pytest.mark.parametrize("one", _READING, ids=lambda one: one.name)
def test_a_case_that_may_be_run_there_changes_nothing_and_needs_no_stage(one: Case) -> None:
    async def work() -> None:
        async with emulator(read_only=True, **one.stage) as target:
            before = target._stage and _books(target)
            await one.run(target)
            assert _books(target) == before
            assert all(place.startswith("GET ") or " " not in place for place in target.spoken)

    _run(work)


def _books(target: Target) -> object:
    assert target._stage is not None
    accounts = target._stage.api.exchange.accounts.values()
    return [(len(a.orders), len(a.executions), len(a.positions), len(a.flows), a.jpy_uyen, dict(a.coins)) for a in accounts]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_the_real_exchange_is_sent_nothing_but_get(method: str) -> None:
    async def work() -> None:
        async with production(("key", "secret"), _NOBODY) as target:
            with pytest.raises(NotReadOnlyError):
                await target.send(method, "/private/v1/order")

    _run(work)


def test_towards_the_real_exchange_every_way_to_change_something_is_shut() -> None:
    async def work() -> None:
        async with production(("key", "secret"), _NOBODY) as target:
            customer = target.customer
            for write in (
                customer.order("MARKET", "BUY", "0.01"),
                customer.close(1, "SELL", "0.01"),
                customer.close_bulk("SELL", "0.01"),
                customer.post("cancelOrder", {"orderId": 1}),
                customer.post("account/transfer", {"amount": "1", "transferType": "WITHDRAWAL"}),
                customer.token(),
                target.connect("/ws/private/v1/token"),
            ):
                with pytest.raises(NotReadOnlyError):
                    await write
            with pytest.raises(NotReadOnlyError):
                _ = target.stage

    _run(work)


def test_a_number_is_never_given_twice() -> None:
    with pytest.raises(ValueError, match="twice"):

        @case(1, "§4.1", "an impostor")
        async def impostor(_: Target) -> None:
            return


def test_a_case_fails_that_does_not_meet_what_it_announces() -> None:
    from tests.conformance.test_conformance import test_case as run

    async def nothing(_: Target) -> None:
        return

    with pytest.raises(AssertionError, match="ERR-201"):
        run(Case(0, "§1", "meets nothing", nothing, frozenset({"ERR-201"}), Production.NEVER, {}))
    with pytest.raises(AssertionError, match=r"§5\.13 was not spoken to"):
        run(Case(0, "§5.13", "speaks to nobody", nothing, frozenset(), Production.NEVER, {}))


def test_the_table_names_every_case() -> None:
    lines = table().splitlines()
    assert len(lines) == len(_CASES) + 1
    assert lines[0].split()[:2] == ["C-001", "§4.1"]
