"""The fee for holding over 06:00 JST, in the whole daemon: whatever the fee history looks like, it is booked once, and as what it is."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest
from tests.live.rehearsal import Script, account, calm, daemon, guards, rehearse, until
from tests.simulation.setting import PARAMS, SWING
from tests.simulation.world import World

from gmobot.emulator.faults import Fault
from gmobot.strategies.loader import load
from gmobot.strategies.program import Program

NEARLY_SIX = 21 * 3_600.0 - 60.0
"""In UTC, a minute before 06:00 JST."""


@pytest.fixture(scope="module")
def program() -> Program:
    return load(SWING, PARAMS[SWING])


def over_night(program: Program, script: Script, **assumptions: str) -> None:
    """Run a script on leverage from just before the day's turn."""
    plan = calm(1, "leverage", assumptions={**assumptions, "leverage_fee_delay_seconds": 5.0})
    rehearse(plan, program, script, begin=NEARLY_SIX)


def flows(world: World) -> list[tuple[str, str, int, str]]:
    with closing(sqlite3.connect(world.var / "state" / "gmobot.db")) as db:
        return db.execute("SELECT kind, symbol, yen_uyen, evidence FROM cash_flows ORDER BY rowid").fetchall()


def paid(world: World) -> int:
    return sum(flow.amount for flow in world.account.flows if flow.kind == "leverage_fee")


async def held_over_the_turn(world: World) -> None:
    """Hold still with a position until the fee is taken."""
    await until(lambda: bool(world.account.positions), seconds=58.0)
    while not world.account.positions:
        await asyncio.sleep(0.1)
    await until(lambda: paid(world) != 0, seconds=120.0)


@pytest.mark.parametrize("amount", ["amount", "fee"])
def test_the_fee_is_booked_into_the_symbol_s_ledger(program: Program, amount: str) -> None:
    async def script(world: World) -> None:
        await held_over_the_turn(world)
        await until(lambda: bool(flows(world)), seconds=120.0)
        await until(lambda: account(world).cash_uyen == world.account.jpy_uyen, seconds=120.0)
        assert [row[:2] for row in flows(world)] == [("leverage_fee", "BTC_JPY")] * len(flows(world))
        assert sum(row[2] for row in flows(world)) == paid(world)
        books = daemon(world).books
        assert books is not None
        assert books.ledger("BTC_JPY").to_dict()["leverage_fees_uyen"] == -paid(world)
        before = len(flows(world))
        await world._stop()
        world._start()
        await asyncio.sleep(90.0)
        assert len(flows(world)) == before
        assert guards(world).reasons == []

    over_night(program, script, fee_amount_key=amount)


@pytest.mark.parametrize("trouble", ["no amount", "refused"])
def test_a_history_that_tells_nothing_leaves_the_balance_to_tell(program: Program, trouble: str) -> None:
    async def script(world: World) -> None:
        if trouble == "refused":
            world.api.faults.arm(Fault.PERMISSION_REFUSED, where="/v1/account/exchangeFee/history", times=None, probability=1.0)
        await held_over_the_turn(world)
        await until(lambda: bool(flows(world)), seconds=150.0)
        assert [row[:2] for row in flows(world)] == [("leverage_fee", "BTC_JPY")]
        assert "inferred" in flows(world)[0][3]
        assert flows(world)[0][2] == paid(world)
        world.api.faults.disarm()
        world.exchange.cash.withdraw(world.account, "JPY", 1_000_000_000)
        await until(lambda: len(flows(world)) > 1, seconds=90.0)
        await asyncio.sleep(60.0)
        assert [row[0] for row in flows(world)] == ["leverage_fee", "withdrawal"], "what the history tells later was inferred before"
        assert account(world).wallet_drift_uyen == 0
        assert guards(world).reasons == []

    over_night(program, script, fee_amount_key="unheardOf" if trouble == "no amount" else "amount")
