"""Speed of the compiled core: the simulator, the same rules written by hand as one loop, one live decision."""

from __future__ import annotations

import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.common import bars, median_seconds, row
from gmobot.backtest.simulate import simulate
from gmobot.cli.rules import recorded_instrument
from gmobot.core.records import ACCOUNT, BAR
from gmobot.core.settings import Settings
from gmobot.strategies.loader import load
from gmobot.strategies.program import DecisionCore

CASH = 10_000_000 * 1_000_000
SIZE = Decimal("0.01")


@njit(cache=True)
def by_hand(o, h, l, c, v, equity, lots, cash):  # noqa: ANN001, ANN201, E741
    """EMA momentum with its filters, guards, exits, fees in whole yen and an equity curve, in one function."""
    unit = 10
    initial = peak = day_start = cash
    ema_fast = ema_slow = c[0]
    last_fast = 0.0
    gain = loss = true_mean = fast_range = slow_range = 0.0
    volume_mean = float(v[0])
    position = 0
    cost = cost_fees = 0
    target = stop = goal = 0
    cooldown = fills = 0
    traded = 0
    for i in range(len(c)):
        if target > position:
            paid = o[i] * lots * unit
            fee = (paid * 500 + 500_000_000_000) // 1_000_000_000_000 * 1_000_000
            cash -= paid + fee
            position, cost, cost_fees = lots, paid, fee
            fills += 1
        elif target < position:
            got = o[i] * position * unit
            fee = (got * 500 + 500_000_000_000) // 1_000_000_000_000 * 1_000_000
            cash += got - fee
            position, traded = 0, 1
            fills += 1
        if position > 0:
            price = 0
            if stop > 0 and l[i] <= stop and (goal == 0 or o[i] < goal):
                price = min(stop, o[i])
            elif goal > 0 and h[i] >= goal:
                price = max(goal, o[i])
            if price > 0:
                got = price * position * unit
                fee = (got * 500 + 500_000_000_000) // 1_000_000_000_000 * 1_000_000
                cash += got - fee
                position, traded = 0, 1
                fills += 1
        worth = cash + position * c[i] * unit
        equity[i] = worth
        peak = max(peak, worth)
        top, bottom = float(h[i]), float(l[i])
        if i > 0:
            top, bottom = max(top, float(c[i - 1])), min(bottom, float(c[i - 1]))
        spread = top - bottom
        fast_range += (spread - fast_range) * (2.0 / 6.0)
        slow_range += (spread - slow_range) * (2.0 / 101.0)
        volume_mean += (v[i] - volume_mean) * (2.0 / 101.0)
        close = float(c[i])
        ema_fast += (close - ema_fast) * (1.0 / (i + 1) if i < 12 else 2.0 / 13.0)
        ema_slow += (close - ema_slow) * (1.0 / (i + 1) if i < 26 else 2.0 / 27.0)
        if i > 0:
            weight = 1.0 / min(i, 14)
            change = close - float(c[i - 1])
            gain += (max(change, 0.0) - gain) * weight
            loss += (max(-change, 0.0) - loss) * weight
            true_mean += (spread - true_mean) * weight
        moved = gain + loss
        heat = 100.0 * (gain / moved) if moved > 0.0 else 50.0
        slope = ema_fast - last_fast
        last_fast = ema_fast
        gap = ema_fast - ema_slow
        if traded:
            cooldown, traded = 3, 0
        elif cooldown > 0:
            cooldown -= 1
        if position == 0:
            target = stop = goal = 0
        calm = i < 100 or (fast_range <= slow_range * 3.0 and v[i] >= volume_mean * 0.05)
        limits = peak - worth <= peak // 1_000_000 * 200_000 and day_start - worth <= 100_000_000_000
        limits = limits and position <= 10_000 and (position == 0 or cost - position * c[i] * unit <= 50_000_000_000)
        limits = limits and position * c[i] * unit <= worth
        if position > 0:
            if gap < 0.0:
                target = 0
        elif gap > 0.0 and slope > 0.0 and true_mean > 0.0 and heat <= 75.0 and cooldown == 0 and i >= 26 and calm and limits:
            confidence = min(1.0, gap / true_mean)
            if confidence >= 0.2:
                target = lots
                stop = int(np.floor(close - true_mean * 3.0))
                goal = int(np.ceil(close + true_mean * 6.0))
    return fills, cash - initial + cost_fees * 0


def main() -> None:
    """Print the figures."""
    data, what = bars()
    instrument = recorded_instrument("BTC")
    program = load("gmobot.strategies.ema_momentum:EmaMomentum")
    settings = Settings(
        instrument=instrument,
        warmup_bars=program.warmup_bars,
        min_confidence=0.2,
        cooldown_bars=3,
        volatility_spike_ratio=3.0,
        thin_volume_ratio=0.05,
        fixed_size=SIZE,
        max_drawdown=Decimal("0.2"),
        daily_loss_limit=Decimal(100_000),
        max_position_size=Decimal("0.1"),
        max_trade_loss=Decimal(50_000),
        max_leverage=Decimal(1),
        max_wallet_drift=Decimal(100),
    )
    print(f"{len(data):,} {what}, strategy EmaMomentum")
    whole = median_seconds(lambda: simulate(program, settings, data, initial_uyen=CASH))
    opens, highs, lows, closes, volumes = (np.ascontiguousarray(data[name]) for name in ("open", "high", "low", "close", "volume"))
    equity = np.zeros(len(data), np.int64)
    hand = median_seconds(lambda: by_hand(opens, highs, lows, closes, volumes, equity, instrument.lots(SIZE), CASH))
    row("simulator", whole / len(data) * 1e9, "ns a bar", "goal <= 15")
    row("the same rules by hand, one Numba loop", hand / len(data) * 1e9, "ns a bar")
    row("simulator / by hand", whole / hand, "x", "goal <= 1.5")
    borrowed = replace(settings, instrument=recorded_instrument("BTC_JPY"))
    leverage = median_seconds(lambda: simulate(program, borrowed, data, initial_uyen=CASH))
    row("simulator, leverage: both directions, fees, losscut", leverage / len(data) * 1e9, "ns a bar")
    row("leverage / spot", leverage / whole, "x", "goal <= 1.5")
    core, account = DecisionCore(program, settings), np.zeros(1, ACCOUNT)
    bar: Any = np.array(data[-1:], BAR)
    decisions = 20_000

    def decide() -> None:
        for _ in range(decisions):
            core.step(bar, account)

    row("one decision from Python", median_seconds(decide, runs=5) / decisions * 1e6, "us", "goal <= 5")


if __name__ == "__main__":
    main()
