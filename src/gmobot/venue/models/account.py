"""What the account holds, may do, and what flowed in and out."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from gmobot.venue.models.words import Side


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """What the account holds of one asset."""

    asset: str
    amount: Decimal
    available: Decimal
    jpy_rate: Decimal


class Margin(msgspec.Struct, frozen=True, kw_only=True):
    """The account as collateral, in yen.

    Attributes:
        equity_jpy: Everything at its present value.
        available_jpy: Buying power.
        used_jpy: Margin in use.
        ratio_percent: Equity over margin in use; ``None`` without a position.
        call_status: The wire's ``marginCallStatus`` (open set): ``NORMAL``, ``MARGIN_CALL``, ``LOSSCUT``.
        transferable_jpy: What a transfer may move, where told.
    """

    equity_jpy: Decimal
    available_jpy: Decimal
    used_jpy: Decimal
    unrealized_pnl_jpy: Decimal
    ratio_percent: Decimal | None = None
    call_status: str | None = None
    transferable_jpy: Decimal | None = None


class TradingLimit(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a day's limits of one symbol, and its fees. Spot has buy and sell, leverage has open."""

    symbol: str
    taker_fee: Decimal
    maker_fee: Decimal
    open_size: Decimal | None = None
    buy_size: Decimal | None = None
    sell_size: Decimal | None = None


class TradingVolume(msgspec.Struct, frozen=True, kw_only=True):
    """The running week's volume, and the tier that sets the rate limits.

    Attributes:
        tier: 1, 2, 3; an open set.
    """

    volume_jpy: Decimal
    tier: int
    limits: tuple[TradingLimit, ...]


class CashFlow(msgspec.Struct, frozen=True, kw_only=True):
    """A deposit or a withdrawal.

    Attributes:
        status: The wire's word (open set); ``EXECUTED`` is the one that moved something.
        fee: In the asset, where told.
    """

    asset: str
    amount: Decimal
    status: str
    at_ns: int
    fee: Decimal | None = None
    address: str | None = None
    transaction: str | None = None


class FeeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the exchange's fee history, whose shape is not fully known.

    Attributes:
        kind: The wire's ``feeType``: ``LEVERAGE_FEE`` has been seen.
        at_ns: When it was booked, where told.
        amount_jpy: Where a key was recognised as the amount; the sign is the wire's.
        fields: The row as it came, every simple value as text.
    """

    kind: str
    at_ns: int | None
    symbol: str | None
    amount_jpy: Decimal | None
    fields: dict[str, str]


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """A leverage position. Every fill opens one of its own, and both sides may be held at once.

    Attributes:
        size: What is open; of a closed one possibly zero.
        reserved_size: Part of it that open close orders hold.
        losscut_price: Where the exchange closes it by force.
    """

    position_id: int
    symbol: str
    side: Side
    size: Decimal
    reserved_size: Decimal
    price: Decimal
    unrealized_pnl_jpy: Decimal
    leverage: Decimal
    losscut_price: Decimal | None
    opened_at_ns: int


class PositionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """All positions of one symbol and side together.

    Attributes:
        reserved_size: Part of ``size`` that open close orders hold.
    """

    symbol: str
    side: Side
    average_price: Decimal
    size: Decimal
    reserved_size: Decimal
    unrealized_pnl_jpy: Decimal
