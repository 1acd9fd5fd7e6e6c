"""The last look before an order leaves: collar, rate, circuit; exits pass wherever they can."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.live.bench import BTC, PRICE, HandClock, book, limits

from gmobot.clock import elapsed_ns
from gmobot.live.gate import OrderGate
from gmobot.live.intents import Purpose
from gmobot.live.market import Market
from gmobot.live.plan import Place
from gmobot.venue.models import OrderType, Side

ENTRY = Place(Purpose.ENTRY, Side.BUY, OrderType.MARKET, 100)
EXIT = Place(Purpose.EXIT, Side.SELL, OrderType.MARKET, 100)
PROTECT = Place(Purpose.PROTECT, Side.SELL, OrderType.STOP, 100, PRICE - 100)


class Desk:
    """A gate, its market and its clock."""

    def __init__(self, **changes: Any) -> None:
        self.clock = HandClock()
        self.bar: str | None = None
        self.market = Market(BTC)
        self.market.on_book(book(), elapsed_ns(self.clock))
        self.gate = OrderGate(limits(**changes), self.clock, entry_bar=lambda: self.bar)

    def denial(self, place: Place) -> str | None:
        return self.gate.denial(place, self.market)


def test_a_calm_market_lets_everything_pass() -> None:
    assert [Desk().denial(place) for place in (ENTRY, EXIT, PROTECT)] == [None, None, None]


def test_a_bar_keeps_entries_only() -> None:
    desk = Desk()
    desk.bar = "operator_halt"
    assert [desk.denial(place) for place in (ENTRY, EXIT, PROTECT)] == ["operator_halt", None, None]


@pytest.mark.parametrize(("spread", "denied"), [(400_000, None), (400_100, "price_collar")])
def test_a_market_order_may_reach_as_far_as_the_collar(spread: int, denied: str | None) -> None:
    desk = Desk()
    desk.market.on_book(book(spread=spread), elapsed_ns(desk.clock))
    assert desk.denial(ENTRY) == denied
    assert desk.denial(EXIT) == denied
    assert desk.denial(PROTECT) is None, "a STOP at its trigger is protection, however wide the book"


def test_a_book_too_thin_for_the_order_is_outside_the_collar() -> None:
    desk = Desk()
    desk.market.on_book(book(size="0.00099"), elapsed_ns(desk.clock))
    assert desk.denial(ENTRY) == "price_collar"


def test_a_book_counts_while_it_is_fresh() -> None:
    desk = Desk()
    desk.clock.advance(15.0)
    assert desk.denial(EXIT) is None
    desk.clock.advance(0.001)
    assert desk.denial(EXIT) == "price_collar"


LIMIT = Place(Purpose.ENTRY, Side.BUY, OrderType.LIMIT, 100, PRICE)


@pytest.mark.parametrize(
    ("price", "denied"),
    [
        (PRICE, None),
        (10_200_000, None),
        (10_200_001, "price_collar"),
        (9_800_000, None),
        (9_799_999, "price_collar"),
    ],
)
def test_a_limit_entry_lies_within_the_collar(price: int, denied: str | None) -> None:
    desk = Desk()
    assert desk.denial(replace(LIMIT, price=price)) == denied
    assert desk.denial(replace(LIMIT, purpose=Purpose.EXIT, price=price)) is None, "an exit's limit is the collar itself"


def test_a_limit_is_measured_in_yen_not_in_ticks() -> None:
    desk = Desk()
    desk.market.instrument = replace(BTC, tick_size=Decimal(5))
    assert desk.denial(replace(LIMIT, price=PRICE // 5)) is None
    assert desk.denial(replace(LIMIT, price=PRICE)) == "price_collar"


def test_a_limit_entry_needs_a_fresh_book() -> None:
    desk = Desk()
    desk.clock.advance(15.0)
    assert desk.denial(LIMIT) is None
    desk.clock.advance(0.001)
    assert desk.denial(LIMIT) == "price_collar"
    desk = Desk()
    desk.market.book = None
    assert desk.denial(LIMIT) == "price_collar"


@pytest.mark.parametrize(
    ("exposure", "most", "denied"),
    [(500, 500, None), (501, 500, "max_position_size_exceeded"), (501, 0, None), (2, 1, "max_position_size_exceeded")],
)
def test_entries_fill_up_to_the_largest_position(exposure: int, most: int, denied: str | None) -> None:
    desk = Desk()
    assert desk.gate.denial(ENTRY, desk.market, exposure=exposure, max_lots=most) == denied
    assert desk.gate.denial(EXIT, desk.market, exposure=exposure, max_lots=most) is None


def test_without_a_limit_any_exposure_passes() -> None:
    desk = Desk()
    assert desk.gate.denial(ENTRY, desk.market, exposure=1_000_000) is None


def test_a_book_of_one_side_has_no_middle_to_be_close_to() -> None:
    desk = Desk()
    whole = book()
    desk.market.on_book(msgspec.structs.replace(whole, bids=()), elapsed_ns(desk.clock))
    assert desk.market.worst_price(Side.BUY, 100) is not None
    assert desk.denial(ENTRY) == "price_collar"


def test_without_a_book_no_market_order_leaves() -> None:
    desk = Desk()
    desk.market.book = None
    assert desk.denial(EXIT) == "price_collar"
    assert desk.denial(ENTRY) == "price_collar"
    assert desk.gate.collar_price(desk.market, Side.SELL) == 0
    desk.market.last = PRICE
    assert desk.gate.collar_price(desk.market, Side.SELL) == 9_800_000
    assert desk.gate.collar_price(desk.market, Side.BUY) == 10_200_000


def test_so_many_orders_a_minute_and_no_more() -> None:
    desk = Desk(max_orders_per_minute=3)
    for _ in range(3):
        assert desk.denial(ENTRY) is None
        desk.gate.sent()
        desk.clock.advance(10.0)
        desk.market.on_book(book(), elapsed_ns(desk.clock))
    assert [desk.denial(place) for place in (ENTRY, EXIT, PROTECT)] == ["order_rate_limit", None, None]
    desk.clock.advance(29.9)
    desk.market.on_book(book(), elapsed_ns(desk.clock))
    assert desk.denial(ENTRY) == "order_rate_limit"
    desk.clock.advance(0.1)
    assert desk.denial(ENTRY) is None


def test_refusals_in_a_row_open_the_circuit_until_reset() -> None:
    desk = Desk()
    desk.gate.refused()
    desk.gate.refused()
    assert desk.denial(ENTRY) is None
    desk.gate.accepted()
    desk.gate.refused()
    desk.gate.refused()
    assert desk.denial(ENTRY) is None
    desk.gate.refused()
    assert desk.gate.circuit_open
    assert [desk.denial(place) for place in (ENTRY, EXIT, PROTECT)] == ["reject_circuit_open", None, None]
    desk.gate.reset()
    assert desk.denial(ENTRY) is None
    desk.gate.refused()
    desk.gate.refused()
    assert desk.denial(ENTRY) is None, "the count starts at nothing"


def test_whose_entry_waited_is_told_that_it_may_go() -> None:
    told: list[str] = []
    gate = OrderGate(limits(), HandClock(), entry_bar=lambda: None, freed=lambda: told.append("free"))
    with gate.entering() as first:
        with gate.entering() as second:
            assert (first, second) == (True, False)
        assert told == [], "the first is still on its way"
    assert told == ["free"]
    with pytest.raises(LookupError), gate.entering():
        raise LookupError
    with gate.entering() as after_trouble:
        assert after_trouble


def test_an_entry_is_judged_by_the_whole_account() -> None:
    class Full:
        def denial(self, symbol: str, place: Place) -> str | None:
            assert (symbol, place) == ("BTC", ENTRY)
            return "max_positions_reached"

    desk = Desk()
    gate = OrderGate(limits(), desk.clock, entry_bar=lambda: None, account=Full())  # type: ignore[arg-type]
    assert [gate.denial(place, desk.market) for place in (ENTRY, EXIT)] == ["max_positions_reached", None]


@pytest.mark.parametrize(("age", "price"), [(15.0, PRICE // 2), (15.001, PRICE)])
def test_an_exit_s_limit_is_seen_from_the_market_of_now(age: float, price: int) -> None:
    desk = Desk()
    desk.market.last = PRICE
    desk.market.on_book(book(middle=PRICE // 2), elapsed_ns(desk.clock))
    desk.clock.advance(age)
    assert desk.gate.collar_price(desk.market, Side.SELL) == price * 98 // 100
    assert desk.gate.collar_price(desk.market, Side.BUY) == price * 102 // 100


def test_an_exit_s_limit_is_in_ticks() -> None:
    desk = Desk()
    desk.market.instrument = replace(BTC, tick_size=Decimal(10))
    assert desk.gate.collar_price(desk.market, Side.SELL) == PRICE // 10 * 98 // 100
