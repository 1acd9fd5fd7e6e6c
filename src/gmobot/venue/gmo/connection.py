"""The life of a stream's connection: connected, subscribed, watched, and connected again whatever happens.

What holds for both of GMO Coin's streams. Subscriptions are never acknowledged, errors come as frames
and do not close the socket, a command that came too fast is dropped, and a dead socket says nothing.

Source: reference/gmo-coin-api.md §3.3, §7.1, §8.3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from random import Random
from typing import Any, Final, NamedTuple

import msgspec

from gmobot.clock import NS_PER_SECOND, Clock, elapsed_ns
from gmobot.errors import Category, NotSent, VenueError
from gmobot.venue.gmo import wire
from gmobot.venue.gmo.errors import meaning
from gmobot.venue.models import StreamEvent, StreamNotice
from gmobot.venue.transport import HandshakeRefused, Socket, SocketClosed, Transport

Sink = Callable[[StreamEvent], None]
COMMAND_SPACING_SECONDS: Final = 1.1
_ROUNDING: Final = 1e-9
_SERVER_PATIENCE_SECONDS: Final = 2.0
_SERVER_POLL_SECONDS: Final = 0.3
_CONNECT_SECONDS: Final = 10.0
_WATCH_SECONDS: Final = 1.0
_MAINTENANCE: Final = "maintenance"
_MAINTENANCE_HTTP: Final = 503
_LONGEST_DETAIL: Final = 200
_MOST_DOUBLINGS: Final = 16


class Subscription(NamedTuple):
    """One channel, of one symbol on the public stream."""

    channel: str
    symbol: str | None = None
    option: str | None = None

    def command(self) -> str:
        """Return the frame that subscribes."""
        fields = {"command": "subscribe", "channel": self.channel, "symbol": self.symbol, "option": self.option}
        return msgspec.json.encode({key: value for key, value in fields.items() if value is not None}).decode()


class Backoff(NamedTuple):
    """How long to wait before connecting again, in seconds; doubles with every failure in a row."""

    shortest: float = 0.5
    longest: float = 30.0

    def delay(self, failures: int, random: Random) -> float:
        """Return a wait with jitter: between half of it and all of it."""
        ceiling = min(self.longest, self.shortest * 2 ** min(failures, _MOST_DOUBLINGS))
        return random.uniform(ceiling / 2, ceiling)


ServerTime = Callable[[], Awaitable[int]]
"""Asks the exchange for its own time, in nanoseconds."""


class CommandPacer:
    """Spaces the commands of all sockets of this address: the exchange allows one a second.

    Its own clock decides, and commands on different sockets take different times to arrive. So where it can
    be asked for its time, that too must have moved on by a second; a clock that does not answer, or stands
    still, holds nobody up for long.
    """

    def __init__(self, clock: Clock, *, spacing_seconds: float = COMMAND_SPACING_SECONDS, server_time: ServerTime | None = None) -> None:
        self._clock = clock
        self._spacing = spacing_seconds
        self._server_time = server_time
        self._next = 0.0
        self._last_server_ns: int | None = None
        self._turn = asyncio.Lock()

    async def wait(self) -> None:
        """Wait for the next free moment and take it; who asked first goes first."""
        async with self._turn:
            while (delay := self._next - self._clock.monotonic()) > _ROUNDING:  # noqa: ASYNC110  # penalise() may move it meanwhile
                await asyncio.sleep(delay)
            if self._server_time is not None:
                await self._wait_for_server(self._server_time)
            self._next = self._clock.monotonic() + self._spacing

    def penalise(self) -> None:
        """A command was dropped as too fast, perhaps because others share the address: leave a gap."""
        self._next = max(self._next, self._clock.monotonic() + 2 * self._spacing)

    async def _wait_for_server(self, server_time: ServerTime) -> None:
        until = self._clock.monotonic() + _SERVER_PATIENCE_SECONDS
        server_ns = await self._ask(server_time)
        last_ns = self._last_server_ns
        while server_ns is not None and last_ns is not None and server_ns - last_ns < NS_PER_SECOND and self._clock.monotonic() < until:
            await asyncio.sleep(_SERVER_POLL_SECONDS)
            server_ns = await self._ask(server_time)
        self._last_server_ns = server_ns

    async def _ask(self, server_time: ServerTime) -> int | None:
        try:
            async with asyncio.timeout(_SERVER_PATIENCE_SECONDS):
                return await server_time()
        except (VenueError, TimeoutError):
            return None


class Dropped(Exception):
    """This connection is over; the text says why."""


class Stream:
    """A stream that is kept up.

    Attributes:
        name: ``public`` or ``private``.
        connected: Whether the stream is up.
        reconnects: How often a stream that was up went down.
        malformed: Frames that could not be understood so far.
        last_message_ns: When the last data frame came, on the monotonic clock; ``None`` before the first.
        messages: Data frames by channel.
    """

    name = ""

    def __init__(self, transport: Transport, clock: Clock, pacer: CommandPacer, *, seed: Random, backoff: Backoff) -> None:
        self._transport = transport
        self._clock = clock
        self._pacer = pacer
        self._random = seed
        self._backoff = backoff
        self._pending: list[Subscription] = []
        self._subscribe_now = asyncio.Event()
        self._malformed_told = False
        self.connected = False
        self.reconnects = 0
        self.malformed = 0
        self.last_message_ns: int | None = None
        self.messages: dict[str, int] = {}

    async def run(self, sink: Sink) -> None:
        """Keep the stream up until cancelled, handing every event to ``sink``."""
        failures = 0
        while True:
            try:
                await self._live(sink)
            except HandshakeRefused as error:
                why = _MAINTENANCE if error.status == _MAINTENANCE_HTTP else str(error)
                self._on_handshake_refused()
            except (Dropped, SocketClosed, NotSent) as error:
                why = str(error)
            except VenueError as error:
                why = _MAINTENANCE if error.category is Category.MAINTENANCE else f"{error.category.value}: {error}"
            failures = 0 if self.connected else failures + 1
            self._down(sink, why)
            await asyncio.sleep(self._backoff.delay(failures, self._random))

    def age_seconds(self) -> float | None:
        """Return how old the last data frame is, ``None`` before the first."""
        return None if self.last_message_ns is None else (elapsed_ns(self._clock) - self.last_message_ns) / NS_PER_SECOND

    async def _path(self) -> str:
        """Return where to connect, ready to be used."""
        raise NotImplementedError

    def _wanted(self) -> Sequence[Subscription]:
        """Return the subscriptions this connection has not been heard on."""
        raise NotImplementedError

    def _decode(self, channel: str, text: str | bytes) -> StreamEvent:
        """Return what a data frame says; raises :data:`gmobot.venue.gmo.wire.MALFORMED`."""
        raise NotImplementedError

    def _overdue(self, socket: Socket) -> str | None:
        """Return why the socket must be taken for dead, if it must."""
        raise NotImplementedError

    async def _keep(self) -> None:
        """Do what keeps the connection valid; runs beside it."""
        await asyncio.Event().wait()

    def _on_handshake_refused(self) -> None:
        """The exchange would not open a socket."""

    def _on_sent(self, subscription: Subscription) -> None:
        """A command was sent."""

    async def _on_subscribed(self, sink: Sink) -> None:
        """Every command was sent."""

    def _on_data(self, event: StreamEvent, sink: Sink) -> None:
        """A data frame came."""

    def _on_refused(self, error: str) -> None:
        """The exchange refused a subscription."""

    def _shown(self, text: str) -> str:
        """Return a text of the exchange's without anything secret in it."""
        return text

    async def _live(self, sink: Sink) -> None:
        """Live through one connection. It always ends with an exception."""
        socket = await self._transport.connect(await self._path(), timeout=_CONNECT_SECONDS)
        self._pending = list(self._wanted())
        self._subscribe_now.set()
        self._malformed_told = False
        try:
            await _until_one_fails(self._subscribe(socket, sink), self._keep(), self._watch(socket), self._receive(socket, sink))
        finally:
            await socket.close()

    async def _subscribe(self, socket: Socket, sink: Sink) -> None:
        while True:
            await self._subscribe_now.wait()
            self._subscribe_now.clear()
            while self._pending:
                await self._pacer.wait()
                if not self._pending:
                    # An error frame had them looked through anew meanwhile: every one has been heard on.
                    break
                subscription = self._pending.pop(0)
                await socket.send(subscription.command())
                self._on_sent(subscription)
            await self._on_subscribed(sink)

    async def _watch(self, socket: Socket) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            overdue = self._overdue(socket)
            if overdue is not None:
                raise Dropped(overdue)

    async def _receive(self, socket: Socket, sink: Sink) -> None:
        while True:
            self._on_frame(await socket.receive(), sink)

    def _on_frame(self, text: str | bytes, sink: Sink) -> None:
        try:
            frame = wire.decode(text, wire.Frame)
            channel = frame.channel or ""
            event = self._decode(channel, text) if frame.error is None else None
        except wire.MALFORMED as error:
            self._on_malformed(wire.told(error), sink)
            return
        if event is None:
            self._on_error(self._shown(frame.error or "")[:_LONGEST_DETAIL], sink)
            return
        self.last_message_ns = elapsed_ns(self._clock)
        self.messages[channel] = self.messages.get(channel, 0) + 1
        self._on_data(event, sink)
        sink(event)

    def _on_malformed(self, what: str, sink: Sink) -> None:
        """Count a frame that makes no sense; tell it once per connection, or a broken server would flood the audit log."""
        self.malformed += 1
        if not self._malformed_told:
            self._malformed_told = True
            sink(StreamNotice(stream=self.name, state="malformed", detail=what))

    def _on_error(self, error: str, sink: Sink) -> None:
        category = meaning(error.partition(" ")[0]).category
        if category is Category.RATE_LIMIT:
            # The command was dropped and the frame does not say which one; subscribing twice does no harm.
            self._pacer.penalise()
            self._pending = list(self._wanted())
            self._subscribe_now.set()
        elif category is Category.MAINTENANCE:
            raise Dropped(_MAINTENANCE)
        else:
            sink(StreamNotice(stream=self.name, state="refused", detail=error))
            self._on_refused(error)

    def _up(self, sink: Sink) -> None:
        if not self.connected:
            self.connected = True
            sink(StreamNotice(stream=self.name, state="up"))

    def _down(self, sink: Sink, why: str) -> None:
        if self.connected:
            self.reconnects += 1
        self.connected = False
        sink(StreamNotice(stream=self.name, state="down", detail=why))


async def _until_one_fails(*work: Coroutine[Any, Any, None]) -> None:
    """Run all of it until something raises, end the rest, and raise that.

    Not a task group: one that is cancelled in the very moment a child fails tells of the failure only, and a
    stream that was to end would connect again.
    """
    tasks = [asyncio.create_task(part) for part in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
