"""What the benchmarks share: medians, and where real bars come from."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gmobot.cli.rules import recorded_instrument
from gmobot.history.bars import read_bars
from gmobot.history.synthetic import synthetic_bars

BINANCE = "ohlcv_1m/binance_BTCUSDT_1m_20220101_20240131.parquet"


def median_seconds(call: Callable[[], object], *, runs: int = 9) -> float:
    """Return the median time this thread computes in a call, after one that does not count: others may use the machine too."""
    call()
    times = []
    for _ in range(runs):
        started = time.thread_time()
        call()
        times.append(time.thread_time() - started)
    return statistics.median(times)


def bars() -> tuple[NDArray[Any], str]:
    """Return many one-minute bars and what they are."""
    instrument = recorded_instrument("BTC")
    folder = os.environ.get("GMOBOT_DATA")
    if folder:
        return read_bars(Path(folder) / BINANCE, instrument).bars, "real one-minute bars"
    return synthetic_bars(instrument, count=1_000_000, bar_seconds=60, seed=1), "synthetic bars (GMOBOT_DATA is not set)"


def row(name: str, value: float, unit: str, goal: str = "") -> None:
    """Print one figure."""
    print(f"{name:<58}{value:>12,.2f} {unit:<10}{goal}")
