"""Pause, halt and flatten while something else is broken: the whole daemon, the real database, on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from tests.live.rehearsal import commands, daemon, entries, guards, in_position, in_world, ours, restart, until
from tests.simulation.setting import EMA, PARAMS
from tests.simulation.world import World

from gmobot.errors import StoreError
from gmobot.live.store import Store
from gmobot.strategies.loader import load
from gmobot.strategies.program import Program


@pytest.fixture(scope="module")
def program() -> Program:
    return load(EMA, PARAMS[EMA])


def hang(world: World) -> None:
    assert world.process is not None
    world.process.decider.hangs = True


def fill_disk(world: World) -> None:
    world.disk.full = True


def lock(world: World) -> None:
    world.disk.lock(world.var / "state" / "gmobot.db")


def silence(world: World) -> None:
    world.api.faults.arm("socket_silent", where="*", times=None)


def mend(world: World) -> None:
    world.disk.full = False
    world.disk.unlock()
    world.api.faults.disarm()


def killed(world: World) -> None:
    assert world.process is not None
    world.process.life.die()


TROUBLES = [hang, fill_disk, lock, silence]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_flatten_closes_what_is_ours(program: Program, trouble: Callable[[World], None]) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        trouble(world)
        await asyncio.sleep(5.0)
        await commands(world).flatten("test")
        await until(lambda: ours(world) == 0, seconds=30.0)
        await asyncio.sleep(5.0)
        assert world.account.active() == []
        assert daemon(world).status == "halted"
        killed(world)
        await world.bury()
        await asyncio.sleep(10.0)
        assert guards(world).halted, "kept over a kill, whether or not the database took it"
        mend(world)
        await restart(world)
        assert (guards(world).halted, ours(world)) == (True, 0)
        await commands(world).resume("test", acknowledge=True)

    in_world(program, script)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_halt_keeps_the_stop_and_opens_nothing(program: Program, trouble: Callable[[World], None]) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        trouble(world)
        await asyncio.sleep(5.0)
        before = entries(world)
        await commands(world).halt("test")
        await asyncio.sleep(5.0)
        assert daemon(world).status == "halted"
        killed(world)
        await world.bury()
        await asyncio.sleep(30.0)
        assert guards(world).halted
        assert (entries(world), world.account.held_lots.get("BTC", 0)) == (before, ours(world))
        mend(world)
        await restart(world)
        assert guards(world).halted
        await commands(world).resume("test", acknowledge=True)

    in_world(program, script)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_pause_opens_nothing_until_resumed(program: Program, trouble: Callable[[World], None]) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        trouble(world)
        await asyncio.sleep(5.0)
        await commands(world).pause("test")
        before = entries(world)
        await asyncio.sleep(60.0)
        assert (daemon(world).status, entries(world)) == ("paused", before)
        mend(world)
        await restart(world)
        assert daemon(world).status == "paused"
        assert await commands(world).resume("test", acknowledge=False) is None
        await until(lambda: entries(world) > before)

    in_world(program, script)


@pytest.mark.parametrize("trouble", [fill_disk, lock])
def test_nothing_is_opened_while_the_database_cannot_be_written_and_it_is_told(program: Program, trouble: Callable[[World], None]) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        trouble(world)
        await asyncio.sleep(3.0)
        before = entries(world)
        assert not daemon(world).checks()["store"]
        assert daemon(world)._entry_bar() == "state_unwritable"
        assert "state_unwritable" in str(daemon(world).last_error)
        await asyncio.sleep(240.0)
        assert entries(world) == before
        mend(world)
        await until(lambda: entries(world) > before)
        assert daemon(world).checks()["store"]

    in_world(program, script)


def test_a_halt_that_nothing_takes_holds_at_once_and_is_written_when_it_can_be(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> None:
        raise StoreError("no space left")

    async def script(world: World) -> None:
        await in_position(world)
        with monkeypatch.context() as patch:
            patch.setattr(Store, "latch", refuse)
            with pytest.raises(StoreError):
                await commands(world).halt("test")
            before = entries(world)
            await asyncio.sleep(20.0)
            assert entries(world) == before
        await asyncio.sleep(3.0)
        killed(world)
        await world.bury()
        await asyncio.sleep(10.0)
        assert guards(world).halted
        await commands(world).resume("test", acknowledge=True)

    in_world(program, script)
