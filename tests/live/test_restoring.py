"""The restore drill on the whole daemon: a backup from before is put back, and everything since is found again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.live.bench import STOP, Bench
from tests.live.rehearsal import commands, daemon, guards, in_position, in_world, ours, position, until
from tests.simulation.setting import EMA, PARAMS
from tests.simulation.world import World

from gmobot.live.backups import backup
from gmobot.live.restoring import put_back
from gmobot.ops.audit_read import search
from gmobot.strategies.loader import load
from gmobot.strategies.program import Program


@pytest.fixture(scope="module")
def program() -> Program:
    return load(EMA, PARAMS[EMA])


async def restore(world: World, kept: Path) -> int:
    """Stop, put the backup back, start. Returns how many orders were taken from the audit log."""
    await world._stop()
    world.evidence.forget_connection()
    done = put_back(world.config.paths.state, world.config.paths.logs, kept, now_ns=world.clock.now_ns())
    assert done.unreadable == 0
    # The file knows of fewer fills now, and that is no loss that the daemon caused.
    world.watch._fills = 0
    world._start()
    await until(lambda: daemon(world).status == "halted")
    return done.orders


@pytest.mark.parametrize("when", ["before the position", "in the position"])
def test_what_was_traded_since_the_backup_is_ours_again(program: Program, when: str) -> None:
    async def script(world: World) -> None:
        if when == "before the position":
            await until(lambda: "BTC" in daemon(world).desks and daemon(world).desks["BTC"].decisions.bars > 3)
        else:
            await in_position(world)
        kept = backup(world.config.paths.state / "gmobot.db", reason="drill")
        if when == "in the position":
            await until(lambda: ours(world) == 0)
        await in_position(world)
        assert await restore(world, kept) > 0
        await until(lambda: position(world) == ours(world), seconds=30.0)
        # What the core of then plans is held; what it does not know of is closed.
        assert position(world) > 0 or when == "before the position"
        assert guards(world).halt_reason == "state_restored"
        told = search(world.config.paths.logs, "state_restored", event="error")
        assert [event["source"] for event in told] == [str(kept)]
        await asyncio.sleep(30.0)
        account = daemon(world).account
        assert account is not None
        assert account.wallet_drift_uyen == 0
        assert world.account.held_lots.get("BTC", 0) == ours(world), "protected again"
        await commands(world).resume("test", acknowledge=True)

    in_world(program, script)


async def test_an_order_whose_reply_came_after_the_backup_is_given_its_id(bench: Bench) -> None:
    await bench.open()
    made = await bench.intend(**STOP)
    kept = backup(bench.directory / "state" / "gmobot.db", reason="drill")
    await bench.books.acknowledge(made, 77)
    never = await bench.intend()
    await bench.books.reject(never, "ERR-201")
    await bench.close()
    done = put_back(bench.directory / "state", bench.directory / "logs", kept, now_ns=1)
    assert (done.orders, done.unreadable) == (1, 0)
    await bench.open()
    assert [(i.intent_id, i.order_id) for i in bench.saved.open_intents] == [(made.intent_id, 77)]
    await bench.close()


async def test_an_order_in_a_symbol_the_backup_knows_nothing_of_is_counted(bench: Bench) -> None:
    await bench.open()
    kept = backup(bench.directory / "state" / "gmobot.db", reason="drill")
    await bench.acknowledged(order_id=5)
    await bench.close()
    done = put_back(bench.directory / "state", bench.directory / "logs", kept, now_ns=1)
    assert (done.orders, done.unreadable) == (0, 1)
