"""One symbol's tape: every trade since the recent past, and the day's figures that a ticker shows.

The figures are kept up to date trade by trade, so that a ticker costs the same on a long tape as on a short one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from gmobot.clock import NS_PER_SECOND, trading_day

DAY_NS = 86_400 * NS_PER_SECOND
_KEPT = 400_000


@dataclass(frozen=True, slots=True)
class Trade:
    """One match of the tape. ``side`` is the taker's."""

    at_ns: int
    side: str
    ticks: int
    lots: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A book of other participants at a moment: ticks and lots, best first."""

    at_ns: int
    asks: list[tuple[int, int]]
    bids: list[tuple[int, int]]


class Tape:
    """Trades, oldest first."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._trades: list[Trade] = []
        self._window_start = 0
        self._window_lots = 0
        self._day = -1
        self._high = self._low = 0

    def __len__(self) -> int:
        return len(self._trades)

    def append(self, trade: Trade) -> None:
        """Add the newest trade."""
        self._trades.append(trade)
        self._window_lots += trade.lots
        day = trading_day(trade.at_ns)
        if day != self._day:
            self._day, self._high, self._low = day, trade.ticks, trade.ticks
        elif trade.ticks > self._high:
            self._high = trade.ticks
        elif trade.ticks < self._low:
            self._low = trade.ticks
        if len(self._trades) > 2 * self._kept:
            self._trim()

    def extend(self, trades: Iterable[Trade]) -> None:
        """Add trades, oldest first."""
        for trade in trades:
            self.append(trade)

    def between(self, start_ns: int, end_ns: int) -> list[Trade]:
        """Return the trades from ``start_ns`` on and before ``end_ns``."""
        first = bisect_left(self._trades, start_ns, key=_at_ns)
        return self._trades[first : bisect_left(self._trades, end_ns, lo=first, key=_at_ns)]

    def newest(self, skip: int, count: int) -> list[Trade]:
        """Return trades, newest first, without the ``skip`` newest."""
        return list(islice(reversed(self._trades), skip, skip + count))

    def range_of_day(self, now_ns: int, last: int) -> tuple[int, int]:
        """Return the high and low since 06:00 JST; the last price on a day without a trade."""
        return (self._high, self._low) if trading_day(now_ns) == self._day else (last, last)

    def volume_of_day(self, now_ns: int) -> int:
        """Return the lots matched in the last 24 hours."""
        trades, first = self._trades, self._window_start
        while first < len(trades) and trades[first].at_ns < now_ns - DAY_NS:
            self._window_lots -= trades[first].lots
            first += 1
        self._window_start = first
        return self._window_lots

    def _trim(self) -> None:
        for trade in self._trades[self._window_start : self._kept]:
            self._window_lots -= trade.lots
        del self._trades[: self._kept]
        self._window_start = max(0, self._window_start - self._kept)


def _at_ns(trade: Trade) -> int:
    return trade.at_ns
