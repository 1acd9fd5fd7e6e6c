"""Orders as they are asked for and as they are reported, and their fills."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from gmobot.venue.models.words import OrderStatus, OrderType, Settle, Side, TimeInForce


class OrderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An order to be placed. On a leverage symbol it opens a position of its side, whatever is already held.

    Attributes:
        price: Limit price, or trigger price of a STOP; ``None`` for MARKET.
        losscut_price: Where the exchange closes the position by force; leverage LIMIT and STOP only.
        cancel_before: Let the exchange cancel older orders that hold the coins; spot MARKET SELL IOC only.
        urgent: Reduces risk: goes before everything else when the rate limit is near. Says nothing to the exchange.
    """

    symbol: str
    side: Side
    type: OrderType
    size: Decimal
    price: Decimal | None = None
    time_in_force: TimeInForce
    losscut_price: Decimal | None = None
    cancel_before: bool = False
    urgent: bool = False


class CloseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An order that closes leverage positions.

    Attributes:
        side: Of the closing trade: the opposite of the position's.
        position_id: The one position to close; ``None`` closes whatever of the other side is open, up to ``size``.
        cancel_before: Let the exchange cancel older close orders of the position; MARKET SELL IOC of one position only.
    """

    symbol: str
    side: Side
    type: OrderType
    size: Decimal
    price: Decimal | None = None
    time_in_force: TimeInForce
    position_id: int | None = None
    cancel_before: bool = False


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the exchange reports it.

    Attributes:
        cancel_reason: The wire's ``cancelType`` (open set). Of an ended order, why it ended; of a working one
            (``SOK_TAKER``, ``PRICE_LIMIT``), why a change was refused.
        created_at_ns: When the exchange accepted it; not when it last changed.
    """

    order_id: int
    symbol: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    size: Decimal
    executed_size: Decimal
    price: Decimal | None
    status: OrderStatus
    created_at_ns: int
    cancel_reason: str | None = None
    settle: Settle = Settle.OPEN
    losscut_price: Decimal | None = None


class CancelOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking for several orders to be cancelled.

    Attributes:
        accepted: Ids whose cancel was accepted, which is not done.
        refused: Why not, by id: a message code.
        unanswered: Ids the reply does not mention: nothing is known.
    """

    accepted: tuple[int, ...]
    refused: dict[int, str]
    unanswered: tuple[int, ...] = ()


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One fill as the exchange reports it.

    Attributes:
        fee_jpy: Signed: positive is paid (taker), negative is earned (maker).
        realized_pnl_jpy: Of a leverage close; zero on spot; ``None`` where the exchange does not tell.
        cumulative_size: Executed size of the order including this fill; only streams tell.
    """

    execution_id: int
    order_id: int
    symbol: str
    side: Side
    size: Decimal
    price: Decimal
    fee_jpy: Decimal
    realized_pnl_jpy: Decimal | None
    at_ns: int
    position_id: int | None = None
    order_size: Decimal | None = None
    cumulative_size: Decimal | None = None
    settle: Settle = Settle.OPEN
