"""Whether an order at the exchange may be the one we meant to send: GMO Coin's crypto API carries no number of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from gmobot.clock import NS_PER_SECOND
from gmobot.core.instrument import Instrument, Product
from gmobot.live.intents import Intent
from gmobot.venue.models import Execution, Order, OrderStatus, OrderType, Settle, Side, TimeInForce

CLOCK_TOLERANCE_NS = 2 * NS_PER_SECOND
_UNSTAMPED_NS = 60 * NS_PER_SECOND
"""How much earlier than by our own clock an order may have been made, when the exchange's was not known yet."""
_LATEST_NS = 30 * NS_PER_SECOND
"""How much later than it was sent the exchange may have accepted an order that nothing but the time tells apart from others."""


@dataclass(slots=True)
class Waiting:
    """Events of an order that nobody owns yet; ``since_ns``: when the first came, on the monotonic clock."""

    since_ns: int
    executions: list[Execution]
    updates: list[Order]


def forgotten_after_ns(visibility_ns: int) -> int:
    """Return how long an order may be missing from every answer before the exchange is taken to have forgotten it.

    Args:
        visibility_ns: How long something may stay invisible to questions.
    """
    return 2 * visibility_ns + CLOCK_TOLERANCE_NS


def looks_like(order: Order, intent: Intent, instrument: Instrument) -> bool:
    """Return whether it looks exactly like the intent, and is not older."""
    at_its_price = intent.type is OrderType.MARKET or order.price == instrument.price(intent.price)
    return at_its_price and _but_for_its_price(order, intent, instrument)


def looks_moved(order: Order, intent: Intent, instrument: Instrument) -> bool:
    """Return whether it looks like the intent in all but its price, and was made when that was sent: a hand may have moved it."""
    moved = intent.type is not OrderType.MARKET and order.price != instrument.price(intent.price)
    return moved and made_in_time(order, intent) and _but_for_its_price(order, intent, instrument)


def made_in_time(order: Order, intent: Intent) -> bool:
    """Return whether the exchange accepted it soon enough after the intent was sent."""
    return order.created_at_ns <= (intent.server_ns or intent.created_ns) + _LATEST_NS


def may_have_filled(executions: Sequence[Execution], intent: Intent, instrument: Instrument) -> bool:
    """Return whether fills that alone tell of an order may be the intent's: on its side, no older, no more than it asked for."""
    not_before_ns = _not_before_ns(intent)
    return (
        bool(executions)
        and sum(row.size for row in executions) <= instrument.size(intent.lots)
        and all(row.side is intent.side and row.at_ns >= not_before_ns for row in executions)
    )


def fills_look_like(order: Order, executions: Sequence[Execution], intent: Intent, instrument: Instrument) -> bool:
    """Return whether an order of which fills alone tell, as :func:`told_by_fills` has it, may be the intent's, and was made in time."""
    alike = may_have_filled(executions, intent, instrument) and made_in_time(order, intent) and _settles_alike(order, intent, instrument)
    return alike and all(_keeps_its_price(row, intent, instrument) for row in executions)


def told_by_fills(executions: Sequence[Execution], *, at_most: Decimal) -> Order:
    """Return an order that has ended, and of which the exchange tells by its fills alone.

    Args:
        executions: Those of them that are known by now; another may follow.
        at_most: What it may have been for, where nobody says.
    """
    first, executed = executions[0], sum((row.size for row in executions), Decimal(0))
    size = max(executed, next((row.order_size for row in executions if row.order_size is not None), at_most))
    return Order(
        order_id=first.order_id,
        symbol=first.symbol,
        side=first.side,
        type=OrderType.MARKET,
        time_in_force=TimeInForce.IOC,
        size=size,
        executed_size=executed,
        price=None,
        status=OrderStatus.FILLED if executed == size else OrderStatus.CANCELLED,
        created_at_ns=first.at_ns,
        settle=first.settle,
    )


def would_look_the_same(one: Intent, other: Intent) -> bool:
    """Return whether nobody could tell two intents apart at the exchange."""
    names = ("side", "type", "time_in_force", "lots", "price", "settle")
    return all(getattr(one, name) == getattr(other, name) for name in names)


def moved_text(order: Order, intent: Intent) -> str:
    """Tell people of an order that looks like an intent in all but its price."""
    return f"order {order.order_id} looks like intent {intent.intent_id} in all but its price: it is taken for ours, moved by another hand"


def _keeps_its_price(row: Execution, intent: Intent, instrument: Instrument) -> bool:
    if intent.type is not OrderType.LIMIT:
        return True
    limit = instrument.price(intent.price)
    return row.price <= limit if intent.side is Side.BUY else row.price >= limit


def _but_for_its_price(order: Order, intent: Intent, instrument: Instrument) -> bool:
    if order.symbol != intent.symbol or order.created_at_ns < _not_before_ns(intent):
        return False
    if (order.side, order.size) != (intent.side, instrument.size(intent.lots)):
        return False
    # A word nobody knows may be ours: taking it for another's would conclude "absent" and send twice.
    return (
        order.type in (intent.type, OrderType.UNKNOWN)
        and order.time_in_force in (intent.time_in_force, TimeInForce.UNKNOWN)
        and _settles_alike(order, intent, instrument)
    )


def _not_before_ns(intent: Intent) -> int:
    # By the exchange's own clock: ours may have been set while the order was on its way.
    return (intent.server_ns or intent.created_ns - _UNSTAMPED_NS) - CLOCK_TOLERANCE_NS


def _settles_alike(order: Order, intent: Intent, instrument: Instrument) -> bool:
    # Nothing is opened or closed on spot, and which word its SELL carries is not known for certain (reference §5.7).
    return instrument.product is Product.SPOT or order.settle in (intent.settle, Settle.UNKNOWN)
