"""A maintenance from before to after, rehearsed by the whole daemon: it is a weekly event, and nothing of it is an emergency."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
from tests.live.rehearsal import Script, calm, commands, daemon, guards, rehearse, until
from tests.simulation.setting import EMA, PARAMS
from tests.simulation.world import World

from gmobot.emulator.engine.checks import NewOrder, Refusal
from gmobot.emulator.engine.records import Account, Order
from gmobot.emulator.protocol.maintenance import Maintenance
from gmobot.live.protection import Cause
from gmobot.ops.audit_read import events
from gmobot.strategies.loader import load
from gmobot.strategies.program import Program
from gmobot.venue.models import ExchangeStatus
from gmobot.venue.transport import Reply, Request

CLOSED, PREOPEN = 600.0, 60.0


@pytest.fixture(scope="module")
def program() -> Program:
    return load(EMA, PARAMS[EMA])


def prepared(max_minutes: float) -> Callable[[World], None]:
    """Return what makes a world count its requests and call a maintenance overlong after a while."""

    def prepare(world: World) -> None:
        maintenance = world.config.maintenance.model_copy(update={"max_minutes": max_minutes})
        world.config = world.config.model_copy(update={"maintenance": maintenance})
        world.requests = []  # type: ignore[attr-defined]
        handle = world.api.handle

        async def record(request: Request, client: str = "") -> Reply:
            world.requests.append(request)  # type: ignore[attr-defined]
            return await handle(request, client)

        world.api.handle = record  # type: ignore[method-assign]

    return prepare


def maintained(program: Program, script: Script, *, entry: Mapping[str, str | int] | None = None, max_minutes: float = 240.0) -> None:
    """Run a script through a maintenance."""
    rehearse(calm(2, entry=entry), program, script, prepare=prepared(max_minutes))


def close(world: World, *, endpoint: str = "error", seconds: float = CLOSED) -> None:
    script = Maintenance(seconds=seconds, preopen_seconds=PREOPEN, status_endpoint=endpoint)  # type: ignore[arg-type]
    world.api.maintenance.plan(script)


def asked(world: World, path: str = "") -> int:
    return sum(path in request.path for request in world.requests)  # type: ignore[attr-defined]


def metric(world: World, name: str) -> float:
    text = daemon(world).telemetry.render("")[0].decode()
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + " "))


def covered(world: World) -> bool:
    world.ours.dirty = True
    holding = world.ours.refresh()
    return 0 < holding.lots == holding.covered


@pytest.mark.parametrize("endpoint", ["error", "data"])
def test_a_position_waits_under_its_stop_and_life_goes_on(program: Program, endpoint: str) -> None:
    async def script(world: World) -> None:
        await until(lambda: covered(world))
        stops = [order.order_id for order in world.account.active()]
        token = asked(world, "/ws-auth")
        close(world, endpoint=endpoint)
        await until(lambda: daemon(world).supervisor.exchange is ExchangeStatus.MAINTENANCE, seconds=10.0)
        await asyncio.sleep(10.0)
        assert metric(world, "gmobot_exchange_maintenance") == 1.0
        assert guards(world).entry_bar(daemon(world).desks.values(), 0) == "exchange_maintenance"
        before, orders = asked(world), len(world.account.orders)
        sent = asked(world, "rder")
        await asyncio.sleep(CLOSED - 60.0)
        assert daemon(world).supervisor.status.value == "active", "the exchange itself says that it is closed"
        assert all(daemon(world).checks().values())
        knocks = sum(request.path.endswith(("/status", "/ws-auth")) for request in world.requests[before:])  # type: ignore[attr-defined]
        assert asked(world) - before - knocks < 20, "no storm beside asking for its status, and whether the streams come up"
        assert asked(world, "rder") == sent, "no order, and no question about one"
        assert len(world.account.orders) == orders
        assert [order.order_id for order in world.account.active()] == stops
        await until(lambda: world.exchange.status == "PREOPEN", seconds=120.0)
        await asyncio.sleep(PREOPEN - 5.0)
        assert len(world.account.orders) == orders
        assert [order.order_id for order in world.account.active()] == stops, "a stop is not taken away while nothing could replace it"
        await until(lambda: daemon(world).ready(), seconds=90.0)
        assert asked(world, "/ws-auth") > token, "a new token"
        await until(lambda: metric(world, "gmobot_exchange_maintenance") == 0.0, seconds=5.0)
        await until(lambda: len(world.account.orders) > orders, seconds=300.0)
        told = [row for row in events(world.var / "logs") if row["event"] == "monitor_status_changed"]
        assert "degraded" not in [row["status"] for row in told]

    maintained(program, script)


def test_nothing_is_opened_before_books_and_exchange_were_compared(program: Program) -> None:
    async def script(world: World) -> None:
        await until(lambda: daemon(world).ready())
        close(world, seconds=60.0)
        await until(lambda: world.exchange.status == "PREOPEN", seconds=120.0)
        world.api.faults.arm("server_error_before", where="/v1/account/assets", times=None, probability=1.0)
        await until(lambda: world.exchange.status == "OPEN", seconds=120.0)
        orders = len(world.account.orders)
        await asyncio.sleep(60.0)
        opened = [order for order in list(world.account.orders.values())[orders:] if order.side == "BUY"]
        assert opened == []
        assert not daemon(world).ready()
        world.api.faults.disarm()
        await until(lambda: daemon(world).ready(), seconds=60.0)

    maintained(program, script)


def test_a_resting_entry_is_taken_back_as_soon_as_cancels_are_taken(program: Program) -> None:
    async def script(world: World) -> None:
        await until(lambda: any(order.side == "BUY" for order in world.account.active()))
        (entry,) = [order for order in world.account.active() if order.side == "BUY"]
        before = asked(world, "rder")
        close(world, seconds=60.0)
        await until(lambda: world.exchange.status == "PREOPEN", seconds=120.0)
        assert entry.active
        assert asked(world, "rder") - before <= 3, "what was on its way when it closed"
        await until(lambda: not entry.active, seconds=20.0)
        assert world.exchange.status == "PREOPEN"
        await commands(world).pause("test")
        await until(lambda: world.exchange.status == "OPEN", seconds=120.0)
        await asyncio.sleep(30.0)
        await commands(world).resume("test", acknowledge=False)

    maintained(program, script, entry={"method": "passive_limit", "offset_ticks": 100_000, "rest_seconds": 3_600})


def test_what_filled_just_before_is_bare_because_the_exchange_is_closed(program: Program) -> None:
    async def script(world: World) -> None:
        done: list[bool] = []
        place = world.exchange.place

        def close_before_the_stop(account: Account, new: NewOrder) -> Order:
            if new.execution_type == "STOP" and not done:
                done.append(True)
                close(world, seconds=60.0)
                raise Refusal("ERR-5201", "MAINTENANCE. Please wait for a while")
            return place(account, new)

        world.exchange.place = close_before_the_stop  # type: ignore[method-assign]
        await until(lambda: bool(done))
        desk = daemon(world).desks["BTC"]
        await until(lambda: desk.protection.cause is Cause.EXCHANGE_CLOSED, seconds=20.0)
        orders = len(world.account.orders)
        await until(lambda: world.exchange.status == "PREOPEN", seconds=120.0)
        refused = [row for row in events(world.var / "logs") if row["event"] == "order_rejected"]
        assert len(refused) <= 3, "what was on its way may be refused, then nothing is tried"
        assert len(world.account.orders) == orders
        await until(lambda: world.exchange.status == "OPEN", seconds=120.0)
        await until(lambda: covered(world) or world.ours.refresh().lots == 0, seconds=20.0)
        assert desk.protection.seconds[Cause.EXCHANGE_CLOSED] > 60.0
        assert guards(world).halt_reason is None

    maintained(program, script)


def test_a_status_that_is_not_told_any_more_keeps_nobody_asleep(program: Program) -> None:
    async def script(world: World) -> None:
        await until(lambda: covered(world))
        close(world, seconds=120.0)
        await until(lambda: world.exchange.status == "MAINTENANCE", seconds=30.0)
        await until(lambda: daemon(world).supervisor.exchange is ExchangeStatus.MAINTENANCE, seconds=30.0)
        world.api.faults.arm("server_error_before", where="/v1/status", times=None)
        await asyncio.sleep(60.0)
        assert daemon(world).supervisor.exchange is ExchangeStatus.MAINTENANCE, "it says nothing else"
        await until(lambda: world.exchange.status == "OPEN", seconds=300.0)
        await until(lambda: daemon(world).ready(), seconds=90.0)

    maintained(program, script)


def test_a_maintenance_that_does_not_end_is_degraded_and_unhealthy_after_the_grace(program: Program) -> None:
    async def script(world: World) -> None:
        await until(lambda: covered(world))
        close(world, seconds=1_200.0)
        await asyncio.sleep(290.0)
        assert daemon(world).supervisor.status.value == "active"
        await asyncio.sleep(30.0)
        assert daemon(world).supervisor.status.value == "degraded"
        assert daemon(world).checks()["monitor_status"]
        await asyncio.sleep(daemon(world).config.health.degraded_grace_seconds)
        assert not daemon(world).checks()["monitor_status"], "503"
        await until(lambda: world.exchange.status == "OPEN", seconds=1_000.0)
        await until(lambda: daemon(world).ready(), seconds=90.0)
        assert daemon(world).checks()["monitor_status"]

    maintained(program, script, max_minutes=5.0)
