"""The exchange itself: accounts, books, a market that drives them, and news for whoever listens. No sockets.

Everything happens on one loop and in integers; the only time is the injected clock's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal
from itertools import takewhile
from typing import Literal, overload

from gmobot.clock import NS_PER_SECOND, Clock
from gmobot.core.instrument import UYEN_PER_YEN, Instrument, Product
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.engine import audit, closing
from gmobot.emulator.engine.book import OrderBook
from gmobot.emulator.engine.cash import Cash
from gmobot.emulator.engine.checks import STATE_TEXT, Checks, NewOrder, Numbers, Refusal
from gmobot.emulator.engine.forced import Forced
from gmobot.emulator.engine.ledger import Ledger
from gmobot.emulator.engine.listing import SymbolMarket
from gmobot.emulator.engine.margin import default_losscut
from gmobot.emulator.engine.matching import Matcher, short_of
from gmobot.emulator.engine.records import Account, Execution, Order, Position, Settle
from gmobot.emulator.engine.rollover import Rollover
from gmobot.emulator.engine.tiers import allowance
from gmobot.emulator.market import Market
from gmobot.emulator.market.tape import Snapshot, Trade
from gmobot.venue.models import Book, Print

__all__ = ["Exchange", "NewOrder", "Refusal", "SymbolMarket", "account", "executions_since"]

_LONGEST_SLEEP = 1.0
"""A change of the tape's speed is felt at the latest after this."""
_TRADES_A_TURN = 500
"""A tape that plays faster than this machine still lets everybody else have their turn."""
Listener = Callable[..., None]


