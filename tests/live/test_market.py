"""The price that everything is valued at."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from tests.live.bench import BTC, PRICE, SECOND, START_NS, book

from gmobot.live.market import Market
from gmobot.venue.models import Print, Side


def trade(price: int) -> Print:
    return Print(symbol="BTC", side=Side.BUY, size=BTC.size(1), price=Decimal(price), at_ns=START_NS)


def market(*, printed: int = PRICE, printed_at: int = 10) -> Market:
    found = Market(BTC)
    found.on_print(trade(printed), printed_at * SECOND)
    return found


@pytest.mark.parametrize(
    ("middle", "mark"), [(PRICE, PRICE), (PRICE + 50, PRICE), (PRICE - 50, PRICE), (PRICE + 51, PRICE + 51), (PRICE - 51, PRICE - 51)]
)
def test_the_last_trade_counts_until_a_later_book_has_left_it_behind(middle: int, mark: int) -> None:
    found = market()
    found.on_book(book(middle=middle), 11 * SECOND)
    assert found.mark() == mark


def test_a_trade_that_came_after_the_book_counts_wherever_it_lies() -> None:
    found = market()
    found.on_book(book(middle=PRICE + 9_000), 10 * SECOND)
    assert found.mark() == PRICE, "of one moment"
    found.on_book(book(middle=PRICE + 9_000), 11 * SECOND)
    found.on_print(trade(PRICE + 1), 12 * SECOND)
    assert found.mark() == PRICE + 1


def test_a_book_with_an_empty_side_has_no_middle() -> None:
    found = market()
    found.on_book(msgspec.structs.replace(book(middle=PRICE + 9_000), bids=()), 11 * SECOND)
    assert found.mark() == PRICE


def test_before_the_first_trade_it_is_the_middle_and_before_that_nothing() -> None:
    found = Market(BTC)
    assert found.mark() == 0
    found.on_book(book(middle=PRICE + 7), 11 * SECOND)
    assert found.mark() == PRICE + 7


@pytest.mark.parametrize(("seconds", "is_taken"), [(0.0, True), (-0.001, False), (-9.999, False), (-10.0, True), (0.001, True)])
def test_a_print_that_comes_late_is_the_price_of_another_time_but_it_was_traded(seconds: float, *, is_taken: bool) -> None:
    found = market()
    late = msgspec.structs.replace(trade(PRICE - 100), at_ns=START_NS + int(seconds * SECOND))
    found.on_print(late, 12 * SECOND)
    assert found.printed == PRICE - 100, "a price that is watched for was traded"
    assert (found.last, found.last_at_ns) == ((PRICE - 100, 12 * SECOND) if is_taken else (PRICE, 10 * SECOND))
    found.on_print(msgspec.structs.replace(trade(PRICE + 5), at_ns=START_NS + SECOND), 13 * SECOND)
    assert (found.printed, found.last) == (PRICE + 5, PRICE + 5)


@pytest.mark.parametrize(("seconds", "is_taken"), [(0.0, True), (-0.001, False), (-9.999, False), (-10.0, True)])
def test_a_book_that_comes_late_replaces_none_unless_the_exchange_set_its_clock(seconds: float, *, is_taken: bool) -> None:
    found, first = Market(BTC), book(middle=PRICE)
    found.on_book(first, 10 * SECOND)
    other = msgspec.structs.replace(book(middle=PRICE + 100), at_ns=first.at_ns + int(seconds * SECOND))
    found.on_book(other, 11 * SECOND)
    assert (found.book, found.book_at_ns) == ((other, 11 * SECOND) if is_taken else (first, 10 * SECOND))
