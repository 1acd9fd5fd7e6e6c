"""Streaming indicators: each keeps its own small record and takes one value a bar.

Seeding follows TA-Lib (a simple mean first, Wilder's or the exponential recursion after), so that the
values agree with it once enough bars were seen; before that each returns its best running estimate.
Only + - x /, the square root and comparisons are used: compiled and uncompiled results are equal bit for bit.

A state declares them by type (``fast: Ema``) or, where a window must be kept, with its largest length
(``high = RollingMax.of(200)``). One state record serves one indicator with one period, every bar.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from gmobot.core.compiled import compiled
from gmobot.core.records import Record

# Fields of records are numbers that mypy cannot see.
# mypy: disable-error-code="no-any-return"


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

    dtype = np.dtype([("value", "f8"), ("weight", "f8"), ("n", "i8")], align=True)


class Rsi(Indicator):
    """State of :func:`rsi`."""

    dtype = np.dtype([("last", "f8"), ("gain", "f8"), ("loss", "f8"), ("weight", "f8"), ("n", "i8")], align=True)


class Atr(Indicator):
    """State of :func:`atr`."""

    dtype = np.dtype([("last", "f8"), ("value", "f8"), ("weight", "f8"), ("n", "i8")], align=True)


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
def ema(state: Record, x: float, period: int) -> float:
    """Exponential mean, seeded with the simple mean of the first ``period`` values."""
    # The weight is kept: a division takes longer than all the rest.
    if state.n <= period:
        state.n += 1
        state.weight = 1.0 / state.n if state.n <= period else 2.0 / (period + 1)
    state.value += (x - state.value) * state.weight
    return state.value


@compiled
def rsi(state: Record, x: float, period: int) -> float:
    """Wilder's relative strength index, 0 to 100; 50 until something moved."""
    if state.n > 0:
        change = x - state.last
        if state.n <= period:
            state.weight = 1.0 / state.n
        state.gain += (max(change, 0.0) - state.gain) * state.weight
        state.loss += (max(-change, 0.0) - state.loss) * state.weight
    state.last = x
    state.n += 1
    moved = state.gain + state.loss
    return 100.0 * (state.gain / moved) if moved > 0.0 else 50.0


@compiled
def atr(state: Record, high: float, low: float, close: float, period: int) -> float:
    """Wilder's average true range; the first bar has none, for want of a close before it."""
    if state.n > 0:
        true_range = max(high, state.last) - min(low, state.last)
        if state.n <= period:
            state.weight = 1.0 / state.n
        state.value += (true_range - state.value) * state.weight
    state.last = close
    state.n += 1
    return state.value


@compiled
def sma(state: Record, x: float, period: int) -> float:
    """Simple mean of the last ``period`` values."""
    position = _place(state.n, period, len(state.ring))
    state.total += x - state.ring[position] if state.n >= period else x
    state.ring[position] = x
    state.n += 1
    if position == period - 1:
        # Added up afresh once per window, so that rounding errors do not pile up over years.
        state.total = 0.0
        for i in range(period):
            state.total += state.ring[i]
    return state.total / min(state.n, period)


@compiled
def deviation(state: Record, x: float, period: int) -> float:
    """Population standard deviation of the last ``period`` values."""
    position = _place(state.n, period, len(state.ring))
    before = state.mean
    if state.n < period:
        state.mean += (x - before) / (state.n + 1)
        state.squares += (x - before) * (x - state.mean)
    else:
        old = state.ring[position]
        state.mean += (x - old) / period
        state.squares += (x - old) * (x - state.mean + old - before)
    state.ring[position] = x
    state.n += 1
    if position == period - 1:
        _measure_afresh(state, period)
    return math.sqrt(max(state.squares, 0.0) / min(state.n, period))


@compiled
def _measure_afresh(state: Record, period: int) -> None:
    """Compute mean and squares from the full window, so that rounding errors do not pile up over years."""
    state.mean = 0.0
    for i in range(period):
        state.mean += (state.ring[i] - state.mean) / (i + 1)
    state.squares = 0.0
    for i in range(period):
        state.squares += (state.ring[i] - state.mean) * (state.ring[i] - state.mean)


@compiled
def rolling_max(state: Record, x: float, period: int) -> float:
    """Largest of the last ``period`` values."""
    return _extreme(state, x, period)


@compiled
def rolling_min(state: Record, x: float, period: int) -> float:
    """Smallest of the last ``period`` values."""
    return -_extreme(state, -x, period)


@compiled
def _extreme(state: Record, x: float, period: int) -> float:
    # A queue of falling values: what is smaller and older than the newest can never be the maximum.
    capacity = len(state.ring)
    _place(state.n, period, capacity)
    if state.size > 0 and state.at[state.head] <= state.n - period:
        state.head = (state.head + 1) % capacity
        state.size -= 1
    while state.size > 0 and state.ring[(state.head + state.size - 1) % capacity] <= x:
        state.size -= 1
    slot = (state.head + state.size) % capacity
    state.ring[slot] = x
    state.at[slot] = state.n
    state.size += 1
    state.n += 1
    return state.ring[state.head]


@compiled
def _place(n: int, period: int, capacity: int) -> int:
    """Return where value number ``n`` goes. Compiled code would write past the window without a word."""
    if not 0 < period <= capacity:
        raise ValueError("the period is below 1 or longer than the window declared in State")
    return n % period
