"""Decoding itself, the envelope around every reply, the exchange's words, and what may pass for an amount.

Source: reference/gmo-coin-api.md §1.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, TypeVar

import msgspec

from gmobot.core.instrument import InstrumentError, to_uyen
from gmobot.venue.models import OrderStatus, OrderType, PositionChange, Settle, TimeInForce

V = TypeVar("V")
MALFORMED: Final = (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)
"""What decoding may raise. A deeply nested text exhausts the stack."""
Id = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
_Token = Annotated[str, msgspec.Meta(pattern=r"\A[!-~]{1,1024}\Z")]
_MOST_DIGITS: Final = 18
SMALLEST: Final = Decimal(1).scaleb(-_MOST_DIGITS)
LARGEST: Final = Decimal(1).scaleb(_MOST_DIGITS + 1)
_MOST_YEN: Final = Decimal(2**62 // 1_000_000)
"""Books add micro-yen up in 63 bits."""
TIME_IN_FORCE: Final = {"FAS": TimeInForce.GTC, "FAK": TimeInForce.IOC, "FOK": TimeInForce.FOK, "SOK": TimeInForce.POST_ONLY}
ORDER_TYPE: Final = {"MARKET": OrderType.MARKET, "LIMIT": OrderType.LIMIT, "STOP": OrderType.STOP}
SETTLE: Final = {"OPEN": Settle.OPEN, "CLOSE": Settle.CLOSE, "LOSS_CUT": Settle.LOSSCUT, "LOSSCUT": Settle.LOSSCUT}
STATUS: Final = {
    "WAITING": OrderStatus.ARMED,
    "ORDERED": OrderStatus.WORKING,
    "MODIFYING": OrderStatus.AMENDING,
    "CANCELLING": OrderStatus.CANCELLING,
    "CANCELED": OrderStatus.CANCELLED,
    "EXECUTED": OrderStatus.FILLED,
    "EXPIRED": OrderStatus.EXPIRED,
}
POSITION_CHANGE: Final = {
    "OPR": PositionChange.OPENED,
    "UPR": PositionChange.UPDATED,
    "ULR": PositionChange.LOSSCUT_MOVED,
    "CPR": PositionChange.CLOSED,
}
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


class UnfitError(ValueError):
    """An amount that books cannot hold. Its text says which, in words of ours and a number: it may be shown."""


def told(error: Exception) -> str:
    """Return what may be told of one of :data:`MALFORMED`: others may repeat what the exchange said."""
    return str(error) if isinstance(error, UnfitError) else type(error).__name__


def decode(text: str | bytes | msgspec.Raw, kind: type[V]) -> V:
    """Return a message of this kind.

    Raises:
        Exception: One of :data:`MALFORMED`.
    """
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind, strict=False)
    result: V = decoder.decode(text)
    return result


def decode_rows(data: msgspec.Raw, kind: type[V]) -> tuple[V, ...]:
    """Return a bare array of such rows; an empty one may come as ``{}`` (§1.6).

    Raises:
        Exception: One of :data:`MALFORMED`.
    """
    if bytes(data) == b"{}":
        return ()
    return decode(data, tuple[kind, ...])  # type: ignore[valid-type]


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


def known(table: Mapping[str, V], word: str) -> V:
    """Return what a word means.

    Raises:
        Exception: One of :data:`MALFORMED`: nobody knows it.
    """
    try:
        return table[word]
    except KeyError:
        raise msgspec.ValidationError(f"unknown word {word[:40]!r}; known: {', '.join(table)}") from None


def amount(value: Decimal) -> Decimal:
    """Return a number of any sign that is finite and in proportion; raises one of :data:`MALFORMED` otherwise."""
    # Nearly every amount is short plain text, which proves both bounds at a third of the price of taking it apart.
    if value.is_finite() and len(text := str(value)) <= _MOST_DIGITS and "E" not in text:
        return value
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise msgspec.ValidationError("an amount that is not a number")
    if exponent < -_MOST_DIGITS or value.adjusted() > _MOST_DIGITS:
        raise msgspec.ValidationError("an amount out of all proportion")
    return value


def yen(value: Decimal, what: str) -> Decimal:
    """Return yen that are compared with our books to the micro-yen, and so must be whole ones."""
    try:
        to_uyen(amount(value))
    except InstrumentError:
        raise UnfitError(f"{what}: {value:f} yen cannot be held in micro-yen") from None
    return value


def fill_yen(value: Decimal, what: str) -> Decimal:
    """Return what a fill cost or brought. It may be finer than a micro-yen: a fill that happened cannot be sent back."""
    if abs(amount(value)) > _MOST_YEN:
        raise UnfitError(f"{what}: {value:f} yen cannot be held in micro-yen")
    return value


def size(value: Decimal) -> Decimal:
    """Return an amount that may be zero."""
    if amount(value) < 0:
        raise msgspec.ValidationError("a negative amount where there can be none")
    return value


def positive(value: Decimal) -> Decimal:
    """Return an amount above zero."""
    if amount(value) <= 0:
        raise msgspec.ValidationError("an amount that must be above zero is not")
    return value


def price(value: Decimal | None) -> Decimal | None:
    """Return a price that may be missing; the wire says so by leaving it out or by ``"0"``."""
    return None if value is None or not size(value) else value


def optional(value: Decimal | None) -> Decimal | None:
    """Return an amount that may be missing."""
    return None if value is None else amount(value)
