"""GMO Coin's messages as they are on the wire, and their translation into the house's models.

The types are the schema: decoding validates. Unknown keys are ignored and enumerations are open sets,
because both grow without notice. An empty result comes as ``{}``: a missing list is an empty one, but
missing ``data`` is not. GMO's own spellings end here.

Source: reference/gmo-coin-api.md §1, §4, §5, §7, §8.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from gmobot.clock import NS_PER_MS, parse_iso_utc
from gmobot.venue.models import (
    Balance,
    Book,
    Execution,
    Kline,
    Order,
    OrderRequest,
    OrderStatus,
    OrderType,
    PriceLevel,
    Print,
    Side,
    SymbolRules,
    Ticker,
    TimeInForce,
)

V = TypeVar("V")
TIME_IN_FORCE: Final = {"FAS": TimeInForce.GTC, "FAK": TimeInForce.IOC, "FOK": TimeInForce.FOK, "SOK": TimeInForce.POST_ONLY}
_TIF_WIRE: Final = {value: key for key, value in TIME_IN_FORCE.items()}
STATUS: Final = {
    "WAITING": OrderStatus.ARMED,
    "ORDERED": OrderStatus.WORKING,
    "MODIFYING": OrderStatus.AMENDING,
    "CANCELLING": OrderStatus.CANCELLING,
    "CANCELED": OrderStatus.CANCELLED,
    "EXECUTED": OrderStatus.FILLED,
    "EXPIRED": OrderStatus.EXPIRED,
}


class Message(msgspec.Struct, frozen=True):
    """One entry of an error reply."""

    message_code: str
    message_string: str = ""


class Envelope(msgspec.Struct, frozen=True):
    """What every REST reply is wrapped in. ``data`` is empty bytes where the key is absent."""

    status: int
    data: msgspec.Raw = msgspec.Raw(b"")  # noqa: RUF009  # immutable
    messages: tuple[Message, ...] = ()
    responsetime: str | None = None


class StatusData(msgspec.Struct, frozen=True):
    """``/public/v1/status``."""

    status: str


class TickerData(msgspec.Struct, frozen=True):
    """A ticker row or frame."""

    symbol: str
    last: Decimal
    high: Decimal
    low: Decimal
    volume: Decimal
    timestamp: str
    ask: Decimal | None = None
    bid: Decimal | None = None

    def model(self) -> Ticker:
        """Return it normalised."""
        return Ticker(
            symbol=self.symbol,
            last=self.last,
            bid=self.bid,
            ask=self.ask,
            high=self.high,
            low=self.low,
            volume=self.volume,
            at_ns=parse_iso_utc(self.timestamp),
        )


class LevelData(msgspec.Struct, frozen=True):
    """One price level."""

    price: Decimal
    size: Decimal


class BookData(msgspec.Struct, frozen=True):
    """An order book; only the stream's carries a time."""

    symbol: str
    asks: tuple[LevelData, ...]
    bids: tuple[LevelData, ...]
    timestamp: str | None = None

    def model(self, received_ns: int) -> Book:
        """Return it normalised."""
        return Book(
            symbol=self.symbol,
            asks=tuple(PriceLevel(level.price, level.size) for level in self.asks),
            bids=tuple(PriceLevel(level.price, level.size) for level in self.bids),
            at_ns=parse_iso_utc(self.timestamp) if self.timestamp else received_ns,
        )


class TradeData(msgspec.Struct, frozen=True):
    """A row of the tape; REST rows carry no symbol."""

    price: Decimal
    side: Side
    size: Decimal
    timestamp: str
    symbol: str = ""

    def model(self, symbol: str) -> Print:
        """Return it normalised."""
        return Print(symbol=symbol, side=self.side, size=self.size, price=self.price, at_ns=parse_iso_utc(self.timestamp))


class TradeList(msgspec.Struct, frozen=True):
    """``/public/v1/trades``."""

    list: Sequence[TradeData] = ()


class KlineData(msgspec.Struct, frozen=True):
    """A row of ``/public/v1/klines``."""

    openTime: str
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal

    def model(self) -> Kline:
        """Return it normalised."""
        return Kline(
            open_time_ns=int(self.openTime) * NS_PER_MS, open=self.open, high=self.high, low=self.low, close=self.close, volume=self.volume
        )


class SymbolData(msgspec.Struct, frozen=True):
    """A row of ``/public/v1/symbols``."""

    symbol: str
    minOrderSize: Decimal
    maxOrderSize: Decimal
    sizeStep: Decimal
    tickSize: Decimal
    takerFee: Decimal
    makerFee: Decimal

    def model(self) -> SymbolRules:
        """Return it normalised."""
        return SymbolRules(
            symbol=self.symbol,
            min_order_size=self.minOrderSize,
            max_order_size=self.maxOrderSize,
            size_step=self.sizeStep,
            tick_size=self.tickSize,
            taker_fee=self.takerFee,
            maker_fee=self.makerFee,
        )


