"""What an operator commands: latched, durable, on record with its source, and taken back only as far as was asked."""

from __future__ import annotations

from typing import Any

from tests.live.bench import Bench

from gmobot.live.commands import Commands
from gmobot.live.guards import Guards
from gmobot.live.intents import Latch
from gmobot.live.supervisor import Supervisor

YEN = 1_000_000
HASH = "c0ffee"


class Room:
    """Commands over real guards, gate, account and database."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.woken = 0
        self.watch_reason: str | None = None
        self.acknowledged: list[bool] = []
        """Whether the halt still stood when the balances were acknowledged."""

    async def open(self) -> Room:
        await self.bench.open()
        self.bench.account.start(1_000_000 * YEN, {})
        await self.bench.store.save_account(self.bench.account.state.to_dict())
        return self.put_up()

    def put_up(self) -> Room:
        bench = self.bench
        supervisor = Supervisor(
            ("public",), bench.clock, degraded_after_seconds=60.0, maintenance_max_minutes=60.0, changed=lambda status, why: None
        )
        self.guards = Guards(
            bench.store,
            supervisor,
            bench.directory,
            latches=bench.saved.latches,
            judged={},
            min_free_disk_bytes=0,
            max_clock_skew_seconds=2.0,
            close_on_abort=True,
            circuit_open=lambda: bench.gate.circuit_open,
        )
        self.commands = Commands(
            self.guards,
            bench.gate,
            account=bench.account,
            store=bench.store,
            config_hash=HASH,
            acknowledge=self._acknowledge,
            watch_reason=lambda: self.watch_reason,
            wake=self._wake,
        )
        return self

    async def again(self) -> Room:
        """Die and start anew."""
        await self.bench.reopen()
        return self.put_up()

    def latched(self) -> tuple[bool, bool, bool]:
        return self.guards.paused, self.guards.halted, self.guards.closing

    def lose(self, yen: int) -> None:
        self.bench.account.state.peak = 1_000_000 * YEN + yen * YEN

    def told(self) -> list[dict[str, Any]]:
        return [event for event in self.bench.events() if event["event"] == "control_command"]

    async def _acknowledge(self) -> None:
        self.acknowledged.append(self.guards.halted)

    def _wake(self) -> None:
        self.woken += 1


async def test_a_pause_lasts_until_resumed(bench: Bench) -> None:
    room = await Room(bench).open()
    await room.commands.pause("socket")
    assert room.latched() == (True, False, False)
    room = await room.again()
    assert room.latched() == (True, False, False), "also across restarts"
    assert await room.commands.resume("socket", acknowledge=False) is None
    assert room.latched() == (False, False, False)
    assert room.woken == 1
    assert (await room.again()).latched() == (False, False, False)
    await bench.close()


async def test_a_resume_without_acknowledgement_takes_back_nothing_but_a_pause(bench: Bench) -> None:
    room = await Room(bench).open()
    for _ in range(3):
        bench.gate.refused()
    room.lose(5)
    peak = bench.account.state.peak
    await room.commands.pause("socket")
    assert await room.commands.resume("socket", acknowledge=False) is None
    assert bench.gate.circuit_open
    assert not room.guards.armed(HASH)
    assert not room.acknowledged
    assert bench.account.state.peak == peak
    await bench.close()


async def test_a_halt_wakes_the_order_managers_and_closes_nothing(bench: Bench) -> None:
    room = await Room(bench).open()
    await room.commands.halt("socket")
    assert room.latched() == (False, True, False)
    assert room.guards.halt_reason == "operator_halt"
    assert room.woken == 1
    await bench.close()


async def test_flatten_halts_and_closes_also_after_a_restart(bench: Bench) -> None:
    room = await Room(bench).open()
    await room.commands.flatten("socket")
    assert room.latched() == (False, True, True)
    assert room.woken > 1, "the close is news after the halt"
    assert (await room.again()).latched() == (False, True, True)
    assert bench.saved.latches == {Latch.HALT: "operator_halt", Latch.CLOSE: "operator_halt"}
    assert [(event["command"], event["reason"], event["source"]) for event in room.told()] == [
        ("halt", "operator_halt", "socket"),
        ("close", "operator_halt", "socket"),
    ]
    await bench.close()


async def test_a_halt_is_not_taken_back_without_acknowledgement(bench: Bench) -> None:
    room = await Room(bench).open()
    await room.commands.pause("socket")
    await room.commands.flatten("socket")
    woken = room.woken
    refusal = await room.commands.resume("socket", acknowledge=False)
    assert refusal is not None
    assert "operator_halt" in refusal
    assert "--acknowledge" in refusal
    assert room.latched() == (True, True, True), "not even the pause"
    assert (room.acknowledged, room.woken) == ([], woken)
    await bench.close()


async def test_an_acknowledged_resume_takes_back_everything_and_arms_this_configuration(bench: Bench) -> None:
    room = await Room(bench).open()
    for _ in range(3):
        bench.gate.refused()
    await room.commands.pause("socket")
    await room.commands.flatten("socket")
    woken = room.woken
    assert await room.commands.resume("dashboard", acknowledge=True) is None
    assert room.latched() == (False, False, False)
    assert not bench.gate.circuit_open
    assert room.acknowledged == [True], "balances are taken over while nothing can open yet"
    assert room.woken == woken + 1
    released = next(event for event in room.told() if event["command"] == "resume")
    assert (released["released"], released["source"]) == (["pause", "halt", "close"], "dashboard")
    room = await room.again()
    assert room.latched() == (False, False, False)
    assert room.guards.armed(HASH)
    assert not room.guards.armed("another")
    await bench.close()


async def test_a_loss_is_accepted_with_the_halt_it_led_to_and_stays_accepted(bench: Bench) -> None:
    room = await Room(bench).open()
    room.lose(200_000)
    await bench.store.save_account(bench.account.state.to_dict())
    await room.commands.halt("socket")
    await room.commands.resume("socket", acknowledge=True)
    assert bench.account.state.peak == bench.account.equity_uyen
    await room.again()
    assert bench.account.state.peak == 1_000_000 * YEN
    await bench.close()


async def test_without_a_halt_an_acknowledgement_accepts_no_loss(bench: Bench) -> None:
    room = await Room(bench).open()
    room.lose(200_000)
    peak = bench.account.state.peak
    await room.commands.resume("socket", acknowledge=True)
    assert room.acknowledged == [False]
    assert room.guards.armed(HASH)
    assert bench.account.state.peak == peak
    await bench.close()


async def test_who_sends_no_orders_refuses_to_flatten_and_latches_nothing(bench: Bench) -> None:
    room = await Room(bench).open()
    room.watch_reason = "not_armed"
    refusal = await room.commands.flatten("socket")
    assert refusal is not None
    assert "not_armed" in refusal
    assert (room.latched(), room.told()) == ((False, False, False), [])
    await room.commands.halt("socket")
    assert room.latched() == (False, True, False), "a halt sends no order"
    await bench.close()
