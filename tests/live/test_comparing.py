"""When books and exchange are compared, and what follows when that does not succeed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.live.bench import HandClock
from tests.live.rehearsal import daemon, in_position, in_world, ours, until
from tests.simulation.setting import EMA, PARAMS
from tests.simulation.world import World

from gmobot.errors import Category, Unavailable
from gmobot.live.comparing import Comparing
from gmobot.ops.audit_read import events
from gmobot.strategies.loader import load
from gmobot.strategies.program import Program


class Reconciler:
    """Answers as it is told."""

    confirm_seconds = 0.01

    def __init__(self) -> None:
        self.runs = 0
        self.impatient = False
        self.trouble: Unavailable | None = None
        self.missing: str | None = None
        self.meanwhile: Callable[[], None] = lambda: None

    async def run(self) -> str | None:
        self.runs += 1
        await asyncio.sleep(0)
        self.meanwhile()
        if self.trouble is not None:
            raise self.trouble
        return self.missing


class Driven:
    """A driver over a clock of ours."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.due = asyncio.Event()
        self.comparing = Comparing(self.clock, self.due, every_seconds=60.0)
        self.reconciler = Reconciler()
        self.comparing.use(self.reconciler)  # type: ignore[arg-type]

    async def compare(self) -> None:
        """Let one comparison happen."""
        before, self.task = self.reconciler.runs, asyncio.create_task(self.comparing.run())
        self.due.set()
        async with asyncio.timeout(5.0):
            while self.reconciler.runs == before:
                await asyncio.sleep(0)
            for _ in range(3):
                await asyncio.sleep(0)
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def look(self, seconds: float, *, excused: bool = False) -> dict[str, Any] | None:
        self.clock.advance(seconds)
        news = self.comparing.look(excused=excused)
        return news.fields if news is not None else None


async def test_nothing_is_known_before_the_first_one() -> None:
    driven = Driven()
    steps = [driven.comparing.done]
    await driven.compare()
    steps.append(driven.comparing.done)
    driven.comparing.doubt()
    steps.append(driven.comparing.done)
    assert steps == [False, True, False]
    assert driven.due.is_set()


async def test_what_began_before_a_doubt_proves_nothing() -> None:
    driven = Driven()
    driven.reconciler.meanwhile = driven.comparing.doubt
    await driven.compare()
    assert not driven.comparing.done
    driven.reconciler.meanwhile = lambda: None
    driven.reconciler.missing = "what was there before us"
    await driven.compare()
    assert not driven.comparing.done, "nobody knows yet what was there before us"
    assert driven.comparing.failure is None, "there was an answer"


async def test_without_an_account_there_is_nothing_to_wait_for() -> None:
    driven = Driven()
    driven.comparing.use(None)
    driven.comparing.doubt()
    assert driven.comparing.done
    assert driven.look(10_000.0) is None
    assert not driven.comparing.overdue
    async with asyncio.timeout(1.0):
        await driven.comparing.run()


async def test_one_that_gets_no_answer_for_long_is_told_once() -> None:
    driven = Driven()
    driven.reconciler.trouble = Unavailable("no row for JPY", category=Category.EXCHANGE)
    await driven.compare()
    assert driven.comparing.failure == "no row for JPY"
    assert driven.look(300.0) is None
    told = driven.look(0.1)
    assert told is not None
    assert told["reason"] == "exchange_error"
    assert "no row for JPY" in told["detail"]
    assert driven.comparing.overdue
    assert driven.look(1_000.0) is None
    driven.reconciler.trouble = None
    await driven.compare()
    assert driven.look(300.0) is None
    assert [driven.comparing.overdue, driven.comparing.failure] == [False, None]
    assert driven.look(0.1) is not None, "and again when it happens again"


async def test_one_that_makes_nothing_out_for_long_is_told_too() -> None:
    driven = Driven()
    driven.reconciler.missing = "what we hold has no price"
    await driven.compare()
    driven.clock.advance(200.0)
    await driven.compare()
    told = driven.look(100.1)
    assert told is not None
    assert "what we hold has no price" in told["detail"]
    assert driven.comparing.overdue
    driven.reconciler.missing = None
    await driven.compare()
    assert driven.look(300.0) is None
    assert not driven.comparing.overdue


async def test_how_long_it_waited_for_the_exchange_before_is_no_fault() -> None:
    driven = Driven()
    driven.clock.advance(10_000.0)
    driven.comparing.use(driven.reconciler)  # type: ignore[arg-type]
    assert driven.look(300.0) is None
    assert not driven.comparing.overdue
    assert driven.look(0.1) is not None


async def test_a_closed_exchange_is_an_excuse() -> None:
    driven = Driven()
    assert driven.look(5_000.0, excused=True) is None
    assert driven.look(300.0) is None
    assert driven.look(0.1) is not None


@pytest.mark.parametrize(
    ("done", "impatient", "failure", "seconds"),
    [
        (False, False, None, 2.0),
        (False, True, "no answer", 2.0),
        (True, True, "no answer", 60.0),
        (False, True, None, 0.01),
        (True, False, None, 60.0),
        (True, True, None, 0.01),
    ],
)
def test_how_long_it_waits(done: bool, impatient: bool, failure: str | None, seconds: float) -> None:
    driven = Driven()
    driven.comparing.done, driven.reconciler.impatient, driven.comparing.failure = done, impatient, failure
    assert driven.comparing._wait(driven.reconciler) == seconds  # type: ignore[arg-type]


async def test_the_timer_makes_one_without_being_asked() -> None:
    driven = Driven()
    driven.comparing.done, driven.reconciler.impatient = True, True
    task = asyncio.create_task(driven.comparing.run())
    async with asyncio.timeout(5.0):
        while driven.reconciler.runs < 2:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(scope="module")
def program() -> Program:
    return load(EMA, PARAMS[EMA])


def test_a_daemon_that_cannot_compare_is_not_well_and_opens_nothing(program: Program) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        world.api.faults.arm("permission_refused", where="/v1/account/assets", times=None)
        await asyncio.sleep(330.0)
        assert not daemon(world).checks()["compared"]
        assert not daemon(world).ready()
        told = [e for e in events(world.var / "logs") if e["event"] == "error" and e["reason"] == "exchange_error"]
        assert len(told) == 1
        assert "reconcile" in str(daemon(world).last_error)
        assert ours(world) == 0 or world.account.held_lots.get("BTC", 0) == ours(world), "what is held is protected"
        world.api.faults.disarm()
        await until(lambda: daemon(world).ready(), seconds=90.0)
        assert daemon(world).checks()["compared"]

    in_world(program, script)
