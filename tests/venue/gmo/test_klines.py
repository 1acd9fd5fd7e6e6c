"""Which date holds a moment's bar: trading days begin at 06:00 JST."""

from __future__ import annotations

import pytest

from gmobot.clock import parse_iso_utc, trading_day
from gmobot.venue.gmo.klines import BY_DAY, BY_YEAR, day_name, kline_date


@pytest.mark.parametrize("interval", BY_DAY.values())
@pytest.mark.parametrize(
    ("moment", "date"),
    [
        ("2025-01-01T05:59:59.999+09:00", "20241231"),
        ("2025-01-01T06:00:00.000+09:00", "20250101"),
        ("2025-01-01T23:59:59.999+09:00", "20250101"),
        ("2025-01-02T05:59:59.999+09:00", "20250101"),
        # The reference's own check: one request ran from here to here.
        ("2024-12-31T21:00:00.000Z", "20250101"),
        ("2025-01-01T20:00:00.000Z", "20250101"),
    ],
)
def test_a_day_is_a_trading_day(interval: str, moment: str, date: str) -> None:
    assert kline_date(interval, parse_iso_utc(moment)) == date


@pytest.mark.parametrize("interval", BY_YEAR)
def test_long_bars_are_asked_for_by_the_year_of_their_trading_day(interval: str) -> None:
    assert kline_date(interval, parse_iso_utc("2025-01-01T05:59:59.999+09:00")) == "2024"
    assert kline_date(interval, parse_iso_utc("2025-01-01T06:00:00.000+09:00")) == "2025"


@pytest.mark.parametrize("interval", ["2min", "", "1MIN", "60"])
def test_an_interval_that_is_none_is_a_mistake_of_ours(interval: str) -> None:
    with pytest.raises(ValueError, match="no such interval"):
        kline_date(interval, 0)


def test_a_leap_day_has_a_name() -> None:
    assert day_name(trading_day(parse_iso_utc("2024-02-29T06:00:00+09:00"))) == "20240229"
