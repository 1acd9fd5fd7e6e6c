"""What is sent: the bodies of writes, and the part of a frame that tells what the rest is.

Prices and sizes leave as plain decimal text, never with an exponent. Nothing of unknown kind leaves.

Source: reference/gmo-coin-api.md §5.13–§5.20.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from gmobot.venue.gmo.wire.basics import ORDER_TYPE, TIME_IN_FORCE
from gmobot.venue.models import CloseRequest, OrderRequest, OrderType, TimeInForce

K = TypeVar("K")
_TIF_WIRE: Final = {value: key for key, value in TIME_IN_FORCE.items()}
_TYPE_WIRE: Final = {value: key for key, value in ORDER_TYPE.items()}


class OrderBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of ``order``."""

    symbol: str
    side: str
    executionType: str
    size: str
    timeInForce: str | None = None
    price: str | None = None
    losscutPrice: str | None = None
    cancelBefore: bool = False

    @classmethod
    def of(cls, order: OrderRequest) -> OrderBody:
        """Return the wire form of an order.

        Raises:
            ValueError: Its type or time in force is unknown.
        """
        return cls(
            symbol=order.symbol,
            side=order.side.value,
            executionType=_word(_TYPE_WIRE, order.type),
            size=plain(order.size),
            timeInForce=_tif_or_none(order),
            price=_plain_or_none(order.price),
            losscutPrice=_plain_or_none(order.losscut_price),
            cancelBefore=order.cancel_before,
        )


class SettlePosition(msgspec.Struct, frozen=True):
    """Which position to close, and how much of it."""

    positionId: int
    size: str


class CloseBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of ``closeOrder``, which names one position, and of ``closeBulkOrder``, which names a size."""

    symbol: str
    side: str
    executionType: str
    timeInForce: str | None = None
    price: str | None = None
    size: str | None = None
    settlePosition: tuple[SettlePosition, ...] = ()
    cancelBefore: bool = False

    @classmethod
    def of(cls, order: CloseRequest) -> CloseBody:
        """Return the wire form of a close order.

        Raises:
            ValueError: Its type or time in force is unknown, or ``cancel_before`` is asked without a position.
        """
        if order.cancel_before and order.position_id is None:
            raise ValueError("closeBulkOrder knows no cancelBefore")
        one = order.position_id is not None
        return cls(
            symbol=order.symbol,
            side=order.side.value,
            executionType=_word(_TYPE_WIRE, order.type),
            timeInForce=_tif_or_none(order),
            price=_plain_or_none(order.price),
            size=None if one else plain(order.size),
            settlePosition=() if order.position_id is None else (SettlePosition(order.position_id, plain(order.size)),),
            cancelBefore=order.cancel_before,
        )


class ChangeBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of ``changeOrder``: a size cannot be changed."""

    orderId: int
    price: str
    losscutPrice: str | None = None


class BulkCancelBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of ``cancelBulkOrder``."""

    symbols: tuple[str, ...]
    side: str | None = None
    settleType: str | None = None
    desc: bool = False


class Frame(msgspec.Struct, frozen=True):
    """The part of any frame that tells what it is."""

    channel: str | None = None
    error: str | None = None


def plain(value: Decimal) -> str:
    """Return a number as the wire wants it."""
    return f"{value:f}"


def _tif_or_none(order: OrderRequest | CloseRequest) -> str | None:
    """Return the time in force, ``None`` where the type has it by default: some read §6.2 as that only a LIMIT may name one."""
    if order.type is not OrderType.LIMIT and order.time_in_force is TimeInForce.IOC:
        return None
    return _word(_TIF_WIRE, order.time_in_force)


def _plain_or_none(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)


def _word(table: dict[K, str], key: K) -> str:
    try:
        return table[key]
    except KeyError:
        raise ValueError(f"{key} cannot be sent") from None
