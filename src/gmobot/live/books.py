"""Our own books: which orders are ours, what filled, what we own, what it is worth.

Memory and disk move together: a change is applied here at once, synchronously, and its commit is queued
on the one writer in the same order. The exception is a new intent, which exists here only after its
commit, because its request may not leave before. If a commit fails the books are no longer to be
trusted against the disk and the daemon stops; the exchange's records repair them at the next start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from gmobot.clock import Clock
from gmobot.core.instrument import UYEN_PER_YEN, Instrument, InstrumentError, Product, to_uyen, to_yen
from gmobot.errors import FatalError
from gmobot.live.intents import BEYOND_OURS, Fill, Intent, IntentState, Purpose
from gmobot.live.ledger import Rest, SymbolLedger
from gmobot.live.positions import Pieces
from gmobot.live.recent import Recent
from gmobot.live.records import Event, JournalRow
from gmobot.live.saved import ABSENT, ABSENT_KEPT, Saved
from gmobot.live.store import Store
from gmobot.venue.models import Execution, Order, OrderType, Settle, Side, TimeInForce

_ENDED_KEPT = 1_000
_NOTES_KEPT = 1_000
"""Orders; what was said about one that had just ended finds no commit any more."""


@dataclass(slots=True)
class Counts:
    """What happened so far, over all runs on this database."""

    orders: int = 0
    fills: int = 0


@dataclass(slots=True)
class SymbolBooks:
    """The books of one symbol."""

    instrument: Instrument
    ledger: SymbolLedger
    pieces: Pieces
    open: dict[int, Intent] = field(default_factory=dict)
    used_decision: int = 0
    used_lots: int = 0
    absent: dict[int, Intent] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WriteOff:
    """What went another way: kept as an order that was filled at once, so that fills still add up to the position."""

    intent: Intent
    fill: Fill


class Books:
    """The account's books, keyed by symbol."""

    def __init__(self, instruments: Mapping[str, Instrument], store: Store, clock: Clock, saved: Saved) -> None:
        self._store = store
        self._clock = clock
        self._symbols = {
            symbol: SymbolBooks(
                instrument,
                SymbolLedger.restore(instrument, saved.ledgers.get(symbol)),
                Pieces(symbol, [piece for piece in saved.pieces if piece.symbol == symbol]),
            )
            for symbol, instrument in instruments.items()
        }
        self._intent_of_order: dict[int, Intent] = {}
        self._ended: dict[int, Intent] = {}
        self._known_orders = Recent(saved.known_orders)
        self._booked = Recent(saved.known_executions)
        self._foreign = Recent(saved.foreign_orders)
        self._notes: dict[int, list[JournalRow]] = {}
        self._unsaved: set[int] = set()
        self.retired_uyen = self._retire(saved.ledgers)
        """What symbols that are traded no longer did to the yen at the exchange."""
        self.counts = Counts(saved.counts["orders"], saved.counts["fills"])
        for symbol, decision_id, lots in saved.used_decisions:
            if symbol in self._symbols:
                self._symbols[symbol].used_decision, self._symbols[symbol].used_lots = decision_id, lots
        for intent in saved.absent_intents:
            if intent.symbol in self._symbols:
                self._symbols[intent.symbol].absent[intent.intent_id] = intent
        for intent in saved.open_intents:
            self._remember(intent)

    @property
    def symbols(self) -> Iterable[str]:
        """The symbols these books cover."""
        return self._symbols

    def instrument(self, symbol: str) -> Instrument:
        """Return a symbol's arithmetic."""
        return self._symbols[symbol].instrument

    def change_limits(self, symbol: str, instrument: Instrument) -> None:
        """Keep to other limits of size and other fees from the next order on; the grid is the same."""
        self._symbols[symbol].instrument = instrument

    def ledger(self, symbol: str) -> SymbolLedger:
        """Return a symbol's ledger; read it, never change it."""
        return self._symbols[symbol].ledger

    def pieces(self, symbol: str) -> Pieces:
        """Return a leverage symbol's positions at the exchange."""
        return self._symbols[symbol].pieces

    def position(self, symbol: str) -> int:
        """Return the lots we own, as booked; negative is short."""
        return self._symbols[symbol].ledger.position

    def open_intents(self, symbol: str) -> tuple[Intent, ...]:
        """Return our orders that are not final, oldest first."""
        return tuple(self._symbols[symbol].open.values())

    def unresolved(self, symbol: str | None = None) -> list[Intent]:
        """Return the intents whose outcome is unknown."""
        chosen = self._symbols.values() if symbol is None else (self._symbols[symbol],)
        return [intent for books in chosen for intent in books.open.values() if intent.state.is_unresolved]

    def unsettled(self) -> int:
        """Return how many outcomes are unknown, or not known on disk yet: nothing that opens may follow from those."""
        return len({intent.intent_id for intent in self.unresolved()} | self._unsaved)

    def absent(self, symbol: str) -> list[Intent]:
        """Return the intents whose absence was concluded, the latest ones: one may still turn up."""
        return list(self._symbols[symbol].absent.values())

    def by_order(self, order_id: int) -> Intent | None:
        """Return our order with this id, while it is open or not long ended."""
        return self._intent_of_order.get(order_id) or self._ended.get(order_id)

    def is_ours(self, order_id: int) -> bool:
        """Return whether this id belongs to an order of ours, ended ones included."""
        return order_id in self._known_orders

    def is_foreign(self, order_id: int) -> bool:
        """Return whether this id is known to belong to somebody else."""
        return order_id in self._foreign

    def is_booked(self, execution_id: int) -> bool:
        """Return whether this execution is in the ledger."""
        return execution_id in self._booked

    def entry_left(self, symbol: str, decision_id: int, target: int) -> int:
        """Return lots that a decision for ``target`` lots may still order: what it ordered before is not chased."""
        books = self._symbols[symbol]
        if decision_id < books.used_decision:
            return 0
        used = books.used_lots if decision_id == books.used_decision else 0
        return max(0, abs(target) - used)

    async def add(self, draft: Intent, request: object = None) -> Intent:
        """Commit a new intent, and the words of its request. Only after this returns may that leave."""
        instrument, words = self.instrument(draft.symbol), "" if request is None else self._words(request)
        intent = await self._store.add_intent(draft, lambda made: Event("order_intent", order_fields(made, instrument)), request=words)
        self._remember(intent)
        self.counts.orders += 1
        if intent.opens:
            books = self._symbols[intent.symbol]
            books.used_lots = intent.lots + (books.used_lots if books.used_decision == intent.decision_id else 0)
            books.used_decision = intent.decision_id
        return intent

    async def adopt_forced(self, order: Order, lots: int) -> Intent:
        """Somebody else's order closes our position: from here on it is booked like ours.

        Args:
            order: As the exchange lists it.
            lots: Its size.
        """
        instrument, now = self.instrument(order.symbol), self._clock.now_ns()
        draft = Intent(
            intent_id=0,
            symbol=order.symbol,
            purpose=Purpose.FORCED,
            side=order.side,
            type=order.type,
            time_in_force=order.time_in_force,
            lots=lots,
            price=instrument.nearest_ticks(order.price) if order.price is not None else 0,
            decision_id=0,
            created_ns=now,
            updated_ns=now,
            state=IntentState.ACKNOWLEDGED,
            order_id=order.order_id,
            detail="losscut by the exchange" if order.settle is Settle.LOSSCUT else "closed by another hand",
            settle=Settle.CLOSE,
        )
        intent = await self._store.add_intent(draft, lambda made: Event("order_resolved", order_fields(made, instrument)))
        self._foreign.discard(order.order_id)
        self._remember(intent)
        return intent

    def note(self, intent: Intent, kind: str, said: object) -> None:
        """Keep what was said to or by the exchange about an order, until its next commit."""
        row = JournalRow(kind=kind, symbol=intent.symbol, payload=self._words(said), ref=intent.intent_id)
        self._notes.setdefault(intent.intent_id, []).append(row)
        while len(self._notes) > _NOTES_KEPT:
            del self._notes[next(iter(self._notes))]

    async def amend(self, intent: Intent, price: int) -> Intent:
        """Commit that a price is about to be changed. Only after this returns may the request leave."""
        changed = self._replace(intent, amending_to=price)
        fields = self._fields(changed) | {"amends_to": str(self.instrument(intent.symbol).price(price))}
        await self._update(changed, [Event("order_intent", fields)])
        return changed

    async def amended(self, intent: Intent, price: int, detail: str = "") -> Intent:
        """It stands at this price now, whatever was asked for."""
        changed = self._replace(intent, price=price, amending_to=0)
        fields = self._fields(changed) | {"former_price": str(self.instrument(intent.symbol).price(intent.price))}
        await self._update(changed, [Event("order_amended", fields | ({"detail": detail} if detail else {}))])
        return changed

    async def not_amended(self, intent: Intent, detail: str) -> Intent:
        """The change was refused, or never arrived: it stands where it stood."""
        changed = self._replace(intent, amending_to=0)
        await self._update(changed, [Event("order_rejected", self._fields(changed) | {"detail": detail})])
        return changed

    async def acknowledge(self, intent: Intent, order_id: int, *, resolved: bool = False) -> Intent:
        """The exchange has it under this id, by its reply or (``resolved``) by evidence found later."""
        changed = self._replace(intent, state=IntentState.ACKNOWLEDGED, order_id=order_id, unknown_since_ns=0)
        fields = self._fields(changed)
        names = ("order_resolved",) if resolved else ("order_submitted", "order_acknowledged")
        await self._update(changed, [Event(name, fields) for name in names])
        return changed

    async def unknown(self, intent: Intent, detail: str) -> Intent:
        """The reply was lost: from now on it counts as worst-case exposure."""
        changed = self._replace(intent, state=IntentState.UNKNOWN, unknown_since_ns=self._clock.now_ns(), detail=detail)
        await self._update(changed, [Event("order_outcome_unknown", self._fields(changed))])
        return changed

    async def reject(self, intent: Intent, detail: str) -> Intent:
        """Nothing came of it: refused, or never sent."""
        changed = self._replace(intent, state=IntentState.REJECTED, detail=detail)
        await self._update(changed, [Event("order_rejected", self._fields(changed))])
        return changed

    async def withdraw(self, intent: Intent, detail: str) -> Intent:
        """An entry was kept here at the last moment: nothing left, so its decision may still order as much."""
        books = self._symbols[intent.symbol]
        if books.used_decision == intent.decision_id:
            books.used_lots -= intent.lots
        return await self.reject(intent, detail)

    async def conclude_absent(self, intent: Intent) -> Intent:
        """It never arrived, as far as anybody can tell within the visibility delay."""
        changed = self._replace(intent, state=IntentState.REJECTED, detail=ABSENT)
        kept = self._symbols[intent.symbol].absent
        kept[changed.intent_id] = changed
        while len(kept) > ABSENT_KEPT:
            del kept[next(iter(kept))]
        await self._update(changed, [Event("order_resolved", self._fields(changed))])
        return changed

    async def revive(self, intent: Intent, order_id: int) -> Intent:
        """It turned up after its absence had been concluded."""
        self._symbols[intent.symbol].absent.pop(intent.intent_id, None)
        changed = self._replace(intent, state=IntentState.ACKNOWLEDGED, order_id=order_id, detail="turned up after the visibility delay")
        self._foreign.discard(order_id)
        await self._update(changed, [Event("order_resolved", self._fields(changed))])
        return changed

    async def working(self, intent: Intent) -> Intent:
        """It was seen at the exchange."""
        intent = self._current(intent)
        if intent.state is not IntentState.ACKNOWLEDGED:
            return intent
        changed = self._replace(intent, state=IntentState.WORKING)
        await self._update(changed, [])
        return changed

    async def end(self, intent: Intent, state: IntentState, detail: str) -> Intent:
        """It can no longer fill, and everything that filled is booked."""
        intent = self._current(intent)
        if intent.state.is_final:
            return intent
        changed = self._replace(intent, state=state, detail=intent.detail if intent.detail == BEYOND_OURS else detail)
        await self._update(changed, [Event("order_cancelled", self._fields(changed))])
        return changed

    def fits(self, execution: Execution) -> bool:
        """Return whether an execution of one of our orders can be booked: it closes no more than is ours, and opens no second side.

        Nor may one of another hand's order be of others' positions beside ours.

        Raises:
            FatalError: An amount our arithmetic cannot hold.
        """
        intent = self._intent_of_order.get(execution.order_id) or self._ended[execution.order_id]
        fill, closes = self._fill(execution, intent), self._closes(intent)
        mixed = closes and intent.shared and self.pieces(intent.symbol).reaches_others(fill.position_id, fill.side, fill.lots)
        return not mixed and self.ledger(intent.symbol).fits(fill.side, fill.lots, closes=closes)

    def filled(self, intent: Intent) -> Decimal:
        """Return the coins that an open order filled, as booked: whole lots, and what stands beside them."""
        return self.instrument(intent.symbol).size(intent.executed_lots) + self.ledger(intent.symbol).rest(intent.order_id or 0)

    def beside(self, symbol: str) -> Decimal:
        """Return the coins, signed, that fills of ours moved beyond whole lots."""
        return sum((rest.coins for rest in self.ledger(symbol).rests.values()), Decimal(0))

    def let_go(self, symbol: str) -> list[Rest]:
        """Let go of, and return, what orders that have ended filled beyond whole lots; whoever calls commits the ledger."""
        rests = self.ledger(symbol).rests
        return [rests.pop(order_id) for order_id in list(rests) if order_id not in self._intent_of_order]

    async def beyond_ours(self, intent: Intent, evidence: str) -> None:
        """A fill of it took what is not ours: from here on what it fills counts as another hand's, unless it is of a piece of ours."""
        changed = self._replace(intent, detail=BEYOND_OURS)
        told = {"reason": "foreign_order", "order_id": intent.order_id, "symbol": intent.symbol, "evidence": evidence}
        await self._update(changed, [Event("order_resolved", self._fields(changed)), Event("error", told)])

    async def book(self, execution: Execution) -> Intent | None:
        """Book an execution of one of our orders (see :meth:`by_order`), exactly once.

        What its order has filled by now is booked in whole lots, so it may bring none; its fee and its gain count at once.

        Returns:
            The order's new standing, or ``None`` when it was booked before.

        Raises:
            FatalError: The exchange reports more than was ordered, or an amount our arithmetic cannot hold.
        """
        if execution.execution_id in self._booked:
            return None
        intent = self._intent_of_order.get(execution.order_id) or self._ended[execution.order_id]
        fill = self._fill(execution, intent)
        rest = self._rest(execution, fill)
        executed = intent.executed_lots + fill.lots
        begun = executed + bool(rest.coins)
        if begun > intent.lots:
            raise FatalError(f"order {execution.order_id}: the exchange reports {begun} lots of {intent.lots} executed")
        self._booked.add(fill.execution_id)
        self.counts.fills += 1
        state = intent.state if intent.state.is_final else IntentState.WORKING
        if executed == intent.lots:
            state = IntentState.FILLED
        changed = self._replace(intent, state=state, executed_lots=executed)
        ledger = self.ledger(fill.symbol)
        closes = self._closes(intent)
        told = None if closes and execution.realized_pnl_jpy is None else fill.realized_uyen
        brought = ledger.apply(fill.side, fill.ticks, fill.lots, fill.fee_uyen, closes=closes, realized_uyen=told)
        ledger.keep(rest)
        fill = msgspec.structs.replace(fill, realized_uyen=brought)
        if closes:
            self.pieces(fill.symbol).closed(fill.position_id, fill.lots)
        else:
            self.pieces(fill.symbol).opened(fill.position_id, fill.side, fill.lots, intent.losscut)
        events = [Event("fill", self._fill_fields(fill, changed)), Event("position_changed", self._position_fields(fill.symbol))]
        await self._store.book(fill, changed, ledger.to_dict(), events, self._notes.pop(changed.intent_id, []))
        return changed

    def book_leverage_fee(self, symbol: str, fee_uyen: int) -> None:
        """Book what holding a position over the day's turn cost; whoever calls commits the ledger."""
        self.ledger(symbol).apply_leverage_fee(fee_uyen)

    def write_off(self, symbol: str, lots: int, ticks: int, *, position_id: int | None = None, detail: str) -> WriteOff:
        """Take lots out of our position that are no longer there; whoever calls commits it.

        Args:
            symbol: Whose.
            lots: At most what we hold.
            ticks: The price they are valued at.
            position_id: The leverage position they belonged to.
            detail: Why.
        """
        ledger, now = self.ledger(symbol), self._clock.now_ns()
        side = Side.SELL if ledger.position > 0 else Side.BUY
        ledger.apply(side, ticks, lots, 0, closes=ledger.on_leverage)
        self.pieces(symbol).closed(position_id, lots)
        self.counts.orders += 1
        self.counts.fills += 1
        intent = Intent(
            intent_id=0,
            symbol=symbol,
            purpose=Purpose.FORCED,
            side=side,
            type=OrderType.MARKET,
            time_in_force=TimeInForce.IOC,
            lots=lots,
            price=0,
            decision_id=0,
            created_ns=now,
            updated_ns=now,
            state=IntentState.FILLED,
            executed_lots=lots,
            detail=detail,
            settle=Settle.CLOSE if ledger.on_leverage else Settle.OPEN,
            position_id=position_id,
        )
        fill = Fill(
            execution_id=0,
            order_id=0,
            intent_id=0,
            symbol=symbol,
            side=side,
            lots=lots,
            ticks=ticks,
            fee_uyen=0,
            at_ns=now,
            position_id=position_id,
        )
        return WriteOff(intent, fill)

    async def _update(self, intent: Intent, events: Sequence[Event]) -> None:
        self._unsaved.add(intent.intent_id)
        try:
            await self._store.update_intent(intent, events, self._notes.pop(intent.intent_id, []))
        finally:
            self._unsaved.discard(intent.intent_id)

    def _words(self, said: object) -> str:
        return msgspec.json.encode({"at_ns": self._clock.now_ns(), "said": said}).decode()

    def position_event(self, symbol: str, *, reason: str) -> Event:
        """Return what the audit log says of a position that changed without a fill."""
        return Event("position_changed", self._position_fields(symbol) | {"reason": reason})

    async def note_foreign(self, order_id: int, symbol: str, evidence: str) -> bool:
        """Remember an order that is not ours. Returns whether it is news."""
        if order_id in self._foreign:
            return False
        self._foreign.add(order_id)
        fields = {"reason": "foreign_order", "order_id": order_id, "symbol": symbol, "evidence": evidence}
        await self._store.add_foreign(order_id, symbol, Event("error", fields))
        return True

    def _retire(self, ledgers: Mapping[str, Mapping[str, int]]) -> int:
        gone = {symbol: saved for symbol, saved in ledgers.items() if symbol not in self._symbols}
        for symbol, saved in gone.items():
            if saved["position"]:
                raise FatalError(f"{symbol}: we hold {saved['position']} lots but it is not configured; add it to instruments")
        return sum(saved["reported_uyen"] if symbol.endswith("_JPY") else saved["cash_uyen"] for symbol, saved in gone.items())

    def _closes(self, intent: Intent) -> bool:
        return self.ledger(intent.symbol).on_leverage and not intent.opens

    def _fill(self, execution: Execution, intent: Intent) -> Fill:
        """Return what is booked of an execution: what makes whole lots of all that its order has filled."""
        instrument, before = self.instrument(intent.symbol), self.ledger(intent.symbol).rest(execution.order_id)
        try:
            lots = instrument.whole_lots(before + execution.size)
            return Fill(
                execution_id=execution.execution_id,
                order_id=execution.order_id,
                intent_id=intent.intent_id,
                symbol=intent.symbol,
                side=execution.side,
                lots=lots,
                ticks=int(execution.price / instrument.tick_size),
                fee_uyen=to_uyen(execution.fee_jpy) + _off_grid_uyen(execution, lots, instrument),
                at_ns=execution.at_ns,
                # A close that names its position closes no other, whether its fill says so or not.
                position_id=execution.position_id or intent.position_id,
                realized_uyen=to_uyen(execution.realized_pnl_jpy or Decimal(0)),
            )
        except InstrumentError as error:
            raise FatalError(f"execution {execution.execution_id} cannot be booked: {error}") from None

    def _rest(self, execution: Execution, fill: Fill) -> Rest:
        """Return what its order has filled beyond whole lots then."""
        coins = self.ledger(fill.symbol).rest(fill.order_id) + execution.size - self.instrument(fill.symbol).size(fill.lots)
        return Rest(fill.order_id, coins if fill.side is Side.BUY else -coins, fill.position_id)

    def _remember(self, intent: Intent) -> None:
        books = self._symbols.get(intent.symbol)
        if books is None:
            raise FatalError(
                f"{intent.symbol} has an open order (intent {intent.intent_id}) from an earlier run but is not configured; "
                "add it to instruments, or cancel the order at the exchange and restart"
            )
        books.open[intent.intent_id] = intent
        if intent.order_id is not None:
            self._intent_of_order[intent.order_id] = intent
            self._known_orders.add(intent.order_id)

    def _replace(self, intent: Intent, **changes: object) -> Intent:
        changed = msgspec.structs.replace(self._current(intent), updated_ns=self._clock.now_ns(), **changes)
        if not changed.state.is_final:
            self._remember(changed)
            return changed
        self._symbols[changed.symbol].open.pop(changed.intent_id, None)
        if changed.order_id is not None:
            self._intent_of_order.pop(changed.order_id, None)
            self._ended[changed.order_id] = changed
            while len(self._ended) > _ENDED_KEPT:
                del self._ended[next(iter(self._ended))]
        return changed

    def _current(self, intent: Intent) -> Intent:
        """Return where an order stands now: the caller's copy may be older than a fill that was booked meanwhile, even its last one."""
        ended = self._ended.get(intent.order_id) if intent.order_id is not None else None
        return self._symbols[intent.symbol].open.get(intent.intent_id) or ended or intent

    def _fields(self, intent: Intent) -> dict[str, Any]:
        return order_fields(intent, self.instrument(intent.symbol))

    def _fill_fields(self, fill: Fill, intent: Intent) -> dict[str, Any]:
        instrument = self.instrument(fill.symbol)
        return {
            "symbol": fill.symbol,
            "intent_id": fill.intent_id,
            "order_id": fill.order_id,
            "execution_id": fill.execution_id,
            "purpose": intent.purpose.value,
            "side": fill.side.value,
            "size": str(instrument.size(fill.lots)),
            "price": str(instrument.price(fill.ticks)),
            "fee_jpy": str(to_yen(fill.fee_uyen)),
        }

    def _position_fields(self, symbol: str) -> dict[str, Any]:
        ledger, instrument = self.ledger(symbol), self.instrument(symbol)
        return {
            "symbol": symbol,
            "position": str(instrument.size(ledger.position)),
            "cost_jpy": str(to_yen(ledger.cost_uyen)),
            "closed_trades": ledger.closed_trades,
        }


