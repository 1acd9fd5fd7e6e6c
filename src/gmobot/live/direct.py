"""Closing what we own without a daemon: the same books, tracker and order manager, on plain questions and answers.

No streams and no strategy: a broken one of either may be why somebody is here. Fills are asked for, prices come
from the order book's query, and what is wanted is one thing: nothing open, nothing held. Whatever is sent has its
intent on disk first, as always, and nothing that is not ours is touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from gmobot.clock import Clock, elapsed_ns
from gmobot.config import Config, InstrumentConfig
from gmobot.core.instrument import Instrument
from gmobot.errors import ConfigError, VenueError
from gmobot.live.account import Account, AccountState
from gmobot.live.books import Books
from gmobot.live.cash import CashBook
from gmobot.live.desk import instrument_of
from gmobot.live.entry import EntryStyle
from gmobot.live.gate import GateLimits, OrderGate
from gmobot.live.intents import IntentState, Latch
from gmobot.live.market import Market
from gmobot.live.ownership import claim, recognise
from gmobot.live.records import Event
from gmobot.live.rules import begin_with
from gmobot.live.saved import Saved
from gmobot.live.store import Store
from gmobot.live.tracker import OrderTracker
from gmobot.live.trader import Manner, Standing, SymbolTrader
from gmobot.ops.telemetry import Telemetry
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.models import SymbolRules

_TURN_SECONDS = 0.5
_STANDING = Standing(watch_reason=None, close=True, stopping=False, entry_bar="operator_halt", exchange_open=True)


@dataclass(frozen=True, slots=True)
class Left:
    """What is still ours of one symbol.

    Attributes:
        size: Held, negative is short.
        dust: Whether that is too small to order.
        orders: Open orders of ours, or such whose outcome is unknown.
    """

    symbol: str
    size: Decimal
    dust: bool
    orders: int

    @property
    def flat(self) -> bool:
        """Whether nothing can be done about it any more."""
        return self.orders == 0 and (self.size == 0 or self.dust)


@dataclass(slots=True)
class _Desk:
    symbol: str
    market: Market
    tracker: OrderTracker
    trader: SymbolTrader


class DirectClose:
    """One attempt to close everything that is ours."""

    def __init__(self, config: Config, rest: GmoRest, store: Store, clock: Clock, *, say: Callable[[str], None]) -> None:
        """Make an attempt; the instance lock must be held.

        Args:
            config: Whose state it is.
            rest: The exchange.
            store: The state, open.
            clock: Time.
            say: Told every step in plain words.
        """
        self._config = config
        self._rest = rest
        self._store = store
        self._clock = clock
        self._say = say
        self._telemetry = Telemetry(version="direct", config_hash=config.hash())
        self.trouble: VenueError | None = None
        """Why the exchange did not answer last, ``None`` while it does."""

    async def run(self, *, seconds: float) -> list[Left]:
        """Halt on disk, then close what is ours; return what is left of each symbol.

        Raises:
            StoreError: Nothing can be written down, so nothing was sent.
            VenueError: The exchange's rules could not be read, or whose account the key is of.
            ConfigError: It does not list what we hold, or the state is another account's.
        """
        saved = await self._store.load()
        claim(self._config, saved)
        await recognise(self._config, saved, self._rest)
        await self._store.begin_run(self._config.hash(), [Event("run_started", {"mode": "flatten", "source": "direct"})])
        told = Event("control_command", {"command": "flatten", "reason": "operator_halt", "source": "direct"})
        await self._store.latch(Latch.HALT, "operator_halt", [told])
        await self._store.latch(Latch.CLOSE, "operator_halt", [])
        self._say("halted, also for the next start of the daemon, until `gmobot resume --acknowledge`")
        instruments = self._instruments(saved, await self._rest.symbols())
        books, desks = await self._furnish(saved, instruments)
        give_up = self._clock.monotonic() + seconds
        left = self._left(books)
        looked = False
        while not (looked and all(row.flat for row in left)) and self._clock.monotonic() < give_up:
            looked = await self._turn(books, desks)
            left = self._left(books)
            if not (looked and all(row.flat for row in left)):
                await asyncio.sleep(_TURN_SECONDS)
        await self._store.end_run("flatten_direct", [Event("run_stopped", {"reason": "flatten_direct"})])
        return left

    def _instruments(self, saved: Saved, rules: Iterable[SymbolRules]) -> dict[str, Instrument]:
        """Return the symbols that are configured, and those of which we have something."""
        held = {symbol for symbol, ledger in saved.ledgers.items() if ledger["position"]}
        known = {row.symbol: row for row in rules}
        wanted = {instrument.symbol: instrument for instrument in self._config.instruments}
        for symbol in sorted(held | {intent.symbol for intent in saved.open_intents}):
            wanted.setdefault(symbol, InstrumentConfig(symbol=symbol, product="leverage" if symbol.endswith("_JPY") else "spot"))
        missing = [symbol for symbol in wanted if symbol not in known]
        if missing:
            raise ConfigError(f"the exchange does not list {', '.join(missing)} (any more); close it by hand at the exchange")
        rounding = self._config.venue.fee_rounding
        return {symbol: instrument_of(entry, begin_with(known[symbol], saved)[0], rounding) for symbol, entry in wanted.items()}

    async def _furnish(self, saved: Saved, instruments: Mapping[str, Instrument]) -> tuple[Books, list[_Desk]]:
        books = Books(instruments, self._store, self._clock, saved)
        markets = {symbol: Market(instrument) for symbol, instrument in instruments.items()}
        account = Account(books, markets, self._clock, AccountState.restore(saved.account))
        cash = CashBook(books, account, markets, self._store, self._clock, known=saved.known_flows, alarm=self._alarm)
        gate = OrderGate(GateLimits.of(self._config), self._clock, entry_bar=lambda: "operator_halt")
        for intent in books.unresolved():
            if intent.state is IntentState.INTENT:
                await books.unknown(intent, "the last run ended before a reply")
        return books, [self._desk(symbol, books, markets[symbol], cash, gate) for symbol in instruments]

    def _desk(self, symbol: str, books: Books, market: Market, cash: CashBook, gate: OrderGate) -> _Desk:
        tracker = OrderTracker(
            symbol,
            books,
            self._rest,
            self._clock,
            telemetry=self._telemetry,
            visibility_delay_seconds=self._config.venue.visibility_delay_seconds,
            fill_visibility_seconds=self._config.venue.fill_visibility_seconds,
            changed=lambda: None,
            cash=cash,
            alarm=self._alarm,
        )
        trader = SymbolTrader(
            symbol,
            books=books,
            tracker=tracker,
            market=market,
            gate=gate,
            rest=self._rest,
            store=self._store,
            clock=self._clock,
            telemetry=self._telemetry,
            standing=lambda: _STANDING,
            found_closed=lambda: self._say("the exchange takes no orders now; trying again"),
            manner=Manner(EntryStyle(), entry_window_seconds=0.0),
        )
        return _Desk(symbol, market, tracker, trader)

    async def _turn(self, books: Books, desks: Iterable[_Desk]) -> bool:
        """Look and act once for every symbol. Returns whether every question was answered."""
        answered = True
        for desk in desks:
            try:
                await self._work(books, desk)
            except VenueError as error:
                if str(error) != str(self.trouble):
                    self._say(f"{desk.symbol}: no answer ({error}); trying again")
                self.trouble, answered = error, False
        if answered:
            self.trouble = None
        return answered

    async def _work(self, books: Books, desk: _Desk) -> None:
        desk.market.on_book(await self._rest.orderbook(desk.symbol), elapsed_ns(self._clock))
        instrument = books.instrument(desk.symbol)
        if books.ledger(desk.symbol).on_leverage:
            listed = await self._rest.open_positions(desk.symbol)
            seen = ((position, instrument.lots_at_least(position.size)) for position in listed)
            books.pieces(desk.symbol).look(seen, as_of_ns=elapsed_ns(self._clock))
        for intent in books.open_intents(desk.symbol):
            desk.tracker.suspect(intent)
        compared = desk.trader.reconcile()
        await desk.trader.turn()
        if compared.done():
            compared.result()

    def _left(self, books: Books) -> list[Left]:
        rows = []
        for symbol in books.symbols:
            instrument, lots = books.instrument(symbol), books.position(symbol)
            rows.append(Left(symbol, instrument.size(lots), 0 < abs(lots) < instrument.min_lots, len(books.open_intents(symbol))))
        return rows

    async def _alarm(self, reason: str, text: str) -> None:
        """A person must look; one is: the halt is latched already."""
        self._say(f"{reason}: {text}")
        await self._store.emit([Event("error", {"reason": reason, "detail": text})])
