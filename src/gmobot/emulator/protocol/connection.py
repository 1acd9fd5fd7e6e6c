"""One client's socket, seen from the exchange.

It is also the client's end for in-memory transports, which read frames from a queue. A real connection
attaches a :class:`Line` instead: frames then go straight to the wire, without a queue and a task between.

Source: reference/gmo-coin-api.md §7.1.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from gmobot.emulator.engine.records import Account
from gmobot.venue.transport import SocketClosed

if TYPE_CHECKING:
    from gmobot.emulator.protocol.sockets import Hub

MOST_MISSED_PONGS = 3
_MOST_QUEUED = 20_000


class Line(Protocol):
    """A real connection's way to the client."""

    def send(self, frame: str) -> bool:
        """Put a frame on the wire; ``False`` when the client has not read for too long."""
        ...

    def ping(self) -> None:
        """Put a protocol ping on the wire."""
        ...

    def cut(self) -> None:
        """End the connection without a close frame."""
        ...


class ServerSocket:
    """One socket.

    Attributes:
        account: Whose private stream it is, ``None`` for the public one.
        token: What the private stream was opened with.
        subscribed: Channel and symbol (empty on the private stream) to the option that was given.
        fresh: Symbols whose book it has not been sent since it subscribed.
        held: A frame that waits for the one behind it: a fault.
        silent: A fault has muted it: open, and nothing comes any more.
        spoke_at: When the client last sent anything, protocol pings included; ``None`` for never.
        commanded: Whether it ever sent a command; a socket that did not is closed when the client is quiet.
    """

    def __init__(self, hub: Hub, client: str, account: Account | None, token: str = "") -> None:
        self._hub = hub
        self.client = client
        self.account = account
        self.token = token
        self.subscribed: dict[tuple[str, str], str | None] = {}
        self.fresh: set[str] = set()
        self.held: tuple[str, str] | None = None
        self.silent = False
        self.spoke_at: float | None = None
        self.commanded = False
        self._unanswered = 0
        self._line: Line | None = None
        self._frames: deque[str] = deque()
        self._arrived = asyncio.Event()
        self._later: deque[tuple[float, str, str]] = deque()
        self._closed = False
        self._heard = hub.exchange.clock.monotonic()

    @property
    def is_open(self) -> bool:
        """Whether frames can still pass."""
        return not self._closed

    def attach(self, line: Line) -> None:
        """Send frames to a real connection from now on."""
        self._line = line

    async def send(self, text: str) -> None:
        """Take a command frame from the client."""
        if self._closed:
            raise SocketClosed(1006)
        self.spoke()
        self.commanded = True
        self._hub.command(self, text)

    def spoke(self) -> None:
        """The client sent a frame of any kind."""
        self.spoke_at = self._hub.exchange.clock.monotonic()

    def answered(self) -> None:
        """The client sent a pong."""
        self.spoke()
        self._unanswered = 0

    async def receive(self) -> str | bytes:
        """Return the next frame for the client; frames that came before a close are still delivered."""
        while not self._frames:
            if self._closed:
                raise SocketClosed(1006)
            self._arrived.clear()
            await self._arrived.wait()
        self._heard = self._hub.exchange.clock.monotonic()
        return self._frames.popleft()

    def last_heard(self) -> float:
        """Return when the client last heard anything, pings included."""
        return self._heard

    async def close(self) -> None:
        """Close from the client's end."""
        self.drop()

    def ping(self) -> None:
        """Send a protocol ping; three in a row without an answer end the connection.

        A client in memory always answers.
        """
        if self._unanswered >= MOST_MISSED_PONGS:
            self.drop()
        elif not self.silent and not self._closed:
            self._heard = self._hub.exchange.clock.monotonic()
            if self._line is not None:
                self._unanswered += 1
                self._line.ping()

    def deliver(self, frame: str) -> None:
        """Put a frame on the line now; a client that does not read loses its socket."""
        if self._closed or self.silent:
            return
        if self._line is not None:
            if not self._line.send(frame):
                self.drop()
            return
        if len(self._frames) >= _MOST_QUEUED:
            self.drop()
            return
        self._frames.append(frame)
        self._arrived.set()

    def deliver_later(self, seconds: float, channel: str, frame: str) -> None:
        """Put a frame on the line after a while, in the order of the calls."""
        loop = asyncio.get_running_loop()
        self._later.append((loop.time() + seconds, channel, frame))
        if len(self._later) == 1:
            loop.call_at(self._later[0][0], self._deliver_due)

    def drop(self) -> None:
        """Close without a close frame."""
        if not self._closed:
            self._closed = True
            self._later.clear()
            self._hub.forget(self)
            self._arrived.set()
            if self._line is not None:
                self._line.cut()

    def _deliver_due(self) -> None:
        loop = asyncio.get_running_loop()
        # One call for each due time: frames of the same moment leave together and in order.
        due = self._later[0][0] if self._later else 0.0
        while self._later and self._later[0][0] <= due:
            _, channel, frame = self._later.popleft()
            self._hub.put(self, channel, frame)
        if self._later:
            loop.call_at(max(self._later[0][0], loop.time()), self._deliver_due)
