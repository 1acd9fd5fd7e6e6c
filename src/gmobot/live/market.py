"""The latest prices of one symbol, as the streams tell them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from gmobot.clock import NS_PER_SECOND
from gmobot.core.instrument import Instrument
from gmobot.venue.models import Book, Print, Side

_LATE_NS = 10 * NS_PER_SECOND
"""A snapshot or print so much older than the one before came late; one that is older still tells of a clock that was set."""


@dataclass(slots=True)
class Market:
    """Last trade and book of one symbol.

    Attributes:
        printed: Price of the print that came last in ticks, 0 before the first.
        last: Price of the last trade in ticks: a print that came late is none.
        last_at_ns: When it was printed, on the monotonic clock.
        stamp_ns: When it was made, by the exchange's clock.
        barred: Reason code that forbids new exposure in this symbol alone, or ``None``.
        book: The last snapshot, kept as it came: most are replaced before anybody asks.
    """

    instrument: Instrument
    printed: int = 0
    last: int = 0
    last_at_ns: int = 0
    stamp_ns: int = 0
    book: Book | None = None
    book_at_ns: int = 0
    barred: str | None = None

    def on_print(self, row: Print, now_ns: int) -> None:
        """Take a trade of the tape, at a moment of the monotonic clock: one that comes late says what was, and not what is."""
        self.printed = int(row.price / self.instrument.tick_size)
        if not 0 < self.stamp_ns - row.at_ns < _LATE_NS:
            self.last, self.last_at_ns, self.stamp_ns = self.printed, now_ns, row.at_ns

    def on_book(self, book: Book, now_ns: int) -> None:
        """Take a snapshot, at a moment of the monotonic clock; it replaces the one before, unless it comes late."""
        if self.book is not None and 0 < self.book.at_ns - book.at_ns < _LATE_NS:
            return
        self.book = book
        self.book_at_ns = now_ns

    def middle(self) -> Decimal | None:
        """Return the middle of the book, ``None`` while a side is empty."""
        if self.book is None or not self.book.asks or not self.book.bids:
            return None
        return (self.book.asks[0].price + self.book.bids[0].price) / 2

    def mark(self) -> int:
        """Return the price in ticks that positions are valued at: last trade, else middle of the book, else 0.

        A trade that a later book has left behind is the price of another time: the tape may have fallen silent.
        """
        middle = self.middle()
        if middle is None or (self.last and not self._has_left_behind(self.instrument.price(self.last))):
            return self.last
        return int(middle / self.instrument.tick_size)

    def _has_left_behind(self, price: Decimal) -> bool:
        """Whether the book came after the last trade and no longer reaches to its price."""
        book = self.book
        return book is not None and self.book_at_ns > self.last_at_ns and not book.bids[0].price <= price <= book.asks[0].price

    def worst_price(self, side: Side, lots: int) -> Decimal | None:
        """Return the price of the last level a market order would reach, ``None`` when the book is too thin."""
        if self.book is None:
            return None
        left = self.instrument.size(lots)
        for level in self.book.asks if side is Side.BUY else self.book.bids:
            left -= level.size
            if left <= 0:
                return level.price
        return None
