"""The emulator behind real HTTP and WebSockets: a client written for production works after a change of address.

A lost reply is a connection that is cut without an answer; a dropped socket one without a close frame.

Source: reference/gmo-coin-api.md §1, §7.1, §8.1; CONTRACTS of the emulator's command for paths.
"""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import WSCloseCode, WSMsgType, web

from gmobot.emulator.api import ExchangeApi
from gmobot.emulator.sockets import PING_SECONDS, ServerSocket
from gmobot.venue.transport import HandshakeRefused, Reply, ReplyLost, Request, SocketClosed

_MOST_MISSED_PONGS = 3
_LARGEST_BODY = 1 << 20
_LARGEST_FRAME = 1 << 16


class EmulatorServer:
    """A server of one :class:`ExchangeApi`. Running the exchange itself (``api.run()``) is the caller's business.

    Attributes:
        port: Where it listens, 0 before :meth:`start`.
    """

    def __init__(self, api: ExchangeApi) -> None:
        self._api = api
        self._open: set[web.WebSocketResponse] = set()
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.router.add_route("GET", "/ws/{tail:.*}", self._socket)
        app.router.add_route("*", "/{tail:.*}", self._rest)
        app.on_shutdown.append(self._close_sockets)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        self.port = 0

    async def start(self, host: str = "127.0.0.1", port: int = 9755) -> None:
        """Listen; port 0 takes a free one.

        Raises:
            OSError: The address cannot be bound.
        """
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self.port = int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Stop listening and close every connection."""
        await self._runner.cleanup()

    async def _rest(self, request: web.Request) -> web.Response:
        """Answer one REST request."""
        wire_request = Request(request.method, request.path, request.rel_url.raw_query_string, dict(request.headers), await request.read())
        try:
            reply = await self._api.handle(wire_request, request.remote or "")
        except ReplyLost:
            return _cut(request)
        return _response(reply)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        """Serve one WebSocket until either end closes it."""
        try:
            line = await self._api.open_socket(request.path, request.remote or "")
        except HandshakeRefused as refusal:
            return web.Response(status=refusal.status)
        wire_socket = web.WebSocketResponse(autoping=False, compress=True, max_msg_size=_LARGEST_FRAME)
        try:
            await wire_socket.prepare(request)
            self._open.add(wire_socket)
            await _serve(request, wire_socket, line)
        finally:
            self._open.discard(wire_socket)
            await line.close()
        return wire_socket

    async def _close_sockets(self, _: web.Application) -> None:
        for socket in list(self._open):
            await socket.close(code=WSCloseCode.GOING_AWAY)


async def _serve(request: web.Request, wire_socket: web.WebSocketResponse, line: ServerSocket) -> None:
    """Carry frames and pings until the client goes away or the line is cut."""
    tasks = [asyncio.create_task(work) for work in (_pump(request, wire_socket, line), _ping(request, wire_socket, line))]
    try:
        await _listen(wire_socket, line)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _listen(wire_socket: web.WebSocketResponse, line: ServerSocket) -> None:
    """Take frames of the client; a silent line answers no pings either."""
    async for message in wire_socket:
        line.spoke = True
        if message.type is WSMsgType.TEXT:
            with contextlib.suppress(SocketClosed):
                await line.send(message.data)
        elif message.type is WSMsgType.PING and not line.silent:
            await wire_socket.pong(message.data)
        elif message.type is WSMsgType.PONG:
            line.pongs += 1


async def _pump(request: web.Request, wire_socket: web.WebSocketResponse, line: ServerSocket) -> None:
    """Send the exchange's frames; when the exchange drops the line, cut it without a close frame."""
    with contextlib.suppress(SocketClosed, ConnectionError):
        while True:
            frame = await line.receive()
            await wire_socket.send_str(frame if isinstance(frame, str) else frame.decode())
    _abort(request)


async def _ping(request: web.Request, wire_socket: web.WebSocketResponse, line: ServerSocket) -> None:
    """Send a protocol ping a minute; three missing pongs end the connection."""
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent - line.pongs < _MOST_MISSED_PONGS:
            await asyncio.sleep(PING_SECONDS)
            if not line.silent:
                sent += 1
                await wire_socket.ping()
    _abort(request)


def _cut(request: web.Request) -> web.Response:
    """Cut the connection instead of answering."""
    _abort(request)
    return web.Response()


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _response(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, body=reply.body, headers=dict(reply.headers))
