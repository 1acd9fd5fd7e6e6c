"""What is ours at the exchange, told apart from what is somebody else's: seen from the exchange, never from the daemon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.simulation.setting import VISIBILITY_SECONDS

from gmobot.clock import NS_PER_SECOND
from gmobot.emulator.engine.exchange import Exchange
from gmobot.emulator.engine.margin import default_losscut
from gmobot.emulator.engine.records import Account, Execution, Order, Position

STOP_REACH = 0.2
"""Share of the price: a STOP further away is none."""


class Violation(AssertionError):
    """An invariant does not hold."""


@dataclass(slots=True)
class Holding:
    """What is ours at the exchange, summed up.

    Attributes:
        lots: Of our position, without a sign.
        covered: Of them, what our own closes would take as the market stands: see :meth:`Ours.protecting`.
        opening: What our open entries may still add.
    """

    lots: int = 0
    covered: int = 0
    opening: int = 0


class Ours:
    """Tells what is ours at the exchange from what is somebody else's.

    Attributes:
        symbol: What is traded.
        foreign_orders: Orders that a hand placed.
        foreign_positions: Positions that such an order opened.
        executions: Everything that was ever executed for the account, by number.
        fills: Those of them that belong into our books, in order.
        taken: What a close of ours filled on that is not ours, empty for nothing.
        dirty: Whether the exchange has told of anything since the sums were made.
    """

    def __init__(self, exchange: Exchange, account: Account, symbol: str, foreign_lots: int) -> None:
        self._account = account
        self._exchange = exchange
        self.symbol = symbol
        self._foreign_lots = foreign_lots
        self._leverage = symbol.endswith("_JPY")
        self.foreign_orders: set[int] = set()
        self.foreign_positions: set[int] = set()
        self.executions: dict[int, Execution] = {}
        self.fills: list[Execution] = []
        self.taken = ""
        self.holding = Holding()
        self.dirty = True
        exchange.listeners.append(self._on_news)

    @property
    def signed(self) -> int:
        """Our position, negative when short."""
        if not self._leverage:
            return self.refresh().lots
        return sum(p.lots * p.sign for p in self._account.positions.values() if p.position_id not in self.foreign_positions)

    def refresh(self) -> Holding:
        """Sum up again if anything happened.

        Raises:
            Violation: Something foreign is touched, or both sides are held.
        """
        if self.taken:
            raise Violation(f"nothing foreign touched: {self.taken}")
        if self.dirty:
            self.dirty = False
            self.holding = self._on_leverage() if self._leverage else self._on_spot()
        return self.holding

    def protecting(self, order: Order) -> int:
        """Return how many lots a close of ours protects.

        A LIMIT protects where the market is at its price or beyond; one that rests away from it never fills when it is
        needed, so it counts only for positions whose entry carried a losscut price. A STOP counts within reach.
        """
        last = self._exchange.symbols[self.symbol].book.last
        if order.execution_type == "STOP":
            return order.open_lots if abs(order.price - last) <= last * STOP_REACH else 0
        if order.execution_type != "LIMIT":
            return order.open_lots
        # Prices move without news of ours.
        self.dirty = True
        if order.price <= last if order.side == "SELL" else order.price >= last:
            return order.open_lots
        return sum(settle.held for settle in order.settles if self._carries_losscut(settle.position))

    def _carries_losscut(self, position: Position) -> bool:
        usual = default_losscut(position.side, position.ticks, self._exchange.assumptions.leverage)
        return position.losscut != usual

    def includes(self, execution: Execution, forced: set[int]) -> bool:
        """Return whether a fill belongs into our books: of our order, or of anybody's that closed our position.

        Args:
            execution: One of the account's.
            forced: Orders that the daemon took for closes of its position by somebody else.
        """
        order = execution.order
        if order.settles and execution.position is not None:
            return execution.position.position_id not in self.foreign_positions
        return order.order_id not in self.foreign_orders or order.order_id in forced

    def _orders(self) -> list[Order]:
        return [order for order in self._account.open_orders.values() if order.order_id not in self.foreign_orders]

    def _on_spot(self) -> Holding:
        lots = self._account.coins[self.symbol] - self._foreign_lots
        if lots < 0:
            raise Violation(f"nothing foreign touched: sold {-lots} lots that are not ours")
        orders = self._orders()
        covered = sum(self.protecting(order) for order in orders if order.side == "SELL")
        return Holding(lots, covered, sum(order.open_lots for order in orders if order.side == "BUY"))

    def _on_leverage(self) -> Holding:
        positions = [p for p in self._account.positions.values() if p.lots and p.position_id not in self.foreign_positions]
        if len({position.side for position in positions}) > 1:
            raise Violation("worst-case exposure: both sides are held")
        orders = self._orders()
        for order in orders:
            if any(settle.held and settle.position.position_id in self.foreign_positions for settle in order.settles):
                raise Violation(f"nothing foreign touched: order {order.order_id} closes a position that is not ours")
        covered = sum(self.protecting(order) for order in orders if order.settles)
        return Holding(sum(p.lots for p in positions), covered, sum(order.open_lots for order in orders if order.opens))

    def _on_news(self, *news: Any) -> None:
        if news[0] in ("order", "execution", "position"):
            self.dirty = True
        if news[0] == "execution":
            self._take_fill(news[1])

    def _take_fill(self, execution: Execution) -> None:
        self.executions[execution.execution_id] = execution
        if self.includes(execution, set()):
            self.fills.append(execution)
        if execution.order.order_id not in self.foreign_orders:
            self._look_at_close(execution)
        elif not self._leverage:
            self._foreign_lots += execution.lots if execution.order.side == "BUY" else -execution.lots
        elif execution.position is not None and not execution.order.settles:
            self.foreign_positions.add(execution.position.position_id)

    def _look_at_close(self, execution: Execution) -> None:
        """See whether a close of ours took a position of somebody else's that could be known when it was sent.

        The documented exception: somebody opens a position on our side while a bulk close is on its way, or so short before
        it that no question need show it yet.
        """
        order, position = execution.order, execution.position
        if order.order_type == "LOSSCUT" or not order.settles or position is None or position.position_id not in self.foreign_positions:
            return
        known_ns = position.at_ns + int((self._exchange.assumptions.visibility_seconds + VISIBILITY_SECONDS) * NS_PER_SECOND)
        if order.at_ns > known_ns:
            seconds = (order.at_ns - position.at_ns) / NS_PER_SECOND
            self.taken = f"order {order.order_id} closed position {position.position_id}, which was not ours and {seconds:.1f} s old"
