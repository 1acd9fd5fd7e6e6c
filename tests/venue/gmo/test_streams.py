"""Both streams over scripted sockets, on virtual time: what the exchange may do to a connection, and what becomes of it."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmobot.errors import Category, NotSent, OutcomeUnknown, Refused
from gmobot.secrets import Secret
from gmobot.venue.gmo.streams import Stream
from gmobot.venue.models import Book, Execution, OrderStatus, OrderUpdate, Print, StreamEvent, StreamNotice
from gmobot.venue.transport import HandshakeRefused

from ..virtual import run_virtually
from .bench import Bench, FakeSocket, answering, book, healthy, keep_talking, on_bench, ping_for, trade
from .test_wire import EXAMPLES, EXECUTION

ORDERED = next(entry["example"] for entry in EXAMPLES if entry["example"].get("msgType") == "NOR")


# --- commands ---------------------------------------------------------------------------------------------


def test_commands_of_all_streams_of_an_address_are_spaced() -> None:
    async def main() -> None:
        bench = Bench(symbols=("BTC", "ETH"))
        tasks = [asyncio.create_task(stream.run(bench.seen.append)) for stream in (bench.public, bench.private)]
        await asyncio.sleep(10)
        times = sorted(at for socket in bench.sockets.opened for at, _ in socket.commands)
        assert len(times) == 6
        assert all(later - earlier >= 1.1 - 1e-9 for earlier, later in pairwise(times))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run_virtually(main())


def test_the_tape_is_asked_for_the_takers_side_only() -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(5)
        assert [command for _, command in bench.socket.commands] == [
            {"command": "subscribe", "channel": "trades", "symbol": "BTC", "option": "TAKER_ONLY"},
            {"command": "subscribe", "channel": "orderbooks", "symbol": "BTC"},
        ]

    on_bench("public", script)


def test_after_too_many_what_was_not_heard_is_subscribed_again_on_the_same_socket() -> None:
    async def script(bench: Bench) -> None:
        def on_command(command: dict[str, str]) -> None:
            attempts = len(bench.socket.commands)
            bench.socket.say({"error": "ERR-5003 Request too many."}) if attempts == 2 else answering(command, bench.socket)

        bench.sockets.on_open = lambda socket: setattr(socket, "on_command", on_command)
        await asyncio.sleep(0.1)
        bench.socket.say(trade())
        await asyncio.sleep(10)
        sent = [(command["channel"], at) for at, command in bench.socket.commands]
        assert [channel for channel, _ in sent] == ["trades", "orderbooks", "orderbooks"]
        assert sent[2][1] - sent[1][1] >= 2.2 - 1e-9
        assert bench.public.connected
        assert len(bench.sockets.opened) == 1
        assert bench.notices() == [("up", "")]

    on_bench("public", script)


def test_a_late_refusal_when_everything_was_heard_leaves_nothing_to_subscribe() -> None:
    """It comes while the next command waits for its moment: a moment later there is none."""

    async def script(bench: Bench) -> None:
        await asyncio.sleep(0.1)
        bench.socket.say(trade())
        bench.socket.say(book("BTC"))
        bench.socket.say({"error": "ERR-5003 Request too many."})
        await asyncio.sleep(5)
        assert [command["channel"] for _, command in bench.socket.commands] == ["trades"]
        bench.socket.say(book("BTC"))
        await asyncio.sleep(0.1)
        assert bench.public.connected
        assert len(bench.sockets.opened) == 1

    on_bench("public", script)


# --- public: up, down, silence ------------------------------------------------------------------------------


def test_public_is_up_only_when_every_book_was_heard() -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(5)
        bench.socket.say(trade())
        bench.socket.say(book("BTC"))
        await asyncio.sleep(0.1)
        assert bench.notices() == []
        bench.socket.say(book("ETH"))
        await asyncio.sleep(0.1)
        assert bench.notices() == [("up", "")]
        assert bench.public.messages == {"trades": 1, "orderbooks": 2}
        assert bench.public.age_seconds() == pytest.approx(0.1)

    on_bench("public", script, symbols=("BTC", "ETH"))


def test_silence_ends_a_connection_and_the_next_is_made() -> None:
    async def script(bench: Bench) -> None:
        bench.sockets.on_open = healthy
        await asyncio.sleep(2)
        bench.socket.on_command = lambda command: None
        first, last_book = bench.socket, bench.clock.monotonic()
        while not first.closed:
            await asyncio.sleep(0.1)
        assert 13.0 <= bench.clock.monotonic() - last_book <= 17.0
        await asyncio.sleep(5)
        assert [state for state, _ in bench.notices()] == ["up", "down", "up"]
        assert bench.public.reconnects == 1
        assert bench.sockets.opened[-1] is not first

    on_bench("public", script)


def test_one_book_falling_silent_is_noticed_though_others_talk() -> None:
    async def script(bench: Bench) -> None:
        bench.sockets.on_open = healthy
        await asyncio.sleep(6)
        assert bench.public.connected
        await keep_talking(bench, 20, ("BTC",))
        assert bench.notices("down")[0][1].startswith("no book of ETH")

    on_bench("public", script, symbols=("BTC", "ETH"))


def test_a_subscription_lost_without_a_word_is_noticed() -> None:
    async def script(bench: Bench) -> None:
        await keep_talking(bench, 25, ("BTC",))
        assert [state for state, _ in bench.notices()] == ["down"]

    on_bench("public", script, symbols=("BTC", "ETH"))


def test_a_stream_that_talks_stays() -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(3)
        await keep_talking(bench, 3_600)
        assert bench.notices() == [("up", "")]
        assert len(bench.sockets.opened) == 1

    on_bench("public", script)


def test_an_unknown_symbol_is_reported_and_the_stream_does_not_count_as_up() -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(3)
        bench.socket.say({"error": "ERR-5106 Invalid request parameter. symbol"})
        await asyncio.sleep(0.1)
        assert bench.notices() == [("refused", "ERR-5106 Invalid request parameter. symbol")]
        assert not bench.public.connected

    on_bench("public", script)


# --- connecting again ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["public", "private"])
def test_waits_between_attempts_grow_and_have_a_ceiling(kind: str) -> None:
    async def script(bench: Bench) -> None:
        times: list[float] = []
        bench.sockets.refusals = [NotSent("down")] * 40
        while len(times) < 12:
            before = len(bench.sockets.paths)
            while len(bench.sockets.paths) == before:
                await asyncio.sleep(0.01)
            times.append(bench.clock.monotonic())
        waits = [later - earlier for earlier, later in pairwise(times)]
        assert all(low - 0.02 <= wait <= high + 0.02 for wait, (low, high) in zip(waits, [(1, 2), (2, 4)] + [(4, 8)] * 9, strict=True))
        assert len({round(wait, 3) for wait in waits}) > 5

    on_bench(kind, script)


@pytest.mark.parametrize("kind", ["public", "private"])
def test_a_torn_socket_is_replaced(kind: str) -> None:
    async def script(bench: Bench) -> None:
        bench.sockets.on_open = healthy
        await asyncio.sleep(5)
        bench.socket.tear()
        await asyncio.sleep(8)
        assert [state for state, _ in bench.notices()] == ["up", "down", "up"]
        assert bench.notices("down") == [("down", "socket closed (1006)")]

    on_bench(kind, script)


@pytest.mark.parametrize("kind", ["public", "private"])
def test_maintenance_is_called_by_its_name(kind: str) -> None:
    async def script(bench: Bench) -> None:
        bench.sockets.refusals = [HandshakeRefused(503), HandshakeRefused(404)]
        bench.rest.create_trouble = [Refused("ERR-5201", category=Category.MAINTENANCE, code="ERR-5201", retryable=True)]
        await asyncio.sleep(12)
        details = [detail for _, detail in bench.notices("down")]
        assert details[: 1 if kind == "public" else 2] == ["maintenance"] * (1 if kind == "public" else 2)
        assert "404" in details[-1]

    on_bench(kind, script)


def test_maintenance_told_on_an_open_socket_ends_it() -> None:
    async def script(bench: Bench) -> None:
        bench.sockets.on_open = healthy
        await asyncio.sleep(5)
        bench.socket.say({"error": "ERR-5201 MAINTENANCE. Please wait for a while"})
        await asyncio.sleep(0.1)
        assert bench.notices("down") == [("down", "maintenance")]

    on_bench("public", script)


# --- private ------------------------------------------------------------------------------------------------


def test_private_is_up_when_all_was_subscribed_and_nothing_refused() -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(2.0)
        assert bench.notices() == []
        await asyncio.sleep(0.3)
        assert bench.notices() == [("up", "")]
        assert [command["channel"] for _, command in bench.socket.commands] == ["executionEvents", "orderEvents"]
        assert bench.sockets.paths == ["/ws/private/v1/token-1"]

    on_bench("private", script)


@pytest.mark.parametrize("after", [0.1, 1.2, 1.9])
def test_a_key_without_permission_never_counts_as_up(after: float) -> None:
    async def script(bench: Bench) -> None:
        def refuse(socket: FakeSocket) -> None:
            asyncio.get_running_loop().call_later(after, socket.say, {"error": "ERR-5012 Authentication failed."})

        bench.sockets.on_open = refuse
        await asyncio.sleep(60)
        assert bench.notices("up") == []
        assert ("refused", "ERR-5012 Authentication failed.") in bench.notices()
        assert len(bench.sockets.opened) > 3

    on_bench("private", script)


@pytest.mark.parametrize("frame", [{"error": "ERR-5012 no"}, {"error": "ERR-5201 MAINTENANCE"}])
def test_a_stream_cancelled_in_the_moment_it_breaks_ends(frame: dict[str, str]) -> None:
    async def main() -> None:
        bench = Bench()
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def sink(event: StreamEvent) -> None:
            if not told.done():
                told.set_result(None)

        running = asyncio.create_task(bench.private.run(sink))
        bench.sockets.on_open = lambda socket: socket.say(frame)
        await told
        running.cancel()
        await asyncio.wait({running}, timeout=60)
        assert running.cancelled()

    run_virtually(main())


def test_events_are_translated_and_duplicates_passed_on() -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(5)
        for frame in (ORDERED, EXECUTION, EXECUTION):
            bench.socket.say(frame)
        await asyncio.sleep(0.1)
        events = [event for event in bench.seen if not isinstance(event, StreamNotice)]
        assert [type(event) for event in events] == [OrderUpdate, Execution, Execution]
        update, first, second = events
        assert isinstance(update, OrderUpdate)
        assert update.order.status is OrderStatus.WORKING
        assert isinstance(first, Execution)
        assert (first, first.order_size, first.cumulative_size) == (second, Decimal("0.01"), Decimal("0.01"))

    on_bench("private", script)


def test_private_may_be_silent_for_hours_as_long_as_pings_come() -> None:
    async def script(bench: Bench) -> None:
        for _ in range(180):
            await asyncio.sleep(60)
            bench.socket.heard = bench.clock.monotonic()
        assert bench.notices() == [("up", "")]

    on_bench("private", script)


def test_private_without_pings_is_dead() -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(68)
        assert bench.notices("down") == []
        await asyncio.sleep(5)
        assert bench.notices("down")[0][1].startswith("no ping")

    on_bench("private", script)


def test_the_token_is_extended_before_half_its_life_is_over() -> None:
    async def script(bench: Bench) -> None:
        await ping_for(bench, 7_000)
        assert bench.rest.did() == [("create", "token-1")] + [("extend", "token-1")] * 4
        times = [at for _, _, at in bench.rest.log]
        assert all(later - earlier <= 1_800 for earlier, later in pairwise(times))
        assert bench.private.connected

    on_bench("private", script)


@pytest.mark.parametrize(
    "error", [NotSent("x"), OutcomeUnknown("x"), Refused("x", category=Category.RATE_LIMIT, code="ERR-5003", retryable=True)]
)
def test_a_failed_extension_is_tried_again_while_the_token_lives(error: Exception) -> None:
    async def script(bench: Bench) -> None:
        bench.rest.trouble = [error] * 3
        await ping_for(bench, 3_500)
        assert bench.rest.did() == [("create", "token-1")] + [("extend", "token-1")] * 5
        assert bench.notices() == [("up", "")]

    on_bench("private", script)


def test_a_token_that_cannot_be_extended_is_replaced_before_it_dies() -> None:
    async def script(bench: Bench) -> None:
        bench.rest.trouble = [NotSent("x")] * 100
        await ping_for(bench, 3_400)
        created = [at for what, _, at in bench.rest.log if what == "create"]
        assert len(created) == 2
        assert created[1] - created[0] < 3_600

    on_bench("private", script)


def test_a_refused_extension_means_a_new_token_at_once() -> None:
    async def script(bench: Bench) -> None:
        bench.rest.trouble = [Refused("ERR-5106", category=Category.VALIDATION, code="ERR-5106")]
        await ping_for(bench, 1_520)
        assert bench.rest.did() == [("create", "token-1"), ("extend", "token-1"), ("revoke", "token-1"), ("create", "token-2")]

    on_bench("private", script)


def test_every_connection_has_its_own_token_and_the_last_is_revoked() -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(5)
        bench.socket.tear()
        await asyncio.sleep(5)
        assert bench.sockets.paths == ["/ws/private/v1/token-1", "/ws/private/v1/token-2"]
        await bench.private.close()
        await bench.private.close()
        assert bench.rest.did() == [("create", "token-1"), ("revoke", "token-1"), ("create", "token-2"), ("revoke", "token-2")]
        assert "token-" not in f"{bench.seen}"

    on_bench("private", script)


def test_another_key_means_a_new_token_and_a_new_connection() -> None:
    async def script(bench: Bench) -> None:
        await ping_for(bench, 100)
        bench.private.renew()
        await asyncio.sleep(10)
        assert bench.rest.did() == [("create", "token-1"), ("revoke", "token-1"), ("create", "token-2")]
        assert bench.notices() == [("up", ""), ("down", "a new API key"), ("up", "")]
        assert bench.private.connected
        bench.private.renew()
        bench.private.renew()
        await asyncio.sleep(10)
        assert bench.sockets.paths[-1] == "/ws/private/v1/token-3"

    on_bench("private", script)


def test_another_key_while_a_token_is_asked_for_means_another_token() -> None:
    async def script(bench: Bench) -> None:
        had = bench.rest.create_token

        async def slowly() -> Secret:
            token = await had()
            await asyncio.sleep(3.0)
            return token

        bench.rest.create_token = slowly  # type: ignore[method-assign]
        await asyncio.sleep(5)
        bench.socket.tear()
        await asyncio.sleep(2.5)
        bench.private.renew()  # the token that is under way was asked for with the former key
        await asyncio.sleep(15)
        assert [what for what, _ in bench.rest.did()].count("create") == 3
        await asyncio.sleep(50)
        assert [what for what, _ in bench.rest.did()].count("create") == 3, "and with that it is done"

    on_bench("private", script)


# --- hostile frames -----------------------------------------------------------------------------------------

NONSENSE = ["", "{", "[]", "null", b"\xff\xfe", "{}", '{"channel":"news"}', '{"channel":"trades"}', '{"error":5}', '{"x":' * 100_000]


@pytest.mark.parametrize("kind", ["public", "private"])
def test_nonsense_is_counted_told_once_and_dropped_and_the_socket_kept(kind: str) -> None:
    async def script(bench: Bench) -> None:
        bench.sockets.on_open = healthy
        await asyncio.sleep(5)
        stream: Stream = bench.public if kind == "public" else bench.private
        for frame in NONSENSE:
            bench.socket.say(frame)
        bench.socket.say(book() if kind == "public" else EXECUTION)
        await asyncio.sleep(0.1)
        assert stream.malformed == len(NONSENSE)
        assert len(bench.notices("malformed")) == 1
        assert isinstance(bench.seen[-1], Book if kind == "public" else Execution)
        assert len(bench.sockets.opened) == 1

    on_bench(kind, script)


def test_nonsense_is_not_a_sign_of_life() -> None:
    async def script(bench: Bench) -> None:
        bench.sockets.on_open = healthy
        await asyncio.sleep(3)
        for _ in range(20):
            await asyncio.sleep(1)
            bench.socket.say('{"channel":"orderbooks"}')
        assert bench.notices("down")[0][1].startswith("no book")

    on_bench("public", script)


FRAMES = [entry["example"] for entry in EXAMPLES if "channel" in entry["example"] or "error" in entry["example"]]
VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(["NaN", "1e99999", "orderEvents", []])
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.sampled_from(["public", "private"]),
    st.lists(
        st.binary(max_size=40)
        | st.text(max_size=40)
        | st.tuples(st.sampled_from(FRAMES), st.dictionaries(st.sampled_from(sorted(ORDERED)), VALUES, max_size=2)),
        max_size=12,
    ),
)
def test_no_frames_end_a_stream(kind: str, frames: list[Any]) -> None:
    async def script(bench: Bench) -> None:
        bench.sockets.on_open = healthy
        await asyncio.sleep(5)
        for frame in frames:
            bench.socket.say(frame[0] | frame[1] if isinstance(frame, tuple) else frame)
            await asyncio.sleep(0.5)
        await asyncio.sleep(60)

    on_bench(kind, script)


def test_prints_keep_their_order() -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(5)
        for price in range(1, 50):
            bench.socket.say(trade() | {"price": str(price)})
        await asyncio.sleep(0.1)
        assert [event.price for event in bench.seen if isinstance(event, Print)] == list(range(1, 50))

    on_bench("public", script)
