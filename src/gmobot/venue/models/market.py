"""What everybody may know: prices, books, the tape, bars, trading rules."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from gmobot.venue.models.words import Side


class PriceLevel(msgspec.Struct, frozen=True, gc=False):
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