def _off_grid_uyen(execution: Execution, lots: int, instrument: Instrument) -> int:
    """Return what a fill cost beyond its booked lots at the tick below its price, in micro-yen: the exchange's grid became finer.

    On spot it moves our yen, so it is booked like a fee. On leverage the exchange reports the gain itself.
    """
    if instrument.product is Product.LEVERAGE:
        return 0
    booked = instrument.notional_uyen(int(execution.price / instrument.tick_size), lots)
    beyond = round(execution.price * execution.size * UYEN_PER_YEN - booked)
    return beyond if execution.side is Side.BUY else -beyond


def order_fields(intent: Intent, instrument: Instrument) -> dict[str, Any]:
    """Return what the audit log says of an order."""
    fields: dict[str, Any] = {
        "intent_id": intent.intent_id,
        "symbol": intent.symbol,
        "purpose": intent.purpose.value,
        "side": intent.side.value,
        "type": intent.type.value,
        "size": str(instrument.size(intent.lots)),
        "executed_size": str(instrument.size(intent.executed_lots)),
        "state": intent.state.value,
        "decision_id": intent.decision_id,
    }
    if intent.settle is not Settle.OPEN:
        fields["settle"] = intent.settle.value
    if intent.position_id is not None:
        fields["position_id"] = intent.position_id
    if intent.losscut:
        fields["losscut_price"] = str(instrument.price(intent.losscut))
    if intent.type is not OrderType.MARKET:
        fields["price"] = str(instrument.price(intent.price))
    if intent.order_id is not None:
        fields["order_id"] = intent.order_id
    if intent.detail:
        fields["detail"] = intent.detail
    return fields
