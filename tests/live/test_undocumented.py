"""What GMO Coin does not document, in the whole daemon: whichever way it is, nothing is done twice and nothing stands still."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

import pytest
from tests.live.rehearsal import account, calm, commands, daemon, entries, guards, in_position, ours, position, rehearse, restart, until
from tests.simulation.setting import EMA, FOREIGN_LOTS, PARAMS
from tests.simulation.world import World

from gmobot.emulator.faults import Fault
from gmobot.strategies.loader import load
from gmobot.strategies.program import Program


@pytest.fixture(scope="module")
def program() -> Program:
    return load(EMA, PARAMS[EMA])


def flows(world: World) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(world.var / "state" / "gmobot.db")) as db:
        return db.execute("SELECT kind, yen_uyen FROM cash_flows ORDER BY rowid").fetchall()


@pytest.mark.parametrize("word", ["OPEN", "CLOSE"])
def test_a_spot_exit_whose_reply_is_lost_goes_once_whatever_a_sale_settles(program: Program, word: str) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        world.api.faults.arm(Fault.REPLY_LOST_AFTER, where="/v1/order", times=1)
        await commands(world).flatten("test")
        await until(lambda: ours(world) == 0, seconds=10.0)
        await asyncio.sleep(15.0)
        sales = [order for order in world.account.orders.values() if order.side == "SELL" and order.execution_type == "MARKET"]
        assert [order.executed for order in sales] == [1_000]
        await commands(world).resume("test", acknowledge=True)

    rehearse(calm(2, assumptions={"spot_sell_settle": word}), program, script)


@pytest.mark.parametrize("told", ["fill", "same"])
def test_a_spot_fill_that_names_a_position_means_none(program: Program, told: str) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        assert daemon(world).books.pieces("BTC").known == ()  # type: ignore[union-attr]  # it is in position
        world.api.faults.arm(Fault.REPLY_LOST_AFTER, where="/v1/order", times=1)
        await commands(world).flatten("test")
        await until(lambda: ours(world) == 0, seconds=10.0)
        await asyncio.sleep(15.0)
        sales = [order for order in world.account.orders.values() if order.side == "SELL" and order.execution_type == "MARKET"]
        assert [order.executed for order in sales] == [1_000]
        await restart(world)
        await commands(world).resume("test", acknowledge=True)

    rehearse(calm(2, assumptions={"spot_position_id": told}), program, script)


@pytest.mark.parametrize("first", ["oldest", "newest"])
@pytest.mark.parametrize("told", ["first", "unnamed"])
def test_a_bulk_close_told_with_one_fill_leaves_nothing_behind_and_no_start_fails(program: Program, told: str, first: str) -> None:
    async def script(world: World) -> None:
        await until(lambda: len(world.account.positions) > 1 and position(world) != 0, seconds=4_000.0)
        await commands(world).flatten("test")
        await until(lambda: not world.account.positions, seconds=10.0)
        reason = guards(world).halt_reason
        for _ in range(2):
            await asyncio.sleep(60.0)
            assert (daemon(world).status, guards(world).halt_reason, position(world)) == ("halted", reason, 0)
            await restart(world)
        await commands(world).resume("test", acknowledge=True)

    rehearse(calm(3, "leverage", assumptions={"bulk_close_fills": told, "bulk_close_first": first}), program, script)


@pytest.mark.parametrize("end", ["filled", "cancelled"])
def test_a_stop_whose_end_was_forgotten_while_nobody_looked_blocks_no_exit(program: Program, end: str) -> None:
    """The daemon was away for longer than finished orders, and for longer than a day: no question tells what became of its STOP."""

    async def script(world: World) -> None:
        await in_position(world)
        (stop,) = (order for order in world.account.active() if order.execution_type == "STOP")
        held = ours(world)
        await world._stop()
        world.exchange.cancel(world.account, stop.order_id)
        if end == "filled":
            # As after more than a day: the coins are gone, and nothing tells of the fill.
            world.account.coins["BTC"] -= held
        await asyncio.sleep(2.0)
        world._start()
        await until(lambda: daemon(world).status == "halted", seconds=60.0)
        assert guards(world).halt_reason == "exchange_error"
        await until(lambda: world.account.held_lots.get("BTC", 0) == ours(world), seconds=60.0)
        await commands(world).flatten("test")
        await until(lambda: position(world) == 0, seconds=60.0)
        await asyncio.sleep(10.0)
        assert world.account.coins["BTC"] == FOREIGN_LOTS, "what is not ours was not sold"

    rehearse(calm(2, assumptions={"finished_orders_kept_seconds": 1.0}), program, script, alone=False)


@pytest.mark.parametrize("lists", [False, True])
def test_fees_of_trades_are_booked_with_their_fills_and_never_again(program: Program, lists: bool) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        assert sum(execution.fee_uyen for execution in world.account.executions) > 0
        world.exchange.cash.withdraw(world.account, "JPY", 1_000_000_000)
        await until(lambda: bool(flows(world)), seconds=90.0)
        await asyncio.sleep(60.0)
        assert flows(world) == [("withdrawal", -1_000_000_000)]
        assert account(world).wallet_drift_uyen == 0

    rehearse(calm(2, assumptions={"fee_history_lists_trades": lists}), program, script)


def test_a_balance_that_no_books_can_hold_ends_nothing_and_opens_nothing(program: Program) -> None:
    """Neither a running daemon nor the next start: it is no answer, which is told, and what is owned can be closed."""

    async def script(world: World) -> None:
        await in_position(world)
        routes: Any = world.api._private._routes
        asked = routes["GET", "/v1/account/assets"]

        def finer(*question: Any) -> Any:
            return [row | {"amount": row["amount"] + ("" if "." in row["amount"] else ".0") + "00000001"} for row in asked(*question)]

        routes["GET", "/v1/account/assets"] = finer
        await until(lambda: "balance of JPY" in str(daemon(world).last_error), seconds=60.0)
        await world._stop()
        world._start()
        await until(lambda: "balance of JPY" in str(daemon(world).last_error), seconds=60.0)
        bought = entries(world)
        await asyncio.sleep(60.0)
        assert entries(world) == bought, "nothing is opened before the balances were compared"
        await commands(world).flatten("test")
        await until(lambda: ours(world) == 0, seconds=10.0)
        routes["GET", "/v1/account/assets"] = asked
        await commands(world).resume("test", acknowledge=True)
        await until(lambda: entries(world) > bought)

    rehearse(calm(2), program, script)
