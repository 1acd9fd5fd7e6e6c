"""Money that comes and goes beside the bot, in the whole daemon: every yen explained, once, and no guard tripped by it."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest
from tests.live.rehearsal import Script, account, commands, daemon, entries, guards, in_position, in_world, restart, until
from tests.simulation.setting import EMA, FOREIGN_LOTS, PARAMS
from tests.simulation.world import World

from gmobot.emulator.engine.exchange import NewOrder
from gmobot.strategies.loader import load
from gmobot.strategies.program import Program

YEN = 1_000_000
MILLION = 1_000_000 * YEN
TIGHT: dict[str, Any] = {"max_drawdown": Decimal("0.01"), "daily_loss_limit": Decimal(50_000), "max_wallet_drift": Decimal(1)}


@pytest.fixture(scope="module")
def program() -> Program:
    return load(EMA, PARAMS[EMA])


def flows(world: World) -> list[tuple[str, str, int]]:
    with closing(sqlite3.connect(world.var / "state" / "gmobot.db")) as db:
        return db.execute("SELECT kind, asset, yen_uyen FROM cash_flows ORDER BY rowid").fetchall()


def level(world: World) -> bool:
    """Whether yen and coins are what our books say, with nothing left as drift."""
    books = daemon(world).books
    assert books is not None
    ours = account(world)
    coins = world.exchange.instruments["BTC"].size(world.account.coins["BTC"] - books.position("BTC"))
    return ours.cash_uyen == world.account.jpy_uyen and ours.state.base_coins["BTC"] == coins and ours.wallet_drift_uyen == 0


class Dead(random.Random):
    """A draw that lets a dead daemon stay dead for as long as wanted."""

    def __init__(self, seconds: float) -> None:
        super().__init__(0)
        self.seconds = seconds

    def uniform(self, a: float, b: float) -> float:
        return self.seconds


def trade(world: World, side: str, size: Decimal) -> None:
    """Trade by another hand."""
    with world.hands.by_hand(world.symbol):
        world.hands.place(world.account, NewOrder("BTC", side, "MARKET", "FAK", size, None))


def begun(world: World) -> bool:
    return daemon(world).account is not None and account(world).state.base_cash is not None


def play(program: Program, script: Script, *, alone: bool = True, **risk: Any) -> None:
    in_world(program, script, alone=alone, **(TIGHT | risk))


def in_and_out(move: Callable[[World], None], kind: str, yen: int) -> Script:
    async def script(world: World) -> None:
        await in_position(world)
        drawdown, day = account(world).drawdown, account(world).daily_pnl_uyen
        move(world)
        await until(lambda: level(world) and bool(flows(world)), seconds=60.0)
        assert flows(world) == [(kind, "JPY", yen)]
        assert account(world).drawdown == pytest.approx(drawdown, abs=0.002)
        assert abs(account(world).daily_pnl_uyen - day) < 50_000 * YEN
        assert guards(world).halt_reason is None
        await restart(world)
        await asyncio.sleep(70.0)
        assert level(world)
        assert flows(world) == [(kind, "JPY", yen)], "booked once, also across a restart"

    return script


def test_a_deposit_during_an_open_position_is_no_gain(program: Program) -> None:
    play(program, in_and_out(lambda w: w.exchange.cash.deposit(w.account, "JPY", 5 * MILLION), "deposit", 5 * MILLION))


def test_a_withdrawal_is_no_loss(program: Program) -> None:
    play(program, in_and_out(lambda w: w.exchange.cash.withdraw(w.account, "JPY", 5 * MILLION), "withdrawal", -5 * MILLION))


def test_a_withdrawal_of_everything_trips_nothing(program: Program) -> None:
    async def script(world: World) -> None:
        await until(lambda: begun(world) and not world.account.active())
        await commands(world).pause("test")
        await until(lambda: daemon(world).books is not None and world.account.coins["BTC"] == FOREIGN_LOTS, seconds=200.0)
        await asyncio.sleep(5.0)
        world.exchange.cash.withdraw(world.account, "JPY", world.account.jpy_uyen)
        await until(lambda: level(world) and bool(flows(world)), seconds=60.0)
        assert (account(world).equity_uyen, account(world).drawdown) == (0, 0.0)
        await asyncio.sleep(10.0)
        assert guards(world).halt_reason is None
        assert guards(world).reasons == []

    play(program, script)


def test_two_deposits_alike_are_two(program: Program) -> None:
    async def script(world: World) -> None:
        await until(lambda: begun(world))
        await asyncio.sleep(5.0)
        for _ in range(2):
            world.exchange.cash.deposit(world.account, "JPY", MILLION)
        await until(lambda: level(world) and len(flows(world)) == 2, seconds=70.0)

    play(program, script)


def test_a_deposit_while_the_daemon_was_dead_is_found(program: Program) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        world.life().die()
        world.draw = Dead(2 * 3_600.0)
        world.exchange.cash.deposit(world.account, "JPY", MILLION)
        await world.bury()
        await until(lambda: bool(flows(world)), seconds=120.0)
        await until(lambda: level(world), seconds=60.0)
        assert guards(world).halt_reason is None

    play(program, script, max_drawdown=Decimal(0), daily_loss_limit=Decimal(0))


def test_coins_that_come_and_go_are_not_ours(program: Program) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        world.ours._foreign_lots = 40_000
        world.exchange.cash.deposit(world.account, "BTC", 12_345)
        await until(lambda: level(world) and len(flows(world)) == 1, seconds=70.0)
        world.exchange.cash.withdraw(world.account, "BTC", 22_345)
        await until(lambda: level(world) and len(flows(world)) == 2, seconds=70.0)
        assert [row[0] for row in flows(world)] == ["deposit", "withdrawal"]
        assert guards(world).halt_reason is None

    play(program, script, alone=False)


def test_a_trade_by_another_hand_explains_itself(program: Program) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        drawdown = account(world).drawdown
        trade(world, "BUY", Decimal("0.2"))
        await until(lambda: level(world) and bool(flows(world)), seconds=70.0)
        assert {row[0] for row in flows(world)} == {"foreign_trade"}
        assert account(world).drawdown == pytest.approx(drawdown, abs=0.002)
        assert guards(world).halt_reason is None
        taken = len(flows(world))
        trade(world, "SELL", Decimal("0.2"))
        await restart(world)
        await until(lambda: level(world) and len(flows(world)) > taken, seconds=90.0)
        errors = [event for event in world_events(world) if event["event"] == "error" and event.get("reason") == "foreign_order"]
        assert len(errors) == 2, "somebody else trades with this account: told once an order"

    play(program, script, alone=False)


def world_events(world: World) -> list[dict[str, object]]:
    from gmobot.ops.audit_read import events

    return list(events(world.var / "logs"))


def test_what_another_hand_sold_of_ours_is_written_off_and_halts(program: Program) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        stop = world.account.active()[0]
        world.exchange.cancel(world.account, stop.order_id)
        everything = world.exchange.instruments["BTC"].size(world.account.coins["BTC"])
        trade(world, "SELL", everything)
        await until(lambda: guards(world).halted, seconds=120.0)
        books = daemon(world).books
        assert books is not None
        await until(lambda: books.position("BTC") == 0 and level(world), seconds=60.0)
        assert guards(world).halt_reason == "foreign_order"
        assert account(world).state.base_coins["BTC"] == 0
        orders = len(world.account.orders)
        await restart(world)
        await asyncio.sleep(60.0)
        assert level(world)
        assert len(world.account.orders) == orders, "nothing is sold that is not there"

    play(program, script, alone=False)


def test_a_transfer_stays_unexplained_until_an_operator_takes_it_over(program: Program) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        world.exchange.cash.transfer(world.account, "WITHDRAWAL", MILLION)
        await until(lambda: account(world).wallet_drift_uyen == -MILLION, seconds=120.0)
        await asyncio.sleep(2.0)
        assert guards(world).reasons == ["wallet_drift_exceeded"]
        assert not guards(world).halted, "exits only"
        assert "JPY" in str(daemon(world).last_error)
        assert flows(world) == []
        await restart(world)
        await until(lambda: account(world).wallet_drift_uyen == -MILLION, seconds=120.0)
        assert await commands(world).resume("test", acknowledge=True) is None
        assert flows(world) == [("acknowledged", "JPY", -MILLION)]
        await asyncio.sleep(90.0)
        assert level(world)
        assert guards(world).reasons == []
        assert len(flows(world)) == 1
        # What comes back is found by nobody either: the same again, the other way.
        await asyncio.sleep(100.0)
        world.exchange.cash.transfer(world.account, "DEPOSIT", MILLION)
        await until(lambda: account(world).wallet_drift_uyen == MILLION, seconds=120.0)
        assert await commands(world).resume("test", acknowledge=True) is None

    play(program, script)


def test_a_drift_that_bars_entries_bars_them_in_the_next_run_from_its_first_moment(program: Program) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        world.exchange.cash.transfer(world.account, "WITHDRAWAL", MILLION)
        await until(lambda: guards(world).reasons == ["wallet_drift_exceeded"], seconds=120.0)
        await world._stop()
        before = entries(world)
        world._start()
        while daemon(world).guards is None or guards(world).reasons != ["wallet_drift_exceeded"]:
            assert daemon(world)._entry_bar() is not None
            await asyncio.sleep(0.05)
        assert account(world).wallet_drift_uyen == -MILLION
        await asyncio.sleep(10.0)
        assert daemon(world)._entry_bar() == "wallet_drift_exceeded"
        assert entries(world) == before
        assert await commands(world).resume("test", acknowledge=True) is None

    play(program, script)


def test_a_difference_seen_once_is_no_drift(program: Program) -> None:
    async def script(world: World) -> None:
        await until(lambda: begun(world))
        await asyncio.sleep(5.0)
        world.account.jpy_uyen -= YEN
        daemon(world)._intake.reconcile.set()
        await asyncio.sleep(3.0)
        assert account(world).wallet_drift_uyen == 0
        world.account.jpy_uyen += YEN
        await asyncio.sleep(60.0)
        assert account(world).wallet_drift_uyen == 0
        assert guards(world).reasons == []

    play(program, script)
