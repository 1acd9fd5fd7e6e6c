"""One symbol's order book: other participants' levels around the market, and the customers' orders in them.

The levels of others are made up around the price of the tape; a customer's order waits behind what stood
at its price when it came. All prices are ticks, all sizes lots.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from gmobot.core.instrument import Instrument
from gmobot.emulator.ledger import Order

LEVELS = 30
"""Depth that is kept in memory and streamed; deeper levels are made up when REST asks for them."""


@dataclass(slots=True)
class OrderBook:
    """Levels of others, best first, and customers' resting orders, oldest first."""

    instrument: Instrument
    seed: int
    last: int = 0
    asks: list[list[int]] = field(default_factory=list)
    bids: list[list[int]] = field(default_factory=list)
    resting: list[Order] = field(default_factory=list)
    stops: list[Order] = field(default_factory=list)
    changes: int = 0
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(f"book:{self.seed}:{self.instrument.symbol}")

    @property
    def best_ask(self) -> int:
        """Lowest offer, 0 for none."""
        own = [order.price for order in self.resting if order.side == "SELL"]
        return min(([self.asks[0][0]] if self.asks else []) + own, default=0)

    @property
    def best_bid(self) -> int:
        """Highest bid, 0 for none."""
        own = [order.price for order in self.resting if order.side == "BUY"]
        return max(([self.bids[0][0]] if self.bids else []) + own, default=0)

    def recentre(self, side: str, ticks: int) -> None:
        """Make up the others' levels anew after a trade: the taker's side tells which quote it hit."""
        self.last = ticks
        self.changes += 1
        spread = max(1, ticks // 5_000)
        ask = ticks if side == "BUY" else ticks + spread
        self.asks = self._side(ask, 1)
        self.bids = self._side(max(1, ask - spread), -1)

    def replace(self, asks: list[list[int]], bids: list[list[int]]) -> None:
        """Take the levels of others from outside (paper trading on real books)."""
        self.asks, self.bids = asks, bids
        self.changes += 1

    def levels(self, side: str, depth: int) -> list[tuple[int, int]]:
        """Return the book as everybody sees it, customers' orders included."""
        others = self.asks if side == "SELL" else self.bids
        total = {price: lots for price, lots in others if lots > 0}
        for order in self.resting:
            if order.side == side:
                total[order.price] = total.get(order.price, 0) + order.open_lots
        ordered = sorted(total.items(), reverse=side == "BUY")
        if depth > LEVELS and len(ordered) >= LEVELS:
            ordered += self._deeper(ordered[-1][0], 1 if side == "SELL" else -1, depth - len(ordered))
        return ordered[:depth]

    def queue_at(self, side: str, price: int) -> int:
        """Return the lots of others that stand at a price."""
        return next((lots for at, lots in (self.asks if side == "SELL" else self.bids) if at == price), 0)

    def _side(self, best: int, direction: int) -> list[list[int]]:
        draw, levels, price = self._random, [], best
        step = max(1, best // 20_000)
        for _ in range(LEVELS):
            levels.append([price, max(self.instrument.min_lots, int(20_000 * draw.random() ** 2) + 500)])
            price += direction * (1 + int(draw.random() * step))
            if price < 1:
                break
        return levels

    @staticmethod
    def _deeper(last: int, direction: int, count: int) -> list[tuple[int, int]]:
        step = max(1, last // 20_000)
        prices = (last + direction * step * n for n in range(1, count + 1))
        return [(price, 1_000) for price in prices if price > 0]
