"""The exchange's streams: what a socket subscribed to, and the frames it gets for it.

No acknowledgements, errors as frames, one command a second per address, books on a grid of about 505 ms
and again when quiet.

Source: reference/gmo-coin-api.md §3.3, §7, §8.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from gmobot.clock import iso_utc
from gmobot.emulator import wire
from gmobot.emulator.book import LEVELS
from gmobot.emulator.exchange import Exchange
from gmobot.emulator.faults import Fault, Faults
from gmobot.emulator.ledger import Account, Execution, Order
from gmobot.emulator.market import Trade
from gmobot.emulator.public import ticker
from gmobot.venue.transport import SocketClosed

_PUBLIC = ("ticker", "orderbooks", "trades")
_PRIVATE = ("executionEvents", "orderEvents", "positionEvents", "positionSummaryEvents")
BOOK_GRID_SECONDS = 0.505
_BOOK_REPEAT_SECONDS = 4.5
_IDLE_CLOSE_SECONDS = 60.0
PING_SECONDS = 60.0
_MOST_QUEUED = 50_000


class ServerSocket:
    """One client's socket, seen from the exchange; it is also the client's end for in-memory transports."""

    def __init__(self, hub: Hub, client: str, account: Account | None) -> None:
        self._hub = hub
        self.client = client
        self.account = account
        self.subscribed: dict[tuple[str, str], str | None] = {}
        self._frames: asyncio.Queue[str | None] = asyncio.Queue(_MOST_QUEUED)
        self._closed = False
        self.silent = False
        self.commanded = False
        self._heard = hub.exchange.clock.monotonic()

    @property
    def is_open(self) -> bool:
        """Whether frames can still pass."""
        return not self._closed

    async def send(self, text: str) -> None:
        """Take a command frame from the client."""
        if self._closed:
            raise SocketClosed(1006)
        self._hub.command(self, text)

    async def receive(self) -> str | bytes:
        """Return the next frame for the client."""
        frame = await self._frames.get()
        if frame is None:
            self._frames.put_nowait(None)
            raise SocketClosed(1006)
        self._heard = self._hub.exchange.clock.monotonic()
        return frame

    def last_heard(self) -> float:
        """Return when the client last heard anything, pings included."""
        return self._heard

    async def close(self) -> None:
        """Close from either end."""
        self.drop()

    def ping(self) -> None:
        """Send a protocol ping."""
        if not self.silent and not self._closed:
            self._heard = self._hub.exchange.clock.monotonic()

    def deliver(self, frame: dict[str, Any]) -> None:
        """Queue a frame for the client."""
        if self._closed or self.silent:
            return
        self._frames.put_nowait(msgspec.json.encode(frame).decode())

    def drop(self) -> None:
        """Close without a close frame."""
        if not self._closed:
            self._closed = True
            self._hub.forget(self)
            self._frames.put_nowait(None)


class Hub:
    """All open sockets."""

    def __init__(self, exchange: Exchange, faults: Faults) -> None:
        self.exchange = exchange
        self._faults = faults
        self._sockets: list[ServerSocket] = []
        self._last_command: dict[str, float] = {}
        self._books_sent: dict[str, tuple[int, float]] = {}
        exchange.listeners.append(self._on_news)

    async def run(self) -> None:
        """Send books on their grid and pings, and close idle sockets, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._books())
            group.create_task(self._pings())

    def open(self, client: str, account: Account | None) -> ServerSocket:
        """Open a socket; private ones belong to an account."""
        socket = ServerSocket(self, client, account)
        self._sockets.append(socket)
        asyncio.get_running_loop().call_later(_IDLE_CLOSE_SECONDS, lambda: None if socket.commanded else socket.drop())
        return socket

    def forget(self, socket: ServerSocket) -> None:
        """A socket was closed."""
        self._sockets.remove(socket)

    def drop_all(self) -> None:
        """Close every socket, as maintenance does."""
        for socket in list(self._sockets):
            socket.drop()

    def command(self, socket: ServerSocket, text: str) -> None:
        """Carry out a subscribe or unsubscribe."""
        socket.commanded = True
        now = self.exchange.clock.monotonic()
        if now - self._last_command.get(socket.client, -10.0) < 1.0:
            socket.deliver({"error": "ERR-5003 Request too many."})
            return
        self._last_command[socket.client] = now
        error = self._carry_out(socket, text)
        if error is not None:
            socket.deliver({"error": error})

    def _carry_out(self, socket: ServerSocket, text: str) -> str | None:
        try:
            command = msgspec.json.decode(text, type=dict[str, Any])
        except (msgspec.DecodeError, msgspec.ValidationError):
            return "ERR-5106 Invalid request parameter."
        word, channel = command.get("command"), str(command.get("channel"))
        if word not in ("subscribe", "unsubscribe"):
            return "ERR-5106 Invalid request parameter. command"
        if channel not in (_PUBLIC if socket.account is None else _PRIVATE):
            return "ERR-5106 Invalid request parameter. channel"
        symbol = str(command.get("symbol", "")) if socket.account is None else ""
        if socket.account is None and symbol not in self.exchange.symbols:
            return "ERR-5106 Invalid request parameter. symbol"
        if word == "subscribe":
            socket.subscribed[channel, symbol] = command.get("option")
            self._books_sent.pop(symbol, None)
        else:
            socket.subscribed.pop((channel, symbol), None)
        return None

    def _on_news(self, kind: str, *news: Any) -> None:  # noqa: ANN401
        if kind == "trade":
            self._on_trade(*news)
        elif kind == "execution":
            self._on_execution(*news)
        elif kind == "order":
            self._on_order(*news)

    def _on_trade(self, symbol: str, trade: Trade) -> None:
        instrument = self.exchange.symbols[symbol].instrument
        for socket in list(self._sockets):
            if ("trades", symbol) in socket.subscribed:
                both = socket.subscribed["trades", symbol] != "TAKER_ONLY"
                other = "SELL" if trade.side == "BUY" else "BUY"
                for side in (trade.side, other) if both else (trade.side,):
                    self._send(socket, "trades", wire.trade_frame(symbol, trade, side, instrument))
            if ("ticker", symbol) in socket.subscribed:
                row = ticker(self.exchange.symbols[symbol], self.exchange.clock.now_ns())
                self._send(socket, "ticker", {"channel": "ticker"} | row)

    def _on_execution(self, execution: Execution) -> None:
        order = execution.order
        frame = wire.execution_frame(execution, self.exchange.symbols[order.symbol].instrument)
        self._to_owner(order.account, "executionEvents", frame)

    def _on_order(self, order: Order, kind: str) -> None:
        frame = wire.order_frame(order, kind, self.exchange.symbols[order.symbol].instrument)
        self._to_owner(order.account, "orderEvents", frame)

    def _to_owner(self, account: Account, channel: str, frame: dict[str, Any]) -> None:
        for socket in list(self._sockets):
            if socket.account is account and (channel, "") in socket.subscribed:
                self._later(socket, channel, frame)

    def _later(self, socket: ServerSocket, channel: str, frame: dict[str, Any]) -> None:
        """Send a private event a moment later, as faults will have it."""
        if self._faults.strikes(Fault.EVENT_LOST, channel):
            return
        delay = self.exchange.assumptions.event_seconds
        if self._faults.strikes(Fault.EVENT_DELAYED, channel):
            delay += self._faults.seconds(0.2, 4.0)
        send: Callable[[], None] = lambda: self._send(socket, channel, frame)  # noqa: E731  # scheduled up to twice
        loop = asyncio.get_running_loop()
        loop.call_later(delay, send)
        if self._faults.strikes(Fault.EVENT_DUPLICATED, channel):
            loop.call_later(delay + self._faults.seconds(0.0, 2.0), send)

    def _send(self, socket: ServerSocket, channel: str, frame: dict[str, Any]) -> None:
        if self._faults.strikes(Fault.SOCKET_SILENT, channel):
            socket.silent = True
        if self._faults.strikes(Fault.SOCKET_DROPPED, channel):
            socket.drop()
            return
        socket.deliver(frame)

    async def _books(self) -> None:
        while True:
            await asyncio.sleep(BOOK_GRID_SECONDS)
            for symbol in self.exchange.symbols:
                self._send_book(symbol)

    def _send_book(self, symbol: str) -> None:
        listening = [socket for socket in self._sockets if ("orderbooks", symbol) in socket.subscribed]
        book, clock = self.exchange.symbols[symbol].book, self.exchange.clock
        changes, sent_at = self._books_sent.get(symbol, (-1, 0.0))
        if not listening or (book.changes == changes and clock.monotonic() - sent_at < _BOOK_REPEAT_SECONDS):
            return
        self._books_sent[symbol] = (book.changes, clock.monotonic())
        levels = wire.book_levels(book, LEVELS)
        frame = {"channel": "orderbooks"} | levels | {"timestamp": iso_utc(clock.now_ns()), "grouping": "1"}
        for socket in listening:
            self._send(socket, "orderbooks", frame)

    async def _pings(self) -> None:
        while True:
            await asyncio.sleep(PING_SECONDS)
            for socket in list(self._sockets):
                socket.ping()
