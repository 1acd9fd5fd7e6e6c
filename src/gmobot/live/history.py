"""Bars and prints of the recent past, from public REST: to warm up with and to mend gaps.

REST counts both sides of each match: prints come in pairs and kline volumes count one to two times.
Pairs are folded back into matches here; kline volumes are halved, the usual case, and their bars are
marked late, so that an inflated volume never opens a position.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from gmobot.clock import NS_PER_SECOND, trading_day
from gmobot.core.instrument import Instrument
from gmobot.core.records import BAR, BAR_LATE
from gmobot.errors import Refused
from gmobot.venue.gmo.klines import BY_DAY, day_name
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.models import Kline, Print

_PAGE = 100
_MOST_DAYS = 10


@dataclass(frozen=True, slots=True)
class Match:
    """One match of the tape, counted once, in integers."""

    at_ns: int
    ticks: int
    lots: int


async def recent_matches(rest: GmoRest, instrument: Instrument, *, since_ns: int, most_pages: int) -> tuple[list[Match], bool]:
    """Return matches since a moment, oldest first, and whether they reach back all the way.

    Raises:
        VenueError: No answer.
    """
    rows: Counter[Print] = Counter()
    complete = False
    for page in range(1, most_pages + 1):
        found = await rest.trades(instrument.symbol, page=page, count=_PAGE)
        # New trades shift the pages while we read: a row may come twice, on neighbouring pages. Within one
        # page equal rows are separate matches, so the larger count of the two pages is the true one.
        for row, times in Counter(found).items():
            rows[row] = max(rows[row], times)
        if len(found) < _PAGE or found[-1].at_ns < since_ns:
            complete = True
            break
    return _fold(rows, instrument, since_ns), complete


def _fold(rows: Counter[Print], instrument: Instrument, since_ns: int) -> list[Match]:
    """Fold BUY and SELL rows of the same match into one."""
    sides: dict[tuple[int, int, int], Counter[str]] = {}
    for row, times in rows.items():
        if row.at_ns >= since_ns:
            key = (row.at_ns, instrument.ticks(row.price), instrument.lots(row.size))
            sides.setdefault(key, Counter())[row.side.value] += times
    return [Match(*key) for key in sorted(sides) for _ in range(max(sides[key].values()))]


async def recent_klines(rest: GmoRest, instrument: Instrument, *, bar_seconds: int, count: int, before_ns: int) -> np.ndarray:
    """Return up to ``count`` closed bars that end at or before a moment, oldest first, marked late.

    Raises:
        VenueError: No answer.
    """
    found: dict[int, Kline] = {}
    day = trading_day(before_ns)
    for back in range(_MOST_DAYS):
        try:
            klines = await rest.klines(instrument.symbol, BY_DAY[bar_seconds], day_name(day - back))
        except Refused:
            # No such day: just after 06:00 JST today's has not begun, and history has a beginning.
            klines = []
        found |= {kline.open_time_ns: kline for kline in klines if kline.open_time_ns + bar_seconds * NS_PER_SECOND <= before_ns}
        if len(found) >= count:
            break
    chosen = [found[at] for at in sorted(found)[-count:]]
    return np.array([_bar(kline, instrument) for kline in chosen], BAR)


def _bar(kline: Kline, instrument: Instrument) -> tuple[int, ...]:
    prices = (instrument.ticks(price) for price in (kline.open, kline.high, kline.low, kline.close))
    return (kline.open_time_ns, *prices, instrument.lots(kline.volume) // 2, BAR_LATE)
