"""The exchange's streams: what a socket subscribed to, and the frames it gets for it.

No acknowledgements, errors as frames, one command a second per address, books on a grid of about 505 ms
and again when quiet. What nobody subscribed to is never computed, and a frame is encoded once however many
sockets it goes to.

Source: reference/gmo-coin-api.md §3.3, §7, §8.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from gmobot.clock import iso_utc
from gmobot.emulator.engine.exchange import Exchange
from gmobot.emulator.engine.records import Account, Execution, Order, Position
from gmobot.emulator.faults import Fault, Faults
from gmobot.emulator.market.tape import Trade
from gmobot.emulator.protocol import wire
from gmobot.emulator.protocol.connection import ServerSocket
from gmobot.emulator.protocol.positions import position_frame, summary_frame
from gmobot.emulator.protocol.public import ticker
from gmobot.emulator.protocol.tokens import Tokens

GRID_SECONDS = 0.505
PING_SECONDS = 60.0
_PUBLIC = ("ticker", "orderbooks", "trades")
_PRIVATE = ("executionEvents", "orderEvents", "positionEvents", "positionSummaryEvents")
_BOOK_REPEAT_SECONDS = 4.5
_IDLE_CLOSE_SECONDS = 60.0
_COMMAND_SECONDS = 1.0
_REORDERED_SECONDS = 1.0
_SUMMARY_SECONDS = 5.0

Allows = Callable[[Account, str], bool]
"""Whether an account's key may use a channel."""


