"""Bars keep coming: whatever is done to the machine's clock, whatever the tape does. In the whole daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from tests.live.rehearsal import account, calm, daemon, in_position, rehearse, until
from tests.simulation.setting import EMA, PARAMS
from tests.simulation.world import World

from gmobot.clock import iso_utc
from gmobot.live.intake import Intake
from gmobot.ops.audit_read import events
from gmobot.strategies.loader import load
from gmobot.strategies.program import Program
from gmobot.venue.models import StreamNotice


@pytest.fixture(scope="module")
def program() -> Program:
    return load(EMA, PARAMS[EMA])


@pytest.mark.parametrize("hours", [9, -9])
def test_decisions_go_on_though_the_clock_is_wrong_for_a_while(program: Program, hours: int) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        decisions = daemon(world).desks["BTC"].decisions
        seen: list[int] = []
        for offset, seconds in ((hours * 3_600.0, 20.0), (0.0, 60.0)):
            world.clock.offset_seconds = offset
            before = decisions.bars
            await asyncio.sleep(seconds)
            seen.append(decisions.bars - before)
        assert min(seen[0] / 20, seen[1] / 60) > 0.6, "bars of a second, in most of which somebody trades"
        opened = [int(ref) for (ref,) in world.evidence._all("SELECT ref FROM journal WHERE kind = 'bar' ORDER BY seq")]
        assert opened == sorted(set(opened))

    rehearse(calm(2), program, script)


def told(world: World) -> list[str]:
    return [str(row["symbol"]) for row in events(world.var / "logs") if row["event"] == "error" and row.get("reason") == "stream_stale"]


def fall_silent(patch: pytest.MonkeyPatch) -> None:
    """The stream tells of no trade any more; books go on."""
    patch.setattr(Intake, "_on_print", lambda *_: None)


def test_a_tape_that_falls_silent_is_told_once_and_its_bars_are_read_from_rest(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        desk = daemon(world).desks["BTC"]
        with monkeypatch.context() as patch:
            fall_silent(patch)
            await asyncio.sleep(170.0)
            assert (told(world), daemon(world).checks()["bars"], desk.market.barred) == ([], True, None)
            await asyncio.sleep(60.0)
            assert (told(world), daemon(world).checks()["bars"], desk.market.barred) == (["BTC"], False, "stream_stale")
            assert not daemon(world).ready()
            before, equity = desk.decisions.bars, account(world).equity_uyen
            await asyncio.sleep(600.0)
            assert desk.decisions.bars - before > 300, "late ones, and exits go on by them"
            assert (told(world), desk.market.barred) == (["BTC"], "stream_stale"), "once"
            middle = desk.market.middle()
            assert middle is not None
            assert desk.market.mark() == pytest.approx(float(middle), rel=0.001)
            assert equity != account(world).equity_uyen or world.ours.refresh().lots == 0
        await until(lambda: desk.market.barred is None, seconds=60.0)
        assert daemon(world).checks()["bars"]
        await until(daemon(world).ready, seconds=60.0)
        opened = [int(ref) for (ref,) in world.evidence._all("SELECT ref FROM journal WHERE kind = 'bar' ORDER BY seq")]
        assert opened == sorted(set(opened))

    rehearse(calm(2), program, script)


def test_a_market_in_which_nobody_trades_alarms_nobody(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        handlers = world.api._public._handlers
        plain, last = handlers["/v1/trades"], iso_utc(world.clock.now_ns())

        def no_more(query: Mapping[str, str]) -> dict[str, Any]:
            found = plain({**query, "count": "100"})
            return {**found, "list": [row for row in found["list"] if row["timestamp"] < last]}

        with monkeypatch.context() as patch:
            fall_silent(patch)
            handlers["/v1/trades"] = no_more
            await asyncio.sleep(900.0)
            assert (told(world), daemon(world).checks()["bars"], daemon(world).desks["BTC"].market.barred) == ([], True, None)
        handlers["/v1/trades"] = plain

    rehearse(calm(2), program, script)


def test_bars_that_cannot_be_read_again_for_minutes_are_told_too(program: Program) -> None:
    async def script(world: World) -> None:
        await in_position(world)
        handlers = world.api._public._handlers
        plain = handlers.pop("/v1/trades")
        for state in ("down", "up"):
            daemon(world)._intake.take(StreamNotice(stream="public", state=state))
        await asyncio.sleep(240.0)
        assert (told(world), daemon(world).checks()["bars"]) == (["BTC"], False)
        handlers["/v1/trades"] = plain
        await until(lambda: daemon(world).checks()["bars"], seconds=60.0)

    rehearse(calm(2), program, script)
