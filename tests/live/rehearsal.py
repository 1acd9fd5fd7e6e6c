"""A daemon on a virtual clock beside a calm exchange, for a test's script; and what the scripts look at."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from tests.simulation.end import check_end
from tests.simulation.loop import VirtualLoop
from tests.simulation.plan import Plan
from tests.simulation.setting import FOREIGN_LOTS
from tests.simulation.world import World

from gmobot.live.account import Account
from gmobot.live.commands import Commands
from gmobot.live.daemon import Daemon
from gmobot.live.guards import Guards
from gmobot.strategies.program import Program

Script = Callable[[World], Awaitable[None]]


def calm(
    seed: int,
    product: str = "spot",
    *,
    entry: Mapping[str, str | int] | None = None,
    assumptions: Mapping[str, float | str] | None = None,
    risk: Mapping[str, str | bool] | None = None,
) -> Plan:
    """Return a plan in which nothing happens."""
    return Plan(
        seed=seed, product=product, assumptions=dict(assumptions or {}), entry=dict(entry or {}), risk=dict(risk or {}), happenings=()
    )


def rehearse(
    plan: Plan,
    program: Program,
    script: Script,
    *,
    alone: bool = True,
    begin: float = 0.0,
    prepare: Callable[[World], None] = lambda world: None,
) -> None:
    """Run a script beside a daemon; at the end the books are the exchange's, if the bot was ``alone`` there.

    Args:
        plan: What the exchange is like.
        program: The strategy.
        script: Runs while the daemon does; afterwards it is stopped cleanly.
        alone: Whether nobody else's orders are left standing.
        begin: When it is, in seconds after midnight UTC.
        prepare: Changes the world before anything runs.
    """
    loop = VirtualLoop(plan.seed)
    loop._virtual = begin
    asyncio.set_event_loop(loop)
    world = World(plan, program, loop)
    world.alone = alone
    prepare(world)

    async def live() -> None:
        world.exchange.start()
        running = asyncio.create_task(world.api.run())
        world._start()
        await script(world)
        await world._stop()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    try:
        loop.run_until_complete(live())
        assert world.failure is None, world.failure
        if alone:
            check_end(world.exchange, world.account, world.our_account, world.var, began_ns=world.began_ns)
    finally:
        world.close()
        asyncio.set_event_loop(None)
        loop.close()


def in_world(program: Program, script: Script, *, seed: int = 1, alone: bool = True, **risk: str | bool) -> None:
    """Run a script beside a daemon on spot, with other limits of risk."""
    rehearse(calm(2 * seed, risk=risk), program, script, alone=alone)


def account(world: World) -> Account:
    found = daemon(world).account
    assert found is not None
    return found


def ours(world: World) -> int:
    return world.account.coins["BTC"] - FOREIGN_LOTS


def position(world: World) -> int:
    """What the books say of it; nothing before they are open."""
    books = daemon(world).books
    return books.position(world.symbol) if books is not None else 0


def daemon(world: World) -> Daemon:
    assert world.process is not None
    return world.process.daemon


def commands(world: World) -> Commands:
    found = daemon(world).commands
    assert found is not None
    return found


def guards(world: World) -> Guards:
    found = daemon(world).guards
    assert found is not None
    return found


async def until(holds: Callable[[], bool], *, seconds: float = 300.0) -> None:
    for _ in range(int(seconds * 10)):
        if holds():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("not in time")


async def restart(world: World) -> None:
    await world._stop()
    world._start()
    await asyncio.sleep(10.0)


def entries(world: World) -> int:
    return len([order for order in world.account.orders.values() if order.side == "BUY"])


async def in_position(world: World) -> None:
    await until(lambda: ours(world) > 0 and world.account.held_lots.get("BTC", 0) == ours(world))
