"""Bars and prints of the recent past, from public REST: to warm up with and to mend gaps.

REST counts both sides of each match: prints come in pairs and kline volumes count one to two times.
Pairs are folded back into matches here; kline volumes are halved, the usual case, and their bars are
marked late, so that an inflated volume never opens a position.

The exchange may change what prices and sizes are multiples of while a run keeps its own grid (``live/rules.py``).
Exits go on then, the strategy's too, and they need bars: what lies off our grid counts at the nearest tick, which is
as close as the strategy ever saw a price, and at the next larger size, so that a trade is never none. Nothing is
opened on such bars, since the rules are read again at the first of them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from gmobot.clock import NS_PER_SECOND, trading_day
from gmobot.core.instrument import Instrument, InstrumentError
from gmobot.core.records import BAR, BAR_LATE
from gmobot.errors import Refused
from gmobot.venue.gmo.klines import BY_DAY, day_name
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.models import Kline, Print

_PAGE = 100
_MOST_DAYS = 10
_MOST_LOTS = 2**40
"""More in one trade is no size; so many of them still fit a bar."""


@dataclass(frozen=True, slots=True)
class Match:
    """One match of the tape, counted once, in integers."""

    at_ns: int
    ticks: int
    lots: int


def match_of(row: Print, instrument: Instrument) -> tuple[Match | None, bool]:
    """Return a row of the tape in our integers, and whether it lies on our grid; ``None`` for what no arithmetic of ours holds."""
    if not _is_sound(instrument, row.price, row.size):
        return None, False
    try:
        return Match(row.at_ns, instrument.ticks(row.price), instrument.lots(row.size)), True
    except InstrumentError:
        return Match(row.at_ns, instrument.nearest_ticks(row.price), instrument.lots_at_least(row.size)), False


def _is_sound(instrument: Instrument, price: Decimal, size: Decimal) -> bool:
    return 0 < price <= instrument.max_price and size <= _MOST_LOTS * instrument.size_step


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
        match, _ = match_of(row, instrument)
        if row.at_ns >= since_ns and match is not None:
            sides.setdefault((match.at_ns, match.ticks, match.lots), Counter())[row.side.value] += times
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
    return np.array([bar for kline in chosen if (bar := _bar(kline, instrument)) is not None], BAR)


def _bar(kline: Kline, instrument: Instrument) -> tuple[int, ...] | None:
    prices = (kline.open, kline.high, kline.low, kline.close)
    if not all(_is_sound(instrument, price, kline.volume) for price in prices):
        return None
    return (kline.open_time_ns, *map(instrument.nearest_ticks, prices), instrument.lots_at_least(kline.volume) // 2, BAR_LATE)
