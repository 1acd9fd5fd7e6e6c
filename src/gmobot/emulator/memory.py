"""The third transport: straight into the emulator, without a network, on any loop and any clock."""

from __future__ import annotations

import asyncio

from gmobot.emulator.protocol.api import ExchangeApi
from gmobot.errors import NotSent
from gmobot.venue.transport import Reply, ReplyLost, Request, Socket, Timeouts


class MemoryTransport:
    """A client's way into an :class:`ExchangeApi` in the same process."""

    def __init__(self, api: ExchangeApi, *, client: str = "local") -> None:
        self._api = api
        self._client = client
        self._sockets: list[Socket] = []
        self._closed = False

    async def request(self, request: Request, timeouts: Timeouts) -> Reply:
        """Send a request. The exchange carries it out to the end even if the caller goes away."""
        if self._closed:
            raise NotSent("the transport is closed")
        task = asyncio.ensure_future(self._api.handle(request, self._client))
        task.add_done_callback(_forget)
        done, _ = await asyncio.wait({task}, timeout=timeouts.reply)
        if not done:
            raise ReplyLost("no reply in time")
        return task.result()

    async def connect(self, path: str, *, timeout: float) -> Socket:  # noqa: ARG002  # nothing to wait for in memory
        """Open a WebSocket."""
        if self._closed:
            raise NotSent("the transport is closed")
        socket = await self._api.open_socket(path, self._client)
        self._sockets.append(socket)
        return socket

    async def close(self) -> None:
        """Close every socket."""
        self._closed = True
        for socket in self._sockets:
            await socket.close()


def _forget(task: asyncio.Task[Reply]) -> None:
    """Take note of a result that nobody waits for any more."""
    if not task.cancelled():
        task.exception()
