"""What must be true when a lost reply has been dealt with, seen from the exchange and from the database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from decimal import Decimal

from tests.simulation.lost_manager import Manager

_STATES = "SELECT intent_id, state, order_id FROM intents ORDER BY intent_id"


def goal(manager: Manager) -> int:
    """Return the position a case is about, signed lots."""
    lots = 10 if manager.symbol.endswith("_JPY") else 100
    return lots if manager.case.long else -lots


def trouble(manager: Manager, wanted: int, stop: int) -> str:
    """Return what is not as it must be; nothing when all is well."""
    manager.exchange.check()
    found = [*_sending(manager), *_verdict(manager)]
    if not (manager.case.collides and manager.alarms):
        found += _books(manager)
        if not manager.alarms:
            found += _reached(manager, wanted, stop)
    return "; ".join(found)


def _sending(manager: Manager) -> list[str]:
    """Every request has its own intent, written before it left, and each intent at most one order."""
    sent, transport = manager.transport.submitted, manager.transport
    doubled = {number: orders for number, orders in manager.orders_of.items() if len(orders) > 1}
    found = {
        "no reply was lost": not transport.lost_at,
        "a request left without an intent": 0 in sent,
        f"intents were sent twice: {sent}": len(sent) != len(set(sent)),
        f"intents with two orders: {doubled}": bool(doubled),
        f"{manager.entries_after_alarm} entries left after the alarm": manager.entries_after_alarm > 0,
    }
    return [what for what, holds in found.items() if holds]


def _verdict(manager: Manager) -> list[str]:
    """Halted where it must be, and not where it must not."""
    case, reasons = manager.case, {reason for reason, _ in manager.alarms}
    if case.must_halt and manager.lost_was_made and "order_outcome_unknown" not in reasons:
        return [f"not halted, but {'the exchange was later than assumed' if not case.in_time else 'two orders look the same'}"]
    if case.in_time and not case.collides and reasons:
        return [f"halted without need: {manager.alarms[0]}"]
    return []


def _books(manager: Manager) -> list[str]:
    """Our books are the exchange's, to the unit, and nothing is unknown."""
    symbol, account, books = manager.symbol, manager.account, manager.books
    with closing(sqlite3.connect(manager.var / "state" / "gmobot.db")) as db:
        rows = db.execute(_STATES).fetchall()
        fills = {row[0] for row in db.execute("SELECT execution_id FROM fills")}
    known = {number: order_id for number, _, order_id in rows}
    live = {order_id for _, state, order_id in rows if state in ("acknowledged", "working")}
    mine = {order_id for order_id in known.values() if order_id is not None}
    executed = {e.execution_id for e in account.executions if e.order.order_id in mine}
    theirs = {order.order_id for order in account.active() if order.order_id in mine}
    others = {order.order_id for order in account.active()} - theirs - _not_mine(manager, mine)
    found = {
        f"unresolved: {rows}": any(state in ("intent", "unknown") for _, state, _ in rows),
        f"fills {fills ^ executed} differ": fills != executed,
        f"live orders differ: {live ^ theirs}": live != theirs,
        f"live orders of nobody: {others}": bool(others),
        f"cash {manager.ours.cash_uyen} of {account.jpy_uyen}": manager.ours.cash_uyen != account.jpy_uyen,
        f"position {books.position(symbol)} of {_held(manager)}": books.position(symbol) != _held(manager),
    }
    sent = {number: orders[0] for number, orders in manager.orders_of.items()}
    taken = {number: order_id for number, order_id in known.items() if order_id is not None}
    if manager.case.in_time and not manager.case.collides:
        found[f"orders {sent} are taken for {taken}"] = sent != taken
    # Whatever comes later than assumed may be taken for a twin of its own, or come too late to be booked at all.
    found[f"{taken}: twice the same order"] = len(mine) < len(taken)
    return [what for what, holds in found.items() if holds]


def _not_mine(manager: Manager, mine: set[int]) -> set[int]:
    """Return orders that stand for another hand: its own; where they could not be told apart, whichever was not taken."""
    made = {order_id for orders in manager.orders_of.values() for order_id in orders}
    return (manager.by_hand | made if manager.case.collides else manager.by_hand) - mine


def _held(manager: Manager) -> int:
    """Return what of the exchange's coins or positions is ours."""
    symbol, account = manager.symbol, manager.account
    if not symbol.endswith("_JPY"):
        return account.coins[symbol] - manager.instrument.lots(Decimal(manager.ours.state.base_coins[symbol]))
    own = {piece.position_id for piece in manager.books.pieces(symbol).ours}
    return sum(position.lots * position.sign for position in account.positions.values() if position.position_id in own)


def _reached(manager: Manager, wanted: int, stop: int) -> list[str]:
    """What was meant has come about: exactly one live order's worth of it."""
    case, books = manager.case, manager.books
    position, live = books.position(manager.symbol), books.open_intents(manager.symbol)
    opening = sum(intent.open_lots for intent in live if intent.opens)
    stops = [intent for intent in live if not intent.opens]
    came = case.accepted or bool(case.follows) or case.collides or not case.act.startswith("entry")
    resting = case.act == "entry_passive" and came
    held = wanted if came and not resting else 0
    if case.collides and not case.accepted and case.act.startswith("entry"):
        # The look-alike was taken for ours, or nothing was.
        held, resting = position, resting and bool(opening)
        if position not in (0, wanted):
            return [f"position {position}: neither none nor {wanted}"]
    covered = sum(intent.open_lots for intent in stops)
    found = {
        f"position {position}, wanted {held}": position != held,
        f"{opening} lots of entries rest": opening != (abs(wanted) if resting else 0),
        f"{covered} lots are covered": covered != (abs(held) if stop else 0),
        f"stops stand at {[intent.price for intent in stops]}": any(intent.price != stop for intent in stops),
    }
    return [what for what, holds in found.items() if holds]
