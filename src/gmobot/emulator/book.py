"""One symbol's order book: the levels of other participants around the market, and the customers' orders in them.

The others' levels are made up around the price of the tape, or come from a real book in paper trading. Each
made-up level belongs to its price, so that a moving market uncovers and hides levels instead of reshuffling
them, and none is computed before somebody looks. Prices are ticks, sizes lots.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import islice, takewhile

from gmobot.core.instrument import UYEN_PER_YEN, Instrument
from gmobot.emulator.records import Order

STREAM_LEVELS = 30
REST_LEVELS = 500
_SPREAD_DIVISOR = 5_000
_STEP_DIVISOR = 20_000
_LEVEL_YEN = 20_000
_LEVEL_YEN_MORE = 2_000_000
_LIFE = 16
_CELLS_KEPT = 4_096
_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Level:
    """What stands at a price: one customer's order, or (``maker`` is ``None``) everybody else."""

    price: int
    lots: int
    maker: Order | None = None


class OrderBook:
    """Both sides of one symbol's book.

    Attributes:
        last: Price of the last trade, 0 before the first.
        stops: Orders waiting for their trigger, oldest first.
        changes: Grows with every change; equal numbers mean an equal book.
    """

    def __init__(self, instrument: Instrument, seed: int) -> None:
        self.instrument = instrument
        self.last = 0
        self.stops: list[Order] = []
        self.changes = 0
        self._unit_uyen, self._min_lots = instrument.unit_uyen, instrument.min_lots
        self._salt = _mix(seed * 1_000_003 + sum(map(ord, instrument.symbol)))
        self._best: dict[str, int] = {"SELL": 0, "BUY": 0}
        self._trades = 0
        self._cells: dict[int, tuple[int, int, tuple[int, int]]] = {}
        self._real: dict[str, list[tuple[int, int]]] | None = None
        self._taken: dict[tuple[str, int], int] = {}
        self._resting: dict[str, list[Order]] = {"SELL": [], "BUY": []}
        self._ranks = 0

    @property
    def best_ask(self) -> int:
        """Lowest offer, 0 for none."""
        prices = [price for price, _ in islice(self._others("SELL"), 1)] + [order.price for order in self._resting["SELL"][:1]]
        return min(prices, default=0)

    @property
    def best_bid(self) -> int:
        """Highest bid, 0 for none."""
        prices = [price for price, _ in islice(self._others("BUY"), 1)] + [order.price for order in self._resting["BUY"][:1]]
        return max(prices, default=0)

    def recentre(self, side: str, ticks: int) -> None:
        """Move the others' levels after a trade of theirs: the taker's side tells which quote it hit."""
        self.last = ticks
        self.changes += 1
        if self._real is not None:
            return
        spread = max(1, ticks // _SPREAD_DIVISOR)
        ask = ticks if side == "BUY" else ticks + spread
        self._best = {"SELL": ask, "BUY": max(1, ask - spread)}
        self._trades += 1
        self._taken.clear()

    def replace(self, asks: list[tuple[int, int]], bids: list[tuple[int, int]]) -> None:
        """Take the others' levels from outside: best first."""
        self._real = {"SELL": asks, "BUY": bids}
        self._taken.clear()
        self.changes += 1
        for side, levels in self._real.items():
            shown = dict(levels)
            for order in self._resting[side]:
                order.queue_ahead = min(order.queue_ahead, shown.get(order.price, 0))

    def rest(self, order: Order) -> None:
        """Put an order behind what stands at its price."""
        sign = 1 if order.side == "SELL" else -1
        ahead = takewhile(lambda level: sign * level[0] <= sign * order.price, self._others(order.side))
        order.queue_ahead = sum(lots for price, lots in ahead if price == order.price)
        self._ranks += 1
        order.rank = self._ranks
        self.restore(order)

    def restore(self, order: Order) -> None:
        """Put an order back to where it stood."""
        insort(self._resting[order.side], order, key=_priority)
        self.changes += 1

    def remove(self, order: Order) -> None:
        """Take an order out, if it is in."""
        for place in (self._resting[order.side], self.stops):
            if order in place:
                place.remove(order)
                self.changes += 1

    def resting(self, side: str) -> list[Order]:
        """Return customers' orders of one side in priority: price, then time."""
        return list(self._resting[side])

    def take(self, side: str, price: int, lots: int) -> None:
        """Others' lots are gone from a price until the market moves on."""
        self._taken[side, price] = self._taken.get((side, price), 0) + lots
        self.changes += 1

    def walk(self, side: str, limit: int = 0) -> Iterator[Level]:
        """Return what an incoming order would meet on a side, in the order it would meet it.

        Args:
            side: ``SELL`` for the offers, ``BUY`` for the bids.
            limit: Worst acceptable price, 0 for any.
        """
        sign = 1 if side == "SELL" else -1
        others = (Level(price, lots) for price, lots in self._others(side))
        customers = (Level(order.price, order.open_lots, order) for order in list(self._resting[side]))
        for level in merge(others, customers, key=lambda level: sign * level.price):
            if limit and sign * level.price > sign * limit:
                return
            yield level

    def levels(self, side: str, depth: int) -> list[tuple[int, int]]:
        """Return the book as everybody sees it, customers' orders included."""
        found = dict(islice(self._others(side), depth))
        if not self._resting[side]:
            return list(found.items())
        for order in self._resting[side]:
            found[order.price] = found.get(order.price, 0) + order.open_lots
        return sorted(found.items(), reverse=side == "BUY")[:depth]

    def _others(self, side: str) -> Iterator[tuple[int, int]]:
        """Return the others' levels that are left: nobody's order crosses a customer's."""
        opposite = self._resting["BUY" if side == "SELL" else "SELL"]
        barrier = opposite[0].price if opposite else 0
        for price, lots in self._real[side] if self._real is not None else self._made_up(side):
            if barrier and (price <= barrier if side == "SELL" else price >= barrier):
                continue
            left = lots - self._taken.get((side, price), 0) if self._taken else lots
            if left > 0:
                yield price, left

    def _made_up(self, side: str) -> Iterator[tuple[int, int]]:
        best = self._best[side]
        if not best:
            return
        direction = 1 if side == "SELL" else -1
        # A power of two, so that levels stay where they are while the price moves.
        step = 1 << (self.last // _STEP_DIVISOR).bit_length()
        cell = best // step
        yield best, self._cell(cell, step)[1]
        for _ in range(2 * REST_LEVELS):
            price, lots = self._cell(cell, step)
            if price < 1:
                return
            if direction * price > direction * best:
                yield price, lots
            cell += direction

    def _cell(self, cell: int, step: int) -> tuple[int, int]:
        """Return the one level in a stretch of prices; its size lives for a few trades, on a rhythm of its own."""
        age = (self._trades + cell) // _LIFE
        known = self._cells.get(cell)
        if known is not None and known[0] == step and known[1] == age:
            return known[2]
        price = cell * step + _mix(self._salt ^ cell) % step
        draw = _mix(self._salt + 31 * cell + 7_919 * age) / _MASK
        yen = _LEVEL_YEN + int(_LEVEL_YEN_MORE * draw * draw)
        lots = max(self._min_lots, yen * UYEN_PER_YEN // (max(1, price) * self._unit_uyen))
        if len(self._cells) > _CELLS_KEPT:
            self._cells.clear()
        self._cells[cell] = (step, age, (price, lots))
        return price, lots


def _priority(order: Order) -> tuple[int, int]:
    return (order.price if order.side == "SELL" else -order.price, order.rank)


def _mix(value: int) -> int:
    """Return 64 well-mixed bits of a number (the finaliser of splitmix64)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
