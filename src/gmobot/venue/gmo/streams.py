"""GMO Coin's streams: connected, subscribed, decoded, and connected again whatever happens.

Subscriptions are never acknowledged, errors do not close the socket, and a dead socket says nothing. So
the public stream counts as up only with its first data frame and has a deadline for silence; the private
one is legitimately silent and is watched by the server's pings instead.

Source: reference/gmo-coin-api.md §3.3, §7, §8.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from gmobot.clock import NS_PER_SECOND, Clock
from gmobot.errors import NotSent, Refused, VenueError
from gmobot.secrets import Secret
from gmobot.venue.gmo import wire
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.models import OrderUpdate, StreamEvent, StreamNotice
from gmobot.venue.transport import HandshakeRefused, Socket, SocketClosed, Transport

Sink = Callable[[StreamEvent], None]
COMMAND_SPACING_SECONDS: Final = 1.1
_CONNECT_SECONDS: Final = 10.0
_PING_DEADLINE_SECONDS: Final = 70.0
_REFUSAL_GRACE_SECONDS: Final = 1.0
_EXTEND_SECONDS: Final = 1_500.0
_MAINTENANCE_HTTP: Final = 503


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
    """How long to wait before connecting again, in seconds."""

    shortest: float = 0.5
    longest: float = 30.0


class CommandPacer:
    """Spaces the commands of all sockets of this address: the exchange allows one a second."""

    def __init__(self, clock: Clock, *, spacing_seconds: float = COMMAND_SPACING_SECONDS) -> None:
        self._clock = clock
        self._spacing = spacing_seconds
        self._next = 0.0

    async def wait(self) -> None:
        """Wait for the next free moment and take it."""
        now = self._clock.monotonic()
        at = max(now, self._next)
        self._next = at + self._spacing
        if at > now:
            await asyncio.sleep(at - now)


class _Dropped(Exception):
    """This connection is over; the text says why."""


class Stream:
    """What both streams share: the life of a connection.

    Attributes:
        connected: Whether the stream is up.
        reconnects: Connections lost so far.
        malformed: Frames that could not be understood so far.
        last_message_ns: When the last data frame came, 0 before the first.
        messages: Frames by channel.
    """

    name = ""

    def __init__(
        self, transport: Transport, clock: Clock, pacer: CommandPacer, *, seed: random.Random, backoff: Backoff, silence_seconds: float
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._pacer = pacer
        self._random = seed
        self._backoff = backoff
        self._silence = silence_seconds
        self._socket: Socket | None = None
        self._pending: list[Subscription] = []
        self.connected = False
        self.reconnects = 0
        self.malformed = 0
        self.last_message_ns = 0
        self.messages: dict[str, int] = {}

    async def run(self, sink: Sink) -> None:
        """Keep the stream up until cancelled, handing every event to ``sink``."""
        failures = 0
        while True:
            try:
                await self._live(sink)
            except (_Dropped, SocketClosed, NotSent) as error:
                why = str(error)
            except HandshakeRefused as error:
                why = "maintenance" if error.status == _MAINTENANCE_HTTP else str(error)
                await self._on_handshake_refused()
            except VenueError as error:
                why = f"{error.category.value}: {error}"
            failures = 0 if self.connected else failures + 1
            self._down(sink, why)
            await asyncio.sleep(self._delay(failures))

    def age_seconds(self) -> float | None:
        """Return how old the last data frame is, ``None`` before the first."""
        return (self._clock.now_ns() - self.last_message_ns) / NS_PER_SECOND if self.last_message_ns else None

    async def _path(self) -> str:
        raise NotImplementedError

    def _subscriptions(self) -> Sequence[Subscription]:
        raise NotImplementedError

    def _decode(self, channel: str, text: str | bytes) -> StreamEvent | None:
        raise NotImplementedError

    def _overdue(self, socket: Socket) -> str | None:
        raise NotImplementedError

    async def _on_handshake_refused(self) -> None:
        return

    async def _keep(self) -> None:
        """Do what keeps the connection valid; runs beside it."""
        await asyncio.Event().wait()

    async def _live(self, sink: Sink) -> None:
        socket = await self._transport.connect(await self._path(), timeout=_CONNECT_SECONDS)
        self._socket = socket
        self._pending = list(self._subscriptions())
        failure: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._subscribe(socket, sink))
                group.create_task(self._keep())
                group.create_task(self._watch(socket))
                group.create_task(self._receive(socket, sink))
        except* (_Dropped, SocketClosed, VenueError) as errors:
            failure = errors.exceptions[0]
        finally:
            self._socket = None
            await socket.close()
        raise _Dropped(str(failure))

    async def _subscribe(self, socket: Socket, sink: Sink) -> None:
        while self._pending:
            await self._pacer.wait()
            await socket.send(self._pending[0].command())
            self._pending.pop(0)
        await self._subscribed(sink)

    async def _subscribed(self, sink: Sink) -> None:
        """Every command was sent."""

    async def _watch(self, socket: Socket) -> None:
        while True:
            await asyncio.sleep(1.0)
            overdue = self._overdue(socket)
            if overdue is not None:
                raise _Dropped(overdue)

    async def _receive(self, socket: Socket, sink: Sink) -> None:
        while True:
            self._on_frame(await socket.receive(), sink)

    def _on_frame(self, text: str | bytes, sink: Sink) -> None:
        try:
            frame = msgspec.json.decode(text, type=wire.Frame)
            if frame.error is not None:
                self._on_error(frame.error, sink)
                return
            event = self._decode(frame.channel or "", text)
        except (msgspec.DecodeError, msgspec.ValidationError, ValueError, ArithmeticError) as error:
            self.malformed += 1
            sink(StreamNotice(stream=self.name, state="malformed", detail=str(error)[:200]))
            return
        self.last_message_ns = self._clock.now_ns()
        channel = frame.channel or ""
        self.messages[channel] = self.messages.get(channel, 0) + 1
        if event is not None:
            self._heard_data(sink)
            sink(event)

    def _on_error(self, error: str, sink: Sink) -> None:
        code = error.partition(" ")[0]
        if code == "ERR-5003":
            # The command was dropped, and the frame does not say which: subscribe to everything again.
            raise _Dropped(error)
        sink(StreamNotice(stream=self.name, state="refused", detail=error))

    def _heard_data(self, sink: Sink) -> None:
        """A data frame came."""

    def _up(self, sink: Sink) -> None:
        if not self.connected:
            self.connected = True
            sink(StreamNotice(stream=self.name, state="up"))

    def _down(self, sink: Sink, why: str) -> None:
        if self.connected:
            self.reconnects += 1
        self.connected = False
        sink(StreamNotice(stream=self.name, state="down", detail=why))

    def _delay(self, failures: int) -> float:
        ceiling = min(self._backoff.longest, self._backoff.shortest * 2 ** min(failures, 16))
        return self._random.uniform(ceiling / 2, ceiling)


class PublicStream(Stream):
    """Trades (each match once), books and tickers of some symbols."""

    name = "public"

    def __init__(
        self,
        transport: Transport,
        clock: Clock,
        pacer: CommandPacer,
        *,
        symbols: Sequence[str],
        seed: random.Random,
        backoff: Backoff = Backoff(),  # noqa: B008  # immutable
        silence_seconds: float = 15.0,
    ) -> None:
        super().__init__(transport, clock, pacer, seed=seed, backoff=backoff, silence_seconds=silence_seconds)
        self._wanted = [
            subscription
            for symbol in symbols
            for subscription in (Subscription("trades", symbol, "TAKER_ONLY"), Subscription("orderbooks", symbol))
        ]
        self._connected_at = 0.0
        self._heard_at = 0.0

    async def _path(self) -> str:
        self._connected_at = self._heard_at = self._clock.monotonic()
        return "/ws/public/v1"

    def _subscriptions(self) -> Sequence[Subscription]:
        return self._wanted

    def _decode(self, channel: str, text: str | bytes) -> StreamEvent | None:
        if channel == "trades":
            row = msgspec.json.decode(text, type=wire.TradeData)
            return row.model(row.symbol)
        if channel == "orderbooks":
            return msgspec.json.decode(text, type=wire.BookData).model(self._clock.now_ns())
        if channel == "ticker":
            return msgspec.json.decode(text, type=wire.TickerData).model()
        raise msgspec.ValidationError(f"unknown channel {channel!r}")

    def _heard_data(self, sink: Sink) -> None:
        self._heard_at = self._clock.monotonic()
        # Trades before the last command was answered would leave the other symbols in the dark.
        if not self._pending:
            self._up(sink)

    def _overdue(self, socket: Socket) -> str | None:  # noqa: ARG002  # books repeat every five seconds: data decides, not pings
        if self._pending:
            return None
        silent = self._clock.monotonic() - self._heard_at
        return f"no data for {silent:.0f} s" if silent > self._silence else None


class PrivateStream(Stream):
    """Our executions and order events."""

    name = "private"

    def __init__(
        self,
        transport: Transport,
        rest: GmoRest,
        clock: Clock,
        pacer: CommandPacer,
        *,
        seed: random.Random,
        backoff: Backoff = Backoff(),  # noqa: B008  # immutable
    ) -> None:
        super().__init__(transport, clock, pacer, seed=seed, backoff=backoff, silence_seconds=_PING_DEADLINE_SECONDS)
        self._rest = rest
        self._token: Secret | None = None

    async def close(self) -> None:
        """Revoke the token; a failure to do so is harmless, it ends by itself."""
        token, self._token = self._token, None
        if token is not None:
            try:
                await self._rest.revoke_token(token)
            except VenueError:
                return

    async def _path(self) -> str:
        # A token may have died with the connection (maintenance does that): every connection gets its own.
        await self.close()
        self._token = await self._rest.create_token()
        return f"/ws/private/v1/{self._token.reveal().decode()}"

    def _subscriptions(self) -> Sequence[Subscription]:
        return (Subscription("executionEvents"), Subscription("orderEvents"))

    async def _subscribed(self, sink: Sink) -> None:
        # A refusal (ERR-5012) comes as a frame shortly after; silence means that all is well.
        await asyncio.sleep(_REFUSAL_GRACE_SECONDS)
        self._up(sink)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_EXTEND_SECONDS)
            if self._token is None:
                return
            try:
                await self._rest.extend_token(self._token)
            except Refused as error:
                raise _Dropped(f"token: {error}") from None

    def _decode(self, channel: str, text: str | bytes) -> StreamEvent | None:
        if channel == "executionEvents":
            return msgspec.json.decode(text, type=wire.ExecutionFrame).model()
        if channel == "orderEvents":
            return OrderUpdate(order=msgspec.json.decode(text, type=wire.OrderFrame).model())
        raise msgspec.ValidationError(f"unknown channel {channel!r}")

    def _overdue(self, socket: Socket) -> str | None:
        silent = self._clock.monotonic() - socket.last_heard()
        return f"no ping for {silent:.0f} s" if silent > self._silence else None

    async def _on_handshake_refused(self) -> None:
        self._token = None


def describe(stream: Stream) -> dict[str, Any]:
    """Return what an operator sees of a stream."""
    return {"name": stream.name, "age_seconds": stream.age_seconds()}
