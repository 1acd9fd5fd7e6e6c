"""Paper trading over restarts: its exchange forgets everything with the process, our books do not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from tests.live.rehearsal import until
from tests.simulation.loop import VirtualLoop
from tests.simulation.plan import Plan
from tests.simulation.setting import EMA, PARAMS, SWING
from tests.simulation.world import World

from gmobot.cli.paper import paper_links
from gmobot.config import Mode
from gmobot.emulator.memory import MemoryTransport
from gmobot.live.daemon import Daemon
from gmobot.live.store import Store
from gmobot.live.workers import InlineWorker
from gmobot.ops.audit import AuditLog
from gmobot.ops.telemetry import Telemetry
from gmobot.strategies.loader import load
from gmobot.strategies.program import Program
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.gmo.streams import Backoff, CommandPacer, PublicStream


class Paper:
    """A paper daemon on a simulated market, again and again on one ``var``."""

    def __init__(self, world: World, program: Program) -> None:
        self.world = world
        self.program = program
        self.config = world.config.model_copy(update={"mode": Mode.PAPER, "execute_orders": False})
        self.runs = 0

    async def start(self) -> None:
        self.runs += 1
        world, config, clock = self.world, self.config, self.world.clock
        transport = MemoryTransport(world.api)
        rest, pacer, backoff = GmoRest(transport, clock), CommandPacer(clock), Backoff(0.2, 2.0)
        seed = random.Random(self.runs)
        public = PublicStream(transport, clock, pacer, symbols=[world.symbol], seed=seed, backoff=backoff, silence_seconds=15.0)
        audit = AuditLog(config.paths.logs, max_bytes=10_000_000, retention=7)
        run_id = f"paper-{self.runs}"
        store = Store(config.paths.state / "gmobot.db", audit=audit, run_id=run_id, clock=clock, worker=InlineWorker())
        self.daemon = Daemon(
            config,
            await paper_links(config, rest, public, clock, backoff),
            {world.symbol: self.program},
            store=store,
            telemetry=Telemetry(version="sim", config_hash=config.hash()),
            clock=clock,
            decision_worker=InlineWorker(),
            run_id=run_id,
            preflight=[],
        )
        self.task = asyncio.create_task(self.daemon.run())

    async def stop(self) -> None:
        self.daemon.stop()
        await self.task

    @property
    def position(self) -> int:
        return self.daemon.books.position(self.world.symbol) if self.daemon.books is not None else 0

    @property
    def trades(self) -> int:
        return self.daemon.books.ledger(self.world.symbol).closed_trades if self.daemon.books is not None else 0


def on_paper(product: str, script: Callable[[Paper], Awaitable[None]]) -> None:
    """Run a script on a market of its own."""
    seed, strategy = (1, SWING) if product == "leverage" else (2, EMA)
    loop = VirtualLoop(seed)
    asyncio.set_event_loop(loop)
    world = World(Plan(seed=seed, product=product, assumptions={}, entry={}, happenings=()), load(strategy, PARAMS[strategy]), loop)

    async def live() -> None:
        outer = asyncio.all_tasks()
        world.exchange.start()
        market = asyncio.create_task(world.api.run())
        await script(Paper(world, world.program))
        inner = {market} | asyncio.all_tasks() - outer
        for task in inner:
            task.cancel()
        await asyncio.gather(*inner, return_exceptions=True)

    try:
        loop.run_until_complete(live())
    finally:
        world.close()
        asyncio.set_event_loop(None)
        loop.close()


@pytest.mark.parametrize("product", ["spot", "leverage"])
def test_what_was_held_on_paper_is_held_after_a_restart_and_traded_on(product: str) -> None:
    async def script(paper: Paper) -> None:
        await paper.start()
        await until(lambda: paper.position != 0)
        await asyncio.sleep(3.0)
        for _ in range(2):
            held, trades = paper.position, paper.trades
            await paper.stop()
            await paper.start()
            await until(paper.daemon.ready, seconds=60.0)
            if held:
                assert paper.position == held or paper.trades > trades
            await until(lambda trades=trades: paper.trades > trades + 1)  # type: ignore[misc]
            await asyncio.sleep(45.0)
            account, guards = paper.daemon.account, paper.daemon.guards
            assert account is not None
            assert guards is not None
            assert account.wallet_drift_uyen == 0
            assert (guards.halt_reason, guards.reasons) == (None, [])
        await paper.stop()

    on_paper(product, script)
