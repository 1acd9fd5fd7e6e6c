"""What an exchange says and is told, normalised: typed, frozen, in the field's standard words.

The wire's own spellings (``FAK``, ``CANCELED``, ``orderdSize``) end in ``venue/gmo``. Prices, sizes and
money are :class:`~decimal.Decimal` here, at the edge; ``core.instrument`` turns them into integers.
Times are nanoseconds since the epoch, UTC.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

import msgspec


class Side(StrEnum):
    """Direction of an order, a fill or a print. Of a print: the taker's."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def opposite(self) -> Side:
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """How an order reaches the book."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"
    """Armed at a trigger price; a market order once triggered."""


class TimeInForce(StrEnum):
    """How long an order stays. The wire calls them FAS, FAK, FOK and SOK."""

    GTC = "GTC"
    """Rests until filled or cancelled."""
    IOC = "IOC"
    """Fills what it can at once; the rest expires."""
    FOK = "FOK"
    """All at once or nothing."""
    POST_ONLY = "POST_ONLY"
    """Expires instead of taking liquidity."""


class OrderStatus(StrEnum):
    """Where an order stands at the exchange."""

    ARMED = "ARMED"
    """A STOP that has not been triggered."""
    WORKING = "WORKING"
    AMENDING = "AMENDING"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    FILLED = "FILLED"
    EXPIRED = "EXPIRED"

    @property
    def is_final(self) -> bool:
        """Whether the order can no longer fill."""
        return self in (OrderStatus.CANCELLED, OrderStatus.FILLED, OrderStatus.EXPIRED)


class ExchangeStatus(StrEnum):
    """What the exchange says of itself."""

    OPEN = "OPEN"
    PREOPEN = "PREOPEN"
    """Cancels are taken, new orders and amendments are not."""
    MAINTENANCE = "MAINTENANCE"


class OrderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An order to be placed.

    Attributes:
        price: Limit price, or trigger price of a STOP; ``None`` for MARKET.
    """

    symbol: str
    side: Side
    type: OrderType
    size: Decimal
    price: Decimal | None = None
    time_in_force: TimeInForce


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the exchange reports it.

    Attributes:
        cancel_reason: The wire's ``cancelType`` (open set), present on ended orders only.
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


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One fill as the exchange reports it.

    Attributes:
        fee_jpy: Signed: positive is paid (taker), negative is earned (maker).
        realized_pnl_jpy: Of a leverage close; zero on spot.
        cumulative_size: Executed size of the order including this fill; only streams tell.
    """

    execution_id: int
    order_id: int
    symbol: str
    side: Side
    size: Decimal
    price: Decimal
    fee_jpy: Decimal
    realized_pnl_jpy: Decimal
    at_ns: int
    position_id: int | None = None
    order_size: Decimal | None = None
    cumulative_size: Decimal | None = None


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """What the account holds of one asset."""

    asset: str
    amount: Decimal
    available: Decimal
    jpy_rate: Decimal


class PriceLevel(msgspec.Struct, frozen=True):
    """One price of a book side."""

    price: Decimal
    size: Decimal


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """A full snapshot: asks ascending, bids descending."""

    symbol: str
    asks: tuple[PriceLevel, ...]
    bids: tuple[PriceLevel, ...]
    at_ns: int


class Ticker(msgspec.Struct, frozen=True, kw_only=True):
    """Last price and best quotes. A side of an empty book is ``None``."""

    symbol: str
    last: Decimal
    bid: Decimal | None
    ask: Decimal | None
    high: Decimal
    low: Decimal
    volume: Decimal
    at_ns: int


class Print(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the public tape.

    Attributes:
        side: Of the taker on the TAKER_ONLY stream. REST and the plain stream print each match twice,
            once per side, so there the side says nothing and volumes count double.
    """

    symbol: str
    side: Side
    size: Decimal
    price: Decimal
    at_ns: int


class Kline(msgspec.Struct, frozen=True, kw_only=True):
    """A bar from REST. Its volume counts one to two times what was matched."""

    open_time_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


class SymbolRules(msgspec.Struct, frozen=True, kw_only=True):
    """Trading rules of one symbol, as the exchange publishes them now."""

    symbol: str
    min_order_size: Decimal
    max_order_size: Decimal
    size_step: Decimal
    tick_size: Decimal
    taker_fee: Decimal
    maker_fee: Decimal


class OrderUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """An order event of the private stream. Full fills are not reported here, only as executions."""

    order: Order


class StreamNotice(msgspec.Struct, frozen=True, kw_only=True):
    """A stream came up, went down, was refused a subscription, or sent what makes no sense.

    Attributes:
        stream: ``public`` or ``private``.
        state: ``up``, ``down``, ``refused`` or ``malformed`` (told once per connection).
        detail: For the audit log.
    """

    stream: str
    state: str
    detail: str = ""


StreamEvent = Print | Book | Ticker | Execution | OrderUpdate | StreamNotice
