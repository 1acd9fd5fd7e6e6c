"""Orders and executions, as REST lists them and as the private stream tells them.

Source: reference/gmo-coin-api.md §5.7–§5.10, §5.16, §8.4, §8.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import msgspec

from gmobot.clock import parse_iso_utc
from gmobot.venue.gmo.wire.basics import ORDER_TYPE, SETTLE, STATUS, TIME_IN_FORCE, Id, fill_yen, positive, price, size
from gmobot.venue.models import CancelOutcome, Execution, Order, OrderStatus, OrderType, OrderUpdate, Settle, Side, TimeInForce

_PositionId = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""Zero where there is none, perhaps."""


class OrderData(msgspec.Struct, frozen=True):
    """An order of ``orders`` and ``activeOrders``."""

    orderId: Id
    symbol: str
    side: Side
    executionType: str
    size: Decimal
    executedSize: Decimal
    status: str
    timeInForce: str
    timestamp: str
    price: Decimal | None = None
    cancelType: str | None = None
    orderType: str = "NORMAL"
    settleType: str = ""
    losscutPrice: Decimal | None = None

    def model(self) -> Order:
        """Return it normalised."""
        return Order(
            order_id=self.orderId,
            symbol=self.symbol,
            side=self.side,
            type=ORDER_TYPE.get(self.executionType, OrderType.UNKNOWN),
            time_in_force=TIME_IN_FORCE.get(self.timeInForce, TimeInForce.UNKNOWN),
            size=positive(self.size),
            executed_size=size(self.executedSize),
            price=price(self.price),
            status=STATUS.get(self.status, OrderStatus.UNKNOWN),
            created_at_ns=parse_iso_utc(self.timestamp),
            cancel_reason=self.cancelType,
            settle=Settle.LOSSCUT if self.orderType == "LOSSCUT" else SETTLE.get(self.settleType, Settle.UNKNOWN),
            losscut_price=price(self.losscutPrice),
        )


class OrderList(msgspec.Struct, frozen=True):
    """A list of orders; ``{}`` is an empty one."""

    list: Sequence[OrderData] = ()


class ExecutionData(msgspec.Struct, frozen=True):
    """A row of ``executions`` and ``latestExecutions``."""

    executionId: Id
    orderId: Id
    symbol: str
    side: Side
    size: Decimal
    price: Decimal
    fee: Decimal
    timestamp: str
    lossGain: Decimal | None = None
    positionId: _PositionId | None = None
    settleType: str = ""

    def model(self) -> Execution:
        """Return it normalised."""
        return Execution(
            execution_id=self.executionId,
            order_id=self.orderId,
            symbol=self.symbol,
            side=self.side,
            size=positive(self.size),
            price=positive(self.price),
            fee_jpy=fill_yen(self.fee, f"fee of execution {self.executionId}"),
            realized_pnl_jpy=_gain(self.lossGain, self.executionId),
            at_ns=parse_iso_utc(self.timestamp),
            position_id=_position(self.symbol, self.positionId),
            settle=SETTLE.get(self.settleType, Settle.UNKNOWN),
        )


class ExecutionList(msgspec.Struct, frozen=True):
    """A list of executions; ``{}`` is an empty one."""

    list: Sequence[ExecutionData] = ()


class CancelFailure(msgspec.Struct, frozen=True):
    """Why one of several orders was not cancelled."""

    orderId: Id
    message_code: str


class CancelData(msgspec.Struct, frozen=True):
    """The reply of ``cancelOrders``, whose envelope says success even if every cancel failed."""

    success: tuple[Id, ...] = ()
    failed: tuple[CancelFailure, ...] = ()

    def model(self, asked: Sequence[int]) -> CancelOutcome:
        """Return it normalised, with what it is silent about."""
        refused = {row.orderId: row.message_code for row in self.failed}
        return CancelOutcome(
            accepted=self.success,
            refused=refused,
            unanswered=tuple(order_id for order_id in asked if order_id not in refused and order_id not in self.success),
        )


class ExecutionFrame(msgspec.Struct, frozen=True):
    """An ``executionEvents`` frame."""

    executionId: Id
    orderId: Id
    symbol: str
    side: Side
    executionSize: Decimal
    executionPrice: Decimal
    fee: Decimal
    executionTimestamp: str
    orderSize: Decimal
    orderExecutedSize: Decimal
    lossGain: Decimal | None = None
    positionId: _PositionId | None = None
    settleType: str = ""

    def model(self) -> Execution:
        """Return it normalised."""
        return Execution(
            execution_id=self.executionId,
            order_id=self.orderId,
            symbol=self.symbol,
            side=self.side,
            size=positive(self.executionSize),
            price=positive(self.executionPrice),
            fee_jpy=fill_yen(self.fee, f"fee of execution {self.executionId}"),
            realized_pnl_jpy=_gain(self.lossGain, self.executionId),
            at_ns=parse_iso_utc(self.executionTimestamp),
            position_id=_position(self.symbol, self.positionId),
            order_size=positive(self.orderSize),
            cumulative_size=positive(self.orderExecutedSize),
            settle=SETTLE.get(self.settleType, Settle.UNKNOWN),
        )


class OrderFrame(msgspec.Struct, frozen=True):
    """An ``orderEvents`` frame. ``orderStatus`` decides; ``msgType`` is documented and sent differently (§8.5)."""

    orderId: Id
    symbol: str
    side: Side
    executionType: str
    orderStatus: str
    orderTimestamp: str
    orderSize: Decimal
    orderExecutedSize: Decimal
    timeInForce: str
    orderPrice: Decimal | None = None
    cancelType: str | None = None
    settleType: str = ""
    losscutPrice: Decimal | None = None

    def model(self) -> OrderUpdate:
        """Return it normalised."""
        order = Order(
            order_id=self.orderId,
            symbol=self.symbol,
            side=self.side,
            type=ORDER_TYPE.get(self.executionType, OrderType.UNKNOWN),
            time_in_force=TIME_IN_FORCE.get(self.timeInForce, TimeInForce.UNKNOWN),
            size=positive(self.orderSize),
            executed_size=size(self.orderExecutedSize),
            price=price(self.orderPrice),
            status=STATUS.get(self.orderStatus, OrderStatus.UNKNOWN),
            created_at_ns=parse_iso_utc(self.orderTimestamp),
            cancel_reason=self.cancelType,
            settle=SETTLE.get(self.settleType, Settle.UNKNOWN),
            losscut_price=price(self.losscutPrice),
        )
        return OrderUpdate(order=order)


def _gain(value: Decimal | None, execution_id: int) -> Decimal | None:
    return None if value is None else fill_yen(value, f"gain of execution {execution_id}")


def _position(symbol: str, number: int | None) -> int | None:
    """Return the leverage position that a fill names. A spot fill has none, though the official sample of its row shows one (§5.9)."""
    return number or None if symbol.endswith("_JPY") else None
