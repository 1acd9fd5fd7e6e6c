"""Each fault does what its name says, once or as often as asked, and the same for the same seed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.emulator.support import PRICE, Desk, code, frames, virtual

from gmobot.emulator.faults import Fault, Faults
from gmobot.errors import ConfigError, NotSent
from gmobot.venue.transport import HandshakeRefused, ReplyLost, Request, SocketClosed, Timeouts

ORDER = {"symbol": "BTC", "side": "BUY", "executionType": "LIMIT", "price": str(PRICE - 1_000), "size": "0.001"}


@pytest.mark.parametrize(("fault", "placed"), [("reply_lost_before", 0), ("reply_lost_after", 1)])
def test_a_lost_reply_says_nothing_about_the_order(fault: str, placed: int) -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.faults.arm(fault, where="/v1/order")
        assert (await desk.private("GET", "/v1/account/assets"))["status"] == 0
        with pytest.raises(ReplyLost):
            await desk.private("POST", "/v1/order", body=ORDER)
        assert len(desk.account.orders) == placed
        assert (await desk.private("POST", "/v1/order", body=ORDER))["status"] == 0

    virtual(scenario)


@pytest.mark.parametrize(("fault", "placed"), [("server_error_before", 0), ("server_error", 1)])
def test_a_gateway_error_is_html_and_says_nothing_either(fault: str, placed: int) -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.faults.arm(fault)
        reply = await desk.reply("POST", "/v1/order", body=ORDER)
        assert (reply.status, reply.body[:6]) == (502, b"<html>")
        assert len(desk.account.orders) == placed

    virtual(scenario)


@pytest.mark.parametrize(("fault", "expected"), [("rate_limited", "ERR-5003"), ("server_busy", "ERR-554")])
def test_a_burst_of_refusals_ends(fault: str, expected: str) -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.faults.arm(fault, where="/v1/order", times=3)
        for _ in range(3):
            assert code(await desk.private("POST", "/v1/order", body=ORDER)) == expected
        assert (await desk.private("POST", "/v1/order", body=ORDER))["status"] == 0
        assert len(desk.account.orders) == 1

    virtual(scenario)


def test_an_event_can_precede_the_reply() -> None:
    async def scenario() -> None:
        desk = Desk()
        socket = await desk.private_socket()
        heard: list[float] = []

        async def listen() -> None:
            await socket.receive()
            heard.append(desk.clock.monotonic())

        for fault in ("event_before_reply", "reply_slow"):
            desk.faults.arm(fault, where="/v1/order")
            listening = asyncio.create_task(listen())
            await desk.private("POST", "/v1/order", body=ORDER)
            await listening
            assert heard.pop() < desk.clock.monotonic()

    virtual(scenario)


def test_a_reply_slower_than_the_clients_patience_is_lost_and_the_order_stands() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.faults.arm("reply_slow", where="/v1/order")
        content = json.dumps(ORDER).encode()
        request = Request("POST", "/private/v1/order", "", desk.signed("POST", "/v1/order", content), content)
        with pytest.raises(ReplyLost):
            await desk.transport.request(request, Timeouts(reply=0.1))
        assert len(desk.account.orders) == 1
        await asyncio.sleep(5.0)

    virtual(scenario)


def test_a_hidden_order_appears_later() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.faults.arm("hidden", where="/v1/order")
        await desk.placed("LIMIT", "BUY", "0.001", PRICE - 1_000)
        assert (await desk.private("GET", "/v1/activeOrders", "symbol=BTC"))["data"] == {}
        await asyncio.sleep(2.5)
        assert len((await desk.private("GET", "/v1/activeOrders", "symbol=BTC"))["data"]["list"]) == 1

    virtual(scenario)


@pytest.mark.parametrize(("fault", "seen"), [("event_duplicated", 2), ("event_lost", 0), ("event_delayed", 1)])
def test_events_are_doubled_lost_or_late(fault: str, seen: int) -> None:
    async def scenario() -> None:
        desk = Desk()
        socket = await desk.private_socket()
        desk.faults.arm(fault, where="executionEvents")
        await desk.placed("MARKET", "BUY", "0.0001")
        soon = await frames(socket, 0.1)
        found = soon + await frames(socket, 10.0)
        assert [frame["channel"] for frame in found] == ["executionEvents"] * seen
        assert fault != "event_delayed" or not soon
        assert len({frame["executionId"] for frame in found}) == min(1, seen)

    virtual(scenario)


def test_a_silent_socket_stays_open_and_is_not_even_pinged() -> None:
    async def scenario() -> None:
        desk = Desk()
        running = asyncio.create_task(desk.api.run())
        socket = await desk.private_socket()
        desk.faults.arm("socket_silent", where="orderEvents")
        started = desk.clock.monotonic()
        await desk.placed("LIMIT", "BUY", "0.001", PRICE - 1_000)
        assert await frames(socket, 200.0) == []
        assert socket.last_heard() <= started
        await socket.send("{}")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    virtual(scenario)


def test_a_dropped_socket_and_a_refused_handshake() -> None:
    async def scenario() -> None:
        desk = Desk()
        socket = await desk.private_socket()
        desk.faults.arm("socket_dropped", where="orderEvents")
        await desk.placed("LIMIT", "BUY", "0.001", PRICE - 1_000)
        with pytest.raises(SocketClosed) as closed:
            await socket.receive()
        assert closed.value.code == 1006
        desk.faults.arm("handshake_refused")
        with pytest.raises(HandshakeRefused):
            await desk.transport.connect("/ws/public/v1", timeout=1.0)
        await (await desk.transport.connect("/ws/public/v1", timeout=1.0)).close()

    virtual(scenario)


def test_a_closed_transport_sends_nothing() -> None:
    async def scenario() -> None:
        desk = Desk()
        socket = await desk.private_socket()
        await desk.transport.close()
        await desk.transport.close()
        with pytest.raises(SocketClosed):
            await socket.receive()
        with pytest.raises(NotSent):
            await desk.public("/v1/status")
        with pytest.raises(NotSent):
            await desk.transport.connect("/ws/public/v1", timeout=1.0)

    virtual(scenario)


def test_chance_is_seeded_and_each_fault_draws_from_its_own() -> None:
    def run(seed: int, *, also: bool) -> list[bool]:
        faults = Faults(seed)
        faults.arm("event_lost", probability=0.5, times=None)
        if also:
            faults.arm("event_delayed", probability=0.5, times=None)
        return [faults.strikes(Fault.EVENT_LOST, "orderEvents") for _ in range(50) if not faults.strikes(Fault.EVENT_DELAYED, "x") or True]

    assert run(1, also=False) == run(1, also=False) == run(1, also=True) != run(2, also=False)


@pytest.mark.parametrize("wish", [{"fault": "plague"}, {"fault": "event_lost", "probability": 1.1}, {"fault": "event_lost", "times": 0}])
def test_a_fault_that_makes_no_sense_is_a_clear_mistake(wish: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=wish["fault"]):
        Faults().arm(**wish)
    with pytest.raises(ConfigError, match="plague"):
        Faults().disarm("plague")


def test_disarming_takes_back_one_kind_or_all() -> None:
    faults = Faults()
    for name in ("event_lost", "event_delayed", "event_lost"):
        faults.arm(name)
    faults.disarm("event_lost")
    assert [armed["fault"] for armed in faults.describe()] == ["event_delayed"]
    faults.disarm()
    assert faults.describe() == []
