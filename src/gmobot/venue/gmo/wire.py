"""GMO Coin's messages as they are on the wire, and their translation into the house's models.

The types are the schema: decoding validates. Unknown keys are ignored and enumerations are open sets,
because both grow without notice; numbers may come as strings and the other way round. An empty result
comes as ``{}``: a missing list is an empty one, but missing ``data`` is not. GMO's own spellings end here.

Whatever bytes come in, decoding and ``model()`` raise nothing but :data:`MALFORMED`. No amount that
passes is infinite, not a number, or out of all proportion: what books money later need not ask again.

Source: reference/gmo-coin-api.md §1, §4, §5, §7, §8.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Final, TypeVar

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
MALFORMED: Final = (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)
"""What decoding may raise. A deeply nested text exhausts the stack."""
Id = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
_Token = Annotated[str, msgspec.Meta(pattern=r"\A[!-~]{1,1024}\Z")]
_MOST_DIGITS: Final = 18
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


def decode(text: str | bytes | msgspec.Raw, kind: type[V]) -> V:
    """Return a message of this kind.

    Raises:
        Exception: One of :data:`MALFORMED`.
    """
    return msgspec.json.decode(text, type=kind, strict=False)


def order_id(data: msgspec.Raw) -> int:
    """Return the id that ``POST order`` answers with: a string, where all other ids are numbers."""
    return msgspec.json.decode(data, type=Id, strict=False)


def token(data: msgspec.Raw) -> str:
    """Return the token that ``POST ws-auth`` answers with; it becomes part of an address."""
    return msgspec.json.decode(data, type=_Token)


class Message(msgspec.Struct, frozen=True):
    """One entry of an error reply."""

    message_code: str
    message_string: str = ""


class Envelope(msgspec.Struct, frozen=True):
    """What every REST reply is wrapped in. ``data`` is empty bytes where the key is absent."""

    status: int
    data: msgspec.Raw = msgspec.Raw(b"")
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
            last=_positive(self.last),
            bid=_price(self.bid),
            ask=_price(self.ask),
            high=_positive(self.high),
            low=_positive(self.low),
            volume=_size(self.volume),
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
            asks=_levels(self.asks, descending=False),
            bids=_levels(self.bids, descending=True),
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
        return Print(
            symbol=symbol, side=self.side, size=_positive(self.size), price=_positive(self.price), at_ns=parse_iso_utc(self.timestamp)
        )


class TradeList(msgspec.Struct, frozen=True):
    """``/public/v1/trades``."""

    list: Sequence[TradeData] = ()

    def models(self, symbol: str) -> Sequence[Print]:
        """Return them normalised; the rows do not say which symbol was asked for."""
        return [row.model(symbol) for row in self.list]


class KlineData(msgspec.Struct, frozen=True):
    """A row of ``/public/v1/klines``."""

    openTime: Annotated[int, msgspec.Meta(ge=0, le=2**43)]
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal

    def model(self) -> Kline:
        """Return it normalised."""
        return Kline(
            open_time_ns=self.openTime * NS_PER_MS,
            open=_positive(self.open),
            high=_positive(self.high),
            low=_positive(self.low),
            close=_positive(self.close),
            volume=_size(self.volume),
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
            min_order_size=_positive(self.minOrderSize),
            max_order_size=_positive(self.maxOrderSize),
            size_step=_positive(self.sizeStep),
            tick_size=_positive(self.tickSize),
            taker_fee=_amount(self.takerFee),
            maker_fee=_amount(self.makerFee),
        )


class AssetData(msgspec.Struct, frozen=True):
    """A row of ``/private/v1/account/assets``."""

    symbol: str
    amount: Decimal
    available: Decimal
    conversionRate: Decimal

    def model(self) -> Balance:
        """Return it normalised."""
        return Balance(
            asset=self.symbol, amount=_amount(self.amount), available=_amount(self.available), jpy_rate=_size(self.conversionRate)
        )


class OrderData(msgspec.Struct, frozen=True):
    """An order of ``orders`` and ``activeOrders``."""

    orderId: Id
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
            size=_positive(self.size),
            executed_size=_size(self.executedSize),
            price=_price(self.price),
            status=_known(STATUS, self.status),
            created_at_ns=parse_iso_utc(self.timestamp),
            cancel_reason=self.cancelType,
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
    lossGain: Decimal = Decimal(0)
    positionId: Id | None = None

    def model(self) -> Execution:
        """Return it normalised."""
        return Execution(
            execution_id=self.executionId,
            order_id=self.orderId,
            symbol=self.symbol,
            side=self.side,
            size=_positive(self.size),
            price=_positive(self.price),
            fee_jpy=_amount(self.fee),
            realized_pnl_jpy=_amount(self.lossGain),
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
    lossGain: Decimal = Decimal(0)
    positionId: Id | None = None

    def model(self) -> Execution:
        """Return it normalised."""
        return Execution(
            execution_id=self.executionId,
            order_id=self.orderId,
            symbol=self.symbol,
            side=self.side,
            size=_positive(self.executionSize),
            price=_positive(self.executionPrice),
            fee_jpy=_amount(self.fee),
            realized_pnl_jpy=_amount(self.lossGain),
            at_ns=parse_iso_utc(self.executionTimestamp),
            position_id=self.positionId,
            order_size=_positive(self.orderSize),
            cumulative_size=_positive(self.orderExecutedSize),
        )


class OrderFrame(msgspec.Struct, frozen=True):
    """An ``orderEvents`` frame."""

    orderId: Id
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
            size=_positive(self.orderSize),
            executed_size=_size(self.orderExecutedSize),
            price=_price(self.orderPrice),
            status=_known(STATUS, self.orderStatus),
            created_at_ns=parse_iso_utc(self.orderTimestamp),
            cancel_reason=self.cancelType,
        )


def _known(table: dict[str, V], word: str) -> V:
    try:
        return table[word]
    except KeyError:
        raise msgspec.ValidationError(f"unknown word {word!r}; known: {', '.join(table)}") from None


def _amount(value: Decimal) -> Decimal:
    digits = value.as_tuple()
    if not value.is_finite() or not isinstance(digits.exponent, int):
        raise msgspec.ValidationError("an amount that is not a number")
    if digits.exponent < -_MOST_DIGITS or value.adjusted() > _MOST_DIGITS:
        raise msgspec.ValidationError("an amount out of all proportion")
    return value


def _size(value: Decimal) -> Decimal:
    if _amount(value) < 0:
        raise msgspec.ValidationError("a negative amount where there can be none")
    return value


def _positive(value: Decimal) -> Decimal:
    if _amount(value) <= 0:
        raise msgspec.ValidationError("an amount that must be above zero is not")
    return value


def _price(value: Decimal | None) -> Decimal | None:
    """Return a price that may be missing; the wire says so by leaving it out or by ``"0"``."""
    return None if value is None or not _size(value) else value


def _levels(levels: Sequence[LevelData], *, descending: bool) -> tuple[PriceLevel, ...]:
    """Return one side, best price first, whatever order it came in."""
    rows = [PriceLevel(_positive(level.price), _size(level.size)) for level in levels]
    return tuple(sorted(rows, key=lambda row: row.price, reverse=descending))
