"""Batch, stepwise, compiled and uncompiled: one decision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.core.support import real_bars
from tests.strategies.support import SETTINGS, simulated

from gmobot.core.reasons import names
from gmobot.strategies.loader import load
from gmobot.strategies.program import DecisionCore, Program


@pytest.fixture(scope="module")
def bars(market_data: Path) -> Any:
    return real_bars(market_data)


def test_compiled_and_uncompiled_agree_bit_for_bit_on_real_bars(program: Program, bars: Any, cache: Path) -> None:
    plain = load(program.ref, jit=False, cache_dir=cache)
    compiled_run, plain_run = simulated(program, bars[:4_000]), simulated(plain, bars[:4_000])
    for ours, theirs in zip(compiled_run[:2], plain_run[:2], strict=True):
        assert ours.tobytes() == theirs.tobytes()
    assert compiled_run[2] == plain_run[2]


@pytest.mark.slow
def test_compiled_and_uncompiled_agree_bit_for_bit_through_two_crashes(program: Program, market_data: Path, cache: Path) -> None:
    plain = load(program.ref, jit=False, cache_dir=cache)
    for name, crash in (("binance_BTCUSDT_1m_20211111_20211211", 32_000), ("binance_BTCUSDT_1m_20240726_20240825", 12_000)):
        tape = real_bars(market_data, name)[crash : crash + 4_000]
        assert simulated(program, tape)[1].tobytes() == simulated(plain, tape)[1].tobytes()


def test_each_of_20_000_decisions_from_the_bars_so_far_equals_the_full_run(program: Program, bars: Any) -> None:
    tape = bars[:20_000]
    accounts, decisions, _ = simulated(program, tape)
    core = DecisionCore(program, SETTINGS)
    for t in range(len(tape)):
        desired = core.step(tape[t : t + 1], accounts[t : t + 1])
        found = tuple(getattr(desired, name) for name in decisions.dtype.names or ())
        assert found == decisions[t].item(), t


@pytest.mark.parametrize("t", [1, 27, 1_000, 9_999])
def test_no_decision_knows_what_comes_after_it(program: Program, bars: Any, t: int) -> None:
    _, decisions, _ = simulated(program, bars[:10_000])
    other = bars[:10_000].copy()
    for field in ("open", "high", "low", "close", "volume"):
        other[field][t:] = other[field][t:][::-1] * 3
    assert simulated(program, other)[1][:t].tobytes() == decisions[:t].tobytes()
    assert simulated(program, bars[:t])[1].tobytes() == decisions[:t].tobytes()


def test_the_run_on_real_bars_is_worth_comparing(bars: Any, cache: Path) -> None:
    program = load("gmobot.strategies.ema_momentum:EmaMomentum", {"rsi_overbought": 60.0}, cache_dir=cache)
    accounts, decisions, _ = simulated(program, bars[:20_000])
    assert accounts["closed_trades"][-1] > 100
    seen = set(names(int(np.bitwise_or.reduce(decisions["reasons"]))))
    assert {"ema_momentum_long", "ema_momentum_short", "rsi_overbought", "cooldown_active", "volatility_spike"} <= seen
    assert {"thin_liquidity", "below_min_confidence", "no_setup"} <= seen


def test_buy_and_hold_buys_once_and_holds(bars: Any, cache: Path) -> None:
    program = load("gmobot.strategies.buy_and_hold:BuyAndHold", cache_dir=cache)
    accounts, _, _ = simulated(program, bars[:5_000])
    changes = np.flatnonzero(np.diff(accounts["position"]))
    assert len(changes) == 1
    assert accounts["closed_trades"][-1] == 0
