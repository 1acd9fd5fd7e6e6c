"""Converges one symbol at the exchange to its desired state: look, take the next single action, look again.

One task per symbol owns every submission, so at most one is in flight by construction. It is woken by
decisions, fills, prices that cross a trigger, and the run loop; waking it once too often does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import structlog

from gmobot.clock import NS_PER_SECOND, Clock, elapsed_ns
from gmobot.core.instrument import Product
from gmobot.errors import VenueError
from gmobot.live.books import Books, order_fields
from gmobot.live.desire import Desire
from gmobot.live.entry import EntryStyle, worded
from gmobot.live.gate import OrderGate
from gmobot.live.intents import Intent, IntentState, Purpose
from gmobot.live.market import Market
from gmobot.live.plan import Action, Amend, Cancel, Place, Situation, next_action
from gmobot.live.records import Event
from gmobot.live.sender import After, Sender
from gmobot.live.store import Store
from gmobot.live.tracker import OrderTracker
from gmobot.ops.telemetry import Telemetry
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.models import OrderType, Side

_MOST_ACTIONS_A_TURN = 20
_UNKNOWN_POLL_SECONDS = 0.3
_IDLE_SECONDS = 5.0
_SETTLE_NS = NS_PER_SECOND
"""An entry that fills in pieces is protected once it is quiet for this long, or ended."""
_CANCEL_PATIENCE_NS = NS_PER_SECOND
_AMEND_PATIENCE_NS = NS_PER_SECOND // 2
_MARKET_PATIENCE_NS = NS_PER_SECOND
_LIMIT_EXIT_PATIENCE_NS = 5 * NS_PER_SECOND
_COMPARE_PATIENCE_NS = 10 * NS_PER_SECOND
_RETRY_NS = NS_PER_SECOND
_LONGEST_RETRY_NS = 5 * NS_PER_SECOND
"""Where asking again makes it worse; what must be closed or protected lies open meanwhile, and does not wait longer than that."""
_CLOSED_RETRY_NS = 2 * NS_PER_SECOND
_HOLD_OFF_NS = dict.fromkeys((After.WAIT, After.GONE, After.RESERVED, After.OTHER_RULES), _RETRY_NS) | {After.CLOSED: _CLOSED_RETRY_NS}
_PRICES_SECONDS = 1.0
"""How long an exit waits for a book that is asked for."""
_LOOK_NS = 5 * NS_PER_SECOND
"""How often the exchange is asked about an order that rests: what nobody told of it would lie bare and uncounted."""
_BLIND_PATIENCE_NS = 10 * NS_PER_SECOND
"""How long questions may stay without an answer before that is told."""
log = structlog.get_logger("gmobot.trader")


@dataclass(frozen=True, slots=True)
class Standing:
    """What the daemon allows at this moment.

    Attributes:
        watch_reason: Why orders are only recorded and not sent, or ``None`` when they are sent.
        close: Whether everything we own must be closed.
        stopping: Whether the process is about to end: cancel entries, keep stops, open nothing.
        entry_bar: Reason code that forbids new exposure, or ``None``; unknown outcomes aside.
        exchange_open: Whether the exchange takes orders.
        silent: Whether it answers nothing at all, cancels and questions included: then nothing is asked of it.
        deaf: Whether no event of our orders arrives: what becomes of them has to be asked for.
        unknown: Orders of the account whose outcome is not known; one that is being sent is among them.
    """

    watch_reason: str | None
    close: bool
    stopping: bool
    entry_bar: str | None
    exchange_open: bool
    silent: bool = False
    deaf: bool = False
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Manner:
    """How one symbol is traded.

    Attributes:
        style: How entries are worded.
        entry_window_seconds: How long after a bar's end its entry may be sent, and may rest.
        max_lots: Most that may be held, 0 for any.
    """

    style: EntryStyle
    entry_window_seconds: float
    max_lots: int = 0


class SymbolTrader:
    """The order manager of one symbol."""

    def __init__(
        self,
        symbol: str,
        *,
        books: Books,
        tracker: OrderTracker,
        market: Market,
        gate: OrderGate,
        rest: GmoRest,
        store: Store,
        clock: Clock,
        telemetry: Telemetry,
        standing: Callable[[], Standing],
        found_closed: Callable[[], None],
        doubts_rules: Callable[[], None] = lambda: None,
        manner: Manner,
    ) -> None:
        self.symbol = symbol
        self._books = books
        self._tracker = tracker
        self._market = market
        self._gate = gate
        self._rest = rest
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._standing = standing
        self._found_closed = found_closed
        self._doubts_rules = doubts_rules
        self._manner = manner
        self._sender = Sender(symbol, books=books, tracker=tracker, gate=gate, rest=rest, clock=clock, telemetry=telemetry)
        self._entry_window_ns = int(manner.entry_window_seconds * NS_PER_SECOND)
        self._wake = asyncio.Event()
        self._desire: Desire | None = None
        self._exit_reason: str | None = None
        self._cancelling: dict[int, int] = {}
        self._unamendable: set[int] = set()
        self._recorded: set[tuple[int, Purpose, str]] = set()
        self._since: dict[tuple[int, int], int] = {}
        self._looked: dict[int, int] = {}
        self._not_before_ns = 0
        self._kept_out_ns = 0
        self._prices_asked_ns: int | None = None
        self._blind_since_ns: int | None = None
        self._blind_told = False
        self._asked: asyncio.Future[None] | None = None
        self._asked_ns = 0
        self._has_learned = False
        self.reserved = False
        self.idle = asyncio.Event()

    @property
    def stop(self) -> int:
        """Trigger of the protective STOP the core asks for what is held, in ticks, 0 for none."""
        return self._desire.stop if self._desire is not None and not self._leaves_side(self._desire) else 0

    @property
    def _decision_id(self) -> int:
        return self._desire.decision_id if self._desire is not None else 0

    @property
    def closing(self) -> bool:
        """Whether the position is being reduced."""
        position = self._books.position(self.symbol)
        kept = abs(self._desire.target) if self._desire is not None and not self._leaves_side(self._desire) else 0
        lower = self._desire is not None and kept < abs(position)
        return lower or self._exit_reason is not None or self._standing().close

    def desire(self, desire: Desire) -> None:
        """Take a new desired state."""
        self._desire = desire
        self.wake()

    def wake(self) -> None:
        """Look again soon."""
        self.idle.clear()
        self._wake.set()

    def reconcile(self) -> asyncio.Future[None]:
        """Ask for a full comparison with the exchange; the future ends with it, or with its VenueError."""
        if self._asked is None:
            self._asked = asyncio.get_running_loop().create_future()
            self._asked_ns = elapsed_ns(self._clock)
        self.wake()
        return self._asked

    def on_price(self) -> None:
        """A trade was printed: see whether it crossed a trigger that does not rest at the exchange."""
        desire, price = self._desire, self._market.printed
        position = self._books.position(self.symbol)
        if desire is None or self._exit_reason is not None or position == 0 or self._leaves_side(desire):
            return
        side = 1 if position > 0 else -1
        if desire.take_profit and (price - desire.take_profit) * side >= 0:
            self._exit_reason = "take_profit"
            self.wake()
        elif desire.stop and (price - desire.stop) * side <= 0 and self.uncovered_lots() > 0:
            self._exit_reason = "stop_loss"
            self.wake()

    def uncovered_lots(self) -> int:
        """Return own lots that no order at the exchange would close: an exit that rests as a LIMIT has met nobody."""
        known = [i for i in self._books.open_intents(self.symbol) if not i.opens and not i.state.is_unresolved]
        closes = [i for i in known if i.type is not OrderType.LIMIT]
        return max(0, abs(self._books.position(self.symbol)) - sum(intent.open_lots for intent in closes))

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._wait()
            try:
                await self.turn()
            except VenueError:
                # A query got no answer (the client has counted it): what was unknown still is.
                continue

    async def turn(self) -> None:
        """Bring what is unknown or suspect up to date, act until there is nothing to do, compare if asked to.

        Raises:
            VenueError: A query got no answer; the next turn asks again.
        """
        if self._standing().silent:
            return
        try:
            await self._learn()
        except VenueError as error:
            # Exits and protection reckon with the worst of what is not known, so they need not wait for it.
            await self._go_blind(error)
            await self._act(blind=True)
            raise
        self._blind_since_ns, self._blind_told, self._has_learned = None, False, True
        await self._act()
        await self._compare_if_asked()
        if not self._wake.is_set() and not self._in_transition():
            self.idle.set()

    async def _learn(self) -> None:
        """Ask what is to be known of our orders before the next action."""
        await self._tracker.resolve()
        await self._tracker.claim_forced()
        await self._chase_the_overdue()
        await self._tracker.refresh()

    async def _go_blind(self, error: VenueError) -> None:
        """A question got no answer: whoever waits for a comparison hears of it, and people do once it lasts."""
        now = elapsed_ns(self._clock)
        if self._blind_since_ns is None:
            self._blind_since_ns = now
            log.warning("a question about orders got no answer", symbol=self.symbol, error=str(error))
        if self._asked is not None and self._compare_is_overdue():
            asked, self._asked = self._asked, None
            if not asked.done():
                asked.set_exception(error)
        if not self._blind_told and now - self._blind_since_ns >= _BLIND_PATIENCE_NS:
            self._blind_told = True
            detail = f"{self.symbol}: questions about its orders get no answer, nothing is opened: {error}"
            await self._store.emit([Event("error", {"reason": "exchange_error", "symbol": self.symbol, "detail": detail})])

    async def _act(self, *, blind: bool = False) -> None:
        for _ in range(_MOST_ACTIONS_A_TURN):
            now = self._situation()
            action = next_action(now)
            if action is None or (blind and isinstance(action, Place) and action.purpose is Purpose.ENTRY):
                return
            if not await self._perform(action, now):
                return

    def _leaves_side(self, desire: Desire) -> bool:
        """Whether a desire's prices are about the other side than the one that is held: a flip whose close is not done."""
        return desire.target * self._books.position(self.symbol) < 0

    def _in_transition(self) -> bool:
        """Whether an order is on its way to its end, or to be found: what is open will soon be otherwise."""
        return bool(self._cancelling) or any(
            intent.state.is_unresolved or intent.type is OrderType.MARKET or intent.amending_to
            for intent in self._books.open_intents(self.symbol)
        )

    async def _compare_if_asked(self) -> None:
        """Compare with the exchange, unless own coins would lie open meanwhile: what is slow comes after that."""
        asked = self._asked
        if asked is None or (self._in_transition() and not self._compare_is_overdue()):
            return
        try:
            if self._books.position(self.symbol) and not self._market.mark():
                # The stream has told no price yet, and a flow that is found now is to be seen against what is ours.
                await self._ask_for_prices()
            if not await self._tracker.sweep_recent(urgent=self._is_urgent):
                return
            self._asked = None
            await self._tracker.refresh(every=True)
        except VenueError as error:
            self._asked = None
            if not asked.done():
                asked.set_exception(error)
            return
        if not asked.done():
            asked.set_result(None)

    def _compare_is_overdue(self) -> bool:
        return elapsed_ns(self._clock) - self._asked_ns >= _COMPARE_PATIENCE_NS

    def _is_urgent(self) -> bool:
        """Whether something to be protected or closed turned up while the exchange was being asked."""
        action = next_action(self._situation())
        reduces = isinstance(action, Place) and action.purpose is not Purpose.ENTRY
        # What was just refused cannot go yet, and what became of the position may be the reason.
        can_go = elapsed_ns(self._clock) >= self._not_before_ns
        return reduces and can_go and not self._compare_is_overdue()

    async def _wait(self) -> None:
        busy = (self._in_transition() and not self._standing().silent) or elapsed_ns(self._clock) < self._not_before_ns
        try:
            async with asyncio.timeout(_UNKNOWN_POLL_SECONDS if busy else _IDLE_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    def _situation(self) -> Situation:
        books, instrument, now = self._books, self._books.instrument(self.symbol), elapsed_ns(self._clock)
        position, desire, standing = books.position(self.symbol), self._desire, self._standing()
        if position == 0:
            self._exit_reason = None
        target = position if desire is None else desire.target
        if self._exit_reason is not None or standing.close:
            target = 0
        allowed = self._entry_allowed(standing)
        open_intents = books.open_intents(self.symbol)
        self._forget_ended(open_intents)
        return Situation(
            position=position,
            target=target if allowed else _between(target, position),
            stop=desire.stop if desire is not None else 0,
            entry_allowed=allowed,
            entry_left=books.entry_left(self.symbol, desire.decision_id, desire.target) if desire is not None else 0,
            settling=self._settling(open_intents, now),
            stopping=standing.stopping,
            cancelling=frozenset(self._cancelling),
            unamendable=frozenset(self._unamendable),
            open=open_intents,
            min_lots=instrument.min_lots,
            max_lots=instrument.max_lots,
            leverage=instrument.product is Product.LEVERAGE,
            pieces=self._pieces_to_name(position),
        )

    def _entry_allowed(self, standing: Standing, *, sending: int = 0) -> bool:
        desire = self._desire
        return (
            desire is not None
            and desire.may_open
            and standing.entry_bar is None
            and standing.unknown <= sending
            and not standing.stopping
            and standing.exchange_open
            and self._clock.now_ns() - desire.closed_ns <= self._entry_window_ns
        )

    def _pieces_to_name(self, position: int) -> tuple[tuple[int, int], ...]:
        """Return our positions at the exchange when a close must name one: there is certainly one only, or others may stand beside them."""
        pieces = self._books.pieces(self.symbol)
        if (len(pieces.ours) == 1 and not pieces.guessed) or not pieces.looked or pieces.foreign(Side.BUY if position > 0 else Side.SELL):
            return tuple((piece.position_id, piece.lots) for piece in pieces.ours)
        return ()

    def _settling(self, open_intents: tuple[Intent, ...], now: int) -> bool:
        entry = any(intent.opens for intent in open_intents)
        return entry and now - self._tracker.last_fill_ns < _SETTLE_NS

    async def _perform(self, action: Action, now: Situation) -> bool:
        """Do one thing. Returns whether to look for the next at once."""
        standing = self._standing()
        if standing.watch_reason is not None and not (isinstance(action, Cancel) and _guards_nothing(action.intent, now)):
            # A STOP that stands is not touched either: nothing could take its place.
            if (unsent := _as_order(action, now)) is not None:
                await self._record_unsent(unsent, self._decision_id, standing.watch_reason)
            return False
        if isinstance(action, Cancel):
            if not self._may_take_away(action.intent, standing):
                return False
            if action.intent.purpose is Purpose.PROTECT and now.kept < now.held:
                return await self._make_room(action.intent, standing)
            return await self._cancel(action.intent)
        if elapsed_ns(self._clock) < max(self._not_before_ns, self._void_until_ns(action)):
            return False
        self._not_before_ns = 0
        if isinstance(action, Amend):
            return standing.exchange_open and await self._follow(await self._sender.amend(action.intent, action.price), action.intent)
        return await self._place(action, standing)

    def _void_until_ns(self, action: Action) -> int:
        """Until when a close waits whose like expired unfilled: at once it would expire again, as fast as the rate limit lets it."""
        void_ns = self._tracker.last_void_ns.get(action.purpose) if isinstance(action, Place) else None
        return void_ns + _RETRY_NS if void_ns is not None else 0

    async def _make_room(self, stop: Intent, standing: Standing) -> bool:
        """Take a STOP away for an exit that can follow it. Returns whether to look for the next thing at once.

        Raises:
            VenueError: Nobody would tell of its end: no event arrives, and a question gets no answer. It stays.
        """
        if not self._gate.is_fresh(self._market):
            # Nobody knows what the exit would fetch.
            return await self._ask_for_prices()
        if standing.deaf:
            self._tracker.suspect(stop)
            await self._tracker.refresh()
            if all(known.intent_id != stop.intent_id for known in self._books.open_intents(self.symbol)):
                return True
        return await self._cancel(stop)

    def _may_take_away(self, intent: Intent, standing: Standing) -> bool:
        """A STOP is not taken away while the exchange takes nothing in its place, nor before anybody said what is wanted.

        Nor before this run has heard of its orders once: what it protects may not be booked yet.
        """
        if intent.purpose is not Purpose.PROTECT:
            return True
        if not self._has_learned:
            return False
        if self._books.position(self.symbol) == 0:
            return True
        if self._desire is None and not standing.close:
            return False
        return standing.exchange_open

    async def _place(self, place: Place, standing: Standing) -> bool:
        decision_id = self._decision_id
        if not standing.exchange_open:
            return False
        barred = self._market.barred if place.purpose is Purpose.ENTRY else None
        dressed = self._dressed(place) if barred is None else None
        denial = barred or (self._denial(dressed) if dressed is not None else "price_collar")
        if denial == "price_collar" and place.purpose is Purpose.EXIT:
            if not self._gate.is_fresh(self._market) and await self._ask_for_prices():
                return True
            limit = self._gate.collar_price(self._market, place.side)
            if limit <= 0:
                return False
            dressed, denial = replace(place, type=OrderType.LIMIT, price=limit), None
        if dressed is None or denial is not None:
            await self._record_unsent(place, decision_id, denial or "price_collar")
            return False
        due_ns = self._desire.due_ns if self._desire is not None and place.purpose is Purpose.ENTRY else None
        if place.purpose is not Purpose.ENTRY:
            return await self._follow(await self._sender.place(dressed, decision_id))
        last_word = partial(self._last_word, dressed, decision_id)
        with self._gate.entering() as may_go:
            if not may_go:
                return False
            return await self._follow(await self._sender.place(dressed, decision_id, due_ns=due_ns, last_word=last_word))

    async def _ask_for_prices(self) -> bool:
        """Ask for the book that the stream does not bring. Returns whether to look again; it is asked once in a while only."""
        now = elapsed_ns(self._clock)
        if self._prices_asked_ns is not None and now - self._prices_asked_ns < _RETRY_NS:
            return False
        self._prices_asked_ns = now
        with contextlib.suppress(VenueError, TimeoutError):
            async with asyncio.timeout(_PRICES_SECONDS):
                book = await self._rest.orderbook(self.symbol)
            self._market.on_book(book, elapsed_ns(self._clock))
        return True

    def _last_word(self, place: Place, decision_id: int) -> str | None:
        """Return why an entry that is written down is not to leave after all: it may have waited for the disk and the rate limit."""
        desire, standing = self._desire, self._standing()
        if desire is None or desire.decision_id != decision_id:
            return "a newer decision was made"
        if not self._entry_allowed(standing, sending=1):
            return standing.entry_bar or "it is not allowed any more"
        return self._gate.last_word(place, self._market)

    def _dressed(self, place: Place) -> Place | None:
        if place.purpose is not Purpose.ENTRY:
            return place
        return worded(place, self._manner.style, self._market, stop=self.stop, number=self._books.counts.orders)

    def _denial(self, place: Place) -> str | None:
        opening = sum(intent.open_lots for intent in self._books.open_intents(self.symbol) if intent.opens)
        exposure = abs(self._books.position(self.symbol)) + opening + place.lots
        return self._gate.denial(place, self._market, exposure=exposure, max_lots=self._manner.max_lots)

    async def _follow(self, after: After, intent: Intent | None = None) -> bool:
        """Do what a reply asks for. Returns whether to look for the next thing at once."""
        self.reserved = after is After.RESERVED
        if after is After.FIND_OUT:
            self.wake()
        elif after is After.EXIT_NOW:
            self._exit_reason = "stop_loss"
            self.wake()
        elif after is After.GONE:
            self._observe(self.reconcile())
        elif after is After.RESERVED:
            for known in self._books.open_intents(self.symbol):
                if not known.opens and not known.state.is_unresolved:
                    self._tracker.suspect(known)
        elif after is After.NO_AMEND and intent is not None:
            self._unamendable.add(intent.intent_id)
        elif after is After.OTHER_RULES:
            self._doubts_rules()
        elif after is After.CLOSED:
            self._found_closed()
        self._hold_off(after)
        return after in (After.GO_ON, After.NO_AMEND)

    def _hold_off(self, after: After) -> None:
        """Let some time pass before the next request, as a reply asks for; ever more while we are kept out."""
        if after is After.KEPT_OUT:
            self._kept_out_ns = min(_LONGEST_RETRY_NS, 2 * self._kept_out_ns or _RETRY_NS)
        elif after is After.GO_ON:
            self._kept_out_ns = 0
        if (wait_ns := self._kept_out_ns if after is After.KEPT_OUT else _HOLD_OFF_NS.get(after)) is not None:
            self._not_before_ns = elapsed_ns(self._clock) + wait_ns

    @staticmethod
    def _observe(asked: asyncio.Future[None]) -> None:
        """Nobody waits for this comparison: its failure is met by the next one."""
        asked.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _cancel(self, intent: Intent) -> bool:
        self._cancelling[intent.intent_id] = elapsed_ns(self._clock)
        if await self._sender.cancel(intent) is After.FIND_OUT:
            await self._tracker.refresh()
        else:
            self._kept_out_ns = 0
        return True

    async def _chase_the_overdue(self) -> None:
        now, open_intents = elapsed_ns(self._clock), self._books.open_intents(self.symbol)
        self._since = since = {(i.intent_id, i.updated_ns): self._since.get((i.intent_id, i.updated_ns), now) for i in open_intents}
        for intent in open_intents:
            if intent.state.is_unresolved:
                continue
            age = now - since[intent.intent_id, intent.updated_ns]
            asked = self._cancelling.get(intent.intent_id)
            if asked is not None and now - asked > _CANCEL_PATIENCE_NS:
                del self._cancelling[intent.intent_id]
                self._tracker.suspect(intent)
            elif (intent.amending_to and age > _AMEND_PATIENCE_NS) or (intent.type is OrderType.MARKET and age > _MARKET_PATIENCE_NS):
                self._tracker.suspect(intent)
            elif asked is None and self._is_left_behind(intent, age):
                # Take it back and ask again at today's price.
                await self._cancel(intent)
            elif now - self._looked.setdefault(intent.intent_id, now) > _LOOK_NS:
                self._looked[intent.intent_id] = now
                self._tracker.suspect(intent)

    def _is_left_behind(self, intent: Intent, age_ns: int) -> bool:
        """Whether the market left the collar of an exit behind."""
        exits = intent.purpose is Purpose.EXIT and intent.type is OrderType.LIMIT and self._standing().watch_reason is None
        return exits and age_ns > _LIMIT_EXIT_PATIENCE_NS

    def _forget_ended(self, open_intents: tuple[Intent, ...]) -> None:
        alive = {intent.intent_id for intent in open_intents}
        self._looked = {key: at for key, at in self._looked.items() if key in alive}
        self._cancelling = {key: at for key, at in self._cancelling.items() if key in alive}
        self._unamendable &= alive

    async def _record_unsent(self, place: Place, decision_id: int, reason: str) -> None:
        """Say once per decision what would have been sent, and why it was not."""
        key = (decision_id, place.purpose, reason)
        if key in self._recorded:
            return
        self._recorded = {k for k in self._recorded if k[0] == decision_id} | {key}
        shown = self._sender.draft(place, decision_id, state=IntentState.REJECTED)
        fields = order_fields(shown, self._books.instrument(self.symbol)) | {"sent": False, "reason": reason}
        await self._store.emit([Event("order_intent", fields)])
        self._telemetry.order(place.side.value, place.type.value, "denied")


def _guards_nothing(intent: Intent, now: Situation) -> bool:
    """Whether an order protects nothing that is held: an entry, or a close of what is not there."""
    return intent.opens or now.position == 0 or intent.side is not now.closing_side


def _as_order(action: Action, now: Situation) -> Place | None:
    """Return the order that an action is about; ``None`` where it only takes one away."""
    if isinstance(action, Place):
        return action
    if isinstance(action, Amend):
        return Place(action.intent.purpose, action.intent.side, action.intent.type, action.intent.open_lots, action.price)
    return Place(Purpose.EXIT, now.closing_side, OrderType.MARKET, now.held - now.kept) if now.kept < now.held else None


def _between(target: int, position: int) -> int:
    """Return the target with nothing added to the position: between it and nothing."""
    return max(0, min(target, position)) if position >= 0 else min(0, max(target, position))
