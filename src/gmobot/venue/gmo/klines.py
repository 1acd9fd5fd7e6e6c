"""Which date to ask for so that a bar is in the answer.

A ``YYYYMMDD`` is a *trading day*: it runs from 06:00 JST to the next 05:59 JST. Before 06:00 JST today's
does not exist yet, and asking for it is refused as if the symbol did not exist (ERR-5207). Four hours and
longer are asked for by year.

Source: reference/gmo-coin-api.md §4.5.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from gmobot.clock import JST, NS_PER_MS, NS_PER_SECOND, trading_day, trading_day_start_ns

BY_DAY: Final = {60: "1min", 300: "5min", 600: "10min", 900: "15min", 1_800: "30min", 3_600: "1hour"}
"""Intervals asked for by trading day, by their seconds."""
BY_YEAR: Final = ("4hour", "8hour", "12hour", "1day", "1week", "1month")
"""Intervals asked for by year."""
FIRST_DAY: Final = 20_210_415
"""Intraday bars begin here; asking for an earlier day is refused with ERR-5207."""


def kline_date(interval: str, at_ns: int) -> str:
    """Return the ``date`` whose answer holds the bar that a moment lies in.

    A year is the one its trading day lies in; whether the exchange counts so is not known for certain, so who
    needs bars around New Year asks for both.

    Raises:
        ValueError: There is no such interval.
    """
    day = day_name(trading_day(at_ns))
    if interval in BY_YEAR:
        return day[:4]
    if interval not in BY_DAY.values():
        raise ValueError(f"no such interval: {interval}")
    return day


def day_name(day: int) -> str:
    """Return a trading day numbered as by :func:`gmobot.clock.trading_day` as ``YYYYMMDD``."""
    start = trading_day_start_ns(day) + NS_PER_MS
    return datetime.fromtimestamp(start // NS_PER_SECOND, UTC).astimezone(JST).strftime("%Y%m%d")
