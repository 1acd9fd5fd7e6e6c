"""Public data: tickers, books, the tape, bars, trading rules. Frames and REST rows share their shapes.

Source: reference/gmo-coin-api.md §4, §7.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import msgspec

from gmobot.clock import NS_PER_MS, parse_iso_utc
from gmobot.venue.gmo.wire.basics import LARGEST, SMALLEST, amount, positive, price, size
from gmobot.venue.models import Book, Kline, PriceLevel, Print, Side, SymbolRules, Ticker

_ONE = Decimal(1)


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
            last=positive(self.last),
            bid=price(self.bid),
            ask=price(self.ask),
            high=positive(self.high),
            low=positive(self.low),
            volume=size(self.volume),
            at_ns=parse_iso_utc(self.timestamp),
        )


class BookData(msgspec.Struct, frozen=True):
    """An order book; only the stream's carries a time.

    A level has the same shape here and in the house, so it is decoded straight into the model: sixty levels
    twice a second per symbol are the busiest thing the client decodes.
    """

    symbol: str
    asks: tuple[PriceLevel, ...]
    bids: tuple[PriceLevel, ...]
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
            symbol=symbol, side=self.side, size=positive(self.size), price=positive(self.price), at_ns=parse_iso_utc(self.timestamp)
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
            open=positive(self.open),
            high=positive(self.high),
            low=positive(self.low),
            close=positive(self.close),
            volume=size(self.volume),
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
            min_order_size=positive(self.minOrderSize),
            max_order_size=positive(self.maxOrderSize),
            size_step=positive(self.sizeStep),
            tick_size=positive(self.tickSize),
            taker_fee=amount(self.takerFee),
            maker_fee=amount(self.makerFee),
        )


def _levels(levels: tuple[PriceLevel, ...], *, descending: bool) -> tuple[PriceLevel, ...]:
    """Return one side, best price first, whatever order it came in.

    The whole side is checked at once: what is not a number cannot be sorted or compared, which raises.
    """
    if not levels:
        return levels
    prices = [level.price for level in levels]
    ordered = sorted(prices, reverse=descending)
    lowest, highest = (ordered[-1], ordered[0]) if descending else (ordered[0], ordered[-1])
    sizes = [level.size or _ONE for level in levels]
    if lowest < SMALLEST or highest >= LARGEST or min(sizes) < SMALLEST or max(sizes) >= LARGEST:
        raise msgspec.ValidationError("a price or size out of all proportion")
    return levels if prices == ordered else tuple(sorted(levels, key=lambda level: level.price, reverse=descending))
