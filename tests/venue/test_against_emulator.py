"""The client and the emulator were written apart from one reference: here they must agree."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from decimal import Decimal

import pytest

from gmobot.clock import Clock, SystemClock
from gmobot.emulator.memory import MemoryTransport
from gmobot.emulator.protocol.api import ExchangeApi
from gmobot.emulator.server import EmulatorServer
from gmobot.errors import Category, OutcomeUnknown, Refused, Unavailable
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.gmo.streams import CommandPacer, PrivateStream, PublicStream
from gmobot.venue.http import HttpTransport
from gmobot.venue.models import (
    Book,
    ExchangeStatus,
    Execution,
    OrderRequest,
    OrderStatus,
    OrderType,
    OrderUpdate,
    Print,
    Side,
    StreamEvent,
    StreamNotice,
    TimeInForce,
)
from gmobot.venue.transport import Transport

from .exchange import CREDENTIALS, emulated
from .virtual import VirtualClock, run_virtually, until

Talk = Callable[[ExchangeApi, Transport, Clock], Awaitable[None]]
SIZE = Decimal("0.001")


async def over_memory(talk: Talk) -> None:
    clock = VirtualClock()
    api = emulated(clock)
    await _while_running(api, talk, MemoryTransport(api), clock)


async def over_http(talk: Talk) -> None:
    clock = SystemClock()
    api = emulated(clock)
    server = EmulatorServer(api)
    await server.start("127.0.0.1", 0)
    transport = HttpTransport(f"http://127.0.0.1:{server.port}")
    try:
        await _while_running(api, talk, transport, clock)
    finally:
        await transport.close()
        await server.close()


async def _while_running(api: ExchangeApi, talk: Talk, transport: Transport, clock: Clock) -> None:
    running = asyncio.create_task(api.run())
    try:
        async with asyncio.timeout(600):
            await talk(api, transport, clock)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    api.exchange.check()


def both_ways(talk: Talk) -> Callable[[str], None]:
    """Run a conversation in memory on virtual time, and over loopback in real time."""

    @pytest.mark.parametrize("way", ["memory", "http"])
    def test(way: str) -> None:
        if way == "memory":
            run_virtually(over_memory(talk))
        else:
            asyncio.run(over_http(talk))

    return test


def limit(side: Side, price: Decimal, time_in_force: TimeInForce = TimeInForce.GTC) -> OrderRequest:
    return OrderRequest(symbol="BTC", side=side, type=OrderType.LIMIT, size=SIZE, price=price, time_in_force=time_in_force)


def market(side: Side) -> OrderRequest:
    return OrderRequest(symbol="BTC", side=side, type=OrderType.MARKET, size=SIZE, time_in_force=TimeInForce.IOC)


async def public_questions(api: ExchangeApi, transport: Transport, clock: Clock) -> None:
    rest = GmoRest(transport, clock)
    assert await rest.status() is ExchangeStatus.OPEN
    rules = {row.symbol: row for row in await rest.symbols()}
    assert rules["BTC"].size_step == Decimal("0.00001")
    book, ticker = await rest.orderbook("BTC"), await rest.ticker("BTC")
    assert book.bids[0].price < book.asks[0].price
    assert ticker.symbol == "BTC"
    tape = await rest.trades("BTC", count=10)
    assert len(tape) == 10
    with pytest.raises(Refused) as refusal:
        await rest.ticker("NOPE")
    assert refusal.value.category is Category.NOT_FOUND


async def life_of_an_order(api: ExchangeApi, transport: Transport, clock: Clock) -> None:
    rest = GmoRest(transport, clock, credentials=CREDENTIALS)
    bid = (await rest.orderbook("BTC")).bids[0].price
    order_id = await rest.place_order(limit(Side.BUY, bid - bid // 10))
    (order,) = await rest.active_orders("BTC")
    assert (order.order_id, order.status, order.executed_size) == (order_id, OrderStatus.WORKING, Decimal(0))
    await rest.cancel_order(order_id)
    (order,) = await rest.orders([order_id])
    assert (order.status, order.cancel_reason) == (OrderStatus.CANCELLED, "USER")
    assert await rest.active_orders("BTC") == []
    with pytest.raises(Refused) as twice:
        await rest.cancel_order(order_id)
    assert twice.value.code == "ERR-5122"
    with pytest.raises(Refused) as never:
        await rest.cancel_order(1)
    assert never.value.category is Category.NOT_FOUND


async def life_of_a_fill(api: ExchangeApi, transport: Transport, clock: Clock) -> None:
    rest = GmoRest(transport, clock, credentials=CREDENTIALS)
    order_id = await rest.place_order(market(Side.BUY))
    fills = await rest.executions(order_id)
    assert sum(fill.size for fill in fills) == SIZE
    assert {fill.execution_id for fill in await rest.latest_executions("BTC")} == {fill.execution_id for fill in fills}
    coins = next(row for row in await rest.assets() if row.asset == "BTC")
    assert coins.amount == Decimal("0.5") + SIZE


async def a_lost_reply(api: ExchangeApi, transport: Transport, clock: Clock) -> None:
    rest = GmoRest(transport, clock, credentials=CREDENTIALS)
    bid = (await rest.orderbook("BTC")).bids[0].price
    for fault, placed in (("reply_lost_before", 0), ("reply_lost_after", 1), ("server_error", 2)):
        api.faults.arm(fault, where="/v1/order")
        with pytest.raises(OutcomeUnknown):
            await rest.place_order(limit(Side.BUY, bid - bid // 10))
        assert len(await rest.active_orders("BTC")) == placed
    api.faults.arm("server_busy", where="/v1/activeOrders")
    with pytest.raises(Unavailable):
        await rest.active_orders("BTC")


async def streams(api: ExchangeApi, transport: Transport, clock: Clock) -> None:
    rest = GmoRest(transport, clock, credentials=CREDENTIALS)
    pacer, seen = CommandPacer(clock), list[StreamEvent]()
    public = PublicStream(transport, clock, pacer, symbols=["BTC"], seed=random.Random(1))
    private = PrivateStream(transport, rest, clock, pacer, seed=random.Random(2))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(stream.run(seen.append)) for stream in (public, private)]
        await until(lambda: public.connected and private.connected)
        bid = (await rest.orderbook("BTC")).bids[0].price
        resting = await rest.place_order(limit(Side.BUY, bid - bid // 10))
        await rest.cancel_order(resting)
        filled = await rest.place_order(market(Side.SELL))
        await until(lambda: any(isinstance(event, Execution) and event.order_id == filled for event in seen))
        for task in tasks:
            task.cancel()
    await private.close()
    statuses = [event.order.status for event in seen if isinstance(event, OrderUpdate) and event.order.order_id == resting]
    assert statuses == [OrderStatus.WORKING, OrderStatus.CANCELLED]
    assert sum(event.size for event in seen if isinstance(event, Execution)) == SIZE
    assert any(isinstance(event, Book) for event in seen)
    assert {(event.stream, event.state) for event in seen if isinstance(event, StreamNotice)} == {("public", "up"), ("private", "up")}
    assert (public.malformed, private.malformed, public.reconnects, private.reconnects) == (0, 0, 0, 0)


test_public_questions = both_ways(public_questions)
test_an_order_rests_and_is_cancelled = both_ways(life_of_an_order)
test_a_market_order_fills = both_ways(life_of_a_fill)
test_a_lost_reply_leaves_the_outcome_unknown = both_ways(a_lost_reply)
test_both_streams = both_ways(streams)


def test_a_burst_of_questions_is_never_refused_as_too_many() -> None:
    async def burst(api: ExchangeApi, transport: Transport, clock: Clock) -> None:
        rest = GmoRest(transport, clock, credentials=CREDENTIALS)
        await asyncio.gather(*(rest.assets() for _ in range(100)), *(rest.status() for _ in range(30)))

    run_virtually(over_memory(burst))


def test_streams_come_back_after_maintenance_with_a_new_token() -> None:
    async def talk(api: ExchangeApi, transport: Transport, clock: Clock) -> None:
        rest = GmoRest(transport, clock, credentials=CREDENTIALS)
        pacer, seen = CommandPacer(clock), list[StreamEvent]()
        public = PublicStream(transport, clock, pacer, symbols=["BTC"], seed=random.Random(1))
        private = PrivateStream(transport, rest, clock, pacer, seed=random.Random(2))
        tasks = [asyncio.create_task(stream.run(seen.append)) for stream in (public, private)]
        await asyncio.sleep(10)
        assert [stream.connected for stream in (public, private)] == [True, True]
        api.set_status("MAINTENANCE")
        await asyncio.sleep(20)
        assert await rest.status() is ExchangeStatus.MAINTENANCE
        assert [stream.connected for stream in (public, private)] == [False, False]
        reasons = {(event.stream, event.detail) for event in seen if isinstance(event, StreamNotice) and event.state == "down"}
        assert {("public", "maintenance"), ("private", "maintenance")} <= reasons
        api.set_status("OPEN")
        await asyncio.sleep(40)
        assert [stream.connected for stream in (public, private)] == [True, True]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run_virtually(over_memory(talk))


def test_prints_of_the_stream_are_the_takers_only() -> None:
    async def talk(api: ExchangeApi, transport: Transport, clock: Clock) -> None:
        seen = list[StreamEvent]()
        public = PublicStream(transport, clock, CommandPacer(clock), symbols=["BTC"], seed=random.Random(1))
        task = asyncio.create_task(public.run(seen.append))
        await asyncio.sleep(5)
        before = len(api.exchange.symbols["BTC"].tape)
        seen.clear()
        await asyncio.sleep(30)
        matched = len(api.exchange.symbols["BTC"].tape) - before
        assert matched > 0
        assert sum(isinstance(event, Print) for event in seen) == matched
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run_virtually(over_memory(talk))
