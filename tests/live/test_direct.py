"""Closing without a daemon: what a killed one left open, unknown or beside somebody else's is found, and only ours is closed."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from tests.live.rehearsal import Script, calm, commands, daemon, rehearse, until
from tests.simulation.process import leave_as_killed
from tests.simulation.setting import EMA, KEY, PARAMS, SECRET, SWING
from tests.simulation.world import World

from gmobot.emulator.engine.exchange import NewOrder
from gmobot.emulator.memory import MemoryTransport
from gmobot.live.direct import DirectClose, Left
from gmobot.live.store import Store
from gmobot.live.workers import InlineWorker
from gmobot.ops.audit import AuditLog
from gmobot.secrets import Secret
from gmobot.strategies.loader import load
from gmobot.venue.gmo.auth import Credentials
from gmobot.venue.gmo.rest import GmoRest


def buried(product: str, script: Script) -> None:
    """Run a script that ends without a daemon; the next one finds itself halted."""
    seed, strategy = (1, SWING) if product == "leverage" else (2, EMA)

    async def and_then(world: World) -> None:
        await script(world)
        world.exchange.status = "PREOPEN"
        world._start()
        await asyncio.sleep(60.0)
        assert daemon(world).status == "halted"
        await commands(world).resume("test", acknowledge=True)

    rehearse(calm(seed, product), load(strategy, PARAMS[strategy]), and_then)


async def bury(world: World) -> None:
    """Kill the daemon and start none."""
    process = world.process
    assert process is not None
    process.life.die()
    process.task.cancel()
    await asyncio.gather(process.task, return_exceptions=True)
    await process.transport.close()
    world.evidence.forget_connection()
    leave_as_killed(process.store, world.var, world.draw)
    world.process = None


async def close(world: World, said: list[str], seconds: float = 60.0) -> list[Left]:
    transport = MemoryTransport(world.api)
    rest = GmoRest(transport, world.clock, credentials=Credentials(Secret(KEY), Secret(SECRET)))
    audit = AuditLog(world.config.paths.logs, max_bytes=10_000_000, retention=7)
    path = world.config.paths.state / "gmobot.db"
    store = Store(path, audit=audit, run_id=f"direct-{world.loop.time()}", clock=world.clock, worker=InlineWorker())
    await store.open()
    try:
        return await DirectClose(world.config, rest, store, world.clock, say=said.append).run(seconds=seconds)
    finally:
        await store.close()
        await transport.close()


def held(world: World) -> int:
    world.ours.dirty = True
    return world.ours.refresh().lots


@pytest.mark.parametrize("product", ["spot", "leverage"])
def test_a_position_and_its_stop_are_gone_and_nothing_else(product: str) -> None:
    async def script(world: World) -> None:
        await until(lambda: world.ours.refresh().lots > 0 and world.ours.refresh().covered > 0)
        side = "SELL" if world.ours.signed < 0 else "BUY"
        with world.hands.by_hand(world.symbol):
            world.hands.place(world.account, NewOrder(world.symbol, side, "MARKET", "FAK", Decimal("0.02"), None))
        price = Decimal(world.exchange.symbols[world.symbol].book.last * 8 // 10)
        with world.hands.by_hand(world.symbol):
            strange = world.hands.place(world.account, NewOrder(world.symbol, "BUY", "LIMIT", "FAS", Decimal("0.01"), price))
        await bury(world)
        theirs = [p for p in world.account.positions.values() if p.position_id in world.ours.foreign_positions]
        said: list[str] = []
        left = await close(world, said)
        assert [(row.size, row.orders, row.flat) for row in left] == [(Decimal(0), 0, True)]
        assert held(world) == 0
        assert world.account.active() == [strange]
        assert [p for p in world.account.positions.values() if p.lots] == theirs
        assert "halted" in said[0]

    buried(product, script)


@pytest.mark.parametrize("product", ["spot", "leverage"])
@pytest.mark.parametrize("stage", ["before", "accepted"])
def test_an_order_whose_reply_nobody_read_is_found_or_concluded_absent_first(product: str, stage: str) -> None:
    async def script(world: World) -> None:
        world.life().doom.request = ("/v1/order", stage)
        await until(lambda: world.life().dead)
        await bury(world)
        left = await close(world, [])
        assert left[0].flat
        assert held(world) == 0

    buried(product, script)


def test_a_closed_exchange_is_waited_for_and_what_is_left_is_told() -> None:
    async def script(world: World) -> None:
        await until(lambda: world.ours.refresh().covered > 0)
        await bury(world)
        world.exchange.status = "PREOPEN"
        said: list[str] = []
        left = await close(world, said, seconds=20.0)
        assert not left[0].flat
        assert left[0].size > 0
        world.exchange.status = "OPEN"
        assert (await close(world, said))[0].flat

    buried("spot", script)
