"""The order manager of one symbol on virtual time: real books, database, client and streams, and an exchange whose reply to
one write is lost.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Sequence
from contextvars import ContextVar
from decimal import Decimal
from pathlib import Path

import msgspec
from tests.simulation.loop import VirtualClock, VirtualLoop
from tests.simulation.lost_cases import FILL_VISIBILITY_SECONDS, REPLY_SECONDS, VISIBILITY_SECONDS, Case
from tests.simulation.setting import INSTRUMENTS

from gmobot.clock import NS_PER_SECOND, elapsed_ns
from gmobot.core.instrument import Product
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.engine.exchange import Exchange, NewOrder, account
from gmobot.emulator.engine.records import Order
from gmobot.emulator.market import QuietMarket
from gmobot.emulator.market.tape import Snapshot
from gmobot.emulator.memory import MemoryTransport
from gmobot.emulator.protocol.api import ExchangeApi
from gmobot.errors import VenueError
from gmobot.live.account import Account, AccountState
from gmobot.live.books import Books
from gmobot.live.cash import CashBook
from gmobot.live.desire import Desire
from gmobot.live.gate import GateLimits, OrderGate
from gmobot.live.intents import Intent
from gmobot.live.market import Market
from gmobot.live.records import Event, JournalRow
from gmobot.live.store import Store
from gmobot.live.tracker import OrderTracker
from gmobot.live.trader import Manner, Standing, SymbolTrader
from gmobot.live.workers import InlineWorker
from gmobot.ops.audit import AuditLog
from gmobot.ops.telemetry import Telemetry
from gmobot.secrets import Secret
from gmobot.venue.gmo.auth import Credentials
from gmobot.venue.gmo.limits import RateLimiter
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.gmo.streams import Backoff, CommandPacer, PrivateStream
from gmobot.venue.models import (
    Book,
    Execution,
    OrderUpdate,
    PositionChange,
    PositionUpdate,
    PriceLevel,
    Print,
    Side,
    StreamEvent,
)
from gmobot.venue.transport import Reply, ReplyLost, Request, Socket, Timeouts

KEY, SECRET = "lost-key", "lost-secret"
PRICE = 10_000_000
SUBMITS = ("/v1/order", "/v1/closeOrder", "/v1/closeBulkOrder")
_GARBAGE = (b"", b"<html>", b'{"status":0', b'{"status":0,"responsetime":"2026-01-01T00:00:00.000Z"}', b'{"status":0,"data":{"orderId":1}}')
_CARRIED: ContextVar[tuple[int, bool]] = ContextVar("carried")
"""The intent whose request is being carried out, and whether its reply is being lost."""
_UNKNOWN_CODE = b'{"status":1,"messages":[{"message_code":"ERR-9999","message_string":"?"}],"responsetime":"2026-01-01T00:00:00.000Z"}'


class WatchedStore(Store):
    """A store that notes when an outcome was unknown and when it was known again."""

    def watch(self, loop: VirtualLoop) -> None:
        """Begin."""
        self._loop = loop
        self.given_up: dict[int, float] = {}
        self.known: dict[int, float] = {}
        self.ended: dict[int, float] = {}
        self.moved: dict[int, float] = {}
        self._moving: set[int] = set()

    async def update_intent(self, intent: Intent, events: Sequence[Event], rows: Sequence[JournalRow] = ()) -> None:
        await super().update_intent(intent, events, rows)
        now, number = self._loop.time(), intent.intent_id
        if intent.state.is_unresolved:
            self.given_up.setdefault(number, now)
        elif number in self.given_up:
            self.known.setdefault(number, now)
        if intent.state.is_final:
            self.ended.setdefault(number, now)
        if intent.amending_to:
            self._moving.add(number)
        elif number in self._moving:
            self.moved.setdefault(number, now)


class LosingTransport:
    """The way to the exchange on which one reply, or the next such one too, is lost.

    Attributes:
        lost_at: When replies were lost, by the loop's time.
        submitted: Which intent each order request was, as the database had it when the request left.
    """

    def __init__(self, api: ExchangeApi, case: Case, loop: VirtualLoop, database: Path) -> None:
        self._inner = MemoryTransport(api)
        self._case = case
        self._loop = loop
        self._draw = random.Random(f"garbage:{case.number}")
        self._database = database
        self._db: sqlite3.Connection | None = None
        self.armed = 0
        self.lost_at: list[float] = []
        self.submitted: list[int] = []

    async def request(self, request: Request, timeouts: Timeouts) -> Reply:
        path = request.path.removeprefix("/private")
        if request.method == "POST" and path in SUBMITS:
            self.submitted.append(self._newest_intent())
            _CARRIED.set((self.submitted[-1], False))
        if not (self.armed and path == self._case.does.path):
            return await self._inner.request(request, timeouts)
        self.armed -= 1
        _CARRIED.set((self.submitted[-1], True))
        return await self._lose(request, timeouts)

    async def connect(self, path: str, *, timeout: float) -> Socket:
        return await self._inner.connect(path, timeout=timeout)

    async def close(self) -> None:
        await self._inner.close()
        if self._db is not None:
            self._db.close()

    async def _lose(self, request: Request, timeouts: Timeouts) -> Reply:
        loss = self._case.loss
        if loss == "late":
            self._loop.call_later(timeouts.reply + self._case.arrives, self._arrive, request)
        elif loss == "slow" or loss.endswith("_after"):
            await self._inner.request(request, Timeouts())
        if loss in ("slow", "late"):
            await asyncio.sleep(timeouts.reply)
        self.lost_at.append(self._loop.time())
        if loss.startswith("gateway"):
            return Reply(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", {"Content-Type": "text/html"})
        if loss.startswith("garbage"):
            return Reply(200, self._draw.choice(_GARBAGE), {})
        if loss.startswith("code"):
            return Reply(200, _UNKNOWN_CODE, {})
        raise ReplyLost("the reply was lost")

    def _arrive(self, request: Request) -> None:
        self._late = asyncio.ensure_future(self._inner.request(request, Timeouts()))

    def _newest_intent(self) -> int:
        if self._db is None:
            self._db = sqlite3.connect(self._database)
        return int(self._db.execute("SELECT MAX(intent_id) FROM intents").fetchone()[0] or 0)


class Manager:
    """The order manager, and the exchange it trades on.

    Attributes:
        alarms: What called for a person.
        orders_of: Orders that the exchange made of each intent's request.
        by_hand: Orders of another hand.
        lost_was_made: Whether a request whose reply was lost became an order.
        entries_after_alarm: Entries that left although a halt was latched.
    """

    def __init__(self, case: Case, loop: VirtualLoop, var: Path) -> None:
        self.case, self.loop, self.var = case, loop, var
        self.clock = VirtualClock(loop)
        self.instrument = instrument = INSTRUMENTS[case.symbol]
        self.symbol = case.symbol
        self.account = account(KEY, SECRET, {"JPY": Decimal(10_000_000), "BTC": Decimal("0.5")}, {self.symbol: instrument})
        guesses = {"cancel_seconds": case.settle_seconds, "change_seconds": case.settle_seconds, "timestamp_window_seconds": 60.0}
        self.exchange = Exchange(
            self.clock,
            {self.symbol: (instrument, QuietMarket())},
            {KEY: self.account},
            assumptions=msgspec.convert({"private_per_second": 50, **guesses}, Assumptions, strict=False),
        )
        self.exchange.start()
        self.api = ExchangeApi(self.exchange, seed=case.number)
        self.transport = LosingTransport(self.api, case, loop, var / "state" / "gmobot.db")
        self.alarms: list[tuple[str, str]] = []
        self.orders_of: dict[int, list[int]] = {}
        self.by_hand: set[int] = set()
        self.entries_after_alarm = 0
        self.lost_was_made = False
        self._events: asyncio.Queue[Execution | OrderUpdate] = asyncio.Queue()
        self._place, self._close = self.exchange.place, self.exchange.close
        self.exchange.place = lambda *request: self._took(self._place(*request))  # type: ignore[method-assign]
        self.exchange.close = lambda *request: self._took(self._close(*request))  # type: ignore[method-assign]

    async def open(self) -> None:
        """Put everything up and wait until the stream is."""
        for folder in ("logs", "state"):
            (self.var / folder).mkdir()
        self.store = WatchedStore(
            self.var / "state" / "gmobot.db",
            audit=AuditLog(self.var / "logs", max_bytes=10_000_000, retention=3),
            run_id="lost",
            clock=self.clock,
            worker=InlineWorker(),
        )
        self.store.watch(self.loop)
        await self.store.open()
        saved = await self.store.load()
        self.books = Books({self.symbol: self.instrument}, self.store, self.clock, saved)
        self.market = Market(self.instrument)
        markets = {self.symbol: self.market}
        self.ours = Account(self.books, markets, self.clock, AccountState())
        spot = self.instrument.product is Product.SPOT
        self.ours.start(self.account.jpy_uyen, {self.symbol: Decimal("0.5")} if spot else {})
        self.rest = GmoRest(
            self.transport,
            self.clock,
            credentials=Credentials(Secret(KEY), Secret(SECRET)),
            limiter=RateLimiter(self.clock, private_per_second=40.0),
            timeouts=Timeouts(connect=2.0, reply=REPLY_SECONDS),
        )
        self._wire_up(CashBook(self.books, self.ours, markets, self.store, self.clock, known=set(), alarm=self._alarm))
        self.quote()
        stream = PrivateStream(
            self.transport,
            self.rest,
            self.clock,
            CommandPacer(self.clock),
            seed=random.Random(self.case.number),
            backoff=Backoff(0.2, 2.0),
            channels=("executionEvents", "orderEvents", "positionEvents"),
        )
        work = (self.api.run(), stream.run(self._take), self._pump(), self.trader.run(), self._keep_time())
        self._tasks = [asyncio.create_task(part) for part in work]
        while not stream.connected:
            await asyncio.sleep(0.5)

    def _wire_up(self, cash: CashBook) -> None:
        telemetry = Telemetry(version="lost", config_hash="0")
        self.tracker = OrderTracker(
            self.symbol,
            self.books,
            self.rest,
            self.clock,
            telemetry=telemetry,
            visibility_delay_seconds=VISIBILITY_SECONDS,
            fill_visibility_seconds=FILL_VISIBILITY_SECONDS,
            changed=lambda: self.trader.wake(),  # noqa: PLW0108  # the trader is made after the tracker
            cash=cash,
            alarm=self._alarm,
        )
        limits = GateLimits(Decimal("0.02"), max_orders_per_minute=600, max_consecutive_rejects=20, max_book_age_seconds=15.0)
        self.trader = SymbolTrader(
            self.symbol,
            books=self.books,
            tracker=self.tracker,
            market=self.market,
            gate=OrderGate(limits, self.clock, entry_bar=self._entry_bar),
            rest=self.rest,
            store=self.store,
            clock=self.clock,
            telemetry=telemetry,
            standing=self._standing,
            found_closed=lambda: None,
            manner=Manner(self.case.does.style, entry_window_seconds=600.0),
        )

    async def close(self) -> None:
        """End everything.

        Raises:
            Exception: Whatever one of its tasks died of.
        """
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.transport.close()
        await self.store.close()
        for error in ended:
            if isinstance(error, Exception):
                raise error

    # --- what the case does ---------------------------------------------------------------------------

    def want(self, target: int, *, stop: int = 0) -> None:
        """Decide on a position."""
        now = self.clock.now_ns()
        self.trader.desire(Desire(decision_id=now, closed_ns=now, due_ns=now, target=target, stop=stop, take_profit=0, may_open=True))

    def quote(self, *, thin: bool = False) -> None:
        """Let the market stand around the price; thin, a market order would run far away from it."""
        near = 1 if thin else 1_000_000
        asks = [(PRICE + 50, near), (PRICE + 400_000, 1_000_000)]
        bids = [(PRICE - 50, near), (PRICE - 400_000, 1_000_000)]
        others = self.exchange.symbols[self.symbol].book
        if not others.last:
            row = Print(symbol=self.symbol, side=Side.BUY, size=Decimal("0.01"), price=Decimal(PRICE), at_ns=self.clock.now_ns())
            self.exchange.feed_print(row)
        self.exchange._quote(self.symbol, Snapshot(self.clock.now_ns(), asks, bids))
        self.market.last = PRICE
        self._asks, self._bids = ([PriceLevel(Decimal(p), self.instrument.size(lots)) for p, lots in side] for side in (asks, bids))
        self._show()

    async def look(self) -> None:
        """Take the exchange's whole list of positions, as reconciliation does."""
        listed = await self.rest.open_positions(self.symbol)
        self.books.pieces(self.symbol).look(((position, self.instrument.lots(position.size)) for position in listed), as_of_ns=0)

    def by_other_hand(self, new: NewOrder) -> None:
        """Somebody else sends an order with the same account."""
        self.by_hand.add(self._place(self.account, new).order_id)

    def _show(self) -> None:
        book = Book(symbol=self.symbol, asks=tuple(self._asks), bids=tuple(self._bids), at_ns=self.clock.now_ns())
        self.market.on_book(book, elapsed_ns(self.clock))

    # --- what a daemon does around it -----------------------------------------------------------------

    async def _keep_time(self) -> None:
        """Every second a book, every fifth a comparison."""
        turn = 0
        while True:
            await asyncio.sleep(1.0)
            turn += 1
            self._show()
            self.trader.wake()
            if turn % 5 == 0:
                self.trader.reconcile().add_done_callback(lambda done: done.cancelled() or done.exception())

    def _take(self, event: StreamEvent) -> None:
        if isinstance(event, Execution | OrderUpdate):
            self._events.put_nowait(event)
        elif isinstance(event, PositionUpdate):
            self.tracker.on_position(event.position, gone=event.change is PositionChange.CLOSED)

    async def _pump(self) -> None:
        while True:
            event = await self._events.get()
            try:
                if isinstance(event, Execution):
                    await self.tracker.on_execution(event)
                else:
                    await self.tracker.on_update(event)
            except VenueError:
                self.trader.reconcile()

    def _entry_bar(self) -> str | None:
        return self._halted() or ("order_outcome_unknown" if self.books.unresolved() else None)

    def _halted(self) -> str | None:
        return "operator_halt" if self.alarms else None

    def _standing(self) -> Standing:
        unknown = len(self.books.unresolved())
        return Standing(watch_reason=None, close=False, stopping=False, entry_bar=self._halted(), exchange_open=True, unknown=unknown)

    async def _alarm(self, reason: str, text: str) -> None:
        if not self.alarms:
            self._before_alarm = set(self.transport.submitted)
        self.alarms.append((reason, text))

    def _took(self, order: Order) -> Order:
        """The exchange has made an order: whose, and from when on questions show it."""
        intent_id, lost = _CARRIED.get()
        if lost:
            self.lost_was_made = True
            order.visible_ns += int(self.case.hidden * NS_PER_SECOND)
        self.orders_of.setdefault(intent_id, []).append(order.order_id)
        if self.alarms and order.opens and intent_id not in self._before_alarm:
            self.entries_after_alarm += 1
        return order
