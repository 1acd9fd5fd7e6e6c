"""From where we are to where we want to be: the next single order action for one symbol. Pure.

Level-triggered: it is asked again after every change, so it never plans ahead. On spot nothing may ever
sell more than our own coins, with every open and every unknown order counted as filled; and a STOP and
an exit compete for the same coins, so an exit first takes the STOP away and re-protection comes after.
"""

from __future__ import annotations

from dataclasses import dataclass

from gmobot.live.intents import Intent, IntentState, Purpose
from gmobot.venue.models import OrderType, Side


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything the next action depends on, for one symbol.

    Attributes:
        position: Lots we own, booked.
        target: Lots to own: already lowered by halts, guards and triggers.
        stop: Trigger of the protective STOP in ticks, 0 for none.
        entry_allowed: Whether exposure may be raised now.
        entry_used: Whether this decision has had its one entry order.
        settling: Whether an entry is filling right now, so that its protection should wait a moment.
        stopping: Whether the process is about to end: no STOP is taken away, somebody else could have to put it back.
        cancelling: Intents whose cancel is on its way.
        open: Our orders that are not final.
    """

    position: int
    target: int
    stop: int
    entry_allowed: bool
    entry_used: bool
    settling: bool
    stopping: bool
    cancelling: frozenset[int]
    open: tuple[Intent, ...]
    min_lots: int
    max_lots: int


@dataclass(frozen=True, slots=True)
class Place:
    """Send a new order."""

    purpose: Purpose
    side: Side
    type: OrderType
    lots: int
    price: int = 0


@dataclass(frozen=True, slots=True)
class Cancel:
    """Take an order back."""

    intent: Intent


Action = Place | Cancel


def next_action(now: Situation) -> Action | None:
    """Return the next thing to do, or ``None`` to wait for a reply, a fill, or a new desire."""
    if now.target <= now.position or not now.entry_allowed:
        entry = _cancellable(now, Purpose.ENTRY)
        if entry is not None:
            return Cancel(entry)
    if now.target < now.position:
        return _reduce(now)
    return _enter(now) or _protect(now)


def _reduce(now: Situation) -> Action | None:
    exits = _open_lots(now, Purpose.EXIT)
    need = min(now.position - now.target - exits, now.max_lots)
    if need < now.min_lots:
        return None
    if _free_lots(now) >= need:
        return Place(Purpose.EXIT, Side.SELL, OrderType.MARKET, need)
    stop = _cancellable(now, Purpose.PROTECT)
    return Cancel(stop) if stop is not None and not now.stopping else None


def _enter(now: Situation) -> Action | None:
    unresolved = any(intent.state.is_unresolved for intent in now.open)
    busy = _open_lots(now, Purpose.ENTRY) or _open_lots(now, Purpose.EXIT)
    need = min(now.target - now.position, now.max_lots)
    if unresolved or busy or now.entry_used or not now.entry_allowed or need < now.min_lots:
        return None
    return Place(Purpose.ENTRY, Side.BUY, OrderType.MARKET, need)


def _protect(now: Situation) -> Action | None:
    for intent in now.open:
        misplaced = intent.purpose is Purpose.PROTECT and intent.price != now.stop
        if misplaced and _can_cancel(now, intent) and not now.stopping:
            return Cancel(intent)
    surplus = -_free_lots(now)
    if surplus > 0:
        stop = _cancellable(now, Purpose.PROTECT)
        return Cancel(stop) if stop is not None else None
    need = min(_free_lots(now), now.max_lots)
    if now.stop <= 0 or now.settling or need < now.min_lots:
        return None
    return Place(Purpose.PROTECT, Side.SELL, OrderType.STOP, need, now.stop)


def _free_lots(now: Situation) -> int:
    """Return own lots that no open or unknown sell could take."""
    return now.position - sum(intent.open_lots for intent in now.open if intent.side is Side.SELL)


def _open_lots(now: Situation, purpose: Purpose) -> int:
    return sum(intent.open_lots for intent in now.open if intent.purpose is purpose)


def _cancellable(now: Situation, purpose: Purpose) -> Intent | None:
    return next((intent for intent in now.open if intent.purpose is purpose and _can_cancel(now, intent)), None)


def _can_cancel(now: Situation, intent: Intent) -> bool:
    # A MARKET order is on its way to its end by itself; an unresolved one has no id to cancel by.
    reachable = intent.state in (IntentState.ACKNOWLEDGED, IntentState.WORKING) and intent.type is not OrderType.MARKET
    return reachable and intent.intent_id not in now.cancelling
