"""What spot decides is frozen: decisions, fills and equity on real bars, as they were before the core knew leverage."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tests.backtest.support import Stepwise, real_bars, settings
from tests.backtest.test_parity import GUARDED

from gmobot.strategies.loader import load

FROZEN = {
    "gmobot.strategies.ema_momentum:EmaMomentum": "e421efbb532f389fd860de2035951254f6a93f35ab307dbd6ea08feaa4351fd9",
    "gmobot.strategies.buy_and_hold:BuyAndHold": "45dada90e7af5cc1d67627b53a0de42fd49aef9d6dcc950f6c910ed7b0514f59",
}


def fingerprint(run: Stepwise) -> str:
    """Return a hash of every decision to the last bit of its confidence, every fill and the equity of every bar."""
    digest = hashlib.sha256()
    for decision in run.decisions:
        digest.update(repr(decision.to_dict()).encode())
    digest.update(repr(run.fills).encode() + repr(run.equity).encode())
    return digest.hexdigest()


@pytest.mark.parametrize("ref", FROZEN)
def test_spot_decides_on_real_bars_as_it_always_did(ref: str, market_data: Path) -> None:
    run = Stepwise(load(ref), settings(**GUARDED), slippage=11).run(real_bars(market_data, 20_000))
    assert fingerprint(run) == FROZEN[ref]
