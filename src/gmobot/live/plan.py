"""From where we are to where we want to be: the next single order action for one symbol. Pure.

Level-triggered: it is asked again after every change, so it never plans ahead. Long and short are the same
case with another sign; spot is the case that never goes below zero. A flip is a reduction to nothing, and
then an entry.

Three rules bound every close. Nothing ever closes more than our own position, with every open and every
unknown close counted as filled; only on leverage, where the exchange itself refuses to close more than there
is, an exit need not wait for an unknown one. A STOP and an exit compete for the same quantity (ERR-200,
ERR-208), so an exit first takes the STOP away and re-protection comes after. And while somebody else holds a
position on our side, closes name our own positions one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

from gmobot.live.intents import Intent, IntentState, Purpose
from gmobot.venue.models import OrderType, Side


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything the next action depends on, for one symbol. Lots are signed where they say a position.

    Attributes:
        position: Lots we own, booked; negative is short.
        target: Lots to own: already lowered by halts, guards and triggers.
        stop: Trigger of the protective STOP in ticks, 0 for none.
        entry_allowed: Whether exposure may be raised now.
        entry_left: Lots that this decision may still order.
        settling: Whether an entry is filling right now, so that its protection should wait a moment.
        stopping: Whether the process is about to end: no STOP is taken away, somebody else could have to put it back.
        cancelling: Intents whose cancel is on its way.
        unamendable: Intents whose price the exchange will not change any more.
        open: Our orders that are not final.
        leverage: Whether closes are bounded by the position at the exchange.
        pieces: Our positions at the exchange, by number, with their lots; only when closes must name them.
    """

    position: int
    target: int
    stop: int
    entry_allowed: bool
    entry_left: int
    settling: bool
    stopping: bool
    cancelling: frozenset[int]
    open: tuple[Intent, ...]
    min_lots: int
    max_lots: int
    unamendable: frozenset[int] = frozenset()
    leverage: bool = False
    pieces: tuple[tuple[int, int], ...] = ()

    @property
    def held(self) -> int:
        """Lots we own, whichever side."""
        return abs(self.position)

    @property
    def kept(self) -> int:
        """Lots of what we own that are to stay: none of them when the target is on the other side."""
        return min(self.held, abs(self.target)) if self.position * self.target > 0 else 0

    @property
    def closing_side(self) -> Side:
        """Side of an order that closes what we own."""
        return Side.SELL if self.position > 0 else Side.BUY


@dataclass(frozen=True, slots=True)
class Place:
    """Send a new order.

    Attributes:
        position_id: The one leverage position it closes.
        losscut: Where the exchange is to close by force what it opens, in ticks, 0 for its own default.
        post_only: Whether it must not take liquidity.
    """

    purpose: Purpose
    side: Side
    type: OrderType
    lots: int
    price: int = 0
    position_id: int | None = None
    losscut: int = 0
    post_only: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """Take an order back."""

    intent: Intent


@dataclass(frozen=True, slots=True)
class Amend:
    """Move a resting order to another price, without a moment in which it does not stand."""

    intent: Intent
    price: int


Action = Place | Cancel | Amend


def next_action(now: Situation) -> Action | None:
    """Return the next thing to do, or ``None`` to wait for a reply, a fill, or a new desire."""
    if not _wants_more(now) or not now.entry_allowed:
        entry = _cancellable(now, Purpose.ENTRY)
        if entry is not None:
            return Cancel(entry)
    stray = _stray(now)
    if stray is not None:
        return Cancel(stray)
    if now.kept < now.held:
        return _reduce(now)
    return _enter(now) or _protect(now)


def _wants_more(now: Situation) -> bool:
    return now.position * now.target >= 0 and abs(now.target) > now.held


def _stray(now: Situation) -> Intent | None:
    """Return a close of a side that we do not hold (any more)."""
    for intent in now.open:
        closes_nothing = intent.purpose is not Purpose.ENTRY and (now.position == 0 or intent.side is not now.closing_side)
        if closes_nothing and _can_cancel(now, intent):
            return intent
    return None


