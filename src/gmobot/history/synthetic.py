"""Seeded synthetic bars, so that a fresh clone has something to run on: clusters, jumps, a day's rhythm."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmobot.core.instrument import Instrument
from gmobot.core.records import BAR

_START_NS = 1_704_067_200_000_000_000
_START_YEN = 6_000_000.0
_DAILY_VOLATILITY = 0.03
_JUMPS_PER_DAY = 2.0


def synthetic_bars(instrument: Instrument, *, count: int, bar_seconds: int, seed: int) -> NDArray[Any]:
    """Return BAR records of a made-up market; the same seed gives the same bars."""
    draw = np.random.default_rng(seed)
    share = bar_seconds / 86_400
    heat = np.zeros(count)
    shocks = draw.normal(0.0, 0.15, count)
    for i in range(1, count):
        heat[i] = heat[i - 1] * 0.99 + shocks[i]
    rhythm = 1.0 + 0.5 * np.sin(2 * np.pi * np.arange(count) * share)
    scale = _DAILY_VOLATILITY * np.sqrt(share) * np.exp(np.clip(heat, -2, 2)) * rhythm
    jumps = (draw.random(count) < _JUMPS_PER_DAY * share) * draw.normal(0.0, 0.01, count)
    closes = _START_YEN * np.exp(np.cumsum(draw.normal(0.0, 1.0, count) * scale + jumps))
    opens = np.concatenate(([_START_YEN], closes[:-1])) * (1 + draw.normal(0.0, 0.1, count) * scale)
    wick = np.abs(draw.normal(0.0, 0.5, (2, count))) * scale
    highs, lows = np.maximum(opens, closes) * (1 + wick[0]), np.minimum(opens, closes) * (1 - wick[1])
    tick = float(instrument.tick_size)
    bars = np.zeros(count, BAR)
    bars["open_time"] = _START_NS + np.arange(count, dtype=np.int64) * bar_seconds * 1_000_000_000
    for name, values in (("open", opens), ("high", highs), ("low", lows), ("close", closes)):
        bars[name] = np.maximum(1, np.rint(values / tick)).astype(np.int64)
    bars["volume"] = (np.exp(draw.normal(0.0, 1.0, count)) * rhythm * 100_000 * share * 10).astype(np.int64) + instrument.min_lots
    return bars
