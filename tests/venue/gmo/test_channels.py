"""The channels beyond the usual two: options, deadlines of their own, positions; and the exchange's clock between commands."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from itertools import pairwise

import pytest

from gmobot.clock import NS_PER_SECOND
from gmobot.errors import Category, Unavailable
from gmobot.venue.gmo.connection import CommandPacer
from gmobot.venue.gmo.streams import ORDER_CHANNELS, POSITION_CHANNELS
from gmobot.venue.models import OrderStatus, OrderUpdate, PositionChange, PositionSummaryUpdate, PositionUpdate, Side, Ticker

from ..virtual import VirtualClock, run_virtually
from .bench import Bench, FakeSocket, book, on_bench
from .test_wire import EXAMPLES


def frame(channel: str) -> dict[str, object]:
    return next(entry["example"] for entry in EXAMPLES if entry["example"].get("channel") == channel and "command" not in entry["example"])


POSITION, SUMMARY, ORDERED, TICKER = (frame(name) for name in ("positionEvents", "positionSummaryEvents", "orderEvents", "ticker"))
TICKER = TICKER | {"symbol": "BTC"}
ALL = {"channels": (*ORDER_CHANNELS, *POSITION_CHANNELS)}


def subscribed(socket: FakeSocket) -> list[tuple[str, str | None]]:
    return [(command["channel"], command.get("option")) for _, command in socket.commands]


@pytest.mark.parametrize("taker_only", [True, False])
def test_the_tape_with_one_side_or_both(taker_only: bool) -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(3)
        assert subscribed(bench.socket) == [("trades", "TAKER_ONLY" if taker_only else None), ("orderbooks", None)]

    on_bench("public", script, public={"taker_only": taker_only})


def test_tickers_arrive_and_have_a_deadline_of_their_own() -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(4)
        bench.socket.say(TICKER)
        for _ in range(62):
            bench.socket.say(book())
            await asyncio.sleep(1)
        assert [event.last for event in bench.seen if isinstance(event, Ticker)] == [Decimal(13659211)]
        assert bench.notices("down")[0][1].startswith("no ticker of BTC for 6")

    on_bench("public", script, public={"channels": ("orderbooks", "ticker"), "deadlines": {"ticker": 60.0}})


@pytest.mark.parametrize("periodic", [True, False])
def test_positions_are_subscribed_when_asked_for(periodic: bool) -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(8)
        assert subscribed(bench.socket) == [
            ("executionEvents", None),
            ("orderEvents", None),
            ("positionEvents", None),
            ("positionSummaryEvents", "PERIODIC" if periodic else None),
        ]
        assert bench.private.connected

    on_bench("private", script, private=ALL | {"periodic_summaries": periodic})


@pytest.mark.parametrize(
    ("word", "change"),
    [
        ("OPR", PositionChange.OPENED),
        ("UPR", PositionChange.UPDATED),
        ("ULR", PositionChange.LOSSCUT_MOVED),
        ("CPR", PositionChange.CLOSED),
        ("XPR", PositionChange.UNKNOWN),
    ],
)
def test_what_happened_to_a_position(word: str, change: PositionChange) -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(8)
        bench.socket.say(POSITION | {"msgType": word})
        bench.socket.say(POSITION | {"msgType": word, "size": "0"})
        await asyncio.sleep(0.1)
        first, second = [event for event in bench.seen if isinstance(event, PositionUpdate)]
        assert (first.change, first.position.position_id, first.position.size) == (change, 86266891, Decimal("0.01"))
        assert (first.position.side, first.position.losscut_price) == (Side.SELL, Decimal(5972680))
        assert second.position.size == 0

    on_bench("private", script, private=ALL)


@pytest.mark.parametrize(("word", "periodic"), [("INIT", False), ("UPDATE", False), ("PERIODIC", True), ("NEW", False)])
def test_totals_of_positions(word: str, periodic: bool) -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(8)
        bench.socket.say(SUMMARY | {"msgType": word})
        bench.socket.say(SUMMARY | {"msgType": word, "averagePositionRate": "0", "sumPositionQuantity": "0", "sumOrderQuantity": "0"})
        await asyncio.sleep(0.1)
        first, second = [event for event in bench.seen if isinstance(event, PositionSummaryUpdate)]
        assert (first.periodic, first.summary.size, first.summary.reserved_size) == (periodic, Decimal("0.03"), Decimal("0.01"))
        assert (first.summary.average_price, first.summary.unrealized_pnl_jpy) == (Decimal(1014484), Decimal(18))
        assert second.summary.size == 0

    on_bench("private", script, private=ALL)


def test_an_order_of_unknown_status_is_told_and_not_lost() -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(5)
        bench.socket.say(ORDERED | {"orderStatus": "SUSPENDED", "cancelType": "WHO_KNOWS"})
        bench.socket.say(ORDERED | {"cancelType": "SOK_TAKER", "msgType": "ROR"})
        await asyncio.sleep(0.1)
        first, second = [event.order for event in bench.seen if isinstance(event, OrderUpdate)]
        assert (first.status, first.status.is_final, first.cancel_reason) == (OrderStatus.UNKNOWN, False, "WHO_KNOWS")
        assert (second.status, second.cancel_reason) == (OrderStatus.WORKING, "SOK_TAKER")
        assert bench.private.malformed == 0

    on_bench("private", script)


# --- the exchange's clock between commands ----------------------------------------------------------------------


def paced(server_time: object, *, commands: int = 4) -> list[float]:
    """Return when commands might leave."""

    async def main() -> list[float]:
        clock = VirtualClock()
        pacer = CommandPacer(clock, server_time=server_time(clock))  # type: ignore[operator]
        times = []
        for _ in range(commands):
            await pacer.wait()
            times.append(clock.monotonic())
        return [later - earlier for earlier, later in pairwise(times)]

    return run_virtually(main())


def test_a_clock_that_keeps_step_costs_nothing() -> None:
    def exact(clock: VirtualClock) -> object:
        async def ask() -> int:
            return clock.now_ns()

        return ask

    assert paced(exact) == pytest.approx([1.1] * 3)


def test_a_cached_clock_is_waited_for() -> None:
    def cached(clock: VirtualClock) -> object:
        async def ask() -> int:
            return clock.now_ns() // (2 * NS_PER_SECOND) * 2 * NS_PER_SECOND

        return ask

    waits = paced(cached)
    assert all(1.1 <= wait <= 3.2 for wait in waits)
    assert sum(waits) >= 4.0


@pytest.mark.parametrize("trouble", ["dead", "silent", "frozen"])
def test_a_clock_that_does_not_answer_holds_nobody_up_for_long(trouble: str) -> None:
    def broken(clock: VirtualClock) -> object:
        async def ask() -> int:
            if trouble == "dead":
                raise Unavailable("no answer", category=Category.NETWORK)
            if trouble == "silent":
                await asyncio.sleep(1_000)
            return 0

        return ask

    assert all(1.1 - 1e-9 <= wait <= 5.2 for wait in paced(broken))


def test_two_sockets_waiting_at_once_are_spaced_too() -> None:
    async def main() -> None:
        clock = VirtualClock()

        async def dead() -> int:
            await asyncio.sleep(0.4)
            raise Unavailable("no answer", category=Category.NETWORK)

        pacer, times = CommandPacer(clock, server_time=dead), []

        async def command() -> None:
            await pacer.wait()
            times.append(clock.monotonic())

        await asyncio.gather(*(command() for _ in range(5)))
        assert all(later - earlier >= 1.1 - 1e-9 for earlier, later in pairwise(times))

    run_virtually(main())
