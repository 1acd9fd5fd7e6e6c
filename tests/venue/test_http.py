"""The transport over real sockets: what each way of failing may be taken to prove."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

import aiohttp
import pytest
from aiohttp import web

from gmobot.errors import NotSent
from gmobot.venue.http import HttpTransport
from gmobot.venue.transport import HandshakeRefused, ReplyLost, Request, SocketClosed, Timeouts

SHORT = Timeouts(connect=0.5, reply=0.5)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Answer = Callable[[int, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A server written by hand: reads whole requests, and does with the connection what the test says."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.requests: list[bytes] = []
        self.connections = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0)
                self.requests.append(head + await reader.readexactly(length))
                await self._answer(len(self.requests), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def asked(method: str = "POST") -> Request:
    return Request(method, "/private/v1/order", "", {"API-KEY": "k"}, b'{"a":1}' if method != "GET" else b"")


async def outcome(transport: HttpTransport, request: Request, timeouts: Timeouts = SHORT) -> type[BaseException] | int:
    try:
        return (await transport.request(request, timeouts)).status
    except (NotSent, ReplyLost) as error:
        return type(error)


async def answered(_: int, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)
    await writer.drain()


async def aborted(_: int, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def closed(_: int, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def half_said(_: int, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}")
    await writer.drain()
    writer.close()


async def garbage(_: int, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\xff not HTTP\r\n\r\n")
    await writer.drain()
    writer.close()


async def silent(_: int, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("answer", [aborted, closed, half_said, garbage])
async def test_a_reply_that_breaks_is_lost_and_nothing_is_asked_twice(method: str, answer: Answer) -> None:
    async with Server(answer) as server:
        transport = HttpTransport(server.url)
        assert await outcome(transport, asked(method)) is ReplyLost
        assert len(server.requests) == 1
        await transport.close()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_a_kept_alive_connection_that_breaks_is_a_lost_reply_and_not_a_request_never_sent(method: str) -> None:
    async def first_only(number: int, writer: asyncio.StreamWriter) -> None:
        await (answered if number == 1 else aborted)(number, writer)

    async with Server(first_only) as server:
        transport = HttpTransport(server.url)
        assert await outcome(transport, asked(method)) == 200
        assert await outcome(transport, asked(method)) is ReplyLost
        assert (len(server.requests), server.connections) == (2, 1)
        await transport.close()


async def test_a_reply_that_takes_too_long_is_lost() -> None:
    async with Server(silent) as server:
        transport = HttpTransport(server.url)
        assert await outcome(transport, asked(), Timeouts(connect=0.2, reply=0.1)) is ReplyLost
        await transport.close()


async def test_a_refused_connection_proves_that_nothing_was_sent() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        transport = HttpTransport(f"http://127.0.0.1:{free.getsockname()[1]}")
        assert await outcome(transport, asked()) is NotSent
        with pytest.raises(NotSent):
            await transport.connect("/ws/public/v1", timeout=1.0)
        await transport.close()


async def test_a_failed_tls_handshake_proves_that_nothing_was_sent() -> None:
    async with Server(garbage) as server:
        transport = HttpTransport(server.url.replace("http:", "https:"))
        assert await outcome(transport, asked()) is NotSent
        assert server.requests == []
        await transport.close()


async def test_waiting_in_vain_for_a_free_connection_proves_that_nothing_was_sent() -> None:
    async with Server(silent) as server:
        transport = HttpTransport(server.url)
        waiting = [asyncio.create_task(outcome(transport, asked(), Timeouts(connect=2.0, reply=0.6))) for _ in range(16)]
        while len(server.requests) < 16:  # the server has no event for it
            await asyncio.sleep(0.01)
        assert await outcome(transport, asked(), Timeouts(connect=0.05, reply=0.6)) is NotSent
        assert await asyncio.gather(*waiting) == [ReplyLost] * 16
        assert len(server.requests) == 16
        await transport.close()


async def test_connections_are_kept_and_requests_arrive_as_given() -> None:
    async with Server(answered) as server:
        transport = HttpTransport(server.url + "/")
        for _ in range(3):
            reply = await transport.request(Request("POST", "/p", "a=1&b=%2C", {"API-SIGN": "s"}, b'{"x": 1}'), SHORT)
            assert (reply.status, reply.body) == (200, b"{}")
        assert server.connections == 1
        assert server.requests[0].startswith(b"POST /p?a=1&b=%2C HTTP/1.1\r\n")
        assert b"API-SIGN: s\r\n" in server.requests[0]
        assert server.requests[0].endswith(b'\r\n\r\n{"x": 1}')
        await transport.close()
        await transport.close()


async def test_a_proxy_from_the_environment_is_used_for_requests_and_streams_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    async def forbidden(_: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with Server(forbidden) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("https_proxy", proxy.url)
        transport = HttpTransport("https://exchange.invalid", ws_url="wss://exchange.invalid")
        assert await outcome(transport, asked()) is NotSent
        with pytest.raises(NotSent):
            await transport.connect("/ws/public/v1", timeout=1.0)
        assert [request.split(b" ", 2)[:2] for request in proxy.requests] == [[b"CONNECT", b"exchange.invalid:443"]] * 2
        await transport.close()


class Tunnels:
    """A proxy that knows CONNECT only, and leads every name to one port of this machine."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.asked: list[bytes] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://someone:password@127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(_pour(reader, there_writer), _pour(there_reader, writer), return_exceptions=True)


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A certificate for a name that is not ours, and trust in it; made anew, so that no key lies about."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed: no certificate for the proxy's tunnel")
    key, chain = str(folder / "key.pem"), str(folder / "chain.pem")
    names = ["-subj", "/CN=api.coin.z.com", "-addext", "subjectAltName=DNS:api.coin.z.com"]
    made = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", *names]
    subprocess.run([*made, "-keyout", key, "-out", chain], check=True, capture_output=True, timeout=30)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain, key)
    return server, ssl.create_default_context(cafile=chain)


