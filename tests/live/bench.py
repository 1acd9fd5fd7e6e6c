"""One symbol's order manager on a bench: real books, database, gate and tracker; the exchange is a script."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

from gmobot.clock import elapsed_ns
from gmobot.core.instrument import Instrument, Product
from gmobot.errors import Unavailable, VenueError, Withheld
from gmobot.live.account import Account, AccountState
from gmobot.live.books import Books
from gmobot.live.cash import CashBook
from gmobot.live.desire import Desire
from gmobot.live.entry import EntryStyle
from gmobot.live.gate import GateLimits, OrderGate
from gmobot.live.intents import Intent, IntentState, Purpose
from gmobot.live.market import Market
from gmobot.live.store import Store
from gmobot.live.tracker import OrderTracker
from gmobot.live.trader import Manner, Standing, SymbolTrader
from gmobot.live.workers import InlineWorker
from gmobot.ops.audit import AuditLog
from gmobot.ops.audit_read import events
from gmobot.ops.telemetry import Telemetry
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.models import (
    Balance,
    Book,
    CloseRequest,
    Execution,
    Kline,
    Order,
    OrderRequest,
    OrderStatus,
    OrderType,
    Position,
    PriceLevel,
    Print,
    Side,
    TimeInForce,
)

SECOND = 1_000_000_000
START_NS = 1_767_225_600 * SECOND
PRICE = 10_000_000
BTC_JPY = Instrument("BTC_JPY", Product.LEVERAGE, Decimal(1), Decimal("0.001"), Decimal("0.001"), Decimal(5), Decimal(0), Decimal(0))
BTC = Instrument("BTC", Product.SPOT, Decimal(1), Decimal("0.00001"), Decimal("0.00001"), Decimal(5), Decimal("-0.0001"), Decimal("0.0005"))


class HandClock:
    """Time moves when the test says so."""

    def __init__(self, at_ns: int = START_NS) -> None:
        self.at_ns = at_ns
        self._wall_ns = 0

    def now_ns(self) -> int:
        return self.at_ns + self._wall_ns

    def set_wall(self, seconds: float) -> None:
        """Set the wall clock, as an operator or a time server does; the monotonic one goes on."""
        self._wall_ns += int(seconds * SECOND)

    def monotonic(self) -> float:
        return (self.at_ns - START_NS) / SECOND

    def advance(self, seconds: float) -> None:
        self.at_ns += int(seconds * SECOND)


class ScriptedRest(GmoRest):
    """A client whose exchange is a handful of lists."""

    def __init__(self) -> None:
        self.orders_there: dict[int, Order] = {}
        self.invisible: set[int] = set()
        self.fills: list[Execution] = []
        self.tape: list[Print] = []
        self.day_klines: dict[str, list[Kline]] = {}
        self.balances: dict[str, Decimal] = {}
        self.trouble: VenueError | None = None
        self.placed: list[OrderRequest] = []
        self.cancelled: list[int] = []
        self.server_ns = 0
        self.server_now: Callable[[], int] = lambda: 0
        self.positions: list[Position] = []
        self.closed: list[CloseRequest] = []
        self.changed: list[tuple[int, Decimal]] = []
        self.held_back: Callable[[], None] = lambda: None
        self.answer: Callable[[OrderRequest], Awaitable[int]] | None = None
        self.answer_close: Callable[[CloseRequest], Awaitable[int]] | None = None
        self.answer_change: VenueError | None = None
        self.meanwhile: Callable[[], None] = lambda: None
        self.trade_pages = 0
        self.orderbook_there: Book | None = None
        self.books_asked = 0

    def waiting_at_most(self, seconds: float) -> ScriptedRest:
        """It has no rate limit to wait for, and is the test's to change."""
        return self

    @property
    def server_floor_ns(self) -> int:
        return self.server_ns

    @property
    def server_now_ns(self) -> int:
        return self.server_now()

    async def orders(self, order_ids: Any) -> list[Order]:
        self._answer()
        return [self.orders_there[i] for i in order_ids if i in self.orders_there and i not in self.invisible]

    async def active_orders(self, symbol: str) -> list[Order]:
        self._answer()
        return [order for order in self.orders_there.values() if not order.status.is_final and order.order_id not in self.invisible]

    async def open_positions(self, symbol: str) -> list[Position]:
        self._answer()
        return self.positions

    async def orderbook(self, symbol: str) -> Book:
        self.books_asked += 1
        if self.orderbook_there is None:
            raise Unavailable("the order book gets no answer")
        return self.orderbook_there

    async def executions(self, order_id: int) -> list[Execution]:
        self._answer()
        return [fill for fill in self.fills if fill.order_id == order_id and order_id not in self.invisible]

    async def latest_executions(self, symbol: str, *, known: Callable[[Execution], bool] = lambda row: False) -> list[Execution]:
        self._answer()
        return [fill for fill in self.fills if fill.order_id not in self.invisible]

    async def assets(self) -> list[Balance]:
        self._answer()
        return [Balance(asset=name, amount=amount, available=amount, jpy_rate=Decimal(1)) for name, amount in self.balances.items()]

    async def trades(self, symbol: str, page: int = 1, count: int = 100) -> list[Print]:
        self._answer()
        self.trade_pages += 1
        found = self.tape[(page - 1) * count : page * count]
        self.meanwhile()
        return found

    async def klines(self, symbol: str, interval: str, date: str) -> list[Kline]:
        self._answer()
        return self.day_klines.get(date, [])

    async def place_order(self, order: OrderRequest, last_word: Callable[[], str | None] = lambda: None) -> int:
        self.held_back()
        if (reason := last_word()) is not None:
            raise Withheld(reason)
        self.placed.append(order)
        assert self.answer is not None
        return await self.answer(order)

    async def close_position(self, order: CloseRequest) -> int:
        self.closed.append(order)
        assert self.answer_close is not None
        return await self.answer_close(order)

    async def change_order(self, order_id: int, price: Decimal, losscut_price: Decimal | None = None) -> None:
        self.changed.append((order_id, price))
        if self.answer_change is not None:
            raise self.answer_change

    async def cancel_order(self, order_id: int) -> None:
        self.cancelled.append(order_id)

    def _answer(self) -> None:
        if self.trouble is not None:
            raise self.trouble


