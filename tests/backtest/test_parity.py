"""One decision core: batch, stepwise and uncompiled runs agree to the bit, and no bar knows a later one."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.backtest.support import CASH, PRODUCTS, STRATEGIES, Stepwise, real_bars, settings

from gmobot.backtest.fills import ENTRY
from gmobot.backtest.simulate import Simulation, simulate
from gmobot.core.instrument import Instrument, Product
from gmobot.strategies.loader import load

GUARDED: dict[str, Any] = {
    "min_confidence": 0.1,
    "volatility_spike_ratio": 3.0,
    "thin_volume_ratio": 0.05,
    "max_drawdown": Decimal("0.3"),
    "daily_loss_limit": Decimal(300_000),
    "max_position_size": Decimal("0.5"),
    "max_trade_loss": Decimal(200_000),
    "max_leverage": Decimal(1),
}


def fills_of(run: Simulation) -> list[tuple[int, int, int, int]]:
    return [(int(f["bar"]), int(f["kind"]), int(f["ticks"]), int(f["lots"])) for f in run.fills]


both_products = pytest.mark.parametrize("instrument", PRODUCTS, ids=lambda instrument: instrument.symbol)


@both_products
@pytest.mark.parametrize("ref", STRATEGIES)
@pytest.mark.parametrize("slippage", [0, 137])
def test_batch_equals_stepwise_on_real_bars(ref: str, slippage: int, instrument: Instrument, market_data: Path) -> None:
    data, program = real_bars(market_data, 20_000, instrument=instrument), load(ref)
    chosen = settings(instrument, **GUARDED)
    batch = simulate(program, chosen, data, initial_uyen=CASH, slippage_ticks=slippage)
    stepwise = Stepwise(program, chosen, slippage=slippage).run(data)
    assert fills_of(batch) == stepwise.fills
    assert batch.equity.tolist() == stepwise.equity
    assert len(batch.fills) > (500 if "Ema" in ref else 0)
    opened = [lots for _, kind, _, lots in fills_of(batch) if kind == ENTRY]
    assert any(lots < 0 for lots in opened) == (instrument.product is Product.LEVERAGE and "Ema" in ref)
    assert int(batch.ledger["leverage_fees_uyen"][0]) == stepwise.ledger.leverage_fees_uyen
    assert (stepwise.ledger.leverage_fees_uyen > 0) == (instrument.product is Product.LEVERAGE)


@both_products
@pytest.mark.parametrize("ref", STRATEGIES)
def test_compiled_equals_uncompiled_on_real_bars(ref: str, instrument: Instrument, market_data: Path) -> None:
    data, chosen = real_bars(market_data, 6_000, instrument=instrument), settings(instrument, **GUARDED)
    compiled = simulate(load(ref), chosen, data, initial_uyen=CASH, slippage_ticks=11)
    plain = simulate(load(ref, jit=False), chosen, data, initial_uyen=CASH, slippage_ticks=11)
    assert np.array_equal(compiled.equity, plain.equity)
    assert np.array_equal(compiled.fills, plain.fills)
    assert np.array_equal(compiled.ledger, plain.ledger)
    assert compiled.desired.tobytes() == plain.desired.tobytes()


@pytest.mark.slow
@both_products
@pytest.mark.parametrize("ref", STRATEGIES)
def test_no_bar_knows_a_later_one(ref: str, instrument: Instrument, market_data: Path) -> None:
    """The decision at bar t from the first t bars is the one of the full run, for every t of 20,000."""
    program, chosen = load(ref), settings(instrument, **GUARDED)
    data = real_bars(market_data, 20_000, skip=7_000, instrument=instrument)
    whole = Stepwise(program, chosen).run(data)
    for t in range(1, len(data) + 1):
        first = simulate(program, chosen, data[:t], initial_uyen=CASH)
        full = whole.decisions[t - 1]
        seen = first.desired[0]
        assert (int(seen["target"]), int(seen["stop"]), int(seen["take_profit"]), float(seen["confidence"]), int(seen["reasons"])) == (
            full.target,
            full.stop,
            full.take_profit,
            full.confidence,
            full.reasons,
        ), f"bar {t}"
        assert int(first.equity[-1]) == whole.equity[t - 1]