async def test_a_proxy_carries_requests_and_streams_to_the_exchanges_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server_tls, trust = certificate(tmp_path)

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == "/public/v1/status":
            return web.Response(text='{"status":0,"data":{"status":"OPEN"}}')
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await ws.send_str("through the tunnel")
        await ws.close()
        return ws

    app = web.Application()
    app.router.add_get("/{any:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_tls).start()
    for name in ("NO_PROXY", "no_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with Tunnels(runner.addresses[0][1]) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        transport = HttpTransport("https://api.coin.z.com", "wss://api.coin.z.com", trust=trust)
        for _ in range(3):
            assert (await transport.request(Request("GET", "/public/v1/status"), Timeouts())).status == 200
        socket = await transport.connect("/ws/public/v1", timeout=5.0)
        assert await socket.receive() == "through the tunnel"
        await socket.close()
        assert [head.split(b" ", 2)[:2] for head in proxy.asked] == [[b"CONNECT", b"api.coin.z.com:443"]], "one tunnel, kept and reused"
        assert all(b"Proxy-Authorization: Basic" in head for head in proxy.asked)
        doubting = HttpTransport("https://api.coin.z.com")
        assert await outcome(doubting, asked("GET"), Timeouts()) is NotSent
        assert "password" not in repr(vars(doubting)["_session"])
        for opened in (transport, doubting):
            await opened.close()
    await runner.cleanup()


@pytest.mark.parametrize("exempt", ["api.coin.z.com", "*", ".z.com"])
def test_a_name_exempt_from_the_proxy_is_reached_without(monkeypatch: pytest.MonkeyPatch, exempt: str) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    assert HttpTransport("https://api.coin.z.com")._proxy == "http://127.0.0.1:1"
    monkeypatch.setenv("no_proxy", exempt)
    assert HttpTransport("https://api.coin.z.com")._proxy is None
    assert HttpTransport("http://api.coin.z.com")._proxy is None


class SocketServer:
    """An aiohttp server with one WebSocket route, driven by the test."""

    def __init__(self, live: Callable[[web.WebSocketResponse], Awaitable[None]]) -> None:
        self._live = live

    async def __aenter__(self) -> Self:
        async def handle(request: web.Request) -> web.StreamResponse:
            if request.path != "/ws":
                return web.Response(status=503)
            ws = web.WebSocketResponse(autoping=False)
            await ws.prepare(request)
            await self._live(ws)
            return ws

        app = web.Application()
        app.router.add_get("/{any:.*}", handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"ws://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


async def test_a_ping_is_answered_and_counts_as_a_sign_of_life() -> None:
    pongs: list[aiohttp.WSMessage] = []

    async def live(ws: web.WebSocketResponse) -> None:
        await ws.receive()
        await ws.ping(b"abc")
        pongs.append(await ws.receive())
        await asyncio.sleep(0.05)
        await ws.send_str("data")
        await ws.close()

    async with asyncio.timeout(5), SocketServer(live) as server:
        transport = HttpTransport("http://127.0.0.1:1", server.url)
        heard = await transport.connect("/ws", timeout=1.0)
        opened = heard.last_heard()
        receiving = asyncio.create_task(heard.receive())
        await heard.send("hello")
        while heard.last_heard() == opened:  # polled as the stream's watch does
            await asyncio.sleep(0.001)
        assert not receiving.done()
        assert await receiving == "data"
        assert [(pong.type, pong.data) for pong in pongs] == [(aiohttp.WSMsgType.PONG, b"abc")]
        with pytest.raises(SocketClosed) as closed_by_peer:
            await heard.receive()
        assert closed_by_peer.value.code == 1000
        await heard.close()
        await heard.close()
        with pytest.raises(SocketClosed):
            await heard.send("too late")
        await transport.close()


async def test_binary_frames_come_as_bytes_and_a_torn_connection_as_1006() -> None:
    async def live(ws: web.WebSocketResponse) -> None:
        await ws.send_bytes(b"\x00\x01")
        await asyncio.sleep(0.01)
        assert ws._req is not None
        assert ws._req.transport is not None
        ws._req.transport.abort()

    async with SocketServer(live) as server:
        transport = HttpTransport(server.url.replace("ws:", "http:"))
        heard = await transport.connect("/ws", timeout=1.0)
        assert await heard.receive() == b"\x00\x01"
        with pytest.raises(SocketClosed) as torn:
            await heard.receive()
        assert torn.value.code == 1006
        await heard.close()
        await transport.close()


async def test_a_refused_handshake_tells_its_status_and_never_the_token() -> None:
    async def live(ws: web.WebSocketResponse) -> None:
        raise AssertionError

    async with SocketServer(live) as server:
        transport = HttpTransport("http://127.0.0.1:1", server.url)
        with pytest.raises(HandshakeRefused) as refused:
            await transport.connect("/maintenance/token-abc", timeout=1.0)
        assert refused.value.status == 503
        assert "token-abc" not in str(refused.value)
        await transport.close()
