"""GMO Coin's two streams: market data, and what happens to our orders.

The public one repeats every book within five seconds, so it counts as up only when every book has been
heard, and silence has a deadline. The private one is legitimately silent: there the server's pings are
watched, and only an error frame after subscribing tells that a key lacks the permission.

Duplicates are passed on: who books executions does so by their id.

Source: reference/gmo-coin-api.md §7, §8.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from random import Random
from typing import Final

import msgspec

from gmobot.clock import Clock
from gmobot.errors import NotSent, OutcomeUnknown, Refused, VenueError
from gmobot.secrets import Secret
from gmobot.venue.gmo import wire
from gmobot.venue.gmo.connection import COMMAND_SPACING_SECONDS, Backoff, CommandPacer, Dropped, Sink, Stream, Subscription
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.models import Book, Print, StreamEvent, Ticker
from gmobot.venue.transport import Socket, Transport

__all__ = ["COMMAND_SPACING_SECONDS", "Backoff", "CommandPacer", "PrivateStream", "PublicStream", "Sink", "Stream", "Subscription"]

CHANNELS: Final = ("trades", "orderbooks")
ORDER_CHANNELS: Final = ("executionEvents", "orderEvents")
POSITION_CHANNELS: Final = ("positionEvents", "positionSummaryEvents")
DEADLINES: Final = {"ticker": 300.0}
"""Seconds of silence after which a channel counts as dead, besides books; the tape may rightly be silent."""
_ONE_OF: Final = {"orderbooks": "book"}
_PING_DEADLINE_SECONDS: Final = 70.0
_REFUSAL_GRACE_SECONDS: Final = 1.0
TOKEN_SECONDS: Final = 3_600.0
"""A token lives sixty minutes."""
_EXTENDED_AFTER: Final = 5 / 12
_EXTENDED_AGAIN_AFTER: Final = 1 / 60
_GIVEN_UP_AFTER: Final = 11 / 12
"""Shares of a token's life: five minutes of an hour are kept for connecting again in peace."""


class PublicStream(Stream):
    """Trades, books and tickers of some symbols.

    A match is told once, with the taker's side. Without ``taker_only`` it is told once per side, as REST does.
    """

    name = "public"

    def __init__(
        self,
        transport: Transport,
        clock: Clock,
        pacer: CommandPacer,
        *,
        symbols: Sequence[str],
        channels: Sequence[str] = CHANNELS,
        seed: Random,
        backoff: Backoff = Backoff(),  # noqa: B008  # immutable
        silence_seconds: float = 15.0,
        deadlines: Mapping[str, float] = DEADLINES,
        taker_only: bool = True,
    ) -> None:
        """Make a stream; :meth:`run` connects it.

        Args:
            transport: The way to the exchange.
            clock: Time.
            pacer: Shared by all sockets of this address.
            symbols: What to listen to.
            channels: Of ``trades``, ``orderbooks`` and ``ticker``; without books, silence may be innocent.
            seed: Where jitter comes from.
            backoff: Waits between connections.
            silence_seconds: A book not repeated for so long means a dead socket; so does a socket without any data.
            deadlines: The same for other channels, by name, for each of the symbols.
            taker_only: Whether the tape tells each match once.
        """
        super().__init__(transport, clock, pacer, seed=seed, backoff=backoff)
        option = "TAKER_ONLY" if taker_only else None
        self._subscriptions = [
            Subscription(channel, symbol, option if channel == "trades" else None) for symbol in symbols for channel in channels
        ]
        self._silence = silence_seconds
        self._deadlines = {"orderbooks": silence_seconds} | {key: deadlines[key] for key in deadlines if key != "orderbooks"}
        self._books = frozenset(symbols) if "orderbooks" in channels else frozenset[str]()
        self._told_at: dict[tuple[str, str], float] = {}
        self._heard: set[tuple[str, str]] = set()
        self._data_at = 0.0

    async def _path(self) -> str:
        self._told_at.clear()
        self._heard.clear()
        self._data_at = self._clock.monotonic()
        return "/ws/public/v1"

    def _wanted(self) -> Sequence[Subscription]:
        return [wanted for wanted in self._subscriptions if (wanted.channel, wanted.symbol) not in self._heard]

    def _on_sent(self, subscription: Subscription) -> None:
        self._data_at = self._clock.monotonic()
        if subscription.channel in self._deadlines and subscription.symbol is not None:
            self._told_at[subscription.channel, subscription.symbol] = self._data_at

    def _decode(self, channel: str, text: str | bytes) -> StreamEvent:
        event: Print | Book | Ticker
        if channel == "trades":
            row = wire.decode(text, wire.TradeData)
            event = row.model(row.symbol)
        elif channel == "orderbooks":
            event = wire.decode(text, wire.BookData).model(self._clock.now_ns())
        elif channel == "ticker":
            event = wire.decode(text, wire.TickerData).model()
        else:
            raise msgspec.ValidationError("unknown channel")
        key = (channel, event.symbol)
        self._heard.add(key)
        self._data_at = self._clock.monotonic()
        if channel in self._deadlines:
            self._told_at[key] = self._data_at
        return event

    def _on_data(self, event: StreamEvent, sink: Sink) -> None:  # noqa: ARG002  # any data may be the last that was missing
        if not self.connected and not self._pending and all(("orderbooks", symbol) in self._heard for symbol in self._books):
            self._up(sink)

    def _overdue(self, socket: Socket) -> str | None:  # noqa: ARG002  # books repeat every five seconds: data decides, not pings
        now = self._clock.monotonic()
        for (channel, symbol), at in self._told_at.items():
            if now - at > self._deadlines[channel]:
                return f"no {_ONE_OF.get(channel, channel)} of {symbol} for {now - at:.0f} s"
        silent = now - self._data_at
        return f"no data for {silent:.0f} s" if silent > self._silence and not self._pending else None


