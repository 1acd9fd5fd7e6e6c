"""The seam between the client and the world: a request and its reply, a socket of text frames.

There is one client and three transports: aiohttp against production, aiohttp against the emulator on
loopback, and in memory straight into the emulator. What a caller may conclude from a failure is part
of the contract: :class:`~gmobot.errors.NotSent` says the request never left and may be repeated;
:class:`ReplyLost` says nothing about what the exchange did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gmobot.errors import GmobotError


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request.

    Attributes:
        path: From the host on, without the query: ``/private/v1/order``.
        query: Encoded, without ``?``; empty for none.
        headers: Never logged: they carry the key and the signature.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def target(self) -> str:
        """Path and query as on the request line."""
        return f"{self.path}?{self.query}" if self.query else self.path


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP reply, whatever its status."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds allowed to each phase. Only a failed connect proves that nothing was sent.

    Writing is no phase of its own: a request is a few hundred bytes, which the kernel takes at once or never;
    a peer that takes none of them is one that does not answer.

    Attributes:
        connect: Until a connection is there, a free one of the pool or a new one with name, TCP, proxy and TLS.
        reply: Between two pieces of the reply, the first included.
    """

    connect: float = 3.0
    reply: float = 5.0


class ReplyLost(GmobotError):
    """The request left, or may have left, and no complete reply came back."""


class SocketClosed(GmobotError):
    """The socket is closed.

    Attributes:
        code: WebSocket close code; 1006 when there was no close frame.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"socket closed ({code}) {reason}".rstrip())
        self.code = code


class HandshakeRefused(GmobotError):
    """The exchange answered a WebSocket handshake with an HTTP status instead of 101."""

    def __init__(self, status: int) -> None:
        super().__init__(f"WebSocket handshake refused with HTTP {status}")
        self.status = status


class Socket(Protocol):
    """An open WebSocket. Control frames are the transport's business."""

    async def send(self, text: str) -> None:
        """Send one text frame.

        Raises:
            SocketClosed: The socket is no longer open.
        """
        ...

    async def receive(self) -> str | bytes:
        """Wait for the next data frame.

        Raises:
            SocketClosed: The socket is no longer open.
        """
        ...

    def last_heard(self) -> float:
        """Return the monotonic time of the last frame of any kind, pings included."""
        ...

    async def close(self) -> None:
        """Close; never raises, may be called twice."""
        ...


class Transport(Protocol):
    """A way to the exchange."""

    async def request(self, request: Request, timeouts: Timeouts) -> Reply:
        """Send a request and wait for its whole reply.

        Raises:
            NotSent: It certainly never left.
            ReplyLost: It may have arrived; what came of it is unknown.
        """
        ...

    async def connect(self, path: str, *, timeout: float) -> Socket:
        """Open a WebSocket at ``path`` (``/ws/public/v1``).

        Raises:
            HandshakeRefused: The exchange answered with an HTTP status.
            NotSent: No connection could be made in time.
        """
        ...

    async def close(self) -> None:
        """Release every connection; never raises, may be called twice."""
        ...
