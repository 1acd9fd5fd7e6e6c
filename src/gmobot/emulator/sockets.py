"""The exchange's streams: what a socket subscribed to, and the frames it gets for it.

No acknowledgements, errors as frames, one command a second per address, books on a grid of about 505 ms
and again when quiet. What nobody subscribed to is never computed.

Source: reference/gmo-coin-api.md §3.3, §7, §8.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import msgspec

from gmobot.clock import iso_utc
from gmobot.emulator import wire
from gmobot.emulator.book import STREAM_LEVELS
from gmobot.emulator.exchange import Exchange
from gmobot.emulator.faults import Fault, Faults
from gmobot.emulator.positions import position_frame, summary_frame
from gmobot.emulator.public import ticker
from gmobot.emulator.records import Account, Execution, Order, Position
from gmobot.emulator.tape import Trade
from gmobot.venue.transport import SocketClosed

GRID_SECONDS = 0.505
PING_SECONDS = 60.0
_PUBLIC = ("ticker", "orderbooks", "trades")
_PRIVATE = ("executionEvents", "orderEvents", "positionEvents", "positionSummaryEvents")
_BOOK_REPEAT_SECONDS = 4.5
_IDLE_CLOSE_SECONDS = 60.0
_COMMAND_SECONDS = 1.0
_SUMMARY_SECONDS = 5.0
_MOST_QUEUED = 20_000


class ServerSocket:
    """One client's socket, seen from the exchange; it is also the client's end for in-memory transports.

    Attributes:
        account: Whose private stream it is, ``None`` for the public one.
        subscribed: Channel and symbol (empty on the private stream) to the option that was given.
        silent: A fault has muted it: open, and nothing comes any more.
        spoke: Whether the client ever sent anything; sockets that never did are closed.
        pongs: Answers to protocol pings, counted where there is a wire.
    """

    def __init__(self, hub: Hub, client: str, account: Account | None) -> None:
        self._hub = hub
        self.client = client
        self.account = account
        self.subscribed: dict[tuple[str, str], str | None] = {}
        self.silent = False
        self.spoke = False
        self.pongs = 0
        self._frames: deque[str] = deque()
        self._arrived = asyncio.Event()
        self._later: deque[tuple[float, str, str]] = deque()
        self._closed = False
        self._heard = hub.exchange.clock.monotonic()

    @property
    def is_open(self) -> bool:
        """Whether frames can still pass."""
        return not self._closed

    async def send(self, text: str) -> None:
        """Take a command frame from the client."""
        if self._closed:
            raise SocketClosed(1006)
        self.spoke = True
        self._hub.command(self, text)

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
        """Send a protocol ping."""
        if not self.silent and not self._closed:
            self._heard = self._hub.exchange.clock.monotonic()

    def deliver(self, frame: str) -> None:
        """Put a frame on the line now; a client that does not read loses its socket."""
        if self._closed or self.silent:
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

    def _deliver_due(self) -> None:
        loop = asyncio.get_running_loop()
        # One call for each due time: frames of the same moment leave together and in order.
        due = self._later[0][0] if self._later else 0.0
        while self._later and self._later[0][0] <= due:
            _, channel, frame = self._later.popleft()
            self._hub.put(self, channel, frame)
        if self._later:
            loop.call_at(max(self._later[0][0], loop.time()), self._deliver_due)


class Hub:
    """All open sockets."""

    def __init__(self, exchange: Exchange, faults: Faults) -> None:
        self.exchange = exchange
        self._faults = faults
        self._sockets: list[ServerSocket] = []
        self._last_command: dict[str, float] = {}
        self._books_sent: dict[str, tuple[int, float]] = {}
        self._traded: set[str] = set()
        exchange.listeners.append(self._on_news)

    async def run(self) -> None:
        """Send books and tickers on their grid and pings, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._grid())
            group.create_task(self._pings())
            group.create_task(self._summaries())

    def open(self, client: str, account: Account | None) -> ServerSocket:
        """Open a socket; private ones belong to an account."""
        socket = ServerSocket(self, client, account)
        self._sockets.append(socket)
        asyncio.get_running_loop().call_later(_IDLE_CLOSE_SECONDS, _drop_mute, socket)
        return socket

    def forget(self, socket: ServerSocket) -> None:
        """A socket was closed."""
        self._sockets.remove(socket)

    def drop_all(self) -> None:
        """Close every socket, as maintenance does."""
        for socket in list(self._sockets):
            socket.drop()

    def command(self, socket: ServerSocket, text: str) -> None:
        """Carry out a subscribe or unsubscribe; all sockets of an address share its allowance."""
        now = self.exchange.clock.monotonic()
        last = self._last_command.get(socket.client)
        if last is not None and now - last < _COMMAND_SECONDS:
            error: str | None = "ERR-5003 Request too many."
        else:
            self._last_command[socket.client] = now
            error = self._carry_out(socket, text)
        if error is not None:
            socket.deliver(_encode({"error": error}))

    def put(self, socket: ServerSocket, channel: str, frame: str) -> None:
        """Put a frame on a line, as faults will have it."""
        if self._faults.strikes(Fault.SOCKET_SILENT, channel):
            socket.silent = True
        if self._faults.strikes(Fault.SOCKET_DROPPED, channel):
            socket.drop()
        socket.deliver(frame)

    def _carry_out(self, socket: ServerSocket, text: str) -> str | None:
        try:
            command = msgspec.json.decode(text, type=dict[str, Any])
        except (msgspec.DecodeError, msgspec.ValidationError):
            return "ERR-5106 Invalid request parameter."
        word, channel, symbol = command.get("command"), str(command.get("channel")), ""
        if word not in ("subscribe", "unsubscribe"):
            return "ERR-5106 Invalid request parameter. command"
        if channel not in (_PUBLIC if socket.account is None else _PRIVATE):
            return "ERR-5106 Invalid request parameter. channel"
        if socket.account is None:
            symbol = str(command.get("symbol"))
            if symbol not in self.exchange.symbols:
                return "ERR-5106 Invalid request parameter. symbol"
        if word == "subscribe":
            option = command.get("option")
            socket.subscribed[channel, symbol] = option if isinstance(option, str) else None
            self._books_sent.pop(symbol, None)
            if channel == "positionSummaryEvents" and self.exchange.assumptions.summary_init:
                self._send_summaries(socket, "INIT")
        else:
            socket.subscribed.pop((channel, symbol), None)
        return None

    def _on_news(self, kind: str, *news: Any) -> None:  # noqa: ANN401
        if kind == "trade":
            self._on_trade(*news)
        elif kind == "execution":
            self._on_execution(*news)
        elif kind == "position":
            self._on_position(*news)
        else:
            self._on_order(*news)

    def _listeners(self, channel: str, symbol: str = "", account: Account | None = None) -> list[ServerSocket]:
        return [socket for socket in self._sockets if socket.account is account and (channel, symbol) in socket.subscribed]

    def _on_trade(self, symbol: str, trade: Trade) -> None:
        self._traded.add(symbol)
        listeners = self._listeners("trades", symbol)
        if not listeners:
            return
        instrument = self.exchange.symbols[symbol].instrument
        other = "SELL" if trade.side == "BUY" else "BUY"
        taker, maker = (_encode(wire.trade_frame(symbol, trade, side, instrument)) for side in (trade.side, other))
        for socket in listeners:
            self.put(socket, "trades", taker)
            if socket.subscribed.get(("trades", symbol)) != "TAKER_ONLY":
                self.put(socket, "trades", maker)

    def _on_execution(self, execution: Execution) -> None:
        instrument = self.exchange.symbols[execution.order.symbol].instrument
        self._to_owner(execution.order.account, "executionEvents", wire.execution_frame(execution, instrument))

    def _on_order(self, order: Order, news: str, refused: str) -> None:
        instrument = self.exchange.symbols[order.symbol].instrument
        self._to_owner(order.account, "orderEvents", wire.order_frame(order, news, instrument, refused))

    def _on_position(self, position: Position, news: str) -> None:
        account = position.account
        if self._listeners("positionEvents", account=account):
            self._to_owner(account, "positionEvents", position_frame(self.exchange, position, news))
        if self._listeners("positionSummaryEvents", account=account):
            summary = summary_frame(self.exchange, account, position.symbol, position.side, "UPDATE")
            self._to_owner(account, "positionSummaryEvents", summary)

    def _send_summaries(self, socket: ServerSocket, news: str) -> None:
        """Send the sums of all positions on one line, as they stand."""
        account = socket.account
        if account is None:
            return
        for symbol, side in account.totals:
            frame = _encode(summary_frame(self.exchange, account, symbol, side, news))
            socket.deliver_later(self.exchange.assumptions.event_seconds, "positionSummaryEvents", frame)

    def _to_owner(self, account: Account, channel: str, fields: dict[str, Any]) -> None:
        """Send a private event a moment later, as faults will have it."""
        frame, usual = _encode(fields), self.exchange.assumptions.event_seconds
        for socket in self._listeners(channel, account=account):
            if self._faults.strikes(Fault.EVENT_LOST, channel):
                continue
            loop = asyncio.get_running_loop()
            if self._faults.strikes(Fault.EVENT_DELAYED, channel):
                loop.call_later(usual + self._faults.seconds(Fault.EVENT_DELAYED, 0.2, 4.0), self.put, socket, channel, frame)
            else:
                socket.deliver_later(usual, channel, frame)
            if self._faults.strikes(Fault.EVENT_DUPLICATED, channel):
                loop.call_later(usual + self._faults.seconds(Fault.EVENT_DUPLICATED, 0.0, 2.0), self.put, socket, channel, frame)

    async def _grid(self) -> None:
        while True:
            await asyncio.sleep(GRID_SECONDS)
            for symbol in self.exchange.symbols:
                self._send_book(symbol)
            for symbol in sorted(self._traded):
                self._send_ticker(symbol)
            self._traded.clear()

    def _send_book(self, symbol: str) -> None:
        listeners = self._listeners("orderbooks", symbol)
        if not listeners:
            return
        book, clock = self.exchange.symbols[symbol].book, self.exchange.clock
        changes, sent_at = self._books_sent.get(symbol, (-1, 0.0))
        if book.changes == changes and clock.monotonic() - sent_at < _BOOK_REPEAT_SECONDS:
            return
        self._books_sent[symbol] = (book.changes, clock.monotonic())
        fields = {"channel": "orderbooks"} | wire.book_levels(book, STREAM_LEVELS)
        frame = _encode(fields | {"timestamp": iso_utc(clock.now_ns()), "grouping": "1"})
        for socket in listeners:
            self.put(socket, "orderbooks", frame)

    def _send_ticker(self, symbol: str) -> None:
        listeners = self._listeners("ticker", symbol)
        if listeners:
            frame = _encode({"channel": "ticker"} | ticker(self.exchange.symbols[symbol], self.exchange.clock.now_ns()))
            for socket in listeners:
                self.put(socket, "ticker", frame)

    async def _pings(self) -> None:
        while True:
            await asyncio.sleep(PING_SECONDS)
            for socket in list(self._sockets):
                socket.ping()

    async def _summaries(self) -> None:
        """Send position sums to those who asked for them on a clock."""
        while True:
            await asyncio.sleep(_SUMMARY_SECONDS)
            for socket in list(self._sockets):
                if socket.subscribed.get(("positionSummaryEvents", "")) == "PERIODIC":
                    self._send_summaries(socket, "PERIODIC")


def _drop_mute(socket: ServerSocket) -> None:
    """Close a socket whose client never said anything."""
    if not socket.spoke:
        socket.drop()


def _encode(fields: dict[str, Any]) -> str:
    return msgspec.json.encode(fields).decode()
