"""An exchange without a market of its own, fed by real public streams: what paper trading runs on."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from tests.emulator.support import PRICE, Desk, FixedClock, virtual

from gmobot.core.instrument import InstrumentError
from gmobot.emulator.engine.exchange import Exchange, NewOrder
from gmobot.emulator.engine.records import Order
from gmobot.emulator.market import QuietMarket, SyntheticMarket, SyntheticShape
from gmobot.venue.models import Book, PriceLevel

EMPTY: tuple[tuple[int, str], ...] = ()


def _feed(exchange: Exchange, asks: tuple[tuple[int, str], ...], bids: tuple[tuple[int, str], ...]) -> None:
    def levels(side: tuple[tuple[int, str], ...]) -> tuple[PriceLevel, ...]:
        return tuple(PriceLevel(Decimal(price), Decimal(size)) for price, size in side)

    exchange.feed_book(Book(symbol="BTC", asks=levels(asks), bids=levels(bids), at_ns=0))
    exchange.check()


def _place(desk: Desk, kind: str, side: str, size: str, price: int | None = None, tif: str = "FAS") -> Order:
    at = None if price is None else Decimal(price)
    order = desk.exchange.place(desk.account, NewOrder("BTC", side, kind, tif, Decimal(size), at))
    desk.exchange.check()
    return order


def _desk() -> Desk:
    desk = Desk(clock=FixedClock(), market=QuietMarket())
    _feed(desk.exchange, ((PRICE + 100, "0.1"), (PRICE + 200, "1")), ((PRICE - 100, "0.1"), (PRICE - 200, "1")))
    return desk


def test_orders_trade_against_the_real_book() -> None:
    desk = _desk()
    order = _place(desk, "MARKET", "BUY", "0.15", tif="FAK")
    assert [(fill.ticks, fill.lots) for fill in order.executions] == [(PRICE + 100, 10_000), (PRICE + 200, 5_000)]
    assert desk.book.best_ask == PRICE + 200


def test_what_an_order_took_is_there_again_with_the_next_snapshot() -> None:
    desk = _desk()
    _place(desk, "MARKET", "BUY", "0.1", tif="FAK")
    _feed(desk.exchange, ((PRICE + 100, "0.1"),), EMPTY)
    assert desk.book.levels("SELL", 5) == [(PRICE + 100, 10_000)]


def test_a_real_print_fills_only_what_is_left_after_the_queue() -> None:
    desk = _desk()
    order = _place(desk, "LIMIT", "BUY", "0.05", PRICE - 100)
    desk.trade("SELL", PRICE - 100, "0.08")
    assert order.executed == 0
    desk.trade("SELL", PRICE - 100, "0.04")
    assert order.executed == 2_000


def test_a_queue_that_shrinks_in_the_book_shrinks_for_us_too() -> None:
    desk = _desk()
    order = _place(desk, "LIMIT", "BUY", "0.05", PRICE - 100)
    _feed(desk.exchange, ((PRICE + 100, "0.1"),), ((PRICE - 100, "0.01"),))
    desk.trade("SELL", PRICE - 100, "0.03")
    assert order.executed == 2_000


def test_a_real_book_through_a_resting_order_fills_it_and_one_at_its_price_does_not() -> None:
    desk = _desk()
    order = _place(desk, "LIMIT", "BUY", "0.05", PRICE - 150)
    _feed(desk.exchange, ((PRICE - 150, "1"),), ((PRICE - 300, "1"),))
    assert order.executed == 0
    assert desk.book.best_bid == PRICE - 150 < (desk.book.best_ask or PRICE)
    _feed(desk.exchange, ((PRICE - 160, "0.02"), (PRICE - 150, "1")), ((PRICE - 300, "1"),))
    assert (order.executed, order.executions[0].ticks) == (2_000, PRICE - 150)
    _feed(desk.exchange, ((PRICE - 160, "1"),), EMPTY)
    assert order.status == "EXECUTED"


def test_stops_watch_the_real_prints() -> None:
    desk = _desk()
    stop = _place(desk, "STOP", "SELL", "0.01", PRICE - 50, "FAK")
    desk.trade("SELL", PRICE - 60, "0.01")
    assert (stop.status, stop.executions[0].ticks) == ("EXECUTED", PRICE - 100)


def test_a_print_off_the_grid_is_refused_by_name() -> None:
    desk = _desk()
    with pytest.raises(InstrumentError, match="multiple"):
        desk.trade("SELL", PRICE, "0.000001")


@pytest.mark.parametrize("status", ["PREOPEN", "MAINTENANCE"])
def test_nothing_trades_while_the_exchange_is_not_open(status: str) -> None:
    async def scenario() -> None:
        shape = SyntheticShape(trades_per_second=10.0, history_seconds=60)
        desk = Desk(market=SyntheticMarket(desk_instrument, seed=1, shape=shape))
        running = asyncio.create_task(desk.api.run())
        tape = desk.exchange.symbols["BTC"].tape
        await asyncio.sleep(10.0)
        desk.api.set_status(status)
        before = len(tape)
        await asyncio.sleep(10.0)
        assert len(tape) == before
        desk.api.set_status("OPEN")
        await asyncio.sleep(10.0)
        assert len(tape) > before
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    desk_instrument = _desk().exchange.instruments["BTC"]
    virtual(scenario)
