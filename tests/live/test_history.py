"""The recent past from REST: pairs folded once, klines of closed bars only, from as many days as it takes."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from tests.live.bench import BTC, PRICE, SECOND, START_NS, ScriptedRest

from gmobot.core.records import BAR_LATE
from gmobot.errors import Category, Refused
from gmobot.live.history import recent_klines, recent_matches
from gmobot.venue.models import Kline, Print, Side


def row(second: int, side: Side, lots: int = 1, *, price: Decimal = Decimal(PRICE), size: Decimal | None = None) -> Print:
    return Print(symbol="BTC", side=side, size=size or BTC.size(lots), price=price, at_ns=START_NS + second * SECOND)


def kline(minute: int) -> Kline:
    price = Decimal(PRICE + minute)
    return Kline(open_time_ns=START_NS + minute * 60 * SECOND, open=price, high=price, low=price, close=price, volume=BTC.size(9))


async def test_a_pair_is_one_match_and_a_row_without_its_pair_is_one_too() -> None:
    rest = ScriptedRest()
    rest.tape = [row(3, Side.SELL), row(2, Side.BUY, 5), row(2, Side.SELL, 5), row(1, Side.SELL), row(1, Side.BUY)]
    matches, complete = await recent_matches(rest, BTC, since_ns=START_NS, most_pages=3)
    assert [((match.at_ns - START_NS) // SECOND, match.lots) for match in matches] == [(1, 1), (2, 5), (3, 1)]
    assert complete


async def test_pages_are_read_only_as_far_back_as_asked() -> None:
    rest = ScriptedRest()
    rest.tape = [row(second, side) for second in range(200, 0, -1) for side in (Side.BUY, Side.SELL)]
    matches, complete = await recent_matches(rest, BTC, since_ns=START_NS + 120 * SECOND, most_pages=9)
    assert (len(matches), complete, rest.trade_pages) == (81, True, 2)


async def test_a_tape_that_reaches_further_than_the_pages_is_incomplete() -> None:
    rest = ScriptedRest()
    rest.tape = [row(second, side) for second in range(200, 0, -1) for side in (Side.BUY, Side.SELL)]
    matches, complete = await recent_matches(rest, BTC, since_ns=START_NS, most_pages=2)
    assert (len(matches), complete) == (100, False)


async def test_klines_that_have_not_ended_are_left_out_and_volumes_are_halved() -> None:
    rest = ScriptedRest()
    rest.day_klines = {"20260101": [kline(minute) for minute in range(5)]}
    bars = await recent_klines(rest, BTC, bar_seconds=60, count=2, before_ns=START_NS + 4 * 60 * SECOND + 1)
    assert [int(bar["close"]) - PRICE for bar in bars] == [2, 3]
    assert {(int(bar["volume"]), int(bar["flags"])) for bar in bars} == {(4, BAR_LATE)}


async def test_klines_come_from_the_day_before_when_today_has_too_few() -> None:
    rest = ScriptedRest()
    rest.day_klines = {"20260101": [kline(0)], "20251231": [kline(-2_000), kline(-1_999)]}
    bars = await recent_klines(rest, BTC, bar_seconds=60, count=3, before_ns=START_NS + 60 * SECOND)
    assert [int(bar["close"]) - PRICE for bar in bars] == [-2_000, -1_999, 0]


async def test_a_day_that_does_not_exist_is_an_empty_day() -> None:
    class Young(ScriptedRest):
        async def klines(self, symbol: str, interval: str, date: str) -> list[Kline]:
            if date != "20251231":
                raise Refused("no such day", category=Category.VALIDATION, code="ERR-5207")
            return [kline(-1_000)]

    bars = await recent_klines(Young(), BTC, bar_seconds=60, count=3, before_ns=START_NS)
    assert len(bars) == 1


async def test_what_lies_off_our_grid_counts_at_the_nearest_tick_and_the_next_larger_size() -> None:
    rest = ScriptedRest()
    above = [row(2, side, price=PRICE + Decimal("0.7"), size=Decimal("0.0000101")) for side in Side]
    rest.tape = above + [row(1, side, price=PRICE + Decimal("0.2"), size=Decimal("0.0000001")) for side in Side]
    matches, complete = await recent_matches(rest, BTC, since_ns=START_NS, most_pages=3)
    assert [(match.ticks - PRICE, match.lots) for match in matches] == [(0, 1), (1, 2)]
    assert complete


@pytest.mark.parametrize(("price", "size"), [("1e30", "1"), ("1000000001", "1"), (str(PRICE), "1e30")])
async def test_what_no_arithmetic_of_ours_holds_is_left_out(price: str, size: str) -> None:
    rest = ScriptedRest()
    rest.tape = [row(2, Side.BUY, price=Decimal(price), size=Decimal(size)), row(1, Side.BUY)]
    matches, _ = await recent_matches(rest, BTC, since_ns=START_NS, most_pages=3)
    assert [(match.ticks - PRICE, match.lots) for match in matches] == [(0, 1)]
    garbled = msgspec.structs.replace(kline(0), high=Decimal(price), volume=Decimal(size))
    rest.day_klines = {"20260101": [garbled, kline(1)]}
    bars = await recent_klines(rest, BTC, bar_seconds=60, count=5, before_ns=START_NS + 9 * 60 * SECOND)
    assert [int(bar["close"]) - PRICE for bar in bars] == [1]


async def test_klines_off_our_grid_are_bars_too() -> None:
    rest = ScriptedRest()
    moved = {name: getattr(kline(0), name) + Decimal("0.5001") for name in ("open", "high", "low", "close")}
    rest.day_klines = {"20260101": [msgspec.structs.replace(kline(0), **moved, volume=Decimal("0.00003001"))]}
    (bar,) = await recent_klines(rest, BTC, bar_seconds=60, count=5, before_ns=START_NS + 9 * 60 * SECOND)
    assert ([int(bar[name]) - PRICE for name in ("open", "high", "low", "close")], int(bar["volume"])) == ([1, 1, 1, 1], 2)
