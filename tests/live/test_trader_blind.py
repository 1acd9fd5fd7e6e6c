"""While questions get no answer, what reckons with the worst goes on: exits and protection, and no entry."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.live.bench import BTC_JPY, PRICE, STOP, book
from tests.live.desk import TROUBLE, Desk, passed, stop_there, types

from gmobot.clock import elapsed_ns
from gmobot.errors import VenueError
from gmobot.live.intents import Purpose
from gmobot.venue.models import OrderType, Side


@pytest.fixture
def bench(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def turned(bench: Desk, seconds: float = 0.0) -> bool:
    """Take a turn. Returns whether every question was answered."""
    bench.clock.advance(seconds)
    bench.market.on_book(book(), elapsed_ns(bench.clock))
    try:
        await bench.trader.turn()
    except VenueError:
        return False
    return True


async def with_an_unknown_exit(bench: Desk, lots: int) -> None:
    await bench.open()
    await bench.owning(100)
    await bench.books.unknown(await bench.intend(purpose=Purpose.EXIT, side=Side.SELL, lots=lots), "lost")
    bench.rest.trouble = TROUBLE


async def test_what_no_unknown_exit_could_sell_is_protected(bench: Desk) -> None:
    await with_an_unknown_exit(bench, 40)
    bench.want(100, stop=PRICE - 100)
    assert not await turned(bench)
    assert [(request.type, request.size) for request in bench.rest.placed] == [(OrderType.STOP, bench.instrument.size(60))]
    await bench.close()


async def test_what_an_unknown_exit_could_sell_is_not_sold_again(bench: Desk) -> None:
    await with_an_unknown_exit(bench, 100)
    bench.want(0)
    assert not await turned(bench, 60.0)
    assert bench.rest.placed == []
    await bench.close()


async def test_an_exit_goes_on_where_the_exchange_bounds_it(tmp_path: Path) -> None:
    bench = Desk(tmp_path, BTC_JPY)
    await with_an_unknown_exit(bench, 100)
    bench.want(0)
    assert not await turned(bench)
    assert [request.type for request in bench.rest.closed] == [OrderType.MARKET]
    await bench.close()


async def test_nothing_is_opened_and_what_rests_stays(bench: Desk) -> None:
    await bench.open()
    await bench.owning(100)
    stop = await bench.acknowledged(order_id=21, **STOP)
    bench.tracker.suspect(stop)
    bench.rest.trouble = TROUBLE
    bench.want(200, stop=PRICE - 100)
    assert not await turned(bench)
    assert (bench.rest.placed, bench.rest.cancelled) == ([], [])
    bench.rest.trouble, bench.rest.orders_there = None, {21: stop_there(21)}
    assert await turned(bench)
    assert types(bench) == [OrderType.MARKET]
    await bench.close()


async def test_a_comparison_that_was_asked_for_hears_of_it_after_a_while(bench: Desk) -> None:
    await with_an_unknown_exit(bench, 100)
    bench.want(100)
    compared = bench.trader.reconcile()
    await turned(bench)
    await turned(bench, 9.9)
    assert not compared.done()
    await turned(bench, 0.1)
    assert compared.exception() is TROUBLE
    gone = bench.trader.reconcile()
    gone.cancel()
    await turned(bench, 10.0)
    assert bench.trader.reconcile() is not gone, "who asked may have gone meanwhile"
    await bench.close()


async def test_people_hear_of_it_once_it_lasts(bench: Desk) -> None:
    def told() -> int:
        return sum(event["event"] == "error" and event.get("reason") == "exchange_error" for event in bench.events())

    await with_an_unknown_exit(bench, 100)
    bench.want(100)
    await turned(bench)
    await turned(bench, 9.9)
    assert told() == 0
    await turned(bench, 0.1)
    await turned(bench, 60.0)
    assert told() == 1, "once for each time"
    bench.rest.trouble = None
    assert await turned(bench)
    await bench.books.unknown(await bench.intend(purpose=Purpose.EXIT, side=Side.SELL, lots=100), "lost")
    bench.rest.trouble = TROUBLE
    await turned(bench)
    assert told() == 1
    await turned(bench, 10.0)
    assert told() == 2
    await bench.close()


@pytest.mark.parametrize(("seconds", "asked_about"), [(5.0, []), (5.001, [1])])
async def test_what_rests_is_asked_about_every_five_seconds(bench: Desk, seconds: float, asked_about: list[int]) -> None:
    await bench.open()
    await bench.owning(100)
    await bench.acknowledged(order_id=1, **STOP)
    bench.rest.orders_there = {1: stop_there(1)}
    bench.want(100, stop=PRICE - 100)
    await bench.trader.turn()
    numbers, ask = [], bench.rest.orders

    async def orders(order_ids: list[int]) -> object:
        numbers.extend(order_ids)
        return await ask(order_ids)

    bench.rest.orders = orders  # type: ignore[assignment]
    await passed(bench, seconds)
    await passed(bench, 0.0)
    assert numbers == asked_about
    await passed(bench, 4.9)
    await passed(bench, 0.0)
    assert numbers == (asked_about or [1])
    await bench.close()
