"""Streaming indicators: each keeps its own small record and takes one value a bar.

Seeding follows TA-Lib (a simple mean first, Wilder's or the exponential recursion after), so that the
values agree with it once enough bars were seen; before that each returns its best running estimate.
Only + - x / and comparisons are used: compiled and uncompiled results are equal bit for bit.

A state declares them by type (``fast: Ema``) or, where a window must be kept, with its largest length
(``high = RollingMax.of(200)``).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from gmobot.core.compiled import compiled

# mypy: disable-error-code="no-untyped-def"
# ruff: noqa: ANN001, ANN201


class Indicator:
    """A kind of state record."""

    dtype: ClassVar[np.dtype[Any]]


class Windowed:
    """A kind of state record with a ring of past values."""

    fields: ClassVar[tuple[tuple[str, str], ...]]
    rings: ClassVar[tuple[str, ...]] = ("ring",)

    def __init__(self, longest: int) -> None:
        if not 1 <= longest <= 100_000:
            raise ValueError(f"a window holds 1 to 100000 bars, not {longest}")
        rings = [(name, "f8", (longest,)) for name in self.rings]
        self.dtype: np.dtype[Any] = np.dtype([*self.fields, *rings], align=True)

    @classmethod
    def of(cls, longest: int) -> Windowed:
        """Declare a window of at most ``longest`` bars."""
        return cls(longest)


class Ema(Indicator):
    """State of :func:`ema`."""

    dtype = np.dtype([("value", "f8"), ("n", "i8")], align=True)


class Rsi(Indicator):
    """State of :func:`rsi`."""

    dtype = np.dtype([("last", "f8"), ("gain", "f8"), ("loss", "f8"), ("n", "i8")], align=True)


class Atr(Indicator):
    """State of :func:`atr`."""

    dtype = np.dtype([("last", "f8"), ("value", "f8"), ("n", "i8")], align=True)


class Sma(Windowed):
    """State of :func:`sma`."""

    fields = (("total", "f8"), ("n", "i8"))


class Deviation(Windowed):
    """State of :func:`deviation`."""

    fields = (("mean", "f8"), ("squares", "f8"), ("n", "i8"))


class RollingMax(Windowed):
    """State of :func:`rolling_max`."""

    fields = (("head", "i8"), ("size", "i8"), ("n", "i8"))
    rings = ("ring", "at")


class RollingMin(RollingMax):
    """State of :func:`rolling_min`."""


@compiled
def ema(state, x, period):
    """Exponential mean, seeded with the simple mean of the first ``period`` values."""
    state.n += 1
    if state.n <= period:
        state.value += (x - state.value) / state.n
    else:
        state.value += (x - state.value) * (2.0 / (period + 1))
    return state.value


@compiled
def rsi(state, x, period):
    """Wilder's relative strength index, 0 to 100; 50 until something moved."""
    if state.n > 0:
        change = x - state.last
        gain = change if change > 0.0 else 0.0
        loss = -change if change < 0.0 else 0.0
        weight = state.n if state.n < period else period
        state.gain += (gain - state.gain) / weight
        state.loss += (loss - state.loss) / weight
    state.last = x
    state.n += 1
    moved = state.gain + state.loss
    return 100.0 * (state.gain / moved) if moved > 0.0 else 50.0


@compiled
def atr(state, high, low, close, period):
    """Wilder's average true range."""
    if state.n > 0:
        top = high if high > state.last else state.last
        bottom = low if low < state.last else state.last
        weight = state.n if state.n < period else period
        state.value += (top - bottom - state.value) / weight
    state.last = close
    state.n += 1
    return state.value


@compiled
def sma(state, x, period):
    """Simple mean of the last ``period`` values (at most the declared length)."""
    position = state.n % period
    if state.n >= period:
        state.total -= state.ring[position]
    state.ring[position] = x
    state.total += x
    state.n += 1
    return state.total / (state.n if state.n < period else period)


@compiled
def deviation(state, x, period):
    """Population standard deviation of the last ``period`` values."""
    position = state.n % period
    if state.n < period:
        state.n += 1
        step = x - state.mean
        state.mean += step / state.n
        state.squares += step * (x - state.mean)
        count = state.n
    else:
        old = state.ring[position]
        state.n += 1
        before = state.mean
        state.mean += (x - old) / period
        state.squares += (x - old) * (x - state.mean + old - before)
        count = period
    state.ring[position] = x
    return math.sqrt(state.squares / count) if state.squares > 0.0 else 0.0


@compiled
def rolling_max(state, x, period):
    """Largest of the last ``period`` values."""
    return _extreme(state, x, period)


@compiled
def rolling_min(state, x, period):
    """Smallest of the last ``period`` values."""
    return -_extreme(state, -x, period)


@compiled
def _extreme(state, x, period):
    # A queue of falling values: what is smaller and older than the newest can never be the maximum.
    capacity = len(state.ring)
    while state.size > 0 and state.ring[(state.head + state.size - 1) % capacity] <= x:
        state.size -= 1
    slot = (state.head + state.size) % capacity
    state.ring[slot] = x
    state.at[slot] = state.n
    state.size += 1
    if state.at[state.head] <= state.n - period:
        state.head = (state.head + 1) % capacity
        state.size -= 1
    state.n += 1
    return state.ring[state.head]
