"""Bars of any whole number of seconds from trades, live one by one and in batches, identically.

A trade on a boundary belongs to the bar that starts there. An interval without a trade has no bar:
nothing is carried forward, so that "nobody traded" and "a price was repeated" stay different things.
Within a bar the order is that of the trades' times, and of their arrival where times are equal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmobot.core.records import BAR, BAR_GAP_BEFORE, BAR_LATE

NS_PER_SECOND = 1_000_000_000
_OPEN_TIME, _OPEN, _HIGH, _LOW, _CLOSE, _VOLUME, _FLAGS, _FIRST_NS, _LAST_NS = range(9)


class BarBuilder:
    """Collects trades and hands out the bars whose time is over.

    A straggler still finds its bar as long as that was not handed out. After that it is counted in
    :attr:`late_trades` and dropped: a bar that was decided on never changes.
    """

    __slots__ = ("_bar", "_bar_ns", "_bars", "_closed_until", "_end", "_gap", "_newest_ns", "late_trades")

    def __init__(self, bar_seconds: int) -> None:
        if bar_seconds < 1:
            raise ValueError(f"a bar lasts at least one second, not {bar_seconds}")
        self._bar_ns = bar_seconds * NS_PER_SECOND
        self._bars: dict[int, list[int]] = {}
        self._bar: list[int] = []
        self._newest_ns = self._end = self._closed_until = 0
        self._gap = False
        self.late_trades = 0

    def add(self, at_ns: int, ticks: int, lots: int) -> None:
        """Take one trade."""
        if self._newest_ns <= at_ns < self._end:
            # The one path that nearly every trade takes: in order, in the newest bar.
            bar = self._bar
            if ticks > bar[_HIGH]:
                bar[_HIGH] = ticks
            elif ticks < bar[_LOW]:
                bar[_LOW] = ticks
            bar[_CLOSE] = ticks
            bar[_VOLUME] += lots
            bar[_LAST_NS] = self._newest_ns = at_ns
        elif at_ns < self._closed_until:
            self.late_trades += 1
        elif at_ns >= self._end:
            self._start(at_ns, ticks, lots)
            self._newest_ns, self._end = at_ns, at_ns - at_ns % self._bar_ns + self._bar_ns
        else:
            self._insert(at_ns, ticks, lots)

    def mark_gap(self) -> None:
        """Trades are missing from here: the next bar handed out carries ``BAR_GAP_BEFORE``."""
        self._gap = True

    def close_until(self, until_ns: int, *, late: bool = False) -> NDArray[Any]:
        """Return the bars that end at or before a moment, oldest first, as BAR records.

        Args:
            until_ns: The moment, usually now minus the grace given to stragglers.
            late: Mark them as arrived late.
        """
        ready = sorted(start for start in self._bars if start + self._bar_ns <= until_ns)
        bars = np.array([tuple(self._bars.pop(start)[:_FIRST_NS]) for start in ready], BAR)
        self._closed_until = max(self._closed_until, until_ns - until_ns % self._bar_ns)
        if self._end <= self._closed_until:
            self._end = 0
        if len(bars) and self._gap:
            bars["flags"][0] |= BAR_GAP_BEFORE
            self._gap = False
        if late:
            bars["flags"] |= BAR_LATE
        return bars

    def _start(self, at_ns: int, ticks: int, lots: int) -> None:
        start = at_ns - at_ns % self._bar_ns
        self._bar = self._bars[start] = [start, ticks, ticks, ticks, ticks, lots, 0, at_ns, at_ns]

    def _insert(self, at_ns: int, ticks: int, lots: int) -> None:
        """Put a straggler where it belongs."""
        bar = self._bars.get(at_ns - at_ns % self._bar_ns)
        if bar is None:
            newest = self._bar
            self._start(at_ns, ticks, lots)
            self._bar = newest
            return
        bar[_HIGH], bar[_LOW] = max(bar[_HIGH], ticks), min(bar[_LOW], ticks)
        bar[_VOLUME] += lots
        if at_ns < bar[_FIRST_NS]:
            bar[_OPEN], bar[_FIRST_NS] = ticks, at_ns
        if at_ns >= bar[_LAST_NS]:
            bar[_CLOSE], bar[_LAST_NS] = ticks, at_ns


def bars_from_trades(at_ns: NDArray[np.int64], ticks: NDArray[np.int64], lots: NDArray[np.int64], bar_seconds: int) -> NDArray[Any]:
    """Return the BAR records of a whole tape, the last bar included, as :class:`BarBuilder` would build them.

    Args:
        at_ns: Times, ascending.
        ticks: Prices, same length.
        lots: Sizes, same length.
        bar_seconds: Length of a bar.

    Raises:
        ValueError: The times are not ascending.
    """
    if bar_seconds < 1:
        raise ValueError(f"a bar lasts at least one second, not {bar_seconds}")
    if len(at_ns) and (np.diff(at_ns) < 0).any():
        raise ValueError("trades must be in the order of their times; sort them first, keeping the order of equal ones")
    number = at_ns // (bar_seconds * NS_PER_SECOND)
    first = np.flatnonzero(np.diff(number, prepend=-1 if len(number) else 0))
    bars = np.zeros(len(first), BAR)
    if len(first):
        last = np.append(first[1:], len(at_ns)) - 1
        bars["open_time"] = number[first] * (bar_seconds * NS_PER_SECOND)
        bars["open"], bars["close"] = ticks[first], ticks[last]
        bars["high"], bars["low"] = np.maximum.reduceat(ticks, first), np.minimum.reduceat(ticks, first)
        bars["volume"] = np.add.reduceat(lots, first)
    return bars
