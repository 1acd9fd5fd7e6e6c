"""Every fault has a probe: it sees the fault bite when armed, and nothing when it is not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.emulator.support import PRICE, START_NS, Desk, code, frames, virtual

from gmobot.clock import parse_iso_utc
from gmobot.emulator.faults import Fault
from gmobot.errors import ConfigError
from gmobot.venue.transport import HandshakeRefused, ReplyLost, Request, SocketClosed, Timeouts

ORDER = {"symbol": "BTC", "side": "BUY", "executionType": "LIMIT", "price": str(PRICE - 1_000), "size": "0.001"}
Probe = Callable[[Desk], Awaitable[bool]]


async def _order(desk: Desk) -> Any:
    return await desk.private("POST", "/v1/order", body=ORDER)


async def _lost(desk: Desk, placed: int) -> bool:
    try:
        await _order(desk)
    except ReplyLost:
        return len(desk.account.orders) == placed
    return False


async def _bad_gateway(desk: Desk, placed: int) -> bool:
    reply = await desk.reply("POST", "/v1/order", body=ORDER)
    return reply.status == 502 and reply.body.startswith(b"<html>") and len(desk.account.orders) == placed


async def _refused(desk: Desk, expected: str) -> bool:
    answer = await _order(desk)
    return answer["status"] != 0 and code(answer) == expected and not desk.account.orders


async def _reply_seconds(desk: Desk) -> float:
    started = desk.clock.monotonic()
    await _order(desk)
    return desk.clock.monotonic() - started


async def _slow(desk: Desk) -> bool:
    return await _reply_seconds(desk) > 0.15


async def _event_first(desk: Desk) -> bool:
    socket = await desk.private_socket("orderEvents")
    heard = asyncio.create_task(_heard_at(desk, socket))
    await _order(desk)
    replied = desk.clock.monotonic()
    return await heard < replied


async def _heard_at(desk: Desk, socket: Any) -> float:
    await socket.receive()
    return desk.clock.monotonic()


async def _skewed(desk: Desk) -> bool:
    answer = await desk.public("/v1/status")
    shift = abs(parse_iso_utc(answer["responsetime"]) - desk.clock.now_ns()) / 1e9
    return shift > 1.0 or (await _order(desk))["status"] != 0


async def _stale(desk: Desk) -> bool:
    request = Request("GET", "/public/v1/orderbooks", "symbol=BTC")
    first = (await desk.transport.request(request, Timeouts())).body
    desk.trade("BUY", PRICE + 50_000, "0.1")
    await asyncio.sleep(0.4)
    return (await desk.transport.request(request, Timeouts())).body == first


async def _permission(desk: Desk) -> bool:
    answer = await _order(desk)
    return answer["status"] != 0 and code(answer) == "ERR-5012"


async def _token_gone(desk: Desk) -> bool:
    token = (await desk.private("POST", "/v1/ws-auth", body={}))["data"]
    answer = await desk.private("PUT", "/v1/ws-auth", body={"token": token})
    return answer["status"] != 0 and code(answer) == "ERR-5106"


async def _hidden(desk: Desk) -> bool:
    await _order(desk)
    return not (await desk.private("GET", "/v1/activeOrders", "symbol=BTC"))["data"]


async def _cancelled(desk: Desk) -> bool:
    await _order(desk)
    await asyncio.sleep(2.5)
    (order,) = desk.account.orders.values()
    return (order.status, order.cancel_type) == ("CANCELED", "INSUFFICIENT_BALANCE")


async def _ids(desk: Desk, seconds: float = 10.0) -> list[int]:
    """Two fills a moment apart, as the stream tells them."""
    socket = await desk.private_socket("executionEvents")
    for _ in range(2):
        await desk.placed("MARKET", "BUY", "0.0001")
    return [frame["executionId"] for frame in await frames(socket, seconds)]


async def _doubled(desk: Desk) -> bool:
    found = await _ids(desk)
    return len(found) == 3 and len(set(found)) == 2


async def _swapped(desk: Desk) -> bool:
    one, two = await _ids(desk)
    return one > two


async def _late(desk: Desk) -> bool:
    return len(await _ids(desk, 0.1)) == 1


async def _missing(desk: Desk) -> bool:
    return len(await _ids(desk)) == 1


async def _silent(desk: Desk) -> bool:
    return await _ids(desk) == []


async def _dropped(desk: Desk) -> bool:
    try:
        return len(await _ids(desk)) != 2
    except SocketClosed as closed:
        return closed.code == 1006


async def _no_handshake(desk: Desk) -> bool:
    try:
        await desk.transport.connect("/ws/public/v1", timeout=1.0)
    except HandshakeRefused as refused:
        return refused.status == 503
    return False


PROBES: dict[Fault, Probe] = {
    Fault.REPLY_LOST_BEFORE: lambda desk: _lost(desk, 0),
    Fault.REPLY_LOST_AFTER: lambda desk: _lost(desk, 1),
    Fault.REPLY_SLOW: _slow,
    Fault.EVENT_BEFORE_REPLY: _event_first,
    Fault.SERVER_ERROR: lambda desk: _bad_gateway(desk, 1),
    Fault.SERVER_ERROR_BEFORE: lambda desk: _bad_gateway(desk, 0),
    Fault.SERVER_BUSY: lambda desk: _refused(desk, "ERR-554"),
    Fault.SERVER_OVERLOADED: lambda desk: _refused(desk, "ERR-626"),
    Fault.RATE_LIMITED: lambda desk: _refused(desk, "ERR-5003"),
    Fault.CLOCK_SKEW: _skewed,
    Fault.STALE_PUBLIC: _stale,
    Fault.PERMISSION_REFUSED: _permission,
    Fault.TOKEN_INVALIDATED: _token_gone,
    Fault.HIDDEN: _hidden,
    Fault.ACCEPTED_THEN_CANCELLED: _cancelled,
    Fault.EVENT_DUPLICATED: _doubled,
    Fault.EVENT_REORDERED: _swapped,
    Fault.EVENT_DELAYED: _late,
    Fault.EVENT_LOST: _missing,
    Fault.SOCKET_SILENT: _silent,
    Fault.SOCKET_DROPPED: _dropped,
    Fault.HANDSHAKE_REFUSED: _no_handshake,
}
WHERE = {
    Fault.REPLY_LOST_BEFORE: "/v1/order",
    Fault.EVENT_BEFORE_REPLY: "/v1/order",
    Fault.PERMISSION_REFUSED: "/v1/order",
    Fault.SERVER_ERROR: "/v1/order",
}


@pytest.mark.parametrize("fault", list(Fault))
def test_a_fault_bites_when_armed_and_not_by_default(fault: Fault) -> None:
    async def scenario(*, armed: bool) -> tuple[bool, int]:
        desk = Desk()
        if armed:
            desk.api.arm({"fault": fault.value, "where": WHERE.get(fault, "*")} | ({"seconds": 20.0} if fault is Fault.CLOCK_SKEW else {}))
        return await PROBES[fault](desk), desk.faults.struck.get(fault, 0)

    assert virtual(lambda: scenario(armed=True)) == (True, 1)
    assert virtual(lambda: scenario(armed=False)) == (False, 0)


@pytest.mark.parametrize(("shift", "expected"), [(20.0, "ERR-5009"), (-20.0, "ERR-5008")])
def test_a_shifted_server_clock_refuses_good_timestamps_and_stamps_its_replies(shift: float, expected: str) -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.api.arm({"fault": "clock_skew", "times": None, "seconds": shift})
        answer = await _order(desk)
        assert code(answer) == expected
        assert abs(parse_iso_utc(answer["responsetime"]) - START_NS - shift * 1e9) < 1e9
        headers = (await desk.transport.request(Request("GET", "/public/v1/status"), Timeouts())).headers
        assert headers["Date"] == ("Wed, 01 Jan 2025 00:00:20 GMT" if shift > 0 else "Tue, 31 Dec 2024 23:59:40 GMT")
        behind = int(START_NS / 1e6 + shift * 1_000)
        assert (await desk.private("POST", "/v1/order", body=ORDER, at_ms=behind))["status"] == 0

    virtual(scenario)


def test_stale_replies_are_identical_up_to_their_age_and_then_new() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.api.arm({"fault": "stale_public", "where": "/v1/status", "times": None, "seconds": 1.0})
        request = Request("GET", "/public/v1/status")
        seen = []
        for _ in range(6):
            seen.append((await desk.transport.request(request, Timeouts())).body)
            await asyncio.sleep(0.29)
        assert [seen.count(body) for body in dict.fromkeys(seen)] == [4, 2]

    virtual(scenario)


def test_a_token_can_be_gone_when_it_is_used() -> None:
    async def scenario() -> None:
        desk = Desk()
        token = (await desk.private("POST", "/v1/ws-auth", body={}))["data"]
        desk.api.arm({"fault": "token_invalidated", "where": "connect"})
        for _ in range(2):
            with pytest.raises(HandshakeRefused) as refused:
                await desk.transport.connect(f"/ws/private/v1/{token}", timeout=1.0)
            assert refused.value.status == 401

    virtual(scenario)


def test_a_refused_channel_says_so_in_a_frame_and_stays_silent() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.api.arm({"fault": "permission_refused", "where": "executionEvents"})
        socket = await desk.private_socket()
        await desk.placed("MARKET", "BUY", "0.0001")
        await _order(desk)
        refusal, *events = await frames(socket, 2.0)
        assert refusal["error"].startswith("ERR-5012")
        assert [event["channel"] for event in events] == ["orderEvents"]
        await socket.send(json.dumps({"command": "subscribe", "channel": "executionEvents"}))
        await desk.placed("MARKET", "BUY", "0.0001")
        assert [event["channel"] for event in await frames(socket, 2.0)] == ["executionEvents"]

    virtual(scenario)


def test_a_frame_that_nothing_follows_is_not_held_for_ever() -> None:
    async def scenario() -> None:
        desk = Desk()
        socket = await desk.private_socket("executionEvents")
        desk.api.arm({"fault": "event_reordered", "where": "executionEvents", "seconds": 3.0})
        await desk.placed("MARKET", "BUY", "0.0001")
        assert await frames(socket, 2.5) == []
        assert len(await frames(socket, 1.0)) == 1

    virtual(scenario)


def test_public_frames_are_lost_and_doubled_too() -> None:
    async def scenario() -> None:
        desk = Desk()
        socket = await desk.transport.connect("/ws/public/v1", timeout=1.0)
        await socket.send('{"command":"subscribe","channel":"trades","symbol":"BTC","option":"TAKER_ONLY"}')
        desk.api.arm({"fault": "event_lost", "where": "trades"})
        desk.trade("BUY", PRICE, "0.1")
        desk.api.arm({"fault": "event_duplicated", "where": "trades"})
        desk.trade("BUY", PRICE, "0.2")
        assert [frame["size"] for frame in await frames(socket, 3.0)] == ["0.2", "0.2"]

    virtual(scenario)


def test_what_is_cancelled_after_it_was_accepted_frees_what_it_held_and_is_told_unless_it_has_ended() -> None:
    async def scenario() -> None:
        desk = Desk()
        socket = await desk.private_socket("orderEvents")
        desk.api.arm({"fault": "accepted_then_cancelled", "where": "/v1/order", "times": 2, "seconds": 1.0})
        await desk.placed("MARKET", "BUY", "0.001")
        held = desk.account.jpy_uyen
        first = await _order(desk)
        await asyncio.sleep(0.5)
        assert [order.status for order in desk.account.orders.values()] == ["EXECUTED", "ORDERED"], "what filled at once is no matter of it"
        await asyncio.sleep(1.0)
        told = [
            (frame["msgType"], frame["orderStatus"], frame["cancelType"]) for frame in await frames(socket, 0.5) if "cancelType" in frame
        ]
        assert told[-1] == ("COR", "CANCELED", "INSUFFICIENT_BALANCE")
        assert desk.account.jpy_uyen == held
        again = await _order(desk)
        assert again["data"] != first["data"]
        await desk.private("POST", "/v1/cancelOrder", body={"orderId": int(again["data"])})
        await asyncio.sleep(2.0)
        assert desk.account.orders[int(again["data"])].cancel_type == "USER"

    virtual(scenario)


@pytest.mark.parametrize(("fault", "seconds"), [("reply_slow", 2.0), ("event_delayed", 2.0), ("hidden", 2.0)])
def test_how_long_it_takes_can_be_said(fault: str, seconds: float) -> None:
    async def scenario() -> float:
        desk = Desk()
        socket = await desk.private_socket("orderEvents")
        desk.api.arm({"fault": fault, "seconds": seconds})
        started = desk.clock.monotonic()
        await _order(desk)
        if fault == "event_delayed":
            await socket.receive()
        while fault == "hidden" and not (await desk.private("GET", "/v1/activeOrders", "symbol=BTC"))["data"]:
            await asyncio.sleep(0.1)
        return desk.clock.monotonic() - started

    assert seconds <= virtual(scenario) < seconds + 0.2


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"fault": "plague"}, "there are: maintenance, reply_lost_before"),
        ({"where": "/v1/order"}, "missing required field `fault`"),
        ({"fault": "reply_slow", "tmies": 2}, "unknown field `tmies`"),
        ({"fault": "reply_slow", "times": "often"}, "Expected `int | null`, got `str`"),
        ({"fault": "reply_slow", "seconds": -1}, "reply_slow: seconds -1.0"),
        ({"fault": "reply_slow", "seconds": float("inf")}, "reply_slow: seconds inf"),
        ({"fault": "maintenance", "times": 2}, "unknown field `times`"),
        ({"fault": "maintenance", "seconds": -1}, "maintenance: seconds -1.0"),
        ({"fault": "maintenance", "status_endpoint": "both"}, "maintenance: Invalid enum value 'both'"),
    ],
)
def test_a_wish_that_makes_no_sense_is_explained(wish: dict[str, Any], told: str) -> None:
    async def scenario() -> None:
        desk = Desk()
        with pytest.raises(ConfigError) as refused:
            desk.api.arm(wish)
        assert told in str(refused.value)
        assert desk.faults.describe() == []
        assert desk.api.maintenance.describe() == []

    virtual(scenario)
