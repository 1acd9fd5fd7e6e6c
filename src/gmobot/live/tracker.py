"""From what the exchange tells to our books: fills, order states, and what an unknown intent became.

Evidence comes from the private stream and from queries, in any order, twice, or early: a fill may be
told before the reply that gives its order an id. What cannot be attributed yet waits; an execution is
booked by its id and so exactly once, whoever brings it first.

Which evidence proves which outcome, and what stays unknown, is the table of docs/order-lifecycle.md. Two rules run through
it: absence is concluded only from questions asked later than anything may stay invisible, and what turns up after that
calls a person.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec

from gmobot.clock import NS_PER_SECOND, Clock, elapsed_ns
from gmobot.core.instrument import Instrument, to_nearest_uyen
from gmobot.errors import Refused
from gmobot.live.amending import Amendments
from gmobot.live.books import Books
from gmobot.live.cash import CashBook
from gmobot.live.intents import Intent, IntentState, Purpose
from gmobot.live.likeness import (
    CLOCK_TOLERANCE_NS,
    Waiting,
    fills_look_like,
    forgotten_after_ns,
    looks_like,
    looks_moved,
    made_in_time,
    may_have_filled,
    moved_text,
    told_by_fills,
    would_look_the_same,
)
from gmobot.live.unlisted import GONE, Unlisted
from gmobot.ops.telemetry import Telemetry
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.models import Execution, Order, OrderStatus, OrderType, OrderUpdate, Position, Settle, Side

_PATIENCE_SECONDS = 1.0
_BATCH = 10
"""Most ids one query may name."""
_BY_US = "USER"
"""Why an order was cancelled that we, or the account's owner, asked to cancel."""
_FINAL_STATE = {
    OrderStatus.FILLED: IntentState.FILLED,
    OrderStatus.CANCELLED: IntentState.CANCELLED,
    OrderStatus.EXPIRED: IntentState.EXPIRED,
}