class AssetData(msgspec.Struct, frozen=True):
    """A row of ``/private/v1/account/assets``."""

    symbol: str
    amount: Decimal
    available: Decimal
    conversionRate: Decimal

    def model(self) -> Balance:
        """Return it normalised."""
        return Balance(asset=self.symbol, amount=self.amount, available=self.available, jpy_rate=self.conversionRate)


class OrderData(msgspec.Struct, frozen=True):
    """An order of ``orders`` and ``activeOrders``."""

    orderId: int
    symbol: str
    side: Side
    executionType: OrderType
    size: Decimal
    executedSize: Decimal
    status: str
    timeInForce: str
    timestamp: str
    price: Decimal | None = None
    cancelType: str | None = None

    def model(self) -> Order:
        """Return it normalised."""
        return Order(
            order_id=self.orderId,
            symbol=self.symbol,
            side=self.side,
            type=self.executionType,
            time_in_force=_known(TIME_IN_FORCE, self.timeInForce),
            size=self.size,
            executed_size=self.executedSize,
            price=self.price or None,
            status=_known(STATUS, self.status),
            created_at_ns=parse_iso_utc(self.timestamp),
            cancel_reason=self.cancelType,
        )


class OrderList(msgspec.Struct, frozen=True):
    """A list of orders; ``{}`` is an empty one."""

    list: Sequence[OrderData] = ()


class ExecutionData(msgspec.Struct, frozen=True):
    """A row of ``executions`` and ``latestExecutions``."""

    executionId: int
    orderId: int
    symbol: str
    side: Side
    size: Decimal
    price: Decimal
    fee: Decimal
    timestamp: str
    lossGain: Decimal = Decimal(0)
    positionId: int | None = None

    def model(self) -> Execution:
        """Return it normalised."""
        return Execution(
            execution_id=self.executionId,
            order_id=self.orderId,
            symbol=self.symbol,
            side=self.side,
            size=self.size,
            price=self.price,
            fee_jpy=self.fee,
            realized_pnl_jpy=self.lossGain,
            at_ns=parse_iso_utc(self.timestamp),
            position_id=self.positionId,
        )


class ExecutionList(msgspec.Struct, frozen=True):
    """A list of executions; ``{}`` is an empty one."""

    list: Sequence[ExecutionData] = ()


class OrderBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of ``POST /private/v1/order``."""

    symbol: str
    side: str
    executionType: str
    size: str
    timeInForce: str
    price: str | None = None

    @classmethod
    def of(cls, order: OrderRequest) -> OrderBody:
        """Return the wire form of an order."""
        return cls(
            symbol=order.symbol,
            side=order.side.value,
            executionType=order.type.value,
            size=f"{order.size:f}",
            timeInForce=_TIF_WIRE[order.time_in_force],
            price=f"{order.price:f}" if order.price is not None else None,
        )


class Frame(msgspec.Struct, frozen=True):
    """The part of any frame that tells what it is."""

    channel: str | None = None
    error: str | None = None


class ExecutionFrame(msgspec.Struct, frozen=True):
    """An ``executionEvents`` frame."""

    executionId: int
    orderId: int
    symbol: str
    side: Side
    executionSize: Decimal
    executionPrice: Decimal
    fee: Decimal
    executionTimestamp: str
    orderSize: Decimal
    orderExecutedSize: Decimal
    lossGain: Decimal = Decimal(0)
    positionId: int | None = None

    def model(self) -> Execution:
        """Return it normalised."""
        return Execution(
            execution_id=self.executionId,
            order_id=self.orderId,
            symbol=self.symbol,
            side=self.side,
            size=self.executionSize,
            price=self.executionPrice,
            fee_jpy=self.fee,
            realized_pnl_jpy=self.lossGain,
            at_ns=parse_iso_utc(self.executionTimestamp),
            position_id=self.positionId,
            order_size=self.orderSize,
            cumulative_size=self.orderExecutedSize,
        )


class OrderFrame(msgspec.Struct, frozen=True):
    """An ``orderEvents`` frame."""

    orderId: int
    symbol: str
    side: Side
    executionType: OrderType
    orderStatus: str
    orderTimestamp: str
    orderSize: Decimal
    orderExecutedSize: Decimal
    timeInForce: str
    orderPrice: Decimal | None = None
    cancelType: str | None = None

    def model(self) -> Order:
        """Return it normalised."""
        return Order(
            order_id=self.orderId,
            symbol=self.symbol,
            side=self.side,
            type=self.executionType,
            time_in_force=_known(TIME_IN_FORCE, self.timeInForce),
            size=self.orderSize,
            executed_size=self.orderExecutedSize,
            price=self.orderPrice or None,
            status=_known(STATUS, self.orderStatus),
            created_at_ns=parse_iso_utc(self.orderTimestamp),
            cancel_reason=self.cancelType,
        )


def _known(table: dict[str, V], word: str) -> V:
    try:
        return table[word]
    except KeyError:
        raise msgspec.ValidationError(f"unknown word {word!r}; known: {', '.join(table)}") from None