class Bench:
    """The order manager of BTC over a real database file; :meth:`reopen` is a restart."""

    def __init__(self, directory: Path, instrument: Instrument = BTC, *, style: EntryStyle | None = None, max_lots: int = 0) -> None:
        self.directory = directory
        self.instrument, self.symbol = instrument, instrument.symbol
        self.manner = Manner(style or EntryStyle(), entry_window_seconds=10.0, max_lots=max_lots)
        self.clock = HandClock()
        self.rest = ScriptedRest()
        self.alarms: list[tuple[str, str]] = []
        self.changes = 0
        self.closings = 0
        self.bar: str | None = None
        self.standing = Standing(watch_reason=None, close=False, stopping=False, entry_bar=None, exchange_open=True)
        self.runs = 0

    async def open(self) -> None:
        """Put everything up from what the database holds."""
        self.runs += 1
        self.store = open_store(self.directory, self.clock, run_id=f"run-{self.runs}")
        await self.store.open()
        self.saved = await self.store.load()
        self.books = Books({self.symbol: self.instrument}, self.store, self.clock, self.saved)
        self.market = Market(self.instrument)
        self.market.on_book(book(), elapsed_ns(self.clock))
        self.market.last = PRICE
        self.account = Account(self.books, {self.symbol: self.market}, self.clock, AccountState.restore(self.saved.account))
        markets = {self.symbol: self.market}
        self.cash = CashBook(self.books, self.account, markets, self.store, self.clock, known=self.saved.known_flows, alarm=self._alarm)
        telemetry = Telemetry(version="test", config_hash="0")
        self.tracker = OrderTracker(
            self.symbol,
            self.books,
            self.rest,
            self.clock,
            telemetry=telemetry,
            visibility_delay_seconds=3.0,
            fill_visibility_seconds=1.0,
            changed=self._changed,
            cash=self.cash,
            alarm=self._alarm,
        )
        self.gate = OrderGate(limits(), self.clock, entry_bar=lambda: self.bar)
        self.trader = SymbolTrader(
            self.symbol,
            books=self.books,
            tracker=self.tracker,
            market=self.market,
            gate=self.gate,
            rest=self.rest,
            store=self.store,
            clock=self.clock,
            telemetry=telemetry,
            standing=lambda: self.standing,
            found_closed=self._found_closed,
            manner=self.manner,
        )

    async def close(self) -> None:
        """Let go of the database."""
        await self.store.close()

    async def reopen(self) -> None:
        """Die and start again."""
        self.store.abandon()
        await self.open()

    async def intend(self, **changes: Any) -> Intent:
        """Commit an intent."""
        return await self.books.add(intent(**({"created_ns": self.clock.now_ns(), "symbol": self.symbol} | changes)))

    async def acknowledged(self, order_id: int = 1, **changes: Any) -> Intent:
        """Commit an intent whose order the exchange has."""
        return await self.books.acknowledge(await self.intend(**changes), order_id)

    async def owning(self, lots: int) -> None:
        """Buy coins of our own."""
        await self.acknowledged(order_id=900, lots=lots)
        await self.tracker.on_execution(fill(9_000, 900, lots))

    def want(self, target: int, *, stop: int = 0, take_profit: int = 0, may_open: bool = True) -> None:
        """Give the trader a desire of now."""
        now = self.clock.now_ns()
        wish = Desire(decision_id=now, closed_ns=now, due_ns=now, target=target, stop=stop, take_profit=take_profit, may_open=may_open)
        self.trader.desire(wish)

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Read the database as another process would."""
        with closing(sqlite3.connect(self.directory / "state" / "gmobot.db")) as db:
            return db.execute(query).fetchall()

    def events(self) -> list[dict[str, Any]]:
        """Return the audit log, oldest first."""
        return sorted(events(self.directory / "logs"), key=lambda event: int(event["seq"]))

    def _found_closed(self) -> None:
        self.closings += 1

    def _changed(self) -> None:
        self.changes += 1

    async def _alarm(self, reason: str, text: str) -> None:
        self.alarms.append((reason, text))


def open_store(directory: Path, clock: HandClock, *, run_id: str = "run") -> Store:
    """Return a store on real files, not opened yet."""
    (directory / "logs").mkdir(parents=True, exist_ok=True)
    audit = AuditLog(directory / "logs", max_bytes=10_000_000, retention=3)
    return Store(directory / "state" / "gmobot.db", audit=audit, run_id=run_id, clock=clock, worker=InlineWorker())


def limits(**changes: Any) -> GateLimits:
    """Return the gate's limits."""
    values: dict[str, Any] = {
        "price_collar": Decimal("0.02"),
        "max_orders_per_minute": 30,
        "max_consecutive_rejects": 3,
        "max_book_age_seconds": 15.0,
    }
    return GateLimits(**(values | changes))


