"""The exchange itself: accounts, books, a market that drives them, and news for whoever listens. No sockets.

Everything happens on one loop and in integers; the only time is the injected clock's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from gmobot.clock import NS_PER_SECOND, Clock
from gmobot.core.instrument import Instrument, InstrumentError
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.book import OrderBook
from gmobot.emulator.ledger import Account, Execution, Order
from gmobot.emulator.market import Market, Trade
from gmobot.emulator.matching import Matcher
from gmobot.venue.models import Book, Print

_TAPE_KEPT = 400_000
_LONGEST_SLEEP = 3600.0


class Refusal(Exception):
    """An order the exchange does not take, with the wire's code and text."""

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
    """One symbol: its book, its tape, its matcher."""

    instrument: Instrument
    book: OrderBook
    matcher: Matcher
    source: Market
    tape: deque[Trade] = field(default_factory=lambda: deque(maxlen=_TAPE_KEPT))


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
        self.accounts = dict(accounts)
        self.status = "OPEN"
        self.listeners: list[Callable[..., None]] = []
        self._order_id = 8_800_000_000
        self._execution_id = 9_900_000_000
        self.symbols = {symbol: self._symbol(instrument, market, seed) for symbol, (instrument, market) in markets.items()}
        self._moved = asyncio.Event()

    @property
    def instruments(self) -> dict[str, Instrument]:
        """Every symbol's arithmetic."""
        return {symbol: market.instrument for symbol, market in self.symbols.items()}

    def start(self) -> None:
        """Make up the recent past, so that there is a tape and a book from the first moment."""
        now = self.clock.now_ns()
        for market in self.symbols.values():
            past = market.source.history(now)
            market.tape.extend(past)
            if past:
                market.book.recentre(past[-1].side, past[-1].ticks)

    async def run(self) -> None:
        """Let the markets trade until cancelled."""
        async with asyncio.TaskGroup() as group:
            for symbol in self.symbols:
                group.create_task(self._drive(symbol))

    def place(self, account: Account, new: NewOrder) -> Order:
        """Check and take an order.

        Raises:
            Refusal: With the code the exchange would give.
        """
        if self.status == "PREOPEN":
            raise Refusal("ERR-5203", "PREOPEN. Please wait for a while")
        market = self._known(new.symbol)
        lots, price = self._check_numbers(new, market.instrument)
        self._check_rules(new, market, price)
        self._check_funds(account, new, market, lots, price)
        self._order_id += 1
        now = self.clock.now_ns()
        visible = now + int(self.assumptions.visibility_seconds * NS_PER_SECOND)
        order = Order(
            self._order_id, account, new.symbol, new.side, new.execution_type, new.time_in_force, lots, price, at_ns=now, visible_ns=visible
        )
        account.orders[order.order_id] = order
        market.matcher.accept(order, now)
        market.matcher.trigger(now)
        return order

    def cancel(self, account: Account, order_id: int) -> None:
        """Cancel an order.

        Raises:
            Refusal: It never existed (ERR-151) or has ended (ERR-5122).
        """
        order = account.orders.get(order_id)
        if order is None:
            raise Refusal("ERR-151", "Service Unavailable")
        if not order.active:
            raise Refusal("ERR-5122", "The request is invalid due to the status of the specified order.")
        self.symbols[order.symbol].matcher.cancel(order)

    def feed_print(self, row: Print) -> None:
        """Take a trade of a real tape (paper trading)."""
        market = self._known(row.symbol)
        self._trade(
            row.symbol, Trade(self.clock.now_ns(), row.side.value, market.instrument.ticks(row.price), market.instrument.lots(row.size))
        )

    def feed_book(self, book: Book) -> None:
        """Take a snapshot of a real book (paper trading)."""
        market = self._known(book.symbol)
        ticks, lots = market.instrument.ticks, market.instrument.lots
        market.book.replace(
            [[ticks(level.price), lots(level.size)] for level in book.asks], [[ticks(level.price), lots(level.size)] for level in book.bids]
        )

    def check(self) -> None:
        """Check every account's books.

        Raises:
            LedgerBrokenError: They do not add up.
        """
        instruments = self.instruments
        for account in self.accounts.values():
            account.check(instruments)

    def _symbol(self, instrument: Instrument, source: Market, seed: int) -> SymbolMarket:
        book = OrderBook(instrument, seed)
        matcher = Matcher(
            book,
            self.assumptions,
            next_id=self._next_execution_id,
            on_execution=lambda execution: self._tell("execution", execution),
            on_order=lambda order, kind: self._tell("order", order, kind),
            on_trade=lambda trade: self._print(instrument.symbol, trade),
        )
        return SymbolMarket(instrument, book, matcher, source)

    async def _drive(self, symbol: str) -> None:
        source = self.symbols[symbol].source
        at_ns = self.clock.now_ns()
        while (trade := source.next(at_ns)) is not None:
            at_ns = trade.at_ns
            while (wait := (at_ns - self.clock.now_ns()) / NS_PER_SECOND) > 0:
                await asyncio.sleep(min(wait, _LONGEST_SLEEP))
            if self.status == "OPEN":
                self._trade(symbol, Trade(self.clock.now_ns(), trade.side, trade.ticks, trade.lots))
        await asyncio.Event().wait()

    def _trade(self, symbol: str, trade: Trade) -> None:
        self._print(symbol, trade)
        self.symbols[symbol].matcher.tape(trade)

    def _print(self, symbol: str, trade: Trade) -> None:
        market = self.symbols[symbol]
        market.tape.append(trade)
        market.book.last = trade.ticks
        self._tell("trade", symbol, trade)

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

    def _check_rules(self, new: NewOrder, market: SymbolMarket, price: int) -> None:
        legal = {"MARKET": {"FAK"}, "STOP": {"FAK"}, "LIMIT": {"FAS", "FOK", "SOK"}}
        if self.assumptions.limit_fak_accepted:
            legal["LIMIT"].add("FAK")
        if new.time_in_force not in legal[new.execution_type]:
            raise Refusal("ERR-5111", "Invalid timeInForce.")
        if new.execution_type == "STOP" and market.matcher.fires(new.side, price):
            raise Refusal("ERR-5129", "The stop price would be triggered immediately.")
        best = market.book.best_bid if new.side == "BUY" else market.book.best_ask
        if new.execution_type == "LIMIT" and best and abs(price - best) > best * self.assumptions.price_band:
            raise Refusal("ERR-5121", "The price is out of range.")

    def _check_funds(self, account: Account, new: NewOrder, market: SymbolMarket, lots: int, price: int) -> None:
        if len(account.active()) >= self.assumptions.most_active_orders:
            raise Refusal("ERR-635", "Too many active orders.")
        if new.side == "SELL":
            if lots > account.coins.get(new.symbol, 0) - account.reserved_lots(new.symbol):
                raise Refusal("ERR-208", "Exceeds the available balance.")
            return
        worst = price or self._worst_ask(market, lots)
        need = market.instrument.notional_uyen(worst, lots)
        need += market.instrument.fee_uyen(need, maker=False)
        if need > account.jpy_uyen - account.reserved_uyen(self.instruments):
            raise Refusal("ERR-201", "Trading margin is insufficient.")

    @staticmethod
    def _worst_ask(market: SymbolMarket, lots: int) -> int:
        price = market.book.last
        for price, size in market.book.levels("SELL", 500):  # noqa: B007  # the last price reached is the answer
            lots -= size
            if lots <= 0:
                break
        return price


def account(key: str, secret: str, balances: Mapping[str, Decimal], instruments: Mapping[str, Instrument]) -> Account:
    """Make an account from decimal balances.

    Raises:
        InstrumentError: A balance is off its symbol's grid.
    """
    coins = {symbol: instruments[symbol].lots(amount) for symbol, amount in balances.items() if symbol in instruments}
    return Account(key, secret.encode(), int(balances.get("JPY", Decimal(0)) * 1_000_000), coins)


def executions_since(who: Account, since_ns: int, symbol: str) -> list[Execution]:
    """Return an account's fills of a symbol since a moment, newest first."""
    return [e for e in reversed(who.executions) if e.order.symbol == symbol and e.at_ns >= since_ns]
