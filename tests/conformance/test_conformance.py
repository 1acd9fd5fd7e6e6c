"""Every case, against an emulator of its own; with ``GMOBOT_CONFORMANCE=production`` the reading ones against the real exchange."""

from __future__ import annotations

import asyncio
import os

import pytest
from tests.conformance.registry import ENDPOINTS, Case, all_cases, chosen
from tests.conformance.stage import SkippingLoop
from tests.conformance.target import emulator, production

_PRODUCTION = os.environ.get("GMOBOT_CONFORMANCE") == "production"
_KEYS = os.environ.get("GMO_API_KEY", ""), os.environ.get("GMO_API_SECRET", "")


@pytest.mark.parametrize("case", chosen(all_cases(), production=_PRODUCTION, keys=all(_KEYS)), ids=lambda case: case.name)
def test_case(case: Case) -> None:
    async def play() -> None:
        async with production(_KEYS) if _PRODUCTION else emulator(**case.stage) as target:
            await case.run(target)
            assert case.codes <= target.codes, f"{case.codes - target.codes} were not met"
            endpoints = ENDPOINTS.get(case.section)
            assert endpoints is None or target.spoken & set(endpoints), f"{case.section} was not spoken to"

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        runner.run(play())