def _reduce(now: Situation) -> Action | None:
    if any(intent.opens and intent.type is OrderType.LIMIT and not intent.state.is_unresolved for intent in now.open):
        # Its cancel is on the way: until it is gone our own exit would meet it and expire (EXPIRED_SELFTRADE).
        return None
    # Where the exchange bounds closes by the position and all of it is to go, a second one cannot overshoot.
    bounded = now.leverage and now.kept == 0
    exits = _closing_lots(now, unknown_too=not bounded, only=Purpose.EXIT)
    need = _piece(now.held - now.kept - exits, now)
    if need < now.min_lots:
        return None
    if now.held - _closing_lots(now, unknown_too=not bounded) >= need:
        return _close(now, Purpose.EXIT, OrderType.MARKET, need, unknown_too=not bounded)
    stop = _cancellable(now, Purpose.PROTECT)
    return Cancel(stop) if stop is not None and not now.stopping else None


def _enter(now: Situation) -> Action | None:
    if not _wants_more(now) or not now.entry_allowed:
        return None
    unresolved = any(intent.state.is_unresolved for intent in now.open)
    busy = any(intent.purpose is not Purpose.PROTECT or now.position == 0 for intent in now.open)
    need = _piece(min(abs(now.target) - now.held, now.entry_left), now)
    if unresolved or busy or need < now.min_lots:
        return None
    return Place(Purpose.ENTRY, Side.BUY if now.target > 0 else Side.SELL, OrderType.MARKET, need)


def _protect(now: Situation) -> Action | None:
    for intent in now.open:
        if intent.purpose is Purpose.PROTECT and not now.stopping and intent.price != now.stop:
            moved = _move(now, intent)
            if moved is not None:
                return moved
    free = now.held - _closing_lots(now, unknown_too=True)
    if free < 0:
        stop = _cancellable(now, Purpose.PROTECT)
        return Cancel(stop) if stop is not None else None
    need = _piece(free, now)
    if now.stop <= 0 or now.settling or need < now.min_lots:
        return None
    return _close(now, Purpose.PROTECT, OrderType.STOP, need, price=now.stop)


def _move(now: Situation, stop: Intent) -> Action | None:
    """Bring a STOP to the wanted price, or take it away when none is wanted."""
    if not _can_cancel(now, stop) or stop.amending_to:
        return None
    if now.stop > 0 and stop.intent_id not in now.unamendable:
        return Amend(stop, now.stop)
    return Cancel(stop)


def _close(now: Situation, purpose: Purpose, type_: OrderType, lots: int, *, price: int = 0, unknown_too: bool = True) -> Action | None:
    if not now.pieces:
        return Place(purpose, now.closing_side, type_, lots, price)
    for position_id, size in now.pieces:
        named = [intent for intent in now.open if intent.position_id == position_id]
        taken = sum(intent.open_lots for intent in named if unknown_too or not intent.state.is_unresolved)
        part = min(lots, size - taken)
        if part >= now.min_lots:
            return Place(purpose, now.closing_side, type_, part, price, position_id)
    return None


def _piece(lots: int, now: Situation) -> int:
    """Return how much of ``lots`` one order takes, such that what is left can still be ordered."""
    piece = min(lots, now.max_lots)
    rest = lots - piece
    if 0 < rest < now.min_lots and piece - (now.min_lots - rest) >= now.min_lots:
        piece -= now.min_lots - rest
    return piece


def _closing_lots(now: Situation, *, unknown_too: bool, only: Purpose | None = None) -> int:
    """Return lots that open closes would take."""
    return sum(
        intent.open_lots
        for intent in now.open
        if intent.purpose is not Purpose.ENTRY
        and intent.side is now.closing_side
        and (only is None or intent.purpose is only)
        and (unknown_too or not intent.state.is_unresolved)
    )


def _cancellable(now: Situation, purpose: Purpose) -> Intent | None:
    return next((intent for intent in now.open if intent.purpose is purpose and _can_cancel(now, intent)), None)


def _can_cancel(now: Situation, intent: Intent) -> bool:
    # A MARKET order is on its way to its end by itself; an unresolved one has no id to cancel by.
    reachable = intent.state in (IntentState.ACKNOWLEDGED, IntentState.WORKING) and intent.type is not OrderType.MARKET
    return reachable and intent.intent_id not in now.cancelling