def intent(**changes: Any) -> Intent:
    """Return a MARKET BUY of 100 lots, entry, not sent yet."""
    values: dict[str, Any] = {
        "intent_id": 0,
        "symbol": "BTC",
        "purpose": Purpose.ENTRY,
        "side": Side.BUY,
        "type": OrderType.MARKET,
        "time_in_force": TimeInForce.IOC,
        "lots": 100,
        "price": 0,
        "decision_id": 1,
        "created_ns": START_NS,
        "updated_ns": START_NS,
        "state": IntentState.INTENT,
    }
    return Intent(**(values | changes))


STOP: dict[str, Any] = {"purpose": Purpose.PROTECT, "side": Side.SELL, "type": OrderType.STOP, "price": PRICE - 100}
"""What makes an intent a protective STOP."""


def order(order_id: int = 1, *, executed: int = 0, status: OrderStatus = OrderStatus.WORKING, **changes: Any) -> Order:
    """Return the exchange's view of the order that :func:`intent` means."""
    values: dict[str, Any] = {
        "order_id": order_id,
        "symbol": "BTC",
        "side": Side.BUY,
        "type": OrderType.MARKET,
        "time_in_force": TimeInForce.IOC,
        "size": BTC.size(100),
        "executed_size": BTC.size(executed),
        "price": None,
        "status": status,
        "created_at_ns": START_NS,
    }
    return Order(**(values | changes))


def fill(execution_id: int, order_id: int = 1, lots: int = 100, *, side: Side = Side.BUY, price: int = PRICE, fee: int = 5) -> Execution:
    """Return an execution."""
    return Execution(
        execution_id=execution_id,
        order_id=order_id,
        symbol="BTC",
        side=side,
        size=BTC.size(lots),
        price=Decimal(price),
        fee_jpy=Decimal(fee),
        realized_pnl_jpy=Decimal(0),
        at_ns=START_NS,
    )


def book(*, spread: int = 100, size: str = "1", middle: int = PRICE) -> Book:
    """Return a book with one level a side."""
    level = Decimal(size)
    asks, bids = (PriceLevel(Decimal(middle + spread // 2), level),), (PriceLevel(Decimal(middle - spread // 2), level),)
    return Book(symbol="BTC", asks=asks, bids=bids, at_ns=START_NS)


def position(position_id: int = 70, size: str = "0.1", side: Side = Side.BUY) -> Position:
    """Return a leverage position as the exchange lists it."""
    return Position(
        position_id=position_id,
        symbol="BTC_JPY",
        side=side,
        size=Decimal(size),
        reserved_size=Decimal(0),
        price=Decimal(PRICE),
        unrealized_pnl_jpy=Decimal(0),
        leverage=Decimal(2),
        losscut_price=None,
        opened_at_ns=START_NS,
    )
