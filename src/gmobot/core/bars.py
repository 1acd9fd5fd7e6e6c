"""Bars of any whole number of seconds from trades, live one by one and in batches, identically.

A trade on a boundary belongs to the bar that starts there. An interval without a trade has no bar:
nothing is carried forward, so that "nobody traded" and "a price was repeated" stay different things.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gmobot.core.records import BAR

NS_PER_SECOND = 1_000_000_000


class BarBuilder:
    """Collects trades and hands out the bars whose time is over.

    Trades of a bar that was already handed out are counted in :attr:`late_trades` and dropped: a bar
    that was decided on never changes.
    """

    __slots__ = ("_bar_ns", "_close", "_closed_until", "_done", "_end", "_high", "_low", "_open", "_start", "_volume", "late_trades")

    def __init__(self, bar_seconds: int) -> None:
        if bar_seconds < 1:
            raise ValueError(f"a bar lasts at least one second, not {bar_seconds}")
        self._bar_ns = bar_seconds * NS_PER_SECOND
        self._start = self._end = 0
        self._open = self._high = self._low = self._close = self._volume = 0
        self._closed_until = 0
        self._done: list[tuple[int, int, int, int, int, int, int]] = []
        self.late_trades = 0

    def add(self, at_ns: int, ticks: int, lots: int) -> None:
        """Take one trade. Trades come in order of time, but for a straggler within the open bar."""
        if self._start <= at_ns < self._end:
            if ticks > self._high:
                self._high = ticks
            elif ticks < self._low:
                self._low = ticks
            self._close = ticks
            self._volume += lots
        elif at_ns < self._start or at_ns < self._closed_until:
            self.late_trades += 1
        else:
            self._finish()
            self._start = at_ns - at_ns % self._bar_ns
            self._end = self._start + self._bar_ns
            self._open = self._high = self._low = self._close = ticks
            self._volume = lots

    def close_until(self, until_ns: int) -> NDArray[Any]:
        """Return the bars that end at or before a moment, oldest first, as BAR records."""
        if self._end and self._end <= until_ns:
            self._finish()
        self._closed_until = max(self._closed_until, until_ns)
        ready = [bar for bar in self._done if bar[0] + self._bar_ns <= until_ns]
        self._done = self._done[len(ready) :]
        return np.array(ready, BAR)

    def _finish(self) -> None:
        if self._end:
            self._done.append((self._start, self._open, self._high, self._low, self._close, self._volume, 0))
            self._start = self._end = 0


def bars_from_trades(at_ns: NDArray[np.int64], ticks: NDArray[np.int64], lots: NDArray[np.int64], bar_seconds: int) -> NDArray[Any]:
    """Return the BAR records of a whole tape, the last bar included, as :class:`BarBuilder` would build them.

    Args:
        at_ns: Times, ascending.
        ticks: Prices, same length.
        lots: Sizes, same length.
        bar_seconds: Length of a bar.
    """
    if not len(at_ns):
        return np.zeros(0, BAR)
    bar_ns = bar_seconds * NS_PER_SECOND
    starts = np.flatnonzero(np.concatenate(([True], np.diff(at_ns // bar_ns) > 0)))
    bars = np.zeros(len(starts), BAR)
    _fill(bars, starts, at_ns, ticks, lots, bar_ns)
    return bars


@njit(cache=True, nogil=True)  # type: ignore[misc]
def _fill(bars, starts, at_ns, ticks, lots, bar_ns):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    for i in range(len(starts)):
        first = starts[i]
        last = starts[i + 1] if i + 1 < len(starts) else len(at_ns)
        bar = bars[i]
        bar.open_time = at_ns[first] - at_ns[first] % bar_ns
        high = low = ticks[first]
        volume = 0
        for k in range(first, last):
            high = max(high, ticks[k])
            low = min(low, ticks[k])
            volume += lots[k]
        bar.open, bar.high, bar.low, bar.close = ticks[first], high, low, ticks[last - 1]
        bar.volume = volume
