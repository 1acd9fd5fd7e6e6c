"""The emulator behind real HTTP and WebSockets: a client written for production works after a change of address.

A lost reply is a connection that is cut without an answer; a dropped socket one without a close frame.
Frames go from the exchange straight to the connection: no queue and no task of a socket's own stands between.

Source: reference/gmo-coin-api.md §1, §7.1, §8.1; CONTRACTS of the emulator's command for paths.
"""

from __future__ import annotations

import contextlib
import ssl

from aiohttp import WSCloseCode, WSMsgType, hdrs, web

from gmobot.emulator.protocol.api import ExchangeApi
from gmobot.emulator.protocol.connection import ServerSocket
from gmobot.emulator.protocol.frames import PING, agree, text_frame
from gmobot.venue.transport import HandshakeRefused, Reply, ReplyLost, Request, SocketClosed

_LARGEST_BODY = 1 << 20
_LARGEST_FRAME = 1 << 16
_MOST_UNREAD = 8 << 20
"""Bytes that may wait for a client that does not read."""


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
        app.on_response_prepare.append(_agree_on_deflate)
        app.on_shutdown.append(self._close_sockets)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        self.port = 0

    async def start(self, host: str = "127.0.0.1", port: int = 9755, *, tls: ssl.SSLContext | None = None) -> None:
        """Listen; port 0 takes a free one.

        Raises:
            OSError: The address cannot be bound.
        """
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, ssl_context=tls).start()
        self.port = int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Stop listening and close every connection."""
        await self._runner.cleanup()

    async def _rest(self, request: web.Request) -> web.Response:
        """Answer one REST request."""
        wire_request = Request(request.method, request.path, request.rel_url.raw_query_string, request.headers, await request.read())
        try:
            reply = await self._api.handle(wire_request, request.remote or "")
        except ReplyLost:
            return _cut(request)
        return _response(reply)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        """Serve one WebSocket until either end closes it."""
        try:
            socket = await self._api.open_socket(request.path, request.remote or "")
        except HandshakeRefused as refusal:
            return web.Response(status=refusal.status)
        response = web.WebSocketResponse(autoping=False, compress=True, max_msg_size=_LARGEST_FRAME)
        try:
            await response.prepare(request)
            self._open.add(response)
            socket.attach(_Wire(request, agree(request.headers.get(hdrs.SEC_WEBSOCKET_EXTENSIONS, ""))[1]))
            await _listen(response, socket)
        finally:
            self._open.discard(response)
            await socket.close()
        return response

    async def _close_sockets(self, _: web.Application) -> None:
        for socket in list(self._open):
            await socket.close(code=WSCloseCode.GOING_AWAY)


class _Wire:
    """The line of a connected client."""

    def __init__(self, request: web.Request, window: int) -> None:
        self._transport = request.transport
        self._window = window

    def send(self, frame: str) -> bool:
        transport = self._transport
        if transport is None or transport.is_closing() or transport.get_write_buffer_size() > _MOST_UNREAD:
            return False
        transport.write(text_frame(frame, self._window))
        return True

    def ping(self) -> None:
        if self._transport is not None:
            self._transport.write(PING)

    def cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def _listen(response: web.WebSocketResponse, socket: ServerSocket) -> None:
    """Take frames of the client; a silent line answers no pings either."""
    async for message in response:
        if message.type is WSMsgType.TEXT:
            with contextlib.suppress(SocketClosed):
                await socket.send(message.data)
        elif message.type is WSMsgType.PONG:
            socket.answered()
        else:
            socket.spoke()
            if message.type is WSMsgType.PING and not socket.silent:
                await response.pong(message.data)


async def _agree_on_deflate(request: web.Request, response: web.StreamResponse) -> None:
    """Say what the exchange says: no context is kept between messages, either way."""
    if response.headers.popall(hdrs.SEC_WEBSOCKET_EXTENSIONS, None):
        answer, _ = agree(request.headers.get(hdrs.SEC_WEBSOCKET_EXTENSIONS, ""))
        response.headers.extend({hdrs.SEC_WEBSOCKET_EXTENSIONS: answer} if answer else {})


def _cut(request: web.Request) -> web.Response:
    """Cut the connection instead of answering."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _response(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, body=reply.body, headers=reply.headers)
