"""An exit knows the market of now, or its STOP stays where it is."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from tests.live.bench import PRICE, SECOND, STOP, book, fill, order
from tests.live.desk import Desk, passed, stop_there, types

from gmobot.clock import elapsed_ns
from gmobot.errors import Unavailable, VenueError
from gmobot.live.intents import Purpose
from gmobot.venue.models import Book, OrderStatus, OrderType, OrderUpdate, Side

LATER = 15.001
"""Seconds after which a book is an old one."""


@pytest.fixture
def bench(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def protected(bench: Desk, number: int = 1) -> None:
    await bench.open()
    await bench.owning(100)
    await bench.acknowledged(order_id=number, **STOP)
    bench.rest.orders_there = {number: stop_there(number)}
    bench.clock.advance(LATER)
    bench.want(0)


async def test_a_stop_stays_while_no_price_of_now_can_be_had(bench: Desk) -> None:
    await protected(bench)
    for _ in range(4):
        await bench.trader.turn()
        bench.clock.advance(0.4)
    assert (bench.rest.cancelled, bench.rest.placed) == ([], [])
    assert bench.rest.books_asked == 2, "the book is asked for once a second"
    await bench.close()


async def test_the_book_is_asked_for_when_the_stream_is_silent(bench: Desk) -> None:
    await protected(bench)
    bench.rest.orderbook_there = book(middle=PRICE // 2)
    await bench.trader.turn()
    assert (bench.rest.cancelled, bench.rest.books_asked) == ([1], 1), "it is known now what an exit would fetch"
    await bench.close()


async def test_a_stop_that_makes_no_room_goes_without_a_price(bench: Desk) -> None:
    await protected(bench)
    bench.want(100)
    await bench.trader.turn()
    assert (bench.rest.cancelled, bench.rest.books_asked) == ([1], 0), "none is wanted: nothing is to be sold"
    await bench.close()


@pytest.mark.parametrize("deaf", [True, False])
async def test_a_stop_stays_while_nobody_could_tell_of_its_end(bench: Desk, *, deaf: bool) -> None:
    await protected(bench)
    bench.standing = replace(bench.standing, deaf=deaf)
    bench.rest.trouble = Unavailable("no answer")
    bench.market.on_book(book(), elapsed_ns(bench.clock))
    for _ in range(3):
        with contextlib.suppress(VenueError):
            await bench.trader.turn()
    assert bench.rest.cancelled == ([] if deaf else [1]), "where events arrive, they tell"
    bench.rest.trouble = None
    await bench.trader.turn()
    assert bench.rest.cancelled == [1]
    await bench.close()


async def test_where_no_event_arrives_a_stop_that_has_filled_makes_no_room(bench: Desk) -> None:
    await protected(bench, 7)
    bench.standing = replace(bench.standing, deaf=True)
    bench.market.on_book(book(), elapsed_ns(bench.clock))
    bench.rest.orders_there = {7: stop_there(7, status=OrderStatus.CANCELLED)}
    await bench.trader.turn()
    assert (bench.rest.cancelled, types(bench)) == ([], [OrderType.MARKET]), "what is gone is not cancelled"
    await bench.close()


async def test_an_exit_without_a_stop_asks_for_the_book_first(bench: Desk) -> None:
    await bench.open()
    await bench.owning(100)
    bench.clock.advance(LATER)
    bench.rest.orderbook_there = book(middle=PRICE // 2)
    bench.want(0)
    await bench.trader.turn()
    assert types(bench) == [OrderType.MARKET]
    await bench.close()


async def test_what_lies_bare_is_sold_at_the_last_known_price_rather_than_not_at_all(bench: Desk) -> None:
    await bench.open()
    await bench.owning(100)
    bench.clock.advance(LATER)
    bench.want(0)
    await bench.trader.turn()
    assert [(request.type, request.price) for request in bench.rest.placed] == [(OrderType.LIMIT, Decimal(PRICE * 98 // 100))]
    await bench.close()


async def test_a_book_that_does_not_come_is_not_waited_for(bench: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gmobot.live.trader._PRICES_SECONDS", 0.01)
    await bench.open()
    await bench.owning(100)
    bench.clock.advance(LATER)

    async def never(symbol: str) -> Book:
        await asyncio.Event().wait()
        raise AssertionError(symbol)

    bench.rest.orderbook = never  # type: ignore[method-assign]
    bench.want(0)
    async with asyncio.timeout(5.0):
        await bench.trader.turn()
    assert types(bench) == [OrderType.LIMIT]
    await bench.close()


async def test_the_edge_of_the_collar_lies_where_the_market_is_now(bench: Desk) -> None:
    await bench.open()
    await bench.owning(100)
    bench.market.on_book(book(spread=1_000_000, middle=PRICE // 2), elapsed_ns(bench.clock))
    bench.want(0)
    await bench.trader.turn()
    assert [request.price for request in bench.rest.placed] == [Decimal(PRICE // 2 * 98 // 100)], "and not where the last trade was"
    await bench.close()


async def test_an_exit_that_rests_covers_nothing(bench: Desk) -> None:
    await bench.open()
    await bench.owning(100)
    await bench.acknowledged(order_id=1, purpose=Purpose.EXIT, side=Side.SELL, type=OrderType.LIMIT, price=PRICE)
    assert bench.trader.uncovered_lots() == 100
    await bench.acknowledged(order_id=2, lots=60, purpose=Purpose.EXIT, side=Side.SELL)
    assert bench.trader.uncovered_lots() == 40
    await bench.close()


@pytest.mark.parametrize(("executed", "pauses"), [(0, True), (40, False)])
async def test_an_exit_that_expired_unfilled_is_not_repeated_at_once(bench: Desk, executed: int, pauses: bool) -> None:
    await bench.open()
    await bench.owning(100)
    bench.want(0)
    await bench.trader.turn()
    if executed:
        await bench.tracker.on_execution(fill(50, 1, executed, side=Side.SELL))
    expired = order(1, side=Side.SELL, status=OrderStatus.EXPIRED, executed=executed, cancel_reason="EXPIRED_SELFTRADE")
    await bench.tracker.on_update(OrderUpdate(order=expired))
    await bench.trader.turn()
    assert len(types(bench)) == (1 if pauses else 2)
    await passed(bench, 1.0)
    assert len(types(bench)) == 2
    await bench.close()


@pytest.mark.parametrize(("why", "waits"), [("INSUFFICIENT_BALANCE", True), ("USER", False), (None, False)])
async def test_a_stop_that_the_exchange_takes_back_is_not_put_there_again_at_once(bench: Desk, why: str | None, waits: bool) -> None:
    await bench.open()
    await bench.owning(100)
    await bench.acknowledged(order_id=21, **STOP)
    await bench.tracker.on_update(OrderUpdate(order=stop_there(21, status=OrderStatus.CANCELLED, cancel_reason=why)))
    bench.want(100, stop=PRICE - 100)
    await bench.trader.turn()
    assert types(bench) == ([] if waits else [OrderType.STOP])
    await passed(bench, 1.0)
    assert types(bench) == [OrderType.STOP]
    await bench.close()


async def test_a_stop_that_expired_keeps_no_exit_waiting(bench: Desk) -> None:
    await bench.open()
    await bench.owning(100)
    await bench.acknowledged(order_id=21, **STOP)
    await bench.tracker.on_update(OrderUpdate(order=stop_there(21, status=OrderStatus.EXPIRED)))
    bench.want(100, stop=PRICE - 100)
    await bench.trader.turn()
    assert types(bench) == [], "a STOP waits for a STOP"
    bench.want(0)
    await bench.trader.turn()
    assert types(bench) == [OrderType.MARKET]
    await bench.close()


async def test_an_entry_that_expired_keeps_nothing_waiting(bench: Desk) -> None:
    await bench.open()
    await bench.acknowledged(order_id=5)
    await bench.tracker.on_update(OrderUpdate(order=order(5, status=OrderStatus.EXPIRED)))
    bench.clock.at_ns += SECOND // 2
    bench.want(100)
    await bench.trader.turn()
    assert types(bench) == [OrderType.MARKET]
    await bench.close()


async def test_a_close_while_the_exchange_is_closed_asks_for_nothing(bench: Desk) -> None:
    await protected(bench)
    bench.standing = replace(bench.standing, exchange_open=False)
    await bench.trader.turn()
    assert (bench.rest.cancelled, bench.rest.books_asked) == ([], 0)
    await bench.close()


@pytest.mark.parametrize(("lots", "price", "asked"), [(100, 0, 1), (0, 0, 0), (100, PRICE, 0)])
async def test_a_comparison_asks_what_is_held_is_worth_if_the_stream_has_not_told(bench: Desk, lots: int, price: int, asked: int) -> None:
    await bench.open()
    if lots:
        await bench.owning(lots)
    bench.market.last, bench.market.book = price, None
    bench.rest.orderbook_there = book()
    compared = bench.trader.reconcile()
    await bench.trader.turn()
    assert (compared.done(), bench.rest.books_asked) == (True, asked)
    assert bench.market.mark() == (PRICE if lots else 0)
    await bench.close()


async def test_a_comparison_goes_on_without_a_price(bench: Desk) -> None:
    await bench.open()
    await bench.owning(100)
    bench.market.last, bench.market.book = 0, None
    compared = bench.trader.reconcile()
    await bench.trader.turn()
    assert compared.done()
    assert compared.exception() is None
    assert bench.market.mark() == 0
    await bench.close()
