"""The transport over real sockets: aiohttp, against production or the emulator on loopback.

Only a connection that was never made proves that a request was not sent. Everything after that, a reset
on a kept-alive connection included, leaves the outcome open.

Proxies from the environment (``https_proxy``, ``no_proxy``) are looked up once per address, not as aiohttp
would for every request: that alone costs half a millisecond.

aiohttp by itself repeats GET, PUT and DELETE once when a connection breaks before the reply. That is
switched off: who repeats is decided above, where rate limits are counted and timestamps are signed, and
a repetition whose connection is refused would make a request that did leave look like one that did not.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from gmobot.errors import NotSent
from gmobot.venue.transport import HandshakeRefused, Reply, ReplyLost, Request, SocketClosed, Timeouts

_CLOSED = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
_NEVER_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)
"""Name not resolved, connection or TLS refused, no free connection in time, a proxy that would not connect."""
_MOST_CONNECTIONS = 16
_LARGEST_FRAME = 16 * 1024 * 1024


class HttpTransport:
    """HTTP and WebSockets below one base address each."""

    def __init__(self, base_url: str, ws_url: str | None = None, *, trust: ssl.SSLContext | None = None) -> None:
        """Make a transport; connections are opened when first needed.

        Args:
            base_url: ``https://api.coin.z.com``; paths are appended.
            ws_url: ``wss://api.coin.z.com``; paths are appended. ``None``: the same address.
            trust: Whose certificates to believe instead of the system's; for an emulator with a CA of its own.
        """
        self._base_url = base_url.rstrip("/")
        # As http(s): a handshake is an HTTP request, and HTTPS_PROXY then counts for it too.
        self._ws_url = re.sub("^ws", "http", (ws_url or base_url).rstrip("/"))
        self._trust = trust
        self._proxy, self._ws_proxy = _proxy_for(self._base_url), _proxy_for(self._ws_url)
        self._session: aiohttp.ClientSession | None = None

    async def request(self, request: Request, timeouts: Timeouts) -> Reply:
        """Send a request; see :class:`gmobot.venue.transport.Transport`."""
        timeout = aiohttp.ClientTimeout(connect=timeouts.connect, sock_connect=timeouts.connect, sock_read=timeouts.reply)
        try:
            async with asyncio.timeout(timeouts.connect + timeouts.reply):
                async with self._open().request(
                    request.method,
                    _verbatim(self._base_url + request.target),
                    data=request.body or None,
                    headers=dict(request.headers),
                    timeout=timeout,
                    proxy=self._proxy,
                    allow_redirects=False,
                ) as reply:
                    return Reply(reply.status, await reply.read(), reply.headers)
        except _NEVER_CONNECTED as error:
            raise NotSent(f"no connection: {_plain(error)}") from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ReplyLost(f"the reply was lost: {_plain(error)}") from None

    async def connect(self, path: str, *, timeout: float) -> HttpSocket:
        """Open a WebSocket; see :class:`gmobot.venue.transport.Transport`."""
        try:
            async with asyncio.timeout(timeout):
                socket = await self._open().ws_connect(
                    _verbatim(self._ws_url + path), proxy=self._ws_proxy, autoping=False, max_msg_size=_LARGEST_FRAME, compress=15
                )
        except aiohttp.WSServerHandshakeError as error:
            failure: HandshakeRefused | NotSent = HandshakeRefused(error.status)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            failure = NotSent(f"no connection: {_plain(error)}")
        else:
            return HttpSocket(socket)
        # Out here it carries no context: aiohttp's own error names the address, and that holds the token.
        raise failure

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            trust = self._trust if self._trust is not None else True
            connector = aiohttp.TCPConnector(limit=_MOST_CONNECTIONS, keepalive_timeout=30, ssl=trust)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
            # There is no public switch; a test sees to it that this one still works.
            self._session._retry_connection = False  # noqa: SLF001
        return self._session


class HttpSocket:
    """An open WebSocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._heard = time.monotonic()

    async def send(self, text: str) -> None:
        """Send one text frame."""
        try:
            await self._socket.send_str(text)
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            raise SocketClosed(1006, _plain(error)) from None

    async def receive(self) -> str | bytes:
        """Return the next data frame, answering pings on the way."""
        while True:
            message = await self._socket.receive()
            self._heard = time.monotonic()
            if message.type is aiohttp.WSMsgType.PING:
                await self._pong(message.data)
            elif message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                data: Any = message.data
                return data if isinstance(data, str | bytes) else bytes(data)
            elif message.type in _CLOSED:
                raise SocketClosed(self._socket.close_code or 1006)

    def last_heard(self) -> float:
        """Return when the last frame of any kind came."""
        return self._heard

    async def close(self) -> None:
        """Close the socket."""
        try:
            async with asyncio.timeout(1.0):
                await self._socket.close()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return

    async def _pong(self, payload: bytes) -> None:
        try:
            await self._socket.pong(payload)
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            raise SocketClosed(1006, _plain(error)) from None


def _proxy_for(address: str) -> str | None:
    """Return the proxy the environment names for an address."""
    parts = urlsplit(address)
    if proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get(parts.scheme)


def _verbatim(address: str) -> URL:
    """Return an address that is sent as it is: aiohttp would decode ``%2C``, and a token may hold anything."""
    return URL(address, encoded=True)


def _plain(error: BaseException) -> str:
    """Describe an error without the address it happened at: a WebSocket path carries a token."""
    reason = error.strerror if isinstance(error, OSError) else None
    return f"{type(error).__name__} ({reason})" if reason else type(error).__name__