class Exchange:
    """All of it.

    Attributes:
        status: ``OPEN``, ``PREOPEN`` or ``MAINTENANCE``.
        listeners: Called with ``("trade", symbol, Trade)``, ``("execution", Execution)``,
            ``("order", Order, msgType, why a change was refused or "")`` or ``("position", Position, msgType)``.
        checks: The rules for new orders.
        cash: Deposits, withdrawals, transfers.
        rollover: What happens by the clock.
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
        self.ledger = Ledger(accounts, self.instruments, self.assumptions, self._valuation)
        self.status = "OPEN"
        self.listeners: list[Listener] = []
        self._order_id = 8_800_000_000
        self._fill_id = 9_900_000_000
        self._started = False
        self.symbols = {symbol: self._symbol(instrument, market, seed) for symbol, (instrument, market) in markets.items()}
        self.checks = Checks(self.symbols, self.ledger, self.assumptions)
        self.cash = Cash(clock, self.ledger, self.assumptions)
        self._forced = Forced(self.symbols, self.ledger, self.assumptions, self._losscut_order)
        self.rollover = Rollover(clock, self.ledger, self.assumptions, self._forced)

    @property
    def accounts(self) -> dict[str, Account]:
        """Every account by its key."""
        return self.ledger.accounts

    def number_from(self, number: int) -> None:
        """Count orders, fills and positions on from here: an exchange that begins anew must not give a number twice."""
        self._order_id, self._fill_id = max(self._order_id, number), max(self._fill_id, number)

    def give_back(self, account: Account, symbol: str, position_id: int, side: str, ticks: int, lots: int) -> None:
        """Let an account hold a leverage position that an exchange before this one had opened."""
        losscut = default_losscut(side, ticks, self.assumptions.leverage)
        self.ledger.take_over(Position(position_id, account, symbol, side, ticks, lots, losscut, self.clock.now_ns()))

    def start(self) -> None:
        """Make up the recent past, so that there is a tape and a book from the first moment."""
        if self._started:
            return
        self._started = True
        self.rollover.start()
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
            group.create_task(self.rollover.run())
            for symbol in self.symbols:
                group.create_task(self._drive(symbol))

    def place(self, account: Account, new: NewOrder) -> Order:
        """Check and take an order; on a leverage symbol it opens positions, whatever there is on the other side.

        Raises:
            Refusal: With the code the exchange would give.
        """
        self._check_open()
        market = self.checks.known(new.symbol)
        numbers = self.checks.numbers(new, market)
        self.checks.rules(account, new, market, numbers.price)
        self.checks.losscut(new.side, numbers.price, numbers.losscut)
        now = self.clock.now_ns()
        self.checks.opening(account, new.symbol, now)
        order = self._order(account, new, numbers, now)
        self.checks.caps(order, market, now)
        if new.cancel_before and not market.leverage and order.lots <= account.coins.get(new.symbol, 0):
            self._make_room(account.active(new.symbol), lambda: account.free_lots(new.symbol) >= order.lots, market)
        self.checks.funds(order, market)
        return self._take(order, market, now)

    def close(self, account: Account, new: NewOrder, position_id: int | None = None) -> Order:
        """Check and take an order that closes one position, or without a number positions of the other side.

        Raises:
            Refusal: With the code the exchange would give.
        """
        self._check_open()
        market = self.checks.leveraged(new.symbol)
        numbers = self.checks.numbers(new, market)
        self.checks.rules(account, new, market, numbers.price)
        if position_id is None:
            positions = closing.closable(account, new.symbol, new.side)
            settles = closing.settle_many(positions, numbers.lots, self.assumptions)
        else:
            position = closing.chosen_position(account, new.symbol, new.side, position_id)
            if new.cancel_before and numbers.lots <= position.lots:
                older = [o for o in account.active(new.symbol) if [s.position for s in o.settles] == [position]]
                self._make_room(older, lambda: position.free_lots >= numbers.lots, market)
            settles = closing.settle_one(position, numbers.lots)
        now = self.clock.now_ns()
        return self._take(self._order(account, new, numbers, now, settles=settles, bulk=position_id is None), market, now)

    def change(self, account: Account, order_id: int, price: Decimal, losscut: Decimal | None) -> None:
        """Change an order's price, at once or after a moment in which the old one may still fill.

        Raises:
            Refusal: With the code the exchange would give.
        """
        self._check_open()
        order = account.orders.get(order_id)
        if order is None:
            raise Refusal("ERR-5123", "The orderID not exist.")
        numbers = self.checks.change(order, self.symbols[order.symbol], price, losscut)
        order.changes += 1
        if self.assumptions.change_seconds <= 0:
            self._amend(order, numbers)
            return
        order.status = "MODIFYING"
        asyncio.get_running_loop().call_later(self.assumptions.change_seconds, self._finish_change, order, numbers)

    def change_losscut(self, account: Account, position_id: int, price: Decimal) -> None:
        """Change a position's losscut price.

        Raises:
            Refusal: There is no such position (ERR-254), or the price is off the grid (ERR-5114) or out of range (ERR-5121).
        """
        position = account.positions.get(position_id)
        if position is None:
            raise Refusal("ERR-254", "Not found position.")
        losscut = self.checks.price(self.symbols[position.symbol], price, "losscutPrice")
        now_at = self.ledger.margins.valuation(position.symbol, position.side) or position.ticks
        self.checks.losscut_of(position, now_at, losscut)
        position.losscut = losscut
        self._tell("position", position, "ULR")

    def cancel(self, account: Account, order_id: int) -> None:
        """Cancel an order, at once or after a moment in which it may still fill.

        Raises:
            Refusal: It never existed (ERR-151), has ended or is being cancelled (ERR-5122).
        """
        order = account.orders.get(order_id)
        if order is None:
            raise Refusal("ERR-151", "Service Unavailable")
        if order.status not in ("ORDERED", "WAITING"):
            raise Refusal("ERR-5122", STATE_TEXT)
        if self.assumptions.cancel_seconds <= 0:
            self.symbols[order.symbol].matcher.cancel(order)
            return
        order.status = "CANCELLING"
        asyncio.get_running_loop().call_later(self.assumptions.cancel_seconds, self._finish_cancel, order)

    def cancel_short(self, order: Order) -> None:
        """Cancel an order as the exchange does whose customer cannot pay for it, unless it has ended."""
        if order.active:
            self.symbols[order.symbol].matcher.cancel(order, short_of(order))

    def feed_print(self, row: Print) -> None:
        """Take a trade of a real tape (paper trading).

        Raises:
            InstrumentError: Its price or size is off the instrument's grid.
        """
        instrument = self.checks.known(row.symbol).instrument
        trade = Trade(self.clock.now_ns(), row.side.value, instrument.ticks(row.price), instrument.lots(row.size))
        self._trade(row.symbol, trade)

    def feed_book(self, book: Book) -> None:
        """Take a snapshot of a real book (paper trading).

        Raises:
            InstrumentError: A price or size is off the instrument's grid.
        """
        market = self.checks.known(book.symbol)
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

    def allowance(self, account: Account) -> int:
        """Return how many GET, and apart from them POST, requests an account may send in a second."""
        return allowance(account, self.clock.now_ns(), self.assumptions)

    def check(self) -> None:
        """Check every identity of the books: what moved is what was executed, what is held is what is open.

        Raises:
            LedgerBrokenError: They do not add up.
        """
        audit.check(self.ledger)

    def _check_open(self) -> None:
        if self.status == "PREOPEN":
            raise Refusal("ERR-5203", "PREOPEN. Please wait for a while")

    def _order(
        self, account: Account, new: NewOrder, numbers: Numbers, now: int, *, settles: list[Settle] | None = None, bulk: bool = False
    ) -> Order:
        """Return a new order, not yet taken: its number is given when it is."""
        visible, leverage = now + int(self.assumptions.visibility_seconds * NS_PER_SECOND), self.symbols[new.symbol].leverage
        sold = self.assumptions.spot_sell_settle if new.side == "SELL" and not leverage else "OPEN"
        return Order(
            self._order_id + 1,
            account,
            new.symbol,
            new.side,
            new.execution_type,
            new.time_in_force,
            numbers.lots,
            numbers.price,
            now,
            visible,
            leverage=leverage,
            losscut=numbers.losscut,
            settle_type="CLOSE" if settles else sold,
            settles=settles or [],
            bulk=bulk,
        )

    def _losscut_order(self, position: Position, settles: list[Settle]) -> Order:
        """Return the order that closes a position by force."""
        new = NewOrder(position.symbol, "SELL" if position.side == "BUY" else "BUY", "MARKET", "FAK", Decimal(0), None)
        order = self._order(position.account, new, Numbers(position.lots, 0, 0), self.clock.now_ns(), settles=settles)
        order.order_type = "LOSSCUT"
        self._register(order)
        return order

    def _register(self, order: Order) -> None:
        self._order_id += 1
        order.account.orders[order.order_id] = order

    def _take(self, order: Order, market: SymbolMarket, now: int) -> Order:
        self._register(order)
        market.matcher.accept(order, now)
        self._settle_market(order.symbol, now)
        return order

    def _settle_market(self, symbol: str, now: int) -> None:
        """Let stops and losscuts follow a market that has moved."""
        self.symbols[symbol].matcher.trigger(now)
        self._forced.sweep(symbol, now)

    def _make_room(self, orders: list[Order], enough: Callable[[], bool], market: SymbolMarket) -> None:
        """Cancel orders that tie up what a newer one sells, oldest first (``cancelBefore``)."""
        for order in orders:
            if enough():
                return
            if order.side == "SELL":
                market.matcher.cancel(order)

    def _amend(self, order: Order, numbers: Numbers) -> None:
        now, market = self.clock.now_ns(), self.symbols[order.symbol]
        refused = "PRICE_LIMIT" if self.checks.change_beyond_band(order, market, numbers.price) else ""
        market.matcher.amend(order, numbers.price, numbers.losscut, now, refused=refused)
        self._settle_market(order.symbol, now)

    def _finish_change(self, order: Order, numbers: Numbers) -> None:
        if order.status == "MODIFYING":
            order.status = "WAITING" if order.execution_type == "STOP" else "ORDERED"
            self._amend(order, numbers)

    def _valuation(self, symbol: str, side: str) -> int:
        book = self.symbols[symbol].book
        if self.assumptions.valuation == "quote":
            return (book.best_bid if side == "BUY" else book.best_ask) or book.last
        return book.last

    def _symbol(self, instrument: Instrument, source: Market, seed: int) -> SymbolMarket:
        book = OrderBook(instrument, seed)
        matcher = Matcher(
            book,
            self.ledger,
            self.assumptions,
            next_id=self._next_id,
            on_execution=lambda execution: self._tell("execution", execution),
            on_order=lambda order, kind, refused: self._tell("order", order, kind, refused),
            on_position=lambda position, kind: self._tell("position", position, kind),
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
        market = self.symbols[symbol]
        market.matcher.cross(book.at_ns, book.asks, book.bids)
        market.book.replace(book.asks, book.bids)
        self._settle_market(symbol, book.at_ns)

    def _trade(self, symbol: str, trade: Trade) -> None:
        self._print(symbol, trade)
        self.symbols[symbol].matcher.tape(trade)
        self._forced.sweep(symbol, trade.at_ns)

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
    def _tell(self, kind: Literal["order"], order: Order, news: str, refused: str, /) -> None: ...
    @overload
    def _tell(self, kind: Literal["position"], position: Position, news: str, /) -> None: ...
    def _tell(self, *news: object) -> None:
        for listener in self.listeners:
            listener(*news)

    def _next_id(self) -> int:
        self._fill_id += 1
        return self._fill_id


def account(key: str, secret: str, balances: Mapping[str, Decimal], instruments: Mapping[str, Instrument]) -> Account:
    """Make an account from decimal balances.

    Raises:
        InstrumentError: A balance is off its symbol's grid.
    """
    spot = {symbol: instrument for symbol, instrument in instruments.items() if instrument.product is Product.SPOT}
    coins = {symbol: spot[symbol].lots(amount) for symbol, amount in balances.items() if symbol in spot}
    return Account(key, secret.encode(), int(balances.get("JPY", Decimal(0)) * UYEN_PER_YEN), coins)


def executions_since(who: Account, since_ns: int, symbol: str) -> list[Execution]:
    """Return an account's fills of a symbol since a moment, newest first."""
    recent = takewhile(lambda execution: execution.at_ns >= since_ns, reversed(who.executions))
    return [execution for execution in recent if execution.order.symbol == symbol]
