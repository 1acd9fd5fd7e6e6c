"""An emulator that plays a recorded day sixty times faster, and a folder whose path fits into a socket's address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.processes import DAY, Bot, Emulator


@pytest.fixture
def emulator(market_data: Path) -> Iterator[Emulator]:
    """Real trades of one day."""
    exchange = Emulator("--market", str(market_data / DAY), "--speed", "60")
    yield exchange
    exchange.close()


@pytest.fixture
def bot(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bot]:
    """A bot that is not running yet; whatever a test leaves running is killed."""
    trader = Bot(tmp_path_factory.mktemp("b"), emulator.url)
    yield trader
    trader.kill()
