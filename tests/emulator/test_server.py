"""The emulator on a real port, used by a client that knows aiohttp and the standard library and nothing of ours."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from tests.emulator.support import Desk, btc

from gmobot.clock import SystemClock
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.market import SyntheticMarket, SyntheticShape
from gmobot.emulator.server import EmulatorServer

BUSY = SyntheticShape(trades_per_second=200.0, history_seconds=60)


class Foreign:
    """A bot written for production whose base address was changed."""

    def __init__(self, session: aiohttp.ClientSession, host: str) -> None:
        self.session = session
        self.rest = f"http://{host}"
        self.ws = f"ws://{host}"

    async def private(self, method: str, path: str, query: dict[str, str] | None = None, body: Any = None) -> Any:
        text = "" if body is None else json.dumps(body)
        stamp = str(int(time.time())) + "000"
        signed = stamp + method + path + (text if method == "POST" else "")
        headers = {
            "API-KEY": "emulator-key",
            "API-TIMESTAMP": stamp,
            "API-SIGN": hmac.new(b"emulator-secret", signed.encode(), hashlib.sha256).hexdigest(),
        }
        async with self.session.request(method, f"{self.rest}/private{path}", params=query, data=text or None, headers=headers) as reply:
            assert reply.status == 200
            return await reply.json()

    async def subscribe(self, path: str, *commands: dict[str, str]) -> aiohttp.ClientWebSocketResponse:
        socket = await self.session.ws_connect(self.ws + path, compress=15)
        for command in commands:
            await socket.send_str(json.dumps({"command": "subscribe"} | command))
        return socket


@asynccontextmanager
async def served(**options: Any) -> AsyncIterator[tuple[Desk, Foreign]]:
    clock: Any = SystemClock()
    desk = Desk(clock=clock, **options)
    server = EmulatorServer(desk.api)
    await server.start("127.0.0.1", 0)
    running = asyncio.create_task(desk.api.run())
    try:
        async with aiohttp.ClientSession() as session:
            yield desk, Foreign(session, f"127.0.0.1:{server.port}")
    finally:
        await server.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        desk.exchange.check()


async def test_a_foreign_client_trades_and_hears_of_it_on_the_private_stream() -> None:
    async with served() as (_desk, client):
        token = (await client.private("POST", "/v1/ws-auth", body={}))["data"]
        socket = await client.subscribe(f"/ws/private/v1/{token}", {"channel": "orderEvents"})
        body = {"symbol": "BTC", "side": "BUY", "executionType": "LIMIT", "price": "9900000", "size": "0.001"}
        order_id = int((await client.private("POST", "/v1/order", body=body))["data"])
        placed = await socket.receive_json(timeout=5)
        active = await client.private("GET", "/v1/activeOrders", {"symbol": "BTC"})
        assert [row["orderId"] for row in active["data"]["list"]] == [order_id]
        assert "data" not in await client.private("POST", "/v1/cancelOrder", body={"orderId": order_id})
        cancelled = await socket.receive_json(timeout=5)
        assert [(e["orderId"], e["msgType"], e["orderStatus"]) for e in (placed, cancelled)] == [
            (order_id, "NOR", "ORDERED"),
            (order_id, "COR", "CANCELED"),
        ]
        assert (await client.private("GET", "/v1/activeOrders", {"symbol": "BTC"}))["data"] == {}
        assert "data" not in await client.private("PUT", "/v1/ws-auth", body={"token": token})
        assert "data" not in await client.private("DELETE", "/v1/ws-auth", body={"token": token})
        await socket.close()


async def test_the_public_streams_flow_compressed() -> None:
    market = SyntheticMarket(btc(), seed=3, shape=BUSY)
    async with served(market=market) as (_, client):
        socket = await client.subscribe("/ws/public/v1", {"channel": "trades", "symbol": "BTC"})
        rows = [await socket.receive_json(timeout=5) for _ in range(4)]
        assert socket.compress
        assert {row["channel"] for row in rows} == {"trades"}
        pairs = [{row["side"] for row in rows[n : n + 2]} for n in (0, 2)]
        assert pairs == [{"BUY", "SELL"}] * 2
        await socket.close()


async def test_a_lost_reply_is_a_connection_cut_after_the_order_was_taken() -> None:
    async with served() as (desk, client):
        desk.faults.arm("reply_lost_after", where="/v1/order")
        body = {"symbol": "BTC", "side": "BUY", "executionType": "LIMIT", "price": "9900000", "size": "0.001"}
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.private("POST", "/v1/order", body=body)
        assert len(desk.account.open_orders) == 1


async def test_a_dropped_socket_ends_without_a_close_frame() -> None:
    async with served() as (desk, client):
        socket = await client.subscribe("/ws/public/v1", {"channel": "trades", "symbol": "BTC"})
        await asyncio.sleep(0.05)
        desk.api.hub.drop_all()
        message = await socket.receive(timeout=5)
        assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSING)
        assert socket.close_code == 1006


@pytest.mark.parametrize(("path", "status"), [("/ws/public", 404), ("/ws/private/v1/nonsense", 401)])
async def test_a_bad_handshake_is_refused_with_its_http_status(path: str, status: int) -> None:
    async with served() as (_, client):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.session.ws_connect(client.ws + path)
        assert refused.value.status == status


async def test_maintenance_refuses_sockets_with_503_and_drops_the_open_ones() -> None:
    async with served() as (_desk, client):
        socket = await client.subscribe("/ws/public/v1")
        async with client.session.post(f"{client.rest}/emulator/v1/status", json={"status": "MAINTENANCE"}) as reply:
            assert (await reply.json())["status"] == "MAINTENANCE"
        assert (await socket.receive(timeout=5)).type is not aiohttp.WSMsgType.TEXT
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.session.ws_connect(client.ws + "/ws/public/v1")
        assert refused.value.status == 503
        async with client.session.get(f"{client.rest}/public/v1/status") as reply:
            assert (reply.status, (await reply.json())["messages"][0]["message_code"]) == (200, "ERR-5201")


async def test_the_emulator_says_what_it_is_and_shows_its_books() -> None:
    async with served(assumptions=Assumptions(reply_seconds=0.0)) as (_, client):
        await client.private("POST", "/v1/order", body={"symbol": "BTC", "side": "SELL", "executionType": "MARKET", "size": "0.0001"})

        async def get(path: str) -> Any:
            async with client.session.get(f"{client.rest}/emulator/v1{path}") as reply:
                assert reply.status == 200
                return await reply.json()

        assert (await get(""))["emulator"] == "gmobot"
        record = (await get("/access"))["access"][-1]
        assert (record["key"], record["method"], record["path"], record["error"]) == ("emulator-key", "POST", "/v1/order", None)
        books = (await get("/ledger"))["emulator-key"]
        assert books["balances"]["BTC"] == "0.4999"
        assert [execution["size"] for execution in books["executions"]] == ["0.0001"]


async def test_faults_are_armed_and_taken_back_over_http() -> None:
    async with served() as (_desk, client):
        faults = f"{client.rest}/emulator/v1/faults"
        async with client.session.post(faults, json={"fault": "rate_limited", "where": "/v1/status", "times": 2}) as reply:
            (armed,) = (await reply.json())["armed"]
            assert armed == {"fault": "rate_limited", "where": "/v1/status", "times": 2, "probability": 1.0, "seconds": None}
        async with client.session.get(f"{client.rest}/public/v1/status") as reply:
            assert await reply.json() == {
                "status": 4,
                "messages": [{"message_code": "ERR-5003", "message_string": "Requests are too many."}],
            }
        async with client.session.delete(faults) as reply:
            assert await reply.json() == {"armed": [], "struck": {"rate_limited": 1}}
        async with client.session.post(faults, json={"fault": "plague"}) as reply:
            assert reply.status == 400
            assert "there is no such fault" in (await reply.json())["error"]


async def test_deflate_keeps_no_context_between_messages_either_way() -> None:
    async with served(market=SyntheticMarket(btc(), seed=3, shape=BUSY)) as (_, client):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(client.rest.rpartition(":")[2]))
        writer.write(
            b"GET /ws/public/v1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert "permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n" in head
        command = b'{"command":"subscribe","channel":"trades","symbol":"BTC"}'
        writer.write(bytes([0x81, 0x80 | len(command), 0, 0, 0, 0]) + command)  # masked with zeros
        for _ in range(3):
            first, size = await reader.readexactly(2)
            assert (first, size < 126) == (0xC1, True)
            # A decompressor that knows nothing of earlier messages reads each of them.
            text = zlib.decompressobj(-15).decompress(await reader.readexactly(size) + b"\x00\x00\xff\xff")
            assert json.loads(text)["channel"] == "trades"
        writer.close()


async def test_a_client_that_cannot_deflate_gets_plain_frames() -> None:
    async with served(market=SyntheticMarket(btc(), seed=3, shape=BUSY)) as (_, client):
        socket = await client.session.ws_connect(client.ws + "/ws/public/v1", compress=0)
        await socket.send_str('{"command":"subscribe","channel":"orderbooks","symbol":"BTC"}')
        assert len((await socket.receive_json(timeout=5))["asks"]) == 30
        assert not socket.compress
        await socket.close()


async def test_pings_are_sent_answered_and_missed_three_times_end_the_connection() -> None:
    async with served() as (desk, client):
        desk.api.hub.ping_seconds = 0.2  # three of them are longer than a busy machine keeps a client waiting
        running = asyncio.create_task(desk.api.hub.run())
        answering = await client.subscribe("/ws/public/v1", {"channel": "trades", "symbol": "BTC"})
        deaf = await client.session.ws_connect(client.ws + "/ws/public/v1", autoping=False)
        await deaf.send_str("{}")
        reading = asyncio.create_task(answering.receive())  # a client answers pings while it reads
        kinds: list[aiohttp.WSMsgType] = []
        while not deaf.closed and len(kinds) < 10:
            kinds.append((await deaf.receive(timeout=5)).type)
        assert kinds.count(aiohttp.WSMsgType.PING) == 3
        assert deaf.close_code == 1006
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reading, 0.4)
        assert not answering.closed
        for socket in (answering, deaf):
            await socket.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_client_s_own_ping_is_answered() -> None:
    async with served() as (_, client):
        socket = await client.session.ws_connect(client.ws + "/ws/public/v1", autoping=False)
        await socket.ping(b"here?")
        message = await socket.receive(timeout=5)
        assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, b"here?")
        await socket.close()


async def test_the_emulator_lists_what_only_it_has_and_each_answers() -> None:
    async with served() as (_, client):
        bodies: dict[str, dict[str, object]] = {"/faults": {"fault": "event_lost"}, "/speed": {"speed": 2.0}, "/status": {"status": "OPEN"}}
        bodies |= {"/cash": {"move": "deposit", "amount": 1}, "/orders": {"symbol": "BTC", "side": "BUY", "size": "0.001"}}
        bodies |= {"/keys": {"key": "second", "secret": "its-secret"}}
        async with client.session.get(f"{client.rest}/emulator/v1") as reply:
            endpoints = (await reply.json())["endpoints"]
        for line, what in endpoints.items():
            method, path = line.split()
            query = {"key": "second"} if line == "DELETE /emulator/v1/keys" else None
            body = bodies.get(path.removeprefix("/emulator/v1"))
            async with client.session.request(method, client.rest + path, json=body, params=query) as reply:
                assert reply.status == (400 if (method, path) == ("POST", "/emulator/v1/speed") else 200), await reply.text()
            assert what
        async with client.session.get(f"{client.rest}/emulator/v1/nothing") as reply:
            assert reply.status == 404


async def test_the_access_record_can_be_cleared() -> None:
    async with served() as (_, client):
        await client.private("GET", "/v1/account/assets")
        access = f"{client.rest}/emulator/v1/access"
        async with client.session.get(access, params={"key": "emulator-key"}) as reply:
            (record,) = (await reply.json())["access"]
            assert (record["key"], record["client"], record["path"]) == ("emulator-key", "127.0.0.1", "/v1/account/assets")
        async with client.session.get(access, params={"key": "nobody"}) as reply:
            assert (await reply.json())["access"] == []
        async with client.session.delete(access) as reply:
            assert (await reply.json())["access"] == []
        async with client.session.get(access) as reply:
            assert (await reply.json())["access"] == []