class OrderTracker:
    """Keeps the books of one symbol's orders true to the exchange.

    What the stream tells may come at any time. :meth:`resolve`, :meth:`refresh` and :meth:`sweep_recent`
    conclude from what they do *not* find, so they belong to the one task that also submits: never two at
    once, and never while a request is on its way.
    """

    def __init__(
        self,
        symbol: str,
        books: Books,
        rest: GmoRest,
        clock: Clock,
        *,
        telemetry: Telemetry,
        visibility_delay_seconds: float,
        fill_visibility_seconds: float,
        changed: Callable[[], None],
        cash: CashBook,
        alarm: Callable[[str, str], Awaitable[None]],
    ) -> None:
        """Make a tracker.

        Args:
            symbol: Whose orders.
            books: Where they are kept.
            rest: For queries.
            clock: Wall time.
            telemetry: Counts fills.
            visibility_delay_seconds: Longest time an accepted order may stay invisible to queries.
            fill_visibility_seconds: Longest time a fill of a visible order may.
            changed: Called after anything changed, so that orders are planned again.
            cash: Told what somebody else traded.
            alarm: Called with a reason code and a text when a person must look; latches a halt.
        """
        self._symbol = symbol
        self._books = books
        # Questions that the rate limit holds back must not keep the exit behind them waiting.
        self._rest = rest = rest.waiting_at_most(_PATIENCE_SECONDS)
        self._clock = clock
        self._telemetry = telemetry
        self._visibility_ns = int(visibility_delay_seconds * NS_PER_SECOND)
        self._fill_visibility_ns = int(fill_visibility_seconds * NS_PER_SECOND)
        self._changed = changed
        self._cash = cash
        self._alarm = alarm
        self._waiting: dict[int, Waiting] = {}
        # Their end may have been missed, and with it that of others: whoever acts on the books asks about all of them first.
        self._suspect = {intent.intent_id for intent in books.open_intents(symbol)}
        self._missed: dict[int, int] = {}
        self._looked: dict[int, int] = {}
        self._compared: set[int] = set()
        self._shown: set[int] = set()
        self._amendments = Amendments(symbol, books, clock, visibility_ns=self._visibility_ns, changed=changed)
        self._unlisted = Unlisted(symbol, books, rest, clock, cash, visibility_ns=self._visibility_ns, alarm=alarm)
        self.last_fill_ns = 0
        self.last_void_ns: dict[Purpose, int] = {}
        """When a close ended without a fill and without us."""

    @property
    def _instrument(self) -> Instrument:
        return self._books.instrument(self._symbol)

    async def on_execution(self, execution: Execution) -> None:
        """Take a fill from the stream or a query."""
        if self._books.is_booked(execution.execution_id):
            return
        owner = self._books.by_order(execution.order_id)
        if owner is None:
            await self._keep_for_its_owner(execution)
            return
        if self._may_be_of_an_entry_not_told_yet(execution, owner):
            self.suspect(owner)
            self._changed()
            return
        told, execution = execution, _to_the_micro_yen(execution)
        if await self._is_another_s(execution, owner):
            await self._cash.foreign_fill(execution)
            return
        booked = await self._books.book(execution)
        assert booked is not None, "it was not booked a moment ago"
        await self._cash.ours_after_all(execution)
        resting = booked.type is OrderType.LIMIT and execution.fee_jpy < 0
        self._telemetry.fill(execution.side.value, "maker" if resting else "taker")
        self.last_fill_ns = elapsed_ns(self._clock)
        self._changed()
        if execution != told:
            money = f"a fee of {told.fee_jpy} and a gain of {told.realized_pnl_jpy} yen"
            await self._alarm("exchange_error", f"execution {told.execution_id} tells of {money}: booked to the nearest micro-yen")

    def _stranger(self, execution: Execution, owner: Intent) -> int | None:
        """Return the position that a close took and that is not ours, as far as we know, nor was when the close was sent."""
        closes, pieces = self._books.ledger(self._symbol).on_leverage and not owner.opens, self._books.pieces(self._symbol)
        ours = pieces.owns(execution.position_id) if owner.shared else pieces.owned(execution.position_id)
        return execution.position_id if closes and not ours else None

    def _may_be_of_an_entry_not_told_yet(self, execution: Execution, owner: Intent) -> bool:
        """Return whether a close took a position that nobody knows while an entry of ours is filling: it is asked again."""
        entering = any(intent.opens for intent in self._books.open_intents(self._symbol))
        return entering and not owner.shared and self._stranger(execution, owner) is not None

    async def _is_another_s(self, execution: Execution, owner: Intent) -> bool:
        """Return whether a fill took what is not ours, and tell so where it is news.

        A close by another hand took a position beside ours; our own bulk close took one that somebody opened in the same
        moment; or two closes filled where one was enough, because the exchange showed the first too late: a person must look.
        No order is sent beyond what is booked, so what does not fit is never ours told too early.
        """
        if (stranger := self._stranger(execution, owner)) is not None:
            if not owner.shared:
                await self._books.beyond_ours(owner, f"it closed {execution.size} of position {stranger}, which is not ours")
                held = Side.BUY if execution.side is Side.SELL else Side.SELL
                self._books.pieces(self._symbol).meet(stranger, held, 1, elapsed_ns(self._clock))
                self._changed()
            return True
        if owner.shared and not self._books.pieces(self._symbol).owns(execution.position_id):
            return True
        if self._books.fits(execution):
            return False
        text = f"order {execution.order_id} filled {execution.size} that do not fit what is ours: they count as another hand's"
        await self._alarm("order_outcome_unknown", text)
        await self._books.beyond_ours(owner, text)
        self.suspect(owner)
        self._changed()
        return True

    async def _keep_for_its_owner(self, execution: Execution) -> None:
        pieces = self._books.pieces(self._symbol)
        touches_ours = pieces.owns(execution.position_id)
        if execution.position_id is not None and execution.settle is Settle.OPEN and not touches_ours:
            # Until an order of ours claims it, closes must name our own: its own event may be lost.
            lots = self._instrument.lots_at_least(execution.size)
            pieces.meet(execution.position_id, execution.side, lots, elapsed_ns(self._clock))
        if self._books.is_foreign(execution.order_id) and not touches_ours:
            await self._cash.foreign_fill(execution)
            return
        if self._books.is_ours(execution.order_id) and self._cash.knows(self._cash.flow_of(execution).key):
            # Of an order that ended before this run: what did not fit was booked as another's then.
            return
        waiting = self._wait_for_owner(execution.order_id)
        if all(seen.execution_id != execution.execution_id for seen in waiting.executions):
            waiting.executions.append(execution)
            if touches_ours:
                self._changed()

    async def on_update(self, update: OrderUpdate) -> None:
        """Take an order event from the stream."""
        order = update.order
        if self._books.is_foreign(order.order_id):
            return
        intent = self._books.by_order(order.order_id)
        if intent is None:
            self._wait_for_owner(order.order_id).updates.append(order)
            return
        await self._settle(intent, order, asked=False)

    def on_position(self, position: Position, *, gone: bool) -> None:
        """Take a leverage position's news: it may be somebody else's beside ours."""
        lots = 0 if gone else self._instrument.lots_at_least(position.size)
        self._books.pieces(self._symbol).observe(position, lots, elapsed_ns(self._clock))

    async def claim(self, order_id: int) -> None:
        """An order has become ours: take what was told about it before."""
        waiting = self._waiting.pop(order_id, None)
        if waiting is None:
            return
        for execution in waiting.executions:
            await self.on_execution(execution)
        for order in waiting.updates:
            await self.on_update(OrderUpdate(order=order))

    def suspect(self, intent: Intent) -> None:
        """Ask the exchange about this order at the next refresh."""
        self._suspect.add(intent.intent_id)

    async def refresh(self, *, every: bool = False) -> None:
        """Ask the exchange about our open orders: the suspect ones, or every one.

        Raises:
            VenueError: No answer; the books are unchanged.
        """
        still_open = self._books.open_intents(self._symbol)
        self._amendments.keep_only(still_open)
        chosen = [i for i in still_open if i.order_id and (every or i.intent_id in self._suspect)]
        for start in range(0, len(chosen), _BATCH):
            batch = chosen[start : start + _BATCH]
            found = {order.order_id: order for order in await self._rest.orders([i.order_id for i in batch if i.order_id])}
            for intent in batch:
                await self._take_answer(intent, found.get(intent.order_id or 0))

    async def resolve(self) -> None:
        """Look for what became of unknown intents.

        Raises:
            VenueError: No answer; they stay unknown.
        """
        unresolved = self._books.unresolved(self._symbol)
        self._missed = {i.intent_id: self._missed[i.intent_id] for i in unresolved if i.intent_id in self._missed}
        self._looked = {i.intent_id: self._looked[i.intent_id] for i in unresolved if i.intent_id in self._looked}
        if not unresolved:
            return
        asked_ns = elapsed_ns(self._clock)
        strangers = await self._strangers()
        for intent in unresolved:
            found = [order for order in strangers if self._looks_like(order, intent)]
            twins = sum(would_look_the_same(other, intent) for other in self._books.unresolved(self._symbol))
            if len(found) == 1 or 0 < len(found) == twins:
                first = min(found, key=lambda order: order.order_id)
                strangers.remove(first)
                await self._adopt(intent, first)
            elif len(found) > 1:
                ids = ", ".join(str(order.order_id) for order in found)
                await self._alarm("order_outcome_unknown", f"orders {ids} all look like intent {intent.intent_id}; resolve by hand")
            elif self._is_absent(intent, asked_ns):
                hidden = self._hidden(intent)
                await (self._take_by_its_fills(intent, hidden) if hidden else self._conclude(intent, strangers))

    async def _conclude(self, intent: Intent, strangers: list[Order]) -> None:
        """Nothing looks exactly like the intent: it is absent, unless a hand may have moved it before anybody knew its number."""
        others = self._books.unresolved(self._symbol)
        moved = [order for order in strangers if self._looks_moved(order, intent) and not any(self._looks_like(order, i) for i in others)]
        if not moved:
            if await self._unlisted.may_count_as_absent(intent):
                await self._books.conclude_absent(intent)
                self._changed()
        elif len(moved) == 1:
            strangers.remove(moved[0])
            await self._alarm("order_outcome_unknown", moved_text(moved[0], intent))
            await self._adopt(intent, moved[0])
        else:
            ids = ", ".join(str(order.order_id) for order in moved)
            text = f"orders {ids} look like intent {intent.intent_id} in all but their price; resolve by hand"
            await self._alarm("order_outcome_unknown", text)

    def _hidden(self, intent: Intent) -> list[int]:
        """Return orders that only fills tell of and that may be this one: questions do not show them yet, or no more."""
        untold = (order_id for order_id in self._waiting if not self._has_owner(order_id) and order_id not in self._shown)
        return [order_id for order_id in untold if may_have_filled(self._waiting[order_id].executions, intent, self._instrument)]

    async def _take_by_its_fills(self, intent: Intent, hidden: list[int]) -> None:
        """The exchange may have forgotten an order while it still tells of its fills: after patience they are evidence enough."""
        first_ns = min(self._waiting[order_id].since_ns for order_id in hidden)
        if first_ns >= self._forgotten_ns():
            return
        told = ", ".join(str(order_id) for order_id in hidden)
        if len(hidden) > 1:
            await self._alarm("order_outcome_unknown", f"fills of orders {told} may be intent {intent.intent_id}; resolve by hand")
            return
        await self._alarm("order_outcome_unknown", f"only fills tell of order {told}: it is taken for intent {intent.intent_id}")
        await self._books.acknowledge(intent, hidden[0], resolved=True)
        await self.claim(hidden[0])
        self._changed()

    def _forgotten_ns(self) -> int:
        """Return since when an order must be told of for nobody to wait for more than its fills: the exchange has forgotten it."""
        return elapsed_ns(self._clock) - forgotten_after_ns(self._visibility_ns)

    def _is_absent(self, intent: Intent, asked_ns: int) -> bool:
        """Return whether having found nothing proves that there is nothing.

        Counted from the first question of this run, on the monotonic clock: later than the reply was given up, and
        safe against whatever is done to the wall clock.
        """
        first_ns = self._looked.setdefault(intent.intent_id, asked_ns)
        if asked_ns <= first_ns + self._visibility_ns:
            return False
        if intent.type is OrderType.MARKET:
            return True
        missed_ns = self._missed.setdefault(intent.intent_id, asked_ns)
        return asked_ns > missed_ns + self._fill_visibility_ns

    async def sweep_recent(self, *, urgent: Callable[[], bool] = lambda: False) -> bool:
        """Book what the stream may have missed, and tell foreign orders.

        Args:
            urgent: Whether the caller has something better to do; asked after every answer.

        Returns:
            Whether it was done to the end.

        Raises:
            VenueError: No answer.
        """
        active = await self._rest.active_orders(self._symbol)
        if urgent():
            return False
        for execution in await self._latest():
            await self.on_execution(execution)
        for order in active:
            intent = self._books.by_order(order.order_id)
            if intent is not None:
                if intent.detail == GONE:
                    intent = await self._books.revive(intent, order.order_id)
                await self._settle(intent, order)
            elif not self._books.is_foreign(order.order_id):
                self._wait_for_owner(order.order_id)
        await self._tell_foreign()
        return True

    async def _latest(self) -> list[Execution]:
        """Return the latest fills that are not booked yet, ours or somebody else's, oldest first: what was bought may be sold."""
        booked = self._books.is_booked
        found = await self._rest.latest_executions(self._symbol, known=lambda row: booked(row.execution_id))
        return sorted((row for row in found if not booked(row.execution_id)), key=lambda row: (row.at_ns, row.execution_id))

    async def _tell_foreign(self) -> None:
        """What still has no owner once nothing is unknown belongs to somebody else."""
        if self._books.unresolved(self._symbol):
            return
        patience_ns = self._visibility_ns + CLOCK_TOLERANCE_NS
        for order_id, waiting in list(self._waiting.items()):
            if self._books.by_order(order_id) is not None:
                await self.claim(order_id)
            elif any(self._books.pieces(self._symbol).owns(execution.position_id) for execution in waiting.executions):
                continue
            elif order_id not in self._compared and self._books.absent(self._symbol):
                # Events tell of it and no question has shown it: it may be one whose absence was concluded too early.
                continue
            elif elapsed_ns(self._clock) - waiting.since_ns > patience_ns:
                await self._give_away(order_id, "an order or execution that we did not send")

    async def _give_away(self, order_id: int, evidence: str) -> None:
        waiting = self._waiting.pop(order_id)
        await self._books.note_foreign(order_id, self._symbol, evidence)
        for execution in waiting.executions:
            await self._cash.foreign_fill(execution)

    async def _strangers(self) -> list[Order]:
        orders = {order.order_id: order for order in await self._rest.active_orders(self._symbol)}
        self._shown = (self._shown | orders.keys()) & self._waiting.keys()
        executions = await self._latest()
        ids = {execution.order_id for execution in executions} | set(self._waiting)
        missing = [order_id for order_id in sorted(ids - set(orders), reverse=True) if not self._has_owner(order_id)]
        for start in range(0, len(missing), _BATCH):
            for order in await self._rest.orders(missing[start : start + _BATCH]):
                orders[order.order_id] = order
                self._shown.add(order.order_id)
        for execution in executions:
            await self.on_execution(execution)
        return [order for order in orders.values() if not self._has_owner(order.order_id)]

    def _has_owner(self, order_id: int) -> bool:
        return self._books.is_ours(order_id) or self._books.is_foreign(order_id)

    def _looks_like(self, order: Order, intent: Intent) -> bool:
        return looks_like(order, intent, self._instrument) and not self._closed_another_position(order, intent)

    def _looks_moved(self, order: Order, intent: Intent) -> bool:
        return looks_moved(order, intent, self._instrument) and not self._closed_another_position(order, intent)

    def _closed_another_position(self, order: Order, intent: Intent) -> bool:
        """Return whether its fills tell of another position than the one the intent names: then a person's hand was quick."""
        waiting = self._waiting.get(order.order_id)
        if waiting is None or intent.position_id is None:
            return False
        return any(execution.position_id not in (None, intent.position_id) for execution in waiting.executions)

    async def claim_forced(self) -> None:
        """Book what closed our leverage position without an order of ours: a losscut, or a person's hand.

        Only while nothing is unknown: otherwise it may be an order of ours that has no id yet.

        Raises:
            VenueError: No answer; it waits on.
        """
        if not self._waiting or self._books.unresolved(self._symbol):
            return
        await self._claim_late()
        taken = self._closing_ours()
        for order in await self._rest.orders(taken[:_BATCH]) if taken else []:
            await self._adopt_forced(order)
        for order_id in taken[:_BATCH]:
            if order_id in self._waiting and self._waiting[order_id].since_ns < self._forgotten_ns():
                await self._claim_forgotten(self._waiting[order_id].executions)

    @property
    def closes_unclaimed(self) -> bool:
        """Whether a fill tells of a close of what is ours, and it has yet to be asked whose order that was."""
        return bool(self._closing_ours())

    def _closing_ours(self) -> list[int]:
        """Return orders that are not ours, as far as we know, and whose fills took positions of ours."""
        pieces = self._books.pieces(self._symbol)
        return [
            order_id
            for order_id, waiting in self._waiting.items()
            if not self._books.is_ours(order_id) and any(pieces.owns(execution.position_id) for execution in waiting.executions)
        ]

    async def _adopt_forced(self, order: Order) -> None:
        forced = await self._books.adopt_forced(order, self._instrument.lots_at_least(order.size))
        await self.claim(order.order_id)
        await self._settle(forced, order)
        self._changed()

    async def _claim_forgotten(self, executions: Sequence[Execution]) -> None:
        """The exchange tells of an order by its fills alone: it is one that was given up for absent, or another hand's."""
        order, intent = self._told_by(executions), self._given_up(executions)
        await (self._take_late(intent, order) if intent is not None else self._adopt_forced(order))

    def _given_up(self, executions: Sequence[Execution]) -> Intent | None:
        """Return what was given up for absent and may have been filled so."""
        order = self._told_by(executions)
        alike = (intent for intent in self._books.absent(self._symbol) if fills_look_like(order, executions, intent, self._instrument))
        return next((intent for intent in alike if not self._closed_another_position(order, intent)), None)

    def _told_by(self, executions: Sequence[Execution]) -> Order:
        return told_by_fills(executions, at_most=self._instrument.size(abs(self._books.position(self._symbol))))

    async def _claim_late(self) -> None:
        """Take back what turns up after its absence had been concluded, and halt: the visibility delay is too short."""
        self._compared &= self._waiting.keys()
        absent = self._books.absent(self._symbol)
        unseen = [order_id for order_id in self._waiting if order_id not in self._compared and not self._books.is_ours(order_id)]
        if not absent or not unseen:
            return
        for order in await self._rest.orders(unseen[:_BATCH]):
            if order.executed_size and not self._waiting[order.order_id].executions:
                # Only its fills say which position it closed.
                for execution in await self._rest.executions(order.order_id):
                    await self.on_execution(execution)
            alike = [intent for intent in absent if self._looks_like(order, intent) and made_in_time(order, intent)]
            for intent in alike or [intent for intent in absent if self._looks_moved(order, intent)]:
                await self._take_late(intent, order)
                return
            self._compared.add(order.order_id)
        self._compare_forgotten(unseen[:_BATCH])

    def _compare_forgotten(self, unseen: Iterable[int]) -> None:
        """Of an order that no answer shows any more its fills may prove that it is none that was given up; where not, it stays open."""
        for order_id in unseen:
            waiting = self._waiting.get(order_id)
            if waiting is None or not waiting.executions or waiting.since_ns >= self._forgotten_ns():
                continue
            if self._given_up(waiting.executions) is None:
                self._compared.add(order_id)

    async def _take_late(self, intent: Intent, order: Order) -> None:
        """It is ours while all that it may fill can be; otherwise it is stopped first, so that what it did is certain."""
        text = f"order {order.order_id} of intent {intent.intent_id} turned up later than venue.visibility_delay_seconds"
        if self._fits(order, intent):
            await self._alarm("order_outcome_unknown", text)
            await self._adopt(intent, order)
        elif not order.status.is_final:
            await self._alarm("order_outcome_unknown", f"{text} and may fill more than is ours: it is cancelled")
            await self._rest.cancel_order(order.order_id)
        else:
            await self._alarm("order_outcome_unknown", f"{text}, too late to be booked: it counts as another hand's")
            await self._give_away(order.order_id, "an order of ours that turned up too late to be booked")

    def _fits(self, order: Order, intent: Intent) -> bool:
        """Whether all that a late order has filled or still may can be ours: what it was to do may have been done anew since."""
        at_most = self._instrument.lots_at_least(order.executed_size if order.status.is_final else order.size)
        signed, held = at_most if order.side is Side.BUY else -at_most, self._books.position(self._symbol)
        if intent.opens:
            return held * signed >= 0
        anew = sum(other.open_lots for other in self._books.open_intents(self._symbol) if other.purpose is Purpose.EXIT)
        return held * signed <= 0 and at_most <= max(0, abs(held) - anew)

    async def _adopt(self, intent: Intent, order: Order) -> None:
        late = intent.state.is_final
        take = self._books.revive(intent, order.order_id) if late else self._books.acknowledge(intent, order.order_id, resolved=True)
        ours = await take
        await self.claim(order.order_id)
        await self._settle(ours, order)
        self._changed()

    async def _take_answer(self, intent: Intent, order: Order | None) -> None:
        self._suspect.discard(intent.intent_id)
        if order is None and self._unlisted.is_overdue(intent):
            active = await self._rest.active_orders(self._symbol)
            order = next((row for row in active if row.order_id == intent.order_id), None)
            if order is None and await self._has_gone(intent):
                self._changed()
                return
        if order is not None:
            self._unlisted.listed(intent)
            await self._settle(intent, order)
        else:
            # Soon again: until it shows, or has ended, it counts as cover.
            self._suspect.add(intent.intent_id)

    async def _has_gone(self, intent: Intent) -> bool:
        """Book what the exchange still tells of an order that it lists no more. Returns whether it has ended."""
        told = await self._latest()
        with contextlib.suppress(Refused):
            # What it does not know it may also refuse to speak of.
            told += await self._rest.executions(intent.order_id or 0)
        for execution in told:
            await self.on_execution(execution)
        return await self._unlisted.end(intent, told)

    async def _settle(self, intent: Intent, order: Order, *, asked: bool = True) -> None:
        """Bring our order to where the exchange says it stands; its end counts only once all fills are booked.

        Args:
            intent: Ours.
            order: As the exchange tells it.
            asked: Whether it is the answer to a question. An event may be an old one, so it proves no price.
        """
        current = self._books.by_order(order.order_id)
        if current is None or current.state.is_final:
            return
        if order.executed_size > self._books.filled(current):
            for execution in await self._rest.executions(order.order_id):
                await self.on_execution(execution)
            current = self._books.by_order(order.order_id)
            if current is None or current.state.is_final:
                return
        if not order.status.is_final:
            current = await self._books.working(current)
            if asked:
                await self._amendments.note(current, order)
            elif current.amending_to:
                self.suspect(current)
                self._changed()
        elif order.executed_size == self._books.filled(current) or current.shared:
            # Of another hand's order only what it took of ours is booked; the rest of it is not waited for.
            await self._books.end(current, _FINAL_STATE[order.status], order.cancel_reason or "")
            await self._cash.let_go(self._symbol)
            by_itself = order.status is OrderStatus.EXPIRED or order.cancel_reason not in (None, _BY_US)
            if by_itself and not current.opens and not current.executed_lots:
                self.last_void_ns[current.purpose] = elapsed_ns(self._clock)
            self._changed()
        else:
            self._suspect.add(intent.intent_id)

    def _wait_for_owner(self, order_id: int) -> Waiting:
        if order_id not in self._waiting and self._books.absent(self._symbol):
            self._changed()
        return self._waiting.setdefault(order_id, Waiting(elapsed_ns(self._clock), [], []))


def _to_the_micro_yen(execution: Execution) -> Execution:
    """Return a fill whose money our books can hold: it happened, and what it opened must be protected."""
    gain = execution.realized_pnl_jpy
    return msgspec.structs.replace(
        execution,
        fee_jpy=to_nearest_uyen(execution.fee_jpy),
        realized_pnl_jpy=None if gain is None else to_nearest_uyen(gain),
    )
