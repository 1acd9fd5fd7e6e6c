"""The one time of the house: the wall clock, injected everywhere. What lasts is measured on the monotonic one.

Nothing below ``cli`` calls ``time.time`` or ``datetime.now``. Production passes :class:`SystemClock`;
simulation passes a clock that reads a virtual event loop, so that ``asyncio.sleep`` and this clock
can never disagree.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Protocol

NS_PER_SECOND = 1_000_000_000
NS_PER_MS = 1_000_000
JST = timezone(timedelta(hours=9), "JST")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_NS = 86_400 * NS_PER_SECOND
# 06:00 JST is 21:00 UTC of the day before: three hours before UTC midnight.
_TRADING_DAY_SHIFT_NS = 3 * 3_600 * NS_PER_SECOND


class Clock(Protocol):
    """A source of time."""

    def now_ns(self) -> int:
        """Return wall time as nanoseconds since the Unix epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps back; only differences mean anything."""
        ...


def elapsed_ns(clock: Clock) -> int:
    """Return the monotonic clock in nanoseconds: for how long something took or lasts, whatever is done to the wall clock."""
    return round(clock.monotonic() * NS_PER_SECOND)


class SystemClock:
    """The machine's own clocks."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic(self) -> float:
        return time.monotonic()


def iso_utc(ns: int) -> str:
    """Format nanoseconds since the epoch as ISO 8601 UTC with milliseconds and ``Z``."""
    seconds, rest = divmod(ns, NS_PER_SECOND)
    return f"{_iso_second(seconds)}.{rest // NS_PER_MS:03d}Z"


@lru_cache(maxsize=1024)
def _iso_second(seconds: int) -> str:
    """Return one second's text; many stamps share it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def parse_iso_utc(text: str) -> int:
    """Parse an ISO 8601 time with ``Z`` or an offset into nanoseconds since the epoch.

    Raises:
        ValueError: The text is not ISO 8601 or carries no zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time without a zone: {text!r}")
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * NS_PER_SECOND + delta.microseconds * 1_000


def trading_day(ns: int) -> int:
    """Return the number of the trading day, which turns at 06:00 JST (21:00 UTC), since the epoch."""
    return (ns + _TRADING_DAY_SHIFT_NS) // _DAY_NS


def trading_day_start_ns(day: int) -> int:
    """Return the first nanosecond of a trading day numbered as by :func:`trading_day`."""
    return day * _DAY_NS - _TRADING_DAY_SHIFT_NS
