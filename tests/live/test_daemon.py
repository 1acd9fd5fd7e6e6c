"""The whole daemon on a virtual clock, without faults: an operator's commands, aborts, restarts, one at a time."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
from tests.live.rehearsal import commands, daemon, entries, guards, in_position, in_world, ours, restart, until
from tests.simulation.setting import EMA, FOREIGN_LOTS, PARAMS
from tests.simulation.world import World

from gmobot.cli.run import instance_lock
from gmobot.emulator.engine.exchange import NewOrder
from gmobot.errors import ConfigError
from gmobot.ops.audit_read import events
from gmobot.strategies.loader import load
from gmobot.strategies.program import Program


@pytest.fixture(scope="module")
def program() -> Program:
    return load(EMA, PARAMS[EMA])


def test_a_halt_keeps_the_stop_and_outlives_a_restart(program: Program) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        await commands(world).halt("test")
        before = entries(world)
        await restart(world)
        assert daemon(world).status == "halted"
        await asyncio.sleep(120.0)
        assert entries(world) == before
        assert ours(world) == world.account.held_lots.get("BTC", 0), "what is left is protected"
        refusal = await commands(world).resume("test", acknowledge=False)
        assert "acknowledge" in str(refusal)
        assert await commands(world).resume("test", acknowledge=True) is None
        await until(lambda: entries(world) > before)

    in_world(program, script)


def test_flatten_closes_what_is_ours_and_only_that(program: Program) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        await commands(world).flatten("test")
        await until(lambda: ours(world) == 0, seconds=10.0)
        await asyncio.sleep(60.0)
        assert world.account.coins["BTC"] == FOREIGN_LOTS
        assert world.account.active() == []
        await commands(world).resume("test", acknowledge=True)

    in_world(program, script)


def test_a_pause_lets_exits_go_on_and_nothing_in(program: Program) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        await commands(world).pause("test")
        before = entries(world)
        await until(lambda: ours(world) == 0)
        await asyncio.sleep(60.0)
        assert (daemon(world).status, entries(world)) == ("paused", before)
        assert not daemon(world).ready()
        assert await commands(world).resume("test", acknowledge=False) is None
        await until(lambda: entries(world) > before)

    in_world(program, script)


def test_an_abort_closes_latches_outlives_a_restart_and_ends_with_an_acknowledged_resume(program: Program) -> None:
    async def script(world: World) -> None:
        await until(lambda: daemon(world).status == "halted")
        await until(lambda: ours(world) == 0, seconds=10.0)
        assert guards(world).halt_reason == "max_drawdown_exceeded"
        before = entries(world)
        await restart(world)
        await asyncio.sleep(60.0)
        assert (daemon(world).status, entries(world)) == ("halted", before)
        world.exchange.status = "PREOPEN"
        assert await commands(world).resume("test", acknowledge=True) is None
        await asyncio.sleep(5.0)
        assert not guards(world).halted, "the loss was acknowledged, it does not halt again"
        account = daemon(world).account
        assert account is not None
        assert account.drawdown == 0.0

    in_world(program, script, max_drawdown="0.00001")


def test_a_stop_leaves_stops_and_no_entries_behind(program: Program) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        await world._stop()
        assert {order.execution_type for order in world.account.active()} == {"STOP"}
        assert world.account.held_lots["BTC"] == ours(world)
        world._start()
        await asyncio.sleep(30.0)

    in_world(program, script)


def test_a_foreign_order_is_told_and_survives_flatten(program: Program) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        price = Decimal(world.exchange.symbols["BTC"].book.last * 8 // 10)
        strange = world.hands.place(world.account, NewOrder("BTC", "BUY", "LIMIT", "FAS", Decimal("0.00001"), price))
        world.ours.foreign_orders.add(strange.order_id)
        await asyncio.sleep(60.0)
        books = daemon(world).books
        assert books is not None
        assert books.is_foreign(strange.order_id)
        await commands(world).flatten("test")
        await until(lambda: ours(world) == 0, seconds=10.0)
        await asyncio.sleep(10.0)
        assert world.account.active() == [strange]
        await commands(world).resume("test", acknowledge=True)

    in_world(program, script, alone=False)


def test_one_instance_per_state_directory(tmp_path: Path) -> None:
    with instance_lock(tmp_path), pytest.raises(ConfigError, match="another gmobot runs"), instance_lock(tmp_path):
        pass
    with instance_lock(tmp_path):
        pass


def test_an_alarm_is_told_once_for_each_halt(program: Program) -> None:
    async def script(world: World) -> None:
        await in_position(world)

        def told() -> int:
            return len([event for event in events(world.var / "logs") if event["event"] == "error" and event.get("detail") == "look"])

        for _ in range(3):
            await daemon(world)._alarm("exchange_error", "look")
        assert (told(), guards(world).halted) == (1, True)
        await commands(world).resume("test", acknowledge=True)
        await daemon(world)._alarm("exchange_error", "look")
        assert (told(), guards(world).halted) == (2, True), "an operator resumed and it is still so"
        await commands(world).resume("test", acknowledge=True)

    in_world(program, script)


def test_who_may_not_send_keeps_the_stop_whatever_is_wanted(program: Program) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        sending = world.config
        world.config = sending.model_copy(update={"execute_orders": False})
        orders = len(world.account.orders)
        await restart(world)
        refusal = await commands(world).flatten("test")
        assert "execute_orders_disabled" in str(refusal)
        await asyncio.sleep(120.0)
        assert len(world.account.orders) == orders, "not one order more"
        assert ours(world) == world.account.held_lots.get("BTC", 0), "what is left is protected"
        told = [e for e in events(world.var / "logs") if e["event"] == "order_intent" and e.get("sent") is False]
        assert {e["reason"] for e in told} == {"execute_orders_disabled"}
        world.config = sending
        await restart(world)
        await until(lambda: len(world.account.orders) > orders)

    in_world(program, script)


def test_an_entry_beyond_what_the_account_may_carry_is_not_sent_and_says_why(program: Program) -> None:
    async def script(world: World) -> None:
        told: list[str] = []

        def reasons() -> list[str]:
            told[:] = [str(e["reason"]) for e in events(world.var / "logs") if e["event"] == "order_intent" and e.get("sent") is False]
            return told

        await until(lambda: bool(reasons()))
        assert set(told) == {"max_leverage_exceeded"}
        assert entries(world) == 0

    in_world(program, script, max_leverage="0.005")


def test_nothing_opens_while_what_is_held_has_no_price(program: Program) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        await until(lambda: daemon(world).ready())
        market = daemon(world).desks["BTC"].market
        market.last, market.book = 0, None
        assert (daemon(world)._entry_bar(), daemon(world)._settled()) == ("stream_stale", False)
        await until(lambda: daemon(world).ready(), seconds=10.0)
        assert daemon(world)._settled()

    in_world(program, script)