class PrivateStream(Stream):
    """Our executions, order events and, if asked for, positions."""

    name = "private"

    def __init__(
        self,
        transport: Transport,
        rest: GmoRest,
        clock: Clock,
        pacer: CommandPacer,
        *,
        seed: Random,
        backoff: Backoff = Backoff(),  # noqa: B008  # immutable
        channels: Sequence[str] = ORDER_CHANNELS,
        periodic_summaries: bool = False,
        token_seconds: float = TOKEN_SECONDS,
    ) -> None:
        """Make a stream; :meth:`run` connects it.

        Args:
            transport: The way to the exchange.
            rest: Gets, extends and revokes the token.
            clock: Time.
            pacer: Shared by all sockets of this address.
            seed: Where jitter comes from.
            backoff: Waits between connections.
            channels: Of :data:`ORDER_CHANNELS` and, for leverage, :data:`POSITION_CHANNELS`.
            periodic_summaries: Whether totals of positions come every five seconds besides on every change.
            token_seconds: How long a token lives at this exchange.
        """
        super().__init__(transport, clock, pacer, seed=seed, backoff=backoff)
        self._rest = rest
        self._token: Secret | None = None
        self._renewal = asyncio.Event()
        self._token_seconds = token_seconds
        option = "PERIODIC" if periodic_summaries else None
        self._subscriptions = [Subscription(channel, None, option if channel == "positionSummaryEvents" else None) for channel in channels]

    def renew(self) -> None:
        """Connect again with a new token: the old one was had with a key that is no longer in use."""
        self._renewal.set()

    async def close(self) -> None:
        """Revoke the token; a failure to do so is harmless, it ends by itself."""
        token, self._token = self._token, None
        if token is not None:
            try:
                await self._rest.revoke_token(token)
            except VenueError:
                return

    async def _path(self) -> str:
        # From here on the key in use signs; a renewal that comes later ends the connection that is being made.
        self._renewal.clear()
        # A token may have died with the connection (maintenance does that): every connection gets its own.
        await self.close()
        self._token = await self._rest.create_token()
        return f"/ws/private/v1/{self._token.reveal().decode()}"

    def _wanted(self) -> Sequence[Subscription]:
        return self._subscriptions

    async def _on_subscribed(self, sink: Sink) -> None:
        # A refusal (ERR-5012) comes as a frame shortly after, and ends the connection; silence means that all is well.
        await asyncio.sleep(_REFUSAL_GRACE_SECONDS)
        if not self._pending:
            self._up(sink)

    def _shown(self, text: str) -> str:
        return text if self._token is None else text.replace(self._token.reveal().decode(), "***")

    def _on_refused(self, error: str) -> None:
        # The socket would stay open and silent for ever, and look alive.
        raise Dropped(error)

    async def _keep(self) -> None:
        """Extend the token in time; let a failure pass as long as it still lives."""
        life = self._token_seconds
        extended_at, wait = self._clock.monotonic(), life * _EXTENDED_AFTER
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._renewal.wait()
                raise Dropped("a new API key")
            if self._token is None:
                return
            try:
                await self._rest.extend_token(self._token)
            except (Refused, NotSent, OutcomeUnknown) as error:
                is_dead = isinstance(error, Refused) and not error.retryable
                if is_dead or self._clock.monotonic() - extended_at + life * _EXTENDED_AGAIN_AFTER > life * _GIVEN_UP_AFTER:
                    raise Dropped(f"token: {error}") from None
                wait = life * _EXTENDED_AGAIN_AFTER
            else:
                extended_at, wait = self._clock.monotonic(), life * _EXTENDED_AFTER

    def _decode(self, channel: str, text: str | bytes) -> StreamEvent:
        if channel == "executionEvents":
            return wire.decode(text, wire.ExecutionFrame).model()
        if channel == "orderEvents":
            return wire.decode(text, wire.OrderFrame).model()
        if channel == "positionEvents":
            return wire.decode(text, wire.PositionData).event()
        if channel == "positionSummaryEvents":
            return wire.decode(text, wire.SummaryData).event()
        raise msgspec.ValidationError("unknown channel")

    def _overdue(self, socket: Socket) -> str | None:
        silent = self._clock.monotonic() - socket.last_heard()
        return f"no ping for {silent:.0f} s" if silent > _PING_DEADLINE_SECONDS else None

    def _on_handshake_refused(self) -> None:
        # Its token is as good as dead; the next attempt gets another.
        self._token = None
