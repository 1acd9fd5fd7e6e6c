"""Leverage and the account's own endpoints, client against emulator; skipped, saying so, while it trades spot only."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from gmobot.clock import NS_PER_SECOND, Clock
from gmobot.core.instrument import Instrument, Product
from gmobot.emulator.engine.exchange import Exchange, account
from gmobot.emulator.market import SyntheticMarket
from gmobot.emulator.memory import MemoryTransport
from gmobot.emulator.protocol.api import ExchangeApi
from gmobot.errors import Category, Refused
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.gmo.streams import ORDER_CHANNELS, POSITION_CHANNELS, CommandPacer, PrivateStream
from gmobot.venue.models import (
    CloseRequest,
    Execution,
    OrderRequest,
    OrderStatus,
    OrderType,
    OrderUpdate,
    PositionChange,
    PositionSummaryUpdate,
    PositionUpdate,
    Settle,
    Side,
    StreamEvent,
    StreamNotice,
    TimeInForce,
)

from .exchange import BTC, CREDENTIALS, KEY
from .virtual import VirtualClock, run_virtually, until

SIZE = Decimal("0.01")
BTC_JPY = Instrument(
    symbol="BTC_JPY",
    product=Product.LEVERAGE,
    tick_size=Decimal(1),
    size_step=Decimal("0.001"),
    min_size=Decimal("0.001"),
    max_size=Decimal(5),
    maker_fee=Decimal(0),
    taker_fee=Decimal(0),
)
BUY = OrderRequest(symbol="BTC_JPY", side=Side.BUY, type=OrderType.MARKET, size=SIZE, time_in_force=TimeInForce.IOC)
CLOSE = CloseRequest(symbol="BTC_JPY", side=Side.SELL, type=OrderType.MARKET, size=SIZE, time_in_force=TimeInForce.IOC)


def conversation(talk: Callable[[GmoRest, MemoryTransport, Clock], Awaitable[None]]) -> None:
    """Run a conversation with an exchange that knows leverage, in memory on virtual time."""

    async def main() -> None:
        clock = VirtualClock()
        instruments = {"BTC": BTC, "BTC_JPY": BTC_JPY}
        customer = account(KEY, "test-secret", {"JPY": Decimal(10_000_000)}, instruments)
        markets = {symbol: (instrument, SyntheticMarket(instrument, seed=7)) for symbol, instrument in instruments.items()}
        exchange = Exchange(clock, markets, {KEY: customer}, seed=7)
        exchange.start()
        api = ExchangeApi(exchange, seed=7)
        transport = MemoryTransport(api)
        rest = GmoRest(transport, clock, credentials=CREDENTIALS)
        running = asyncio.create_task(api.run())
        try:
            await _skip_without_leverage(rest)
            async with asyncio.timeout(600):
                await talk(rest, transport, clock)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
        exchange.check()

    run_virtually(main())


async def _skip_without_leverage(rest: GmoRest) -> None:
    try:
        await rest.position_summary()
    except Refused as error:
        if error.code != "ERR-5204":
            raise
        pytest.skip("this emulator trades spot only")


def test_a_position_is_opened_guarded_and_closed() -> None:
    async def talk(rest: GmoRest, transport: MemoryTransport, clock: Clock) -> None:
        order_id = await rest.place_order(BUY)
        await asyncio.sleep(5)
        positions = await rest.open_positions("BTC_JPY")
        assert sum(position.size for position in positions) == SIZE
        fills = await rest.executions(order_id)
        assert {fill.position_id for fill in fills} == {position.position_id for position in positions}
        assert await rest.executions_by_id([fill.execution_id for fill in fills]) == fills
        (total,) = await rest.position_summary("BTC_JPY")
        assert (total.side, total.size) == (Side.BUY, SIZE)
        margin = await rest.margin()
        assert margin.used_jpy > 0
        assert margin.ratio_percent is not None
        assert margin.available_jpy < margin.equity_jpy
        first = positions[0]
        assert first.losscut_price is not None
        await rest.change_losscut_price(first.position_id, first.losscut_price + 1_000)
        await asyncio.sleep(5)
        moved = {position.position_id: position.losscut_price for position in await rest.open_positions("BTC_JPY")}
        assert moved[first.position_id] == first.losscut_price + 1_000
        closing = await rest.close_position(msgspec.structs.replace(CLOSE, position_id=first.position_id, size=first.size))
        await asyncio.sleep(5)
        assert all(fill.settle is Settle.CLOSE for fill in await rest.executions(closing))
        if len(positions) > 1:
            await rest.close_position(msgspec.structs.replace(CLOSE, size=SIZE - first.size))
            await asyncio.sleep(5)
        assert await rest.open_positions("BTC_JPY") == []
        with pytest.raises(Refused) as refused:
            await rest.close_position(CLOSE)
        assert refused.value.category is Category.NOT_FOUND

    conversation(talk)


def test_resting_orders_are_changed_and_cancelled_by_the_dozen() -> None:
    async def talk(rest: GmoRest, transport: MemoryTransport, clock: Clock) -> None:
        price = (await rest.ticker("BTC_JPY")).last // 1 * Decimal("0.97") // 1
        resting = OrderRequest(symbol="BTC_JPY", side=Side.BUY, type=OrderType.LIMIT, size=SIZE, price=price, time_in_force=TimeInForce.GTC)
        ids = [await rest.place_order(msgspec.structs.replace(resting, price=price + step)) for step in range(12)]
        await asyncio.sleep(5)
        await rest.change_order(ids[0], price + 100)
        await asyncio.sleep(5)
        (changed,) = await rest.orders(ids[:1])
        assert (changed.price, changed.status, changed.settle) == (price + 100, OrderStatus.WORKING, Settle.OPEN)
        some = await rest.cancel_orders([ids[0], 1])
        assert some.accepted == (ids[0],)
        assert set(some.refused) == {1}
        await asyncio.sleep(5)
        assert sorted(await rest.cancel_all(["BTC_JPY"])) == sorted(ids[1:])
        await asyncio.sleep(5)
        assert await rest.active_orders("BTC_JPY") == []

    conversation(talk)


def test_position_events_arrive() -> None:
    async def talk(rest: GmoRest, transport: MemoryTransport, clock: Clock) -> None:
        seen: list[StreamEvent] = []
        stream = PrivateStream(
            transport, rest, clock, CommandPacer(clock), seed=random.Random(1), channels=(*ORDER_CHANNELS, *POSITION_CHANNELS)
        )
        running = asyncio.create_task(stream.run(seen.append))
        await until(lambda: stream.connected)
        await rest.place_order(BUY)
        await asyncio.sleep(5)
        await rest.close_position(CLOSE)
        await asyncio.sleep(5)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await stream.close()
        changes = [event.change for event in seen if isinstance(event, PositionUpdate)]
        assert changes[0] is PositionChange.OPENED
        assert changes[-1] is PositionChange.CLOSED
        assert PositionChange.UNKNOWN not in changes
        assert any(isinstance(event, PositionSummaryUpdate) for event in seen)
        assert {event.settle for event in seen if isinstance(event, Execution)} == {Settle.OPEN, Settle.CLOSE}
        assert (stream.malformed, stream.reconnects) == (0, 0)
        assert not [event for event in seen if isinstance(event, StreamNotice) and event.state != "up"]
        assert all(event.order.status is not OrderStatus.UNKNOWN for event in seen if isinstance(event, OrderUpdate))

    conversation(talk)


def test_the_accounts_own_endpoints_answer() -> None:
    async def talk(rest: GmoRest, transport: MemoryTransport, clock: Clock) -> None:
        volume = await rest.trading_volume()
        assert volume.tier == 1
        assert {limit.symbol for limit in volume.limits} == {"BTC", "BTC_JPY"}
        now, hour = clock.now_ns(), 3_600 * NS_PER_SECOND
        histories: list[Any] = [
            await rest.fiat_deposits(now - hour, now),
            await rest.fiat_withdrawals(now - hour, now),
            await rest.deposits("BTC", now - hour, now),
            await rest.withdrawals("BTC", now - hour, now),
        ]
        assert all(isinstance(history, list) for history in histories)
        today = datetime.fromtimestamp(now / NS_PER_SECOND, UTC).date()
        assert await rest.exchange_fees(today, today) == []

    conversation(talk)
