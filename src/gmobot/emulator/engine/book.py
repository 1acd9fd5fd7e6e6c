"""One symbol's order book: the levels of other participants around the market, and the customers' orders in them.

The others' levels are made up around the price of the tape, or come from a real book: in paper trading, or from
a recording. Each made-up level belongs to its price, so that a moving market uncovers and hides levels instead
of reshuffling them, and none is computed before somebody looks. Prices are ticks, sizes lots.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import islice

from gmobot.core.instrument import UYEN_PER_YEN, Instrument, Product
from gmobot.emulator.engine.records import Order

REST_LEVELS = 500
_CELLS_A_LEVEL = 4
"""Most stretches of prices are empty, so that gaps vary as they do in real books."""
_ROUND_SHARE = 0.6
"""How many sizes are round numbers."""
_MOST_SIGMAS = 2.0
_LIFE = 16
_CELLS_KEPT = 16_384
_MASK = (1 << 64) - 1
_HALF = (1 << 32) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BookShape:
    """What a made-up book looks like.

    Attributes:
        spread_ppm: Between best bid and ask.
        gap_ppm: Mean distance of neighbouring levels.
        level_yen: Median size of a level.
        sigma: Of the logarithm of a level's size.
    """

    spread_ppm: int
    gap_ppm: int
    level_yen: int
    sigma: float


SHAPES = {
    Product.LEVERAGE: BookShape(spread_ppm=160, gap_ppm=29, level_yen=270_000, sigma=1.3),
    Product.SPOT: BookShape(spread_ppm=400, gap_ppm=55, level_yen=450_000, sigma=1.6),
}
"""Measured on frames of BTC_JPY and on the first levels of BTC; a test compares."""


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
        shape: What the made-up levels look like.
    """

    def __init__(self, instrument: Instrument, seed: int) -> None:
        self.instrument = instrument
        self.last = 0
        self.stops: list[Order] = []
        self.changes = 0
        self.shape = SHAPES[instrument.product]
        self._unit_uyen, self._min_lots, self._max_lots = instrument.unit_uyen, instrument.min_lots, instrument.max_lots
        self._salt = _mix(seed * 1_000_003 + sum(map(ord, instrument.symbol)))
        self._best: dict[str, int] = {"SELL": 0, "BUY": 0}
        self._step = 1
        self._trades = 0
        self._cells: dict[int, tuple[int, int, tuple[int, int] | None]] = {}
        self._touches: dict[str, tuple[int, int]] = {}
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
        spread = max(1, ticks * self.shape.spread_ppm // 1_000_000)
        ask = ticks if side == "BUY" else ticks + spread
        self._best = {"SELL": ask, "BUY": max(1, ask - spread)}
        # The width of a cell is a rung of a ladder, so that levels stay where they are while the price moves.
        rung: float = 2.0 ** (round(4 * math.log2(ticks)) / 4)
        self._step = max(1, round(rung * self.shape.gap_ppm / (1_000_000 * _CELLS_A_LEVEL)))
        self._trades += 1
        self._touches.clear()
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
        order.queue_ahead = self._lots_at(order.side, order.price)
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
        step, trades, cells = self._step, self._trades, self._cells
        first = best // step
        yield self._touch(side)
        for cell in range(first, first + direction * 2 * _CELLS_A_LEVEL * REST_LEVELS, direction):
            if cell < 0:
                return
            known = cells.get(cell)
            # What _level looks up first, without the call: a walk meets mostly what it met before.
            fresh = known is not None and known[0] == step and known[1] == (trades + cell) // _LIFE
            level = known[2] if fresh and known is not None else self._level(cell, step)
            if level is not None and direction * level[0] > direction * best:
                yield level

    def _touch(self, side: str) -> tuple[int, int]:
        """Return the best made-up level: a thin one, the smaller of two draws."""
        known = self._touches.get(side)
        if known is None:
            best, step = self._best[side], self._step
            cell = best // step
            sizes = (self._lots(*self._draw(near, step)) for near in (cell, cell + (1 if side == "SELL" else -1)))
            known = self._touches[side] = best, min(sizes)
        return known

    def _lots_at(self, side: str, price: int) -> int:
        """Return the others' lots at a price that no opposite order reaches, without walking there."""
        direction, best = (1 if side == "SELL" else -1), self._best[side]
        if self._real is not None:
            lots = dict(self._real[side]).get(price, 0)
        elif not best or direction * price <= direction * best:
            lots = self._touch(side)[1] if price == best and best else 0
        else:
            step = self._step
            level = self._level(price // step, step)
            lots = level[1] if level is not None and level[0] == price else 0
        return max(0, lots - self._taken.get((side, price), 0))

    def _level(self, cell: int, step: int) -> tuple[int, int] | None:
        """Return price and size of the level in a stretch of prices, if there is one; it lives for a few trades."""
        age = (self._trades + cell) // _LIFE
        known = self._cells.get(cell)
        if known is not None and known[0] == step and known[1] == age:
            return known[2]
        price, draw = self._draw(cell, step)
        level = (price, self._lots(price, draw)) if price >= 1 and _mix(draw) % _CELLS_A_LEVEL == 0 else None
        if len(self._cells) > _CELLS_KEPT:
            self._cells.clear()
        self._cells[cell] = (step, age, level)
        return level

    def _draw(self, cell: int, step: int) -> tuple[int, int]:
        """Return the price in a stretch of prices where a level would be, and what its size is drawn from."""
        age = (self._trades + cell) // _LIFE
        return cell * step + _mix(self._salt ^ cell) % step, _mix(self._salt + 31 * cell + 7_919 * age)

    def _lots(self, price: int, draw: int) -> int:
        """Return a lognormal size in lots; many are round."""
        high, low = (draw >> 32) / (_HALF + 1), (draw & _HALF) / (_HALF + 1)
        normal = math.sqrt(-2.0 * math.log(1.0 - high)) * math.cos(2.0 * math.pi * low)
        yen = self.shape.level_yen * math.exp(self.shape.sigma * max(-_MOST_SIGMAS, min(_MOST_SIGMAS, normal)))
        lots = int(yen * UYEN_PER_YEN / (max(1, price) * self._unit_uyen))
        if lots >= 10 and draw % 1_000 < 1_000 * _ROUND_SHARE:
            grid = 10 ** (len(str(lots)) - 1)
            lots = lots // grid * grid
        return min(max(self._min_lots, lots), self._max_lots)


def _priority(order: Order) -> tuple[int, int]:
    return (order.price if order.side == "SELL" else -order.price, order.rank)


def _mix(value: int) -> int:
    """Return 64 well-mixed bits of a number (the finaliser of splitmix64)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
