"""The exchange's calendar: moments of a trading day, which turns at 06:00 JST, and the week of volumes.

Source: reference/gmo-coin-api.md §3.1, §6.6, §10.4.
"""

from __future__ import annotations

from datetime import UTC, datetime

from gmobot.clock import JST, trading_day

_FIRST_SUNDAY = 3  # 4 January 1970, days after the epoch's Thursday
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).date()


def trading_week(ns: int) -> int:
    """Return the number of the week of a moment; weeks begin on Sunday 06:00 JST."""
    return (trading_day(ns) - _FIRST_SUNDAY) // 7


def day_of(text: str) -> int:
    """Return the number of the trading day written ``YYYYMMDD``.

    Raises:
        ValueError: It is no date.
    """
    if len(text) != len("YYYYMMDD") or not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return (datetime.strptime(text, "%Y%m%d").replace(tzinfo=JST).date() - _EPOCH).days