class Hub:
    """All open sockets."""

    def __init__(self, exchange: Exchange, faults: Faults, allows: Allows, tokens: Tokens) -> None:
        self.exchange = exchange
        self.ping_seconds = PING_SECONDS
        self._faults = faults
        self._allows = allows
        self._tokens = tokens
        self._sockets: dict[ServerSocket, None] = {}
        self._subscribers: dict[tuple[str, str, Account | None], dict[ServerSocket, None]] = {}
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

    def open(self, client: str, account: Account | None, token: str = "") -> ServerSocket:
        """Open a socket; private ones belong to an account and a token."""
        socket = ServerSocket(self, client, account, token)
        self._sockets[socket] = None
        asyncio.get_running_loop().call_later(_IDLE_CLOSE_SECONDS, self._drop_idle, socket)
        return socket

    def subscribe(self, socket: ServerSocket, channel: str, symbol: str = "", option: str | None = None) -> None:
        """Send a channel to a socket from now on; a second time only changes the option."""
        socket.subscribed[channel, symbol] = option
        socket.fresh.add(symbol)
        self._subscribers.setdefault((channel, symbol, socket.account), {})[socket] = None
        if channel == "positionSummaryEvents" and self.exchange.assumptions.summary_init:
            self._send_summaries(socket, "INIT")

    def forget(self, socket: ServerSocket) -> None:
        """A socket was closed."""
        del self._sockets[socket]
        for channel, symbol in socket.subscribed:
            self._subscribers[channel, symbol, socket.account].pop(socket, None)

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
        if self._faults.any:
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
        elif not self._allows(socket.account, channel):
            return "ERR-5012 Authentication failed."
        if word == "subscribe":
            option = command.get("option")
            self.subscribe(socket, channel, symbol, option if isinstance(option, str) else None)
        else:
            socket.subscribed.pop((channel, symbol), None)
            self._subscribers.get((channel, symbol, socket.account), {}).pop(socket, None)
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
        return list(self._subscribers.get((channel, symbol, account), ()))

    def _on_trade(self, symbol: str, trade: Trade) -> None:
        self._traded.add(symbol)
        listeners = self._listeners("trades", symbol)
        if not listeners:
            return
        instrument = self.exchange.symbols[symbol].instrument
        other = "SELL" if trade.side == "BUY" else "BUY"
        taker, maker = (_encode(wire.trade_frame(symbol, trade, side, instrument)) for side in (trade.side, other))
        for socket in listeners:
            self._post(socket, "trades", taker)
            if socket.subscribed.get(("trades", symbol)) != "TAKER_ONLY":
                self._post(socket, "trades", maker)

    def _on_execution(self, execution: Execution) -> None:
        if not self._listeners("executionEvents", account=execution.order.account):
            return
        instrument = self.exchange.symbols[execution.order.symbol].instrument
        self._to_owner(execution.order.account, "executionEvents", wire.execution_frame(execution, instrument))

    def _on_order(self, order: Order, news: str, refused: str) -> None:
        if not self._listeners("orderEvents", account=order.account):
            return
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
            self._post(socket, "positionSummaryEvents", frame, self.exchange.assumptions.event_seconds)

    def _to_owner(self, account: Account, channel: str, fields: dict[str, Any]) -> None:
        """Send a private event a moment later."""
        frame, usual = _encode(fields), self.exchange.assumptions.event_seconds
        for socket in self._listeners(channel, account=account):
            self._post(socket, channel, frame, usual)

    def _post(self, socket: ServerSocket, channel: str, frame: str, usual: float = 0.0) -> None:
        """Send a frame at its usual time, or as faults will have it."""
        if not self._faults.any and socket.held is None:
            self._send(socket, channel, frame, usual)
            return
        if self._faults.strikes(Fault.EVENT_LOST, channel):
            return
        loop = asyncio.get_running_loop()
        if self._faults.strikes(Fault.EVENT_DELAYED, channel):
            loop.call_later(usual + self._faults.seconds(Fault.EVENT_DELAYED, 0.2, 4.0), self.put, socket, channel, frame)
        elif socket.held is None and self._faults.strikes(Fault.EVENT_REORDERED, channel):
            socket.held = channel, frame
            patience = self._faults.seconds(Fault.EVENT_REORDERED, _REORDERED_SECONDS, _REORDERED_SECONDS)
            loop.call_later(usual + patience, self._release, socket, socket.held, 0.0)
        else:
            self._send(socket, channel, frame, usual)
            self._release(socket, socket.held, usual)
        if self._faults.strikes(Fault.EVENT_DUPLICATED, channel):
            loop.call_later(usual + self._faults.seconds(Fault.EVENT_DUPLICATED, 0.0, 2.0), self.put, socket, channel, frame)

    def _send(self, socket: ServerSocket, channel: str, frame: str, seconds: float) -> None:
        if seconds > 0.0:
            socket.deliver_later(seconds, channel, frame)
        else:
            self.put(socket, channel, frame)

    def _release(self, socket: ServerSocket, held: tuple[str, str] | None, seconds: float) -> None:
        """Send a frame that was held back, unless it has gone already."""
        if held is not None and socket.held is held:
            socket.held = None
            self._send(socket, *held, seconds)

    async def _grid(self) -> None:
        while True:
            await asyncio.sleep(GRID_SECONDS)
            for symbol in self.exchange.symbols:
                self._send_book(symbol)
            for symbol in sorted(self._traded):
                self._send_ticker(symbol)
            self._traded.clear()
            if self.exchange.assumptions.token_end_cuts_socket:
                self._drop_tokenless()

    def _send_book(self, symbol: str) -> None:
        listeners = self._listeners("orderbooks", symbol)
        if not listeners:
            return
        book, clock = self.exchange.symbols[symbol].book, self.exchange.clock
        changes, sent_at = self._books_sent.get(symbol, (-1, 0.0))
        if book.changes == changes and clock.monotonic() - sent_at < _BOOK_REPEAT_SECONDS:
            listeners = [socket for socket in listeners if symbol in socket.fresh]
            if not listeners:
                return
        else:
            self._books_sent[symbol] = (book.changes, clock.monotonic())
        fields = {"channel": "orderbooks"} | wire.book_levels(book, self.exchange.assumptions.stream_levels)
        frame = _encode(fields | {"timestamp": iso_utc(clock.now_ns()), "grouping": "1"})
        for socket in listeners:
            socket.fresh.discard(symbol)
            self._post(socket, "orderbooks", frame)

    def _send_ticker(self, symbol: str) -> None:
        listeners = self._listeners("ticker", symbol)
        if listeners:
            frame = _encode({"channel": "ticker"} | ticker(self.exchange.symbols[symbol], self.exchange.clock.now_ns()))
            for socket in listeners:
                self._post(socket, "ticker", frame)

    async def _pings(self) -> None:
        while True:
            await asyncio.sleep(self.ping_seconds)
            for socket in list(self._sockets):
                if socket.spoke_at is not None:
                    socket.ping()

    def _drop_tokenless(self) -> None:
        for socket in list(self._sockets):
            if socket.account is not None and self._tokens.owner(socket.token) is None:
                socket.drop()

    async def _summaries(self) -> None:
        """Send position sums to those who asked for them on a clock."""
        while True:
            await asyncio.sleep(_SUMMARY_SECONDS)
            for socket in list(self._sockets):
                if socket.subscribed.get(("positionSummaryEvents", "")) == "PERIODIC":
                    self._send_summaries(socket, "PERIODIC")

    def _drop_idle(self, socket: ServerSocket) -> None:
        """Close a socket that never asked for anything once its client is quiet: not even a ping for a minute."""
        if socket.commanded or not socket.is_open:
            return
        quiet = _IDLE_CLOSE_SECONDS if socket.spoke_at is None else self.exchange.clock.monotonic() - socket.spoke_at
        if quiet >= _IDLE_CLOSE_SECONDS:
            socket.drop()
        else:
            asyncio.get_running_loop().call_later(_IDLE_CLOSE_SECONDS - quiet, self._drop_idle, socket)


def _encode(fields: dict[str, Any]) -> str:
    return msgspec.json.encode(fields).decode()
