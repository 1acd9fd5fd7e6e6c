"""``kill -9`` at random moments, among lost and slow replies: nothing is lost, doubled or left open, and life goes on."""

from __future__ import annotations

import pytest
from tests.e2e.kill9 import SYMBOLS, Session

pytestmark = pytest.mark.e2e
SEED = 9
KILLS = 10
ORDERS = 6


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_kills_lose_and_double_nothing(symbol: str) -> None:
    tally = Session(symbol, SEED).run(KILLS, lambda _: None)
    assert tally.trouble == [], f"seed {SEED}"
    assert len(tally.moments) == KILLS
    assert tally.orders >= ORDERS, "too quiet a session proves nothing"
