"""The exchange itself: accounts, books, a market that drives them, and news for whoever listens. No sockets.

Everything happens on one loop and in integers; the only time is the injected clock's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import takewhile
from typing import Literal, overload

from gmobot.clock import NS_PER_SECOND, Clock
from gmobot.core.instrument import UYEN_PER_YEN, Instrument, InstrumentError
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.book import OrderBook
from gmobot.emulator.ledger import Account, Execution, Ledger, Order
from gmobot.emulator.market import Market
from gmobot.emulator.matching import Matcher
from gmobot.emulator.tape import Snapshot, Tape, Trade
from gmobot.venue.models import Book, Print

_LONGEST_SLEEP = 1.0
"""A change of the tape's speed is felt at the latest after this."""
_TRADES_A_TURN = 500
"""A tape that plays faster than this machine still lets everybody else have their turn."""
_STATE_TEXT = "The request is invalid due to the status of the specified order."

Listener = Callable[..., None]


class Refusal(Exception):
    """A request the exchange does not carry out, with the wire's code and text."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(f"{code} {text}".strip())
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order as requested: decimals as they came, not yet checked."""

    symbol: str
    side: str
    execution_type: str
    time_in_force: str
    size: Decimal
    price: Decimal | None


@dataclass(slots=True)
class SymbolMarket:
    """One symbol: its book, its tape, its matcher, and where its prices come from.

    Attributes:
        due_ns: When what the source said last happens.
    """

    instrument: Instrument
    book: OrderBook
    matcher: Matcher
    source: Market
    tape: Tape = field(default_factory=Tape)
    due_ns: int = 0


