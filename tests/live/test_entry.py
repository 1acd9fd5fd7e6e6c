"""How an entry is worded: by the book, by the style, and with the losscut price that covers it until its STOP rests."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from tests.live.bench import BTC, BTC_JPY, PRICE, book

from gmobot.live.entry import EntryStyle, losscut_beyond, worded
from gmobot.live.intents import Purpose
from gmobot.live.market import Market
from gmobot.live.plan import Place
from gmobot.venue.models import OrderType, Side

ASK, BID = PRICE + 50, PRICE - 50
SHARE = Decimal("0.005")


def market() -> Market:
    made = Market(BTC_JPY)
    made.on_book(book(), 0)
    return made


def entry(side: Side, lots: int = 100) -> Place:
    return Place(Purpose.ENTRY, side, OrderType.MARKET, lots)


@pytest.mark.parametrize(
    ("side", "passive", "price"),
    [(Side.BUY, False, ASK + 7), (Side.SELL, False, BID - 7), (Side.BUY, True, BID - 7), (Side.SELL, True, ASK + 7)],
)
def test_a_limit_reaches_beyond_the_other_side_or_waits_behind_its_own(side: Side, passive: bool, price: int) -> None:
    style = EntryStyle(limit=True, passive=passive, offset_ticks=7, post_only=True)
    place = worded(entry(side), style, market(), stop=0, number=0)
    assert place is not None
    assert (place.type, place.price, place.post_only, place.losscut) == (OrderType.LIMIT, price, passive, 0)


def test_a_book_between_our_ticks_is_no_trouble() -> None:
    """The exchange's ticks became finer, and its rules are read once an hour."""
    finer = Market(BTC_JPY)
    plain = book()
    asks, bids = (
        tuple(msgspec.structs.replace(level, price=level.price + Decimal("0.7")) for level in side) for side in (plain.asks, plain.bids)
    )
    finer.on_book(msgspec.structs.replace(plain, asks=asks, bids=bids), 0)
    prices = [worded(entry(side), EntryStyle(limit=True, offset_ticks=7), finer, stop=0, number=0) for side in (Side.BUY, Side.SELL)]
    assert [place and place.price for place in prices] == [ASK + 1 + 7, BID + 1 - 7]


def test_a_market_entry_stays_as_it_is() -> None:
    assert worded(entry(Side.BUY), EntryStyle(), market(), stop=PRICE - 100, number=3) == entry(Side.BUY)


def test_without_a_whole_book_nobody_knows_where_to_put_it() -> None:
    empty = Market(BTC_JPY)
    assert worded(entry(Side.BUY), EntryStyle(limit=True), empty, stop=0, number=0) is None
    one_sided = book()
    empty.on_book(type(one_sided)(symbol="BTC", asks=one_sided.asks, bids=(), at_ns=0), 0)
    assert worded(entry(Side.BUY), EntryStyle(limit=True), empty, stop=0, number=0) is None


def test_a_price_below_nothing_is_none() -> None:
    style = EntryStyle(limit=True, passive=True, offset_ticks=BID)
    assert worded(entry(Side.BUY), style, market(), stop=0, number=0) is None


@pytest.mark.parametrize(
    ("side", "stop", "losscut"),
    [
        (Side.BUY, 9_900_000, 9_850_500),
        (Side.BUY, 9_900_001, 9_850_500),
        (Side.SELL, 10_100_000, 10_150_500),
        (Side.SELL, 10_100_001, 10_150_502),
        (Side.BUY, 7_500_000, 0),
        (Side.SELL, 12_500_000, 0),
        (Side.BUY, 0, 0),
    ],
)
def test_the_losscut_lies_beyond_the_stop_unless_the_exchange_s_own_comes_first(side: Side, stop: int, losscut: int) -> None:
    assert losscut_beyond(stop, side, PRICE, BTC_JPY, SHARE) == losscut


def test_spot_and_a_share_of_nothing_have_no_losscut() -> None:
    assert losscut_beyond(9_900_000, Side.BUY, PRICE, BTC, SHARE) == 0
    assert losscut_beyond(9_900_000, Side.BUY, PRICE, BTC_JPY, Decimal(0)) == 0


def test_the_losscut_goes_with_the_limit() -> None:
    style = EntryStyle(limit=True, losscut_margin=SHARE)
    place = worded(entry(Side.SELL), style, market(), stop=10_100_000, number=0)
    assert place is not None
    assert place.losscut == 10_150_500


@pytest.mark.parametrize(("lots", "number", "sent"), [(1_001, 13, 998), (1_001, 20, 1_001), (1_000, 13, 1_000)])
def test_sizes_are_told_apart_by_their_last_digit(lots: int, number: int, sent: int) -> None:
    place = worded(entry(Side.BUY, lots), EntryStyle(distinguish=True), market(), stop=0, number=number)
    assert place is not None
    assert place.lots == sent
