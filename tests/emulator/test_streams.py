"""Sockets: commands, cadence, frames and their recorded shapes, tokens (reference §7, §8)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.emulator.support import PRICE, Desk, btc, code, frames, virtual

from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.market import SyntheticMarket, SyntheticShape
from gmobot.venue.models import Print, Side
from gmobot.venue.transport import HandshakeRefused, Socket, SocketClosed

CALM = SyntheticShape(trades_per_second=1.0, history_seconds=600)


async def _public(desk: Desk, *commands: dict[str, str]) -> Socket:
    socket = await desk.transport.connect("/ws/public/v1", timeout=1.0)
    for command in commands:
        await socket.send(json.dumps({"command": "subscribe", "symbol": "BTC"} | command))
        await asyncio.sleep(1.0)
    return socket


def _running(scenario: Callable[[Desk], Awaitable[None]], **options: Any) -> None:
    """Run a scenario while the exchange runs."""

    async def whole() -> None:
        desk = Desk(**options)
        running = asyncio.create_task(desk.api.run())
        await scenario(desk)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        desk.exchange.check()

    virtual(whole)


def test_public_frames_have_the_recorded_shape(market_data: Path) -> None:
    lines = (market_data / "gmo/ws_samples/frames.jsonl").read_text().splitlines()
    recorded = {frame["channel"]: frame for frame in map(json.loads, lines) if "channel" in frame}
    assert set(recorded) == {"trades", "orderbooks", "ticker"}
    full = json.loads((market_data / "gmo/ws_samples/orderbooks_BTC_JPY_20250430_full.json").read_text())

    async def scenario(desk: Desk) -> None:
        socket = await _public(desk, {"channel": "ticker"}, {"channel": "orderbooks"}, {"channel": "trades"})
        seen: dict[str, dict[str, Any]] = {frame["channel"]: frame for frame in await frames(socket, 30.0)}
        for channel, sample in recorded.items():
            assert list(seen[channel]) == list(sample) or set(seen[channel]) == set(sample)
            assert {key: type(value) for key, value in seen[channel].items()} == {key: type(value) for key, value in sample.items()}
        book = seen["orderbooks"]
        assert (len(book["asks"]), len(book["bids"])) == (len(full["asks"]), len(full["bids"])) == (30, 30)
        assert set(book["asks"][0]) == set(full["asks"][0])

    _running(scenario, market=SyntheticMarket(btc(), seed=1, shape=CALM))


def test_books_come_on_a_grid_when_they_change_and_again_when_quiet() -> None:
    async def scenario(desk: Desk) -> None:
        socket = await _public(desk, {"channel": "orderbooks"})
        await frames(socket, 2.0)
        assert 2 <= len(await frames(socket, 12.0)) <= 3
        changed = 0
        for step in range(20):
            desk.trade("BUY", PRICE + step, "0.001")
            changed += len(await frames(socket, 0.505))
        assert 18 <= changed <= 20

    _running(scenario)


def test_trades_come_from_both_sides_or_the_takers_and_the_latest_option_wins() -> None:
    async def scenario(desk: Desk) -> None:
        socket = await _public(desk, {"channel": "trades"})
        desk.trade("SELL", PRICE, "0.002")
        assert sorted(frame["side"] for frame in await frames(socket, 1.0)) == ["BUY", "SELL"]
        await socket.send(json.dumps({"command": "subscribe", "channel": "trades", "symbol": "BTC", "option": "TAKER_ONLY"}))
        desk.trade("SELL", PRICE, "0.002")
        assert [frame["side"] for frame in await frames(socket, 1.1)] == ["SELL"]
        await socket.send(json.dumps({"command": "unsubscribe", "channel": "trades", "symbol": "BTC"}))
        desk.trade("SELL", PRICE, "0.002")
        assert await frames(socket, 1.0) == []

    _running(scenario)


def test_a_customers_trade_is_printed_too() -> None:
    async def scenario(desk: Desk) -> None:
        socket = await _public(desk, {"channel": "trades", "option": "TAKER_ONLY"})
        await desk.placed("MARKET", "BUY", "0.0001")
        found = await frames(socket, 1.0)
        assert [(frame["side"], frame["size"]) for frame in found] == [("BUY", "0.0001")]

    _running(scenario)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"command":"subscribe","channel":"trades","symbol":"NOPE"}', "ERR-5106 Invalid request parameter. symbol"),
        ('{"command":"subscribe","channel":"Trades","symbol":"BTC"}', "ERR-5106 Invalid request parameter. channel"),
        ('{"command":"subscribe","channel":"orderEvents"}', "ERR-5106 Invalid request parameter. channel"),
        ("nonsense", "ERR-5106 Invalid request parameter."),
        ("[1]", "ERR-5106 Invalid request parameter."),
    ],
)
def test_bad_commands_are_answered_by_an_error_frame_and_the_socket_lives(text: str, error: str) -> None:
    async def scenario(desk: Desk) -> None:
        socket = await desk.transport.connect("/ws/public/v1", timeout=1.0)
        await socket.send(text)
        assert await frames(socket, 1.0) == [{"error": error}]
        await socket.send('{"command":"subscribe","channel":"orderbooks","symbol":"BTC"}')
        assert (await frames(socket, 1.0))[0]["channel"] == "orderbooks"

    _running(scenario)


def test_all_sockets_of_an_address_share_one_command_a_second() -> None:
    async def scenario(desk: Desk) -> None:
        one, two = [await desk.transport.connect("/ws/public/v1", timeout=1.0) for _ in range(2)]
        await one.send('{"command":"subscribe","channel":"trades","symbol":"BTC"}')
        await two.send('{"command":"subscribe","channel":"trades","symbol":"BTC"}')
        assert await frames(two, 0.1) == [{"error": "ERR-5003 Request too many."}]
        elsewhere = await desk.api.open_socket("/ws/public/v1", "10.0.0.2")
        await elsewhere.send('{"command":"subscribe","channel":"trades","symbol":"BTC"}')
        desk.trade("SELL", PRICE, "0.002")
        assert [len(await frames(socket, 0.1)) for socket in (one, two, elsewhere)] == [2, 0, 2]

    _running(scenario)


def test_a_socket_that_never_spoke_dies_after_a_minute_and_others_are_pinged() -> None:
    async def scenario(desk: Desk) -> None:
        mute = await desk.transport.connect("/ws/public/v1", timeout=1.0)
        socket = await desk.private_socket("orderEvents")
        assert await frames(socket, 130.0) == []
        assert desk.clock.monotonic() - socket.last_heard() < 60.0
        with pytest.raises(SocketClosed) as closed:
            await mute.receive()
        assert closed.value.code == 1006
        with pytest.raises(SocketClosed):
            await mute.send("{}")

    _running(scenario)


def test_a_client_that_does_not_read_loses_its_socket_and_nobody_else_does() -> None:
    async def scenario(desk: Desk) -> None:
        slow = await _public(desk, {"channel": "trades"})
        for _ in range(10_001):
            desk.exchange.feed_print(Print(symbol="BTC", side=Side.BUY, size=Decimal(1), price=Decimal(PRICE), at_ns=0))
        with pytest.raises(SocketClosed):
            await slow.send("{}")
        assert (await desk.public("/v1/status"))["status"] == 0

    _running(scenario)


def test_events_follow_the_reply_and_keep_their_order() -> None:
    async def scenario(desk: Desk) -> None:
        socket = await desk.private_socket()
        first = await desk.placed("LIMIT", "BUY", "0.001", PRICE - 100)
        assert await frames(socket, 0.001) == []
        ids = [first] + [await desk.placed("LIMIT", "BUY", "0.001", PRICE - 101 - n) for n in range(4)]
        desk.trade("SELL", PRICE - 500, "1")
        found = await frames(socket, 1.0)
        news = [frame["orderId"] for frame in found if frame["channel"] == "orderEvents"]
        fills = [frame["executionId"] for frame in found if frame["channel"] == "executionEvents"]
        assert news == ids
        assert fills == sorted(fills)
        assert len(fills) == 5

    _running(scenario, assumptions=Assumptions(event_seconds=0.05))


def test_each_event_takes_its_own_time() -> None:
    async def scenario(desk: Desk) -> None:
        socket = await desk.private_socket()
        placed, heard = [], []
        for offset in (100, 200):
            placed.append(desk.clock.monotonic())
            await desk.placed("LIMIT", "BUY", "0.001", PRICE - offset)
            await asyncio.sleep(0.5)
        for _ in placed:
            await socket.receive()
            heard.append(desk.clock.monotonic())
        assert [round(late - early, 2) for early, late in zip(placed, heard, strict=True)] == [2.0, 2.0]

    _running(scenario, assumptions=Assumptions(event_seconds=2.0))


def test_private_frames_have_exactly_the_documented_fields() -> None:
    async def scenario(desk: Desk) -> None:
        socket = await desk.private_socket()
        order_id = await desk.placed("LIMIT", "SELL", "0.01", PRICE + 100)
        desk.trade("BUY", PRICE + 100, "0.004")
        await desk.private("POST", "/v1/cancelOrder", body={"orderId": order_id})
        new, fill, cancel = await frames(socket, 1.0)
        assert set(new) == {
            *("channel", "orderId", "symbol", "settleType", "executionType", "side", "orderStatus", "orderTimestamp", "orderPrice"),
            *("orderSize", "orderExecutedSize", "losscutPrice", "timeInForce", "msgType"),
        }
        assert set(cancel) == set(new) | {"cancelType"}
        assert set(fill) == {
            *("channel", "orderId", "executionId", "symbol", "settleType", "executionType", "side", "executionPrice", "executionSize"),
            *("orderTimestamp", "executionTimestamp", "lossGain", "fee", "orderPrice", "orderSize", "orderExecutedSize"),
            *("timeInForce", "msgType"),
        }
        assert all(isinstance(fill[name], int) for name in ("orderId", "executionId"))
        assert (fill["settleType"], fill["msgType"], fill["lossGain"], fill["fee"]) == ("OPEN", "ER", "0", "-4")
        assert new["orderTimestamp"] == cancel["orderTimestamp"] == fill["orderTimestamp"]

    _running(scenario)


def test_tokens_last_an_hour_are_extended_revoked_and_five_at_most() -> None:
    async def scenario(desk: Desk) -> None:
        async def issue() -> str:
            token: str = (await desk.private("POST", "/v1/ws-auth", body={}))["data"]
            await asyncio.sleep(1.0)
            return token

        async def opens(token: str) -> bool:
            try:
                socket = await desk.transport.connect(f"/ws/private/v1/{token}", timeout=1.0)
            except HandshakeRefused as refused:
                return refused.status != 401
            await socket.close()
            return True

        tokens = [await issue() for _ in range(5)]
        assert "data" not in await desk.private("PUT", "/v1/ws-auth", body={"token": tokens[0]})
        tokens.append(await issue())
        assert [await opens(token) for token in tokens] == [True, False, True, True, True, True]
        await desk.private("DELETE", "/v1/ws-auth", body={"token": tokens[5]})
        assert not await opens(tokens[5])
        assert code(await desk.private("DELETE", "/v1/ws-auth", body={"token": tokens[5]})) == "ERR-5106"
        await asyncio.sleep(3_600.0)
        assert not await opens(tokens[4])
        assert code(await desk.private("PUT", "/v1/ws-auth", body={"token": tokens[4]})) == "ERR-5106"

    _running(scenario)


def test_maintenance_drops_sockets_and_tokens() -> None:
    async def scenario(desk: Desk) -> None:
        token = (await desk.private("POST", "/v1/ws-auth", body={}))["data"]
        socket = await desk.transport.connect(f"/ws/private/v1/{token}", timeout=1.0)
        desk.api.set_status("MAINTENANCE")
        with pytest.raises(SocketClosed):
            await socket.receive()
        with pytest.raises(HandshakeRefused) as refused:
            await desk.transport.connect("/ws/public/v1", timeout=1.0)
        assert refused.value.status == 503
        desk.api.set_status("OPEN")
        with pytest.raises(HandshakeRefused):
            await desk.transport.connect(f"/ws/private/v1/{token}", timeout=1.0)

    _running(scenario)


def test_a_second_subscription_is_no_second_stream_and_moves_nobody_else() -> None:
    async def scenario(desk: Desk) -> None:
        socket = await _public(desk, {"channel": "trades"}, {"channel": "trades"})
        desk.trade("SELL", PRICE, "0.002")
        assert len(await frames(socket, 1.0)) == 2
        early = await _public(desk, {"channel": "orderbooks"})
        assert len(await frames(early, 0.2)) == 1
        await _public(desk, {"channel": "orderbooks"})
        assert await frames(early, 1.0) == []  # the book of a newcomer goes to the newcomer

    _running(scenario)


@pytest.mark.parametrize(("channel", "most"), [("orderbooks", 0.51), ("trades", 0.01)])
def test_the_first_data_comes_soon_after_a_subscription_without_any_acknowledgement(channel: str, most: float) -> None:
    async def scenario(desk: Desk) -> None:
        socket = await desk.transport.connect("/ws/public/v1", timeout=1.0)
        await socket.send(json.dumps({"command": "subscribe", "channel": channel, "symbol": "BTC"}))
        if channel == "trades":
            desk.trade("SELL", PRICE, "0.002")
        (first, *_) = await frames(socket, most)
        assert first["channel"] == channel
        await asyncio.sleep(1.0)
        await socket.send(json.dumps({"command": "unsubscribe", "channel": channel, "symbol": "BTC"}))
        await frames(socket, 0.1)
        assert await frames(socket, 10.0) == []

    _running(scenario)


def test_a_ticker_comes_after_trades_and_stays_away_without() -> None:
    async def scenario(desk: Desk) -> None:
        socket = await _public(desk, {"channel": "ticker"})
        await frames(socket, 1.0)
        assert await frames(socket, 20.0) == []
        desk.trade("SELL", PRICE - 7, "0.002")
        (found,) = await frames(socket, 1.0)
        assert (found["channel"], found["last"]) == ("ticker", str(PRICE - 7))

    _running(scenario)


def test_pings_of_the_client_keep_a_socket_alive_that_never_subscribed() -> None:
    async def scenario(desk: Desk) -> None:
        socket = await desk.api.open_socket("/ws/public/v1")
        for _ in range(10):
            await asyncio.sleep(20.0)
            socket.spoke()
        await asyncio.sleep(50.0)
        assert socket.is_open
        await asyncio.sleep(20.0)
        assert not socket.is_open

    _running(scenario)


class _DeafLine:
    """A connection whose client answers no ping."""

    def __init__(self) -> None:
        self.pings = 0
        self.is_cut = False

    def send(self, frame: str) -> bool:
        return True

    def ping(self) -> None:
        self.pings += 1

    def cut(self) -> None:
        self.is_cut = True


def test_three_missed_pongs_in_a_row_end_a_connection_and_two_do_not() -> None:
    async def scenario(desk: Desk) -> None:
        lines, sockets = [_DeafLine(), _DeafLine()], [await desk.api.open_socket("/ws/public/v1", f"10.0.0.{n}") for n in range(2)]
        for socket, line in zip(sockets, lines, strict=True):
            socket.attach(line)
            await socket.send('{"command":"subscribe","channel":"trades","symbol":"BTC"}')
        await asyncio.sleep(179.0)
        assert [line.pings for line in lines] == [2, 2]
        sockets[1].answered()
        await asyncio.sleep(60.0)
        assert [(line.pings, line.is_cut) for line in lines] == [(3, False), (3, False)]
        await asyncio.sleep(2.0)
        assert [(line.pings, line.is_cut) for line in lines] == [(3, True), (4, False)]

    _running(scenario)


@pytest.mark.parametrize(("cuts", "left"), [(False, True), (True, False)])
def test_whether_the_end_of_a_token_cuts_its_socket_is_assumed(cuts: bool, left: bool) -> None:
    async def scenario(desk: Desk) -> None:
        token = (await desk.private("POST", "/v1/ws-auth", body={}))["data"]
        socket = await desk.api.open_socket(f"/ws/private/v1/{token}")
        await socket.send('{"command":"subscribe","channel":"orderEvents"}')
        await asyncio.sleep(3_500.0)
        await desk.private("PUT", "/v1/ws-auth", body={"token": token})
        await asyncio.sleep(3_500.0)
        assert socket.is_open
        await asyncio.sleep(200.0)
        assert socket.is_open is left

    _running(scenario, assumptions=Assumptions(token_end_cuts_socket=cuts))
