"""Trading rules that change under a run, in the whole daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from tests.live.bench import BTC, Bench
from tests.live.rehearsal import daemon, entries, in_position, in_world, ours, restart, until
from tests.simulation.setting import EMA, PARAMS
from tests.simulation.world import World

from gmobot.config import InstrumentConfig
from gmobot.emulator.protocol import wire
from gmobot.live.rules import Grid, RulesWatch, begin_with
from gmobot.ops.audit_read import events
from gmobot.strategies.loader import load
from gmobot.strategies.program import Program
from gmobot.venue.models import StreamNotice, SymbolRules


@pytest.fixture(scope="module")
def program() -> Program:
    return load(EMA, PARAMS[EMA])


def publish(world: World, **rules: str) -> None:
    """The exchange publishes other rules."""
    handlers = world.api._public._handlers
    (row,) = handlers["/v1/symbols"]({})
    handlers["/v1/symbols"] = lambda _: [row | rules]


def delist(world: World) -> None:
    world.api._public._handlers["/v1/symbols"] = lambda _: [{**OTHER}]


OTHER = {
    "symbol": "ETH",
    "minOrderSize": "0.01",
    "maxOrderSize": "100",
    "sizeStep": "0.01",
    "tickSize": "1",
    "takerFee": "0",
    "makerFee": "0",
}


def look(world: World) -> None:
    daemon(world)._intake.rules.set()


def barred(world: World) -> bool:
    return daemon(world).desks["BTC"].market.barred is not None


def test_new_limits_count_for_the_next_order(program: Program) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        await asyncio.sleep(11.0)
        publish(world, maxOrderSize="0.004")
        look(world)
        books = daemon(world).books
        assert books is not None
        await until(lambda: books.instrument("BTC").max_size == Decimal("0.004"), seconds=15.0)
        before = len(world.account.orders)
        await until(lambda: len(world.account.orders) > before + 4, seconds=300.0)
        later = [order for order in list(world.account.orders.values())[before:] if order.execution_type == "MARKET"]
        assert later
        assert max(order.lots for order in later) <= 400, "larger ones go in pieces"
        assert not barred(world)

    in_world(program, script)


@pytest.mark.parametrize(
    "change",
    [
        lambda world: publish(world, tickSize="0.1"),
        lambda world: publish(world, sizeStep="0.0001", minOrderSize="0.0001"),
        delist,
    ],
    ids=["finer tick", "coarser step", "delisted"],
)
def test_another_grid_or_none_opens_nothing_more_and_exits_go_on(program: Program, change: Callable[[World], None]) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        await asyncio.sleep(11.0)
        await until(lambda: world.ours.refresh().covered > 0)
        change(world)
        look(world)
        await until(lambda: barred(world), seconds=30.0)
        before = [order.order_id for order in world.account.orders.values() if order.side == "BUY"]
        await until(lambda: world.ours.refresh().lots == 0, seconds=300.0)
        await asyncio.sleep(60.0)
        assert [order.order_id for order in world.account.orders.values() if order.side == "BUY"] == before
        told = [row for row in events(world.var / "logs") if row["event"] == "error" and row.get("reason") == "rules_changed"]
        assert len(told) == 1, "told once"

    in_world(program, script)


@pytest.mark.parametrize("again", [False, True], ids=["one run", "over a restart"])
def test_exits_of_the_strategy_go_on_when_the_tape_is_finer_than_our_grid(
    program: Program, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    plain = wire.trade_row

    def finer(*args: Any) -> dict[str, Any]:
        row = plain(*args)
        return row | {"price": f"{row['price']}.5", "size": f"{Decimal(row['size']):.5f}1"}

    async def script(world: World) -> None:
        await in_position(world)
        await asyncio.sleep(3.0)
        await until(lambda: world.ours.refresh().covered > 0)
        publish(world, tickSize="0.5", sizeStep="0.000001")
        monkeypatch.setattr(wire, "trade_row", finer)
        await until(lambda: barred(world), seconds=30.0)
        # The hole that a reconnect leaves is read from REST, and that lies off our grid too.
        for state in ("down", "up"):
            daemon(world)._intake.take(StreamNotice(stream="public", state=state))
            await asyncio.sleep(0.5)
        if again:
            assert ours(world) > 0
            await restart(world)
            await until(lambda: barred(world), seconds=30.0)
        before = daemon(world).desks["BTC"].decisions.bars
        await asyncio.sleep(30.0)
        assert daemon(world).desks["BTC"].decisions.bars - before > 15, "bars go on"
        entered = entries(world)
        await until(lambda: world.ours.refresh().lots == 0, seconds=600.0)
        await asyncio.sleep(30.0)
        assert entries(world) == entered
        last = list(world.account.orders.values())[-1]
        assert (last.side, last.execution_type, last.status) == ("SELL", "MARKET", "EXECUTED"), "the strategy's exit, not the resting STOP"

    in_world(program, script, seed=3)


async def test_limits_that_cannot_be_held_leave_the_old_ones(bench: Bench) -> None:
    await bench.open()
    told: list[tuple[str, str]] = []

    async def tell(reason: str, text: str) -> None:
        told.append((reason, text))

    watch = RulesWatch([InstrumentConfig()], bench.books, {"BTC": bench.market}, bench.store, fee_rounding="half_up", tell=tell)
    await watch.look([rules(taker_fee=Decimal("0.00000001"))])
    assert (told[0][0], bench.market.barred) == ("rules_changed", None)
    assert bench.books.instrument("BTC") == BTC
    await watch.look([rules(taker_fee=Decimal("0.0009"))])
    assert bench.books.instrument("BTC").taker_fee == bench.market.instrument.taker_fee == Decimal("0.0009")
    await watch.look([])
    await watch.look([])
    assert (len(told), bench.market.barred) == (2, "rules_changed")
    await watch.look([rules()])
    assert bench.market.barred is None, "listed again"
    await bench.close()


def rules(**changes: Decimal) -> SymbolRules:
    """Return the rules of the bench's symbol."""
    values = {
        "min_order_size": BTC.min_size,
        "max_order_size": BTC.max_size,
        "size_step": BTC.size_step,
        "tick_size": BTC.tick_size,
        "taker_fee": BTC.taker_fee,
        "maker_fee": BTC.maker_fee,
    }
    return SymbolRules(symbol="BTC", **(values | changes))


@pytest.mark.parametrize(("holding", "tick"), [(True, Decimal(1)), (False, Decimal("0.5"))])
async def test_a_start_keeps_the_grid_of_what_is_held(bench: Bench, holding: bool, tick: Decimal) -> None:
    await bench.open()
    await bench.store.save_account(Grid.of(BTC).numbers("BTC"))
    if holding:
        await bench.owning(100)
    saved = await bench.store.load()
    row, still_known = begin_with(rules(tick_size=Decimal("0.5")), saved)
    assert (row.tick_size, still_known) == (tick, holding)
    assert begin_with(rules(), saved) == (rules(), True)
    coarse, _ = begin_with(rules(size_step=Decimal("0.0001"), min_order_size=Decimal("0.0001")), saved)
    assert coarse.size_step == (BTC.size_step if holding else Decimal("0.0001"))
    await bench.close()