class Exchange:
    """All of it.

    Attributes:
        status: ``OPEN``, ``PREOPEN`` or ``MAINTENANCE``.
        listeners: Called with ``("trade", symbol, Trade)``, ``("execution", Execution)`` or
            ``("order", Order, msgType)``.
    """

    def __init__(
        self,
        clock: Clock,
        markets: Mapping[str, tuple[Instrument, Market]],
        accounts: Mapping[str, Account],
        *,
        assumptions: Assumptions | None = None,
        seed: int = 0,
    ) -> None:
        self.clock = clock
        self.assumptions = assumptions or Assumptions()
        self.instruments: dict[str, Instrument] = {symbol: instrument for symbol, (instrument, _) in markets.items()}
        self.ledger = Ledger(accounts, self.instruments, int(self.assumptions.fee_rounding))
        self.status = "OPEN"
        self.listeners: list[Listener] = []
        self._order_id = 8_800_000_000
        self._execution_id = 9_900_000_000
        self._started = False
        self.symbols = {symbol: self._symbol(instrument, market, seed) for symbol, (instrument, market) in markets.items()}

    @property
    def accounts(self) -> dict[str, Account]:
        """Every account by its key."""
        return self.ledger.accounts

    def start(self) -> None:
        """Make up the recent past, so that there is a tape and a book from the first moment."""
        if self._started:
            return
        self._started = True
        now = self.clock.now_ns()
        for market in self.symbols.values():
            past = market.source.history(now)
            market.tape.extend(past)
            if past:
                market.book.recentre(past[-1].side, past[-1].ticks)

    async def run(self) -> None:
        """Let the markets trade until cancelled."""
        self.start()
        async with asyncio.TaskGroup() as group:
            for symbol in self.symbols:
                group.create_task(self._drive(symbol))
        await asyncio.Event().wait()

    def place(self, account: Account, new: NewOrder) -> Order:
        """Check and take an order.

        Raises:
            Refusal: With the code the exchange would give.
        """
        if self.status == "PREOPEN":
            raise Refusal("ERR-5203", "PREOPEN. Please wait for a while")
        market = self._known(new.symbol)
        lots, price = self._check_numbers(new, market.instrument)
        self._check_rules(account, new, market, price)
        now = self.clock.now_ns()
        visible = now + int(self.assumptions.visibility_seconds * NS_PER_SECOND)
        kind, tif = new.execution_type, new.time_in_force
        order = Order(self._order_id + 1, account, new.symbol, new.side, kind, tif, lots, price, at_ns=now, visible_ns=visible)
        self._check_funds(order, market)
        self._order_id += 1
        account.orders[order.order_id] = order
        market.matcher.accept(order, now)
        market.matcher.trigger(now)
        return order

    def cancel(self, account: Account, order_id: int) -> None:
        """Cancel an order, at once or after a moment in which it may still fill.

        Raises:
            Refusal: It never existed (ERR-151), has ended or is being cancelled (ERR-5122).
        """
        order = account.orders.get(order_id)
        if order is None:
            raise Refusal("ERR-151", "Service Unavailable")
        if order.status not in ("ORDERED", "WAITING"):
            raise Refusal("ERR-5122", _STATE_TEXT)
        if self.assumptions.cancel_seconds <= 0:
            self.symbols[order.symbol].matcher.cancel(order)
            return
        order.status = "CANCELLING"
        asyncio.get_running_loop().call_later(self.assumptions.cancel_seconds, self._finish_cancel, order)

    def feed_print(self, row: Print) -> None:
        """Take a trade of a real tape (paper trading).

        Raises:
            InstrumentError: Its price or size is off the instrument's grid.
        """
        instrument = self._known(row.symbol).instrument
        trade = Trade(self.clock.now_ns(), row.side.value, instrument.ticks(row.price), instrument.lots(row.size))
        self._trade(row.symbol, trade)

    def feed_book(self, book: Book) -> None:
        """Take a snapshot of a real book (paper trading).

        Raises:
            InstrumentError: A price or size is off the instrument's grid.
        """
        market = self._known(book.symbol)
        ticks, lots = market.instrument.ticks, market.instrument.lots
        asks = [(ticks(level.price), lots(level.size)) for level in book.asks]
        bids = [(ticks(level.price), lots(level.size)) for level in book.bids]
        self._quote(book.symbol, Snapshot(self.clock.now_ns(), asks, bids))

    def set_speed(self, speed: float) -> None:
        """Play every symbol's tape faster or slower from now on.

        Raises:
            ConfigError: The speed is not a positive number, or a symbol has no tape of its own.
        """
        now = self.clock.now_ns()
        for market in self.symbols.values():
            before = market.source.speed
            market.source.set_speed(speed, now)
            if before is not None and market.due_ns > now:
                market.due_ns = now + int((market.due_ns - now) * before / speed)

    def check(self) -> None:
        """Check every identity of the books: what moved is what was executed, what is held is what is open.

        Raises:
            LedgerBrokenError: They do not add up.
        """
        self.ledger.check()

    def _symbol(self, instrument: Instrument, source: Market, seed: int) -> SymbolMarket:
        book = OrderBook(instrument, seed)
        matcher = Matcher(
            book,
            self.ledger,
            self.assumptions,
            next_id=self._next_execution_id,
            on_execution=lambda execution: self._tell("execution", execution),
            on_order=lambda order, kind: self._tell("order", order, kind),
            on_trade=lambda trade: self._print(instrument.symbol, trade),
        )
        return SymbolMarket(instrument, book, matcher, source)

    async def _drive(self, symbol: str) -> None:
        market = self.symbols[symbol]
        market.due_ns, turn = self.clock.now_ns(), 0
        while (event := market.source.next(market.due_ns)) is not None:
            market.due_ns, turn = event.at_ns, turn + 1
            while (wait := (market.due_ns - self.clock.now_ns()) / NS_PER_SECOND) > 0:
                await asyncio.sleep(min(wait, _LONGEST_SLEEP))
                turn = 0
            if turn >= _TRADES_A_TURN:
                await asyncio.sleep(0)
                turn = 0
            if self.status != "OPEN":
                continue
            if isinstance(event, Snapshot):
                self._quote(symbol, Snapshot(self.clock.now_ns(), event.asks, event.bids))
            else:
                self._trade(symbol, Trade(self.clock.now_ns(), event.side, event.ticks, event.lots))

    def _quote(self, symbol: str, book: Snapshot) -> None:
        matcher = self.symbols[symbol].matcher
        matcher.cross(book.at_ns, book.asks, book.bids)
        self.symbols[symbol].book.replace(book.asks, book.bids)
        matcher.trigger(book.at_ns)

    def _trade(self, symbol: str, trade: Trade) -> None:
        self._print(symbol, trade)
        self.symbols[symbol].matcher.tape(trade)

    def _print(self, symbol: str, trade: Trade) -> None:
        market = self.symbols[symbol]
        market.tape.append(trade)
        market.book.last = trade.ticks
        self._tell("trade", symbol, trade)

    def _finish_cancel(self, order: Order) -> None:
        if order.status == "CANCELLING":
            self.symbols[order.symbol].matcher.cancel(order)

    @overload
    def _tell(self, kind: Literal["trade"], symbol: str, trade: Trade, /) -> None: ...
    @overload
    def _tell(self, kind: Literal["execution"], execution: Execution, /) -> None: ...
    @overload
    def _tell(self, kind: Literal["order"], order: Order, news: str, /) -> None: ...
    def _tell(self, *news: object) -> None:
        for listener in self.listeners:
            listener(*news)

    def _next_execution_id(self) -> int:
        self._execution_id += 1
        return self._execution_id

    def _known(self, symbol: str) -> SymbolMarket:
        if symbol not in self.symbols:
            raise Refusal("ERR-5106", "Invalid request parameter. symbol")
        return self.symbols[symbol]

    def _check_numbers(self, new: NewOrder, instrument: Instrument) -> tuple[int, int]:
        if not instrument.min_size <= new.size <= instrument.max_size:
            raise Refusal("ERR-5126", "Size is invalid.")
        try:
            lots = instrument.lots(new.size)
        except InstrumentError:
            raise Refusal("ERR-5114", "Decimal digits of size is invalid.") from None
        if new.price is None:
            return lots, 0
        try:
            return lots, instrument.ticks(new.price)
        except InstrumentError:
            raise Refusal("ERR-5114", "Decimal digits of price is invalid.") from None

    def _check_rules(self, account: Account, new: NewOrder, market: SymbolMarket, price: int) -> None:
        legal = {"MARKET": {"FAK"}, "STOP": {"FAK"}, "LIMIT": {"FAS", "FOK", "SOK"}}
        if self.assumptions.limit_fak_accepted:
            legal["LIMIT"].add("FAK")
        if new.time_in_force not in legal[new.execution_type]:
            raise Refusal("ERR-5111", "Invalid timeInForce.")
        if len(account.open_orders) >= self.assumptions.most_active_orders:
            raise Refusal("ERR-635", "Too many active orders.")
        if new.execution_type == "STOP" and market.matcher.fires(new.side, price):
            raise Refusal("ERR-5129", "The stop price would be triggered immediately.")
        best = market.book.best_bid if new.side == "BUY" else market.book.best_ask
        if new.execution_type == "LIMIT" and best and abs(price - best) > best * self.assumptions.price_band:
            raise Refusal("ERR-5121", "The price is out of range.")

    def _check_funds(self, order: Order, market: SymbolMarket) -> None:
        if order.side == "SELL":
            if order.lots > order.account.free_lots(order.symbol):
                raise Refusal("ERR-208", "Exceeds the available balance.")
            return
        need = market.matcher.cost_uyen(order) if order.execution_type == "MARKET" else self.ledger.needed(order)
        if need > order.account.free_uyen():
            raise Refusal("ERR-201", "Trading margin is insufficient.")


def account(key: str, secret: str, balances: Mapping[str, Decimal], instruments: Mapping[str, Instrument]) -> Account:
    """Make an account from decimal balances.

    Raises:
        InstrumentError: A balance is off its symbol's grid.
    """
    coins = {symbol: instruments[symbol].lots(amount) for symbol, amount in balances.items() if symbol in instruments}
    return Account(key, secret.encode(), int(balances.get("JPY", Decimal(0)) * UYEN_PER_YEN), coins)


def executions_since(who: Account, since_ns: int, symbol: str) -> list[Execution]:
    """Return an account's fills of a symbol since a moment, newest first."""
    recent = takewhile(lambda execution: execution.at_ns >= since_ns, reversed(who.executions))
    return [execution for execution in recent if execution.order.symbol == symbol]
