"""What a plan says becomes what happens: each kind of happening is a method here, and what ends has a second one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from tests.simulation.evidence import Prices
from tests.simulation.plan import QUERIES, Happening

from gmobot.emulator.faults import Armed
from gmobot.emulator.protocol.maintenance import Maintenance
from gmobot.errors import StoreError

if TYPE_CHECKING:
    from tests.simulation.world import World

LOOKS, LOOK_SECONDS = 40, 0.25
"""How often, and how long between, it is looked whether a moment has come."""
TRAIL_SECONDS = 4
"""A stop that is moved is moved so often."""


class Acts:
    """Does to a world what its plan says."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._unanswered: list[Armed] = []

    def schedule(self) -> list[tuple[float, Callable[[], Awaitable[None]]]]:
        """Return what happens when, in order."""
        acts: list[tuple[float, Callable[[], Awaitable[None]]]] = []
        for happening in self._world.plan.happenings:
            if happening.kind == "trail":
                acts += [
                    (float(at), partial(self._trail, happening)) for at in range(round(happening.at), round(happening.until), TRAIL_SECONDS)
                ]
                continue
            begin, end = getattr(self, f"_{happening.kind}"), getattr(self, f"_end_{happening.kind}", None)
            acts.append((happening.at, partial(begin, happening)))
            if end is not None:
                acts.append((happening.until, partial(end, happening)))
        return sorted(acts, key=lambda act: act[0])

    async def _fault(self, what: Happening) -> None:
        skew = what.amount if what.what == "clock_skew" else None
        self._world.api.faults.arm(what.what, where=what.where, times=None, probability=0.1 if skew else what.amount, seconds=skew)

    async def _end_fault(self, what: Happening) -> None:
        self._world.api.faults.disarm(what.what)

    async def _questions(self, what: Happening) -> None:
        faults = self._world.api.faults
        for path in QUERIES if what.where == "*" else (what.where,):
            faults.arm(what.what, where=path, times=None)
            self._unanswered.append(faults._armed[-1])

    async def _end_questions(self, what: Happening) -> None:
        """Questions are answered again; other faults of the same kind stay armed."""
        faults, over = self._world.api.faults, self._unanswered
        self._unanswered = []
        faults._armed = [armed for armed in faults._armed if all(armed is not one for one in over)]

    async def _watch(self, what: Happening) -> None:
        """It is started anew under a configuration with which it may not send."""
        world = self._world
        world.acknowledging = False
        if what.what == "switched_off":
            config = world.config.model_copy(update={"execute_orders": False})
        else:
            fewer = world.config.risk.model_copy(update={"max_orders_per_minute": world.config.risk.max_orders_per_minute - 1})
            config = world.config.model_copy(update={"risk": fewer})
        await world.restart(config, cleanly=not what.amount)

    async def _end_watch(self, what: Happening) -> None:
        """It may send again: orders are switched on, which takes a start, and somebody acknowledges what is to be acknowledged."""
        world = self._world
        world.acknowledging = True
        if not world.config.execute_orders:
            await world.restart(world.config.model_copy(update={"execute_orders": True}), cleanly=not what.amount)

    async def _kill(self, what: Happening) -> None:
        last = self._world.loop.steps + int(what.amount)
        while self._world.loop.steps < last and self._world.failure is None:
            await asyncio.sleep(0)
        if self._world.process is not None:
            self._world.process.life.die()
        await self._world.bury()

    async def _kill_write(self, what: Happening) -> None:
        doom = self._world.life().doom
        doom.writes, doom.after_write = int(what.amount), what.what == "after"

    async def _kill_request(self, what: Happening) -> None:
        self._world.life().doom.request = (what.where, what.what)

    async def _clock(self, what: Happening) -> None:
        self._world.clock.offset_seconds += what.amount

    async def _end_clock(self, what: Happening) -> None:
        self._world.clock.offset_seconds -= what.amount

    async def _hang(self, what: Happening) -> None:
        if self._world.process is not None:
            self._world.process.decider.hangs = True

    async def _manual(self, what: Happening) -> None:
        symbol = what.where if what.where in self._world.plan.symbols else self._world.plan.symbol
        self._world.hands.act(what.what, symbol, int(what.amount))
        if what.what == "move_ours":
            self._world.wire.moved_by_hand()

    async def _cash(self, what: Happening) -> None:
        self._world.hands.move_cash(int(what.amount))

    async def _disk_full(self, what: Happening) -> None:
        self._world.disk.full = True

    async def _end_disk_full(self, what: Happening) -> None:
        self._world.disk.full = False

    async def _locked(self, what: Happening) -> None:
        self._world.disk.lock(self._world.var / "state" / "gmobot.db")

    async def _end_locked(self, what: Happening) -> None:
        self._world.disk.unlock()

    async def _command(self, what: Happening) -> None:
        """An operator commands; with an amount, once something is held and the strategy, which could do the same, hangs."""
        if what.amount:
            await self._until_there_are("lots")
            await self._hang(what)
        await self.command(what.what)

    async def _end_command(self, what: Happening) -> None:
        await self.command("resume")

    async def _stop(self, what: Happening) -> None:
        """It is asked to end, now or as soon as something is held or may still be opened, and started anew."""
        if what.what:
            await self._until_there_are(what.what)
        await self._world.restart(self._world.config, cleanly=True)

    async def _until_there_are(self, lots: str) -> None:
        """Wait a while for a moment at which something is held (``lots``), or may still be opened (``opening``)."""
        for _ in range(LOOKS):
            if any(getattr(ours.refresh(), lots) for ours in self._world.our_account.by_symbol.values()):
                return
            await asyncio.sleep(LOOK_SECONDS)
            await self._world.bury()

    async def _refused(self, what: Happening) -> None:
        self._world.net.refuse(what.where, what.amount)

    async def _end_refused(self, what: Happening) -> None:
        self._world.net.accept(what.where, what.amount)

    async def _outage(self, what: Happening) -> None:
        self._world.net.fail(silently=what.what == "silent")

    async def _end_outage(self, what: Happening) -> None:
        self._world.net.come_back()

    async def _maintenance(self, what: Happening) -> None:
        endpoint = "data" if what.what == "data" else "error"
        script = Maintenance(seconds=what.until - what.at, preopen_seconds=what.amount, status_endpoint=endpoint)  # type: ignore[arg-type]
        self._world.api.maintenance.plan(script)

    async def command(self, name: str) -> None:
        """Give a command, if anybody is there to take it."""
        process = self._world.process
        commands = process.daemon.commands if process is not None and not process.life.dead else None
        if commands is None:
            return
        watch = self._world.watch
        try:
            if name == "resume":
                self._world.acknowledged = self._world.config_hash
                watch.resumed(self._world)
                if await commands.resume("simulation", acknowledge=True) is None:
                    watch.accepted()
            elif await getattr(commands, name)("simulation") is None:
                watch.commanded(name)
        except StoreError:
            if process is None or not process.life.dead:
                raise

    async def _trail(self, what: Happening) -> None:
        """The stop is wanted elsewhere: what the strategies here never ask for, until their next bar takes it back."""
        process = self._world.process
        for desk in process.daemon.desks.values() if process is not None and not process.life.dead else ():
            desire = desk.trader._desire
            if desire is not None and desire.stop:
                moved = msgspec.structs.replace(desire, stop=desire.stop + int(what.amount))
                self._world.watch.moved(desk.config.symbol, Prices(*(getattr(moved, name) for name in Prices._fields)))
                desk.trader.desire(moved)
