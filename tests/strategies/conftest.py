from __future__ import annotations

from pathlib import Path

import pytest

from gmobot.strategies.loader import load
from gmobot.strategies.program import Program

REFS = ["gmobot.strategies.ema_momentum:EmaMomentum", "gmobot.strategies.buy_and_hold:BuyAndHold"]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compile cache of this test run."""
    return tmp_path_factory.mktemp("machine_code")


@pytest.fixture(scope="session", params=REFS, ids=["ema_momentum", "buy_and_hold"])
def program(request: pytest.FixtureRequest, cache: Path) -> Program:
    """Each built-in strategy, compiled."""
    return load(request.param, cache_dir=cache)
