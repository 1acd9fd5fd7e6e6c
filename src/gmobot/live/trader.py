"""Converges one symbol at the exchange to its desired state: look, take the next single action, look again.

One task per symbol owns every submission, so at most one is in flight by construction. It is woken by
decisions, fills, prices that cross a trigger, and the run loop; waking it once too often does nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from gmobot.clock import NS_PER_SECOND, Clock
from gmobot.errors import NotSent, OutcomeUnknown, Refused, VenueError
from gmobot.live.books import Books, order_fields
from gmobot.live.desire import Desire
from gmobot.live.gate import OrderGate
from gmobot.live.intents import Intent, IntentState, Purpose
from gmobot.live.market import Market
from gmobot.live.plan import Action, Cancel, Place, Situation, next_action
from gmobot.live.store import Event, Store
from gmobot.live.tracker import OrderTracker
from gmobot.ops.telemetry import Telemetry
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.models import OrderRequest, OrderType, TimeInForce

_STOP_FIRES_AT_ONCE = "ERR-5129"
_MOST_ACTIONS_A_TURN = 20
_UNKNOWN_POLL_SECONDS = 0.5
_IDLE_SECONDS = 5.0
_SETTLE_NS = NS_PER_SECOND
"""An entry that fills in pieces is protected once it is quiet for this long, or ended."""
_CANCEL_PATIENCE_NS = NS_PER_SECOND
_MARKET_PATIENCE_NS = NS_PER_SECOND
_LIMIT_EXIT_PATIENCE_NS = 5 * NS_PER_SECOND
_COMPARE_PATIENCE_NS = 10 * NS_PER_SECOND
_RETRY_NS = NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Standing:
    """What the daemon allows at this moment.

    Attributes:
        watch_reason: Why orders are only recorded and not sent, or ``None`` when they are sent.
        close: Whether everything we own must be closed.
        stopping: Whether the process is about to end: cancel entries, keep stops, open nothing.
        entry_bar: Reason code that forbids new exposure, or ``None``.
        exchange_open: Whether the exchange takes orders.
    """

    watch_reason: str | None
    close: bool
    stopping: bool
    entry_bar: str | None
    exchange_open: bool


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
        entry_window_seconds: float,
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
        self._entry_window_ns = int(entry_window_seconds * NS_PER_SECOND)
        self._wake = asyncio.Event()
        self._desire: Desire | None = None
        self._exit_reason: str | None = None
        self._cancelling: dict[int, int] = {}
        self._recorded: set[tuple[int, Purpose, str]] = set()
        self._not_before_ns = 0
        self._asked: asyncio.Future[None] | None = None
        self._asked_ns = 0
        self.idle = asyncio.Event()

    @property
    def stop(self) -> int:
        """Trigger of the protective STOP the core asks for, in ticks, 0 for none."""
        return self._desire.stop if self._desire is not None else 0

    @property
    def closing(self) -> bool:
        """Whether the position is being reduced."""
        lower = self._desire is not None and self._desire.target < self._books.position(self.symbol)
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
            self._asked_ns = self._clock.now_ns()
        self.wake()
        return self._asked

    def on_price(self) -> None:
        """A trade was printed: see whether it crossed a trigger that does not rest at the exchange."""
        desire, price = self._desire, self._market.last
        if desire is None or self._exit_reason is not None or self._books.position(self.symbol) <= 0:
            return
        if desire.take_profit and price >= desire.take_profit:
            self._exit_reason = "take_profit"
            self.wake()
        elif desire.stop and price <= desire.stop and self.uncovered_lots() > 0:
            self._exit_reason = "stop_loss"
            self.wake()

    def uncovered_lots(self) -> int:
        """Return own lots that no order at the exchange would sell."""
        open_sells = [i for i in self._books.open_intents(self.symbol) if i.purpose is not Purpose.ENTRY and not i.state.is_unresolved]
        return max(0, self._books.position(self.symbol) - sum(intent.open_lots for intent in open_sells))

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
        await self._tracker.resolve()
        await self._chase_the_overdue()
        await self._tracker.refresh()
        await self._act()
        await self._compare_if_asked()
        if not self._wake.is_set() and not self._in_transition():
            self.idle.set()

    async def _act(self) -> None:
        for _ in range(_MOST_ACTIONS_A_TURN):
            action = next_action(self._situation())
            if action is None or not await self._perform(action):
                return

    def _in_transition(self) -> bool:
        """Whether an order is on its way to its end, or to be found: what is open will soon be otherwise."""
        return bool(self._cancelling) or any(
            intent.state.is_unresolved or intent.type is OrderType.MARKET for intent in self._books.open_intents(self.symbol)
        )

    async def _compare_if_asked(self) -> None:
        """Compare with the exchange, unless own coins would lie open meanwhile: what is slow comes after that."""
        asked = self._asked
        if asked is None or (self._in_transition() and not self._compare_is_overdue()):
            return
        try:
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
        return self._clock.now_ns() - self._asked_ns >= _COMPARE_PATIENCE_NS

    def _is_urgent(self) -> bool:
        """Whether something to be protected or closed turned up while the exchange was being asked."""
        action = next_action(self._situation())
        reduces = isinstance(action, Place) and action.purpose is not Purpose.ENTRY
        return reduces and not self._compare_is_overdue()

    async def _wait(self) -> None:
        busy = self._in_transition() or self._clock.now_ns() < self._not_before_ns
        try:
            async with asyncio.timeout(_UNKNOWN_POLL_SECONDS if busy else _IDLE_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    def _situation(self) -> Situation:
        books, instrument, now = self._books, self._books.instrument(self.symbol), self._clock.now_ns()
        position, desire, standing = books.position(self.symbol), self._desire, self._standing()
        if position == 0:
            self._exit_reason = None
        target, stop = position, 0
        if desire is not None:
            target, stop = desire.target, desire.stop
        if self._exit_reason is not None or standing.close:
            target = 0
        allowed = (
            desire is not None
            and desire.may_open
            and standing.entry_bar is None
            and not standing.stopping
            and standing.exchange_open
            and now - desire.closed_ns <= self._entry_window_ns
        )
        open_intents = books.open_intents(self.symbol)
        self._forget_ended_cancels(open_intents)
        return Situation(
            position=position,
            target=target if allowed else min(target, position),
            stop=stop,
            entry_allowed=allowed,
            entry_used=desire is None or books.entry_used(self.symbol, desire.decision_id),
            settling=self._settling(open_intents, now),
            stopping=standing.stopping,
            cancelling=frozenset(self._cancelling),
            open=open_intents,
            min_lots=instrument.min_lots,
            max_lots=instrument.max_lots,
        )

    def _settling(self, open_intents: tuple[Intent, ...], now: int) -> bool:
        entry = any(intent.purpose is Purpose.ENTRY for intent in open_intents)
        return entry and now - self._tracker.last_fill_ns < _SETTLE_NS

    async def _perform(self, action: Action) -> bool:
        """Do one thing. Returns whether to look for the next at once."""
        if isinstance(action, Cancel):
            return await self._cancel(action.intent)
        if self._clock.now_ns() < self._not_before_ns:
            return False
        self._not_before_ns = 0
        return await self._place(action)

    async def _place(self, place: Place) -> bool:
        standing = self._standing()
        decision_id = self._desire.decision_id if self._desire else 0
        if standing.watch_reason is not None:
            await self._record_unsent(place, decision_id, standing.watch_reason)
            return False
        if not standing.exchange_open:
            return False
        denial = self._gate.denial(place, self._market)
        if denial == "price_collar" and place.purpose is Purpose.EXIT:
            limit = self._gate.collar_price(self._market)
            if limit <= 0:
                return False
            place, denial = Place(place.purpose, place.side, OrderType.LIMIT, place.lots, limit), None
        if denial is not None:
            await self._record_unsent(place, decision_id, denial)
            return False
        return await self._submit(place, decision_id)

    async def _submit(self, place: Place, decision_id: int) -> bool:
        instrument, now = self._books.instrument(self.symbol), self._clock.now_ns()
        tif = TimeInForce.GTC if place.type is OrderType.LIMIT else TimeInForce.IOC
        draft = Intent(
            intent_id=0,
            symbol=self.symbol,
            purpose=place.purpose,
            side=place.side,
            type=place.type,
            time_in_force=tif,
            lots=place.lots,
            price=place.price,
            decision_id=decision_id,
            created_ns=now,
            updated_ns=now,
        )
        self._gate.sent()
        intent = await self._books.add(draft)
        if place.purpose is Purpose.ENTRY and self._desire is not None:
            self._telemetry.tick_to_order((self._clock.now_ns() - self._desire.due_ns) / NS_PER_SECOND)
        request = OrderRequest(
            symbol=self.symbol,
            side=place.side,
            type=place.type,
            size=instrument.size(place.lots),
            price=instrument.price(place.price) if place.price else None,
            time_in_force=tif,
            urgent=place.purpose is not Purpose.ENTRY,
        )
        started = self._clock.monotonic()
        outcome = await self._send(intent, request)
        self._telemetry.order(place.side.value, place.type.value, outcome)
        self._telemetry.order_roundtrip(self._clock.monotonic() - started)
        return outcome == "confirmed"

    async def _send(self, intent: Intent, request: OrderRequest) -> str:
        try:
            order_id = await self._rest.place_order(request)
        except Refused as error:
            await self._on_refusal(intent, error)
            return "refused"
        except NotSent as error:
            await self._books.reject(intent, f"never sent: {error}")
            self._wait_before_retry()
            return "denied"
        except OutcomeUnknown as error:
            await self._books.unknown(intent, str(error))
            return "unresolved"
        self._gate.accepted()
        await self._books.acknowledge(intent, order_id)
        await self._tracker.claim(order_id)
        return "confirmed"

    async def _on_refusal(self, intent: Intent, error: Refused) -> None:
        await self._books.reject(intent, f"{error.code or error.category.value}: {error}")
        self._gate.refused()
        if error.code == _STOP_FIRES_AT_ONCE and intent.purpose is Purpose.PROTECT:
            # The price is beyond the stop already: what the STOP would have done is done now.
            self._exit_reason = "stop_loss"
            self.wake()
            return
        self._wait_before_retry()

    async def _cancel(self, intent: Intent) -> bool:
        if intent.order_id is None:
            return False
        self._cancelling[intent.intent_id] = self._clock.now_ns()
        try:
            await self._rest.cancel_order(intent.order_id)
        except Refused:
            # Mostly ERR-5122: it has just ended by itself. What became of it decides what comes next.
            self._tracker.suspect(intent)
            await self._tracker.refresh()
        except (NotSent, OutcomeUnknown):
            # Cancelling twice is harmless: ask what it became, and try again if it still stands.
            self._tracker.suspect(intent)
        return True

    async def _chase_the_overdue(self) -> None:
        now = self._clock.now_ns()
        for intent in self._books.open_intents(self.symbol):
            if intent.state.is_unresolved:
                continue
            age = now - intent.updated_ns
            asked = self._cancelling.get(intent.intent_id)
            if asked is not None and now - asked > _CANCEL_PATIENCE_NS:
                del self._cancelling[intent.intent_id]
                self._tracker.suspect(intent)
            elif intent.type is OrderType.MARKET and age > _MARKET_PATIENCE_NS:
                self._tracker.suspect(intent)
            elif asked is None and intent.purpose is Purpose.EXIT and intent.type is OrderType.LIMIT and age > _LIMIT_EXIT_PATIENCE_NS:
                # The market left the collar behind: take it back and ask again at today's price.
                await self._cancel(intent)

    def _forget_ended_cancels(self, open_intents: tuple[Intent, ...]) -> None:
        alive = {intent.intent_id for intent in open_intents}
        self._cancelling = {key: at for key, at in self._cancelling.items() if key in alive}

    def _wait_before_retry(self) -> None:
        self._not_before_ns = self._clock.now_ns() + _RETRY_NS

    async def _record_unsent(self, place: Place, decision_id: int, reason: str) -> None:
        """Say once per decision what would have been sent, and why it was not."""
        key = (decision_id, place.purpose, reason)
        if key in self._recorded:
            return
        self._recorded = {k for k in self._recorded if k[0] == decision_id} | {key}
        instrument, now = self._books.instrument(self.symbol), self._clock.now_ns()
        shown = Intent(
            intent_id=0,
            symbol=self.symbol,
            purpose=place.purpose,
            side=place.side,
            type=place.type,
            time_in_force=TimeInForce.IOC,
            lots=place.lots,
            price=place.price,
            decision_id=decision_id,
            created_ns=now,
            updated_ns=now,
            state=IntentState.REJECTED,
        )
        await self._store.emit([Event("order_intent", order_fields(shown, instrument) | {"sent": False, "reason": reason})])
        self._telemetry.order(place.side.value, place.type.value, "denied")
