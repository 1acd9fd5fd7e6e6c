"""What is ours at the exchange, told apart from what is somebody else's: seen from the exchange, never from the daemon."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tests.simulation.setting import FOREIGN_LOTS, VISIBILITY_SECONDS
from tests.simulation.trouble import COMPARED_SECONDS

from gmobot.clock import NS_PER_SECOND
from gmobot.core.instrument import Product
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
        stops: Prices at which STOPs of ours rest, in ticks.
    """

    lots: int = 0
    covered: int = 0
    opening: int = 0
    stops: frozenset[int] = frozenset()


class Ours:
    """Tells what is ours of one symbol at the exchange from what is somebody else's.

    Attributes:
        symbol: What is traded.
        foreign_orders: Orders that a hand placed.
        foreign_positions: Positions that such an order opened.
        executions: Everything that was ever executed for the account in the symbol, by number.
        fills: Those of them that belong into our books, in order.
        cash_uyen: What they did to our yen, every notional paid for in full.
        taken: What a close of ours filled on that is not ours, empty for nothing.
        prints: Prices of the tape that nobody has looked at yet, in ticks.
        dirty: Whether the exchange has told of anything since the sums were made.
    """

    def __init__(
        self, exchange: Exchange, account: Account, symbol: str, foreign_lots: int, tells: Callable[[], bool] = lambda: True
    ) -> None:
        """Make it.

        Args:
            exchange: Tells what happens.
            account: The daemon's, and the hand's.
            symbol: What is traded.
            foreign_lots: Coins that were there before.
            tells: Whether events reach the daemon.
        """
        self._account = account
        self._tells = tells
        self._exchange = exchange
        self.symbol = symbol
        self.instrument = exchange.instruments[symbol]
        self._foreign_lots = foreign_lots
        self._leverage = self.instrument.product is Product.LEVERAGE
        self.foreign_orders: set[int] = set()
        self.foreign_positions: set[int] = set()
        self._known: dict[tuple[int, int], bool] = {}
        self.executions: dict[int, Execution] = {}
        self.fills: list[Execution] = []
        self.cash_uyen = 0
        self.taken = ""
        self.prints: list[int] = []
        self.holding = Holding()
        self.dirty = True
        exchange.listeners.append(self._on_news)

    @property
    def signed(self) -> int:
        """Our position, negative when short."""
        if not self._leverage:
            return self.refresh().lots
        return sum(position.lots * position.sign for position in self._positions())

    @property
    def worth_uyen(self) -> int:
        """What all fills of ours brought so far: the yen, and what is held at the last price."""
        return self.cash_uyen + self.gross_uyen(self.signed)

    @property
    def last(self) -> int:
        """Price of the last trade, in ticks."""
        return self._exchange.symbols[self.symbol].book.last

    def gross_uyen(self, lots: int) -> int:
        """Return what lots come to at the last price."""
        return self.instrument.notional_uyen(self.last, lots)

    def taken_prints(self) -> list[int]:
        """Return the prices of the tape since this was last asked, in ticks."""
        taken = self.prints
        if taken:
            self.prints = []
        return taken

    def fires(self, side: str, ticks: int) -> bool:
        """Return whether a STOP would fire at once."""
        return self._exchange.symbols[self.symbol].matcher.fires(side, ticks)

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
        if order.settles:
            return all(position.position_id not in self.foreign_positions for position, _ in execution.parts)
        return order.order_id not in self.foreign_orders or order.order_id in forced

    def _orders(self) -> list[Order]:
        return [order for order in self._account.active(self.symbol) if order.order_id not in self.foreign_orders]

    def _positions(self) -> list[Position]:
        return [p for p in self._account.positions_of(self.symbol) if p.lots and p.position_id not in self.foreign_positions]

    def _on_spot(self) -> Holding:
        lots = self._account.coins[self.symbol] - self._foreign_lots
        if lots < 0:
            raise Violation(f"nothing foreign touched: sold {-lots} lots that are not ours")
        orders = self._orders()
        covered = sum(self.protecting(order) for order in orders if order.side == "SELL")
        return Holding(lots, covered, sum(order.open_lots for order in orders if order.side == "BUY"), _stops(orders))

    def _on_leverage(self) -> Holding:
        positions = self._positions()
        if len({position.side for position in positions}) > 1:
            raise Violation("worst-case exposure: both sides are held")
        orders = self._orders()
        for order in orders:
            if any(settle.held and self._knew(order, settle.position) for settle in order.settles):
                raise Violation(f"nothing foreign touched: order {order.order_id} closes a position that is not ours")
        covered = sum(self.protecting(order) for order in orders if order.settles)
        opening = sum(order.open_lots for order in orders if order.opens)
        return Holding(sum(p.lots for p in positions), covered, opening, _stops(orders))

    def _on_news(self, *news: Any) -> None:
        if news[0] == "trade":
            if news[1] == self.symbol:
                self.prints.append(news[2].ticks)
            return
        about = news[1].order if news[0] == "execution" else news[1]
        if about.symbol != self.symbol:
            return
        self.dirty = True
        if news[0] == "execution":
            self._take_fill(news[1])

    def _take_fill(self, execution: Execution) -> None:
        self.executions[execution.execution_id] = execution
        if self.includes(execution, set()):
            self.fills.append(execution)
            self.cash_uyen -= self.instrument.notional_uyen(execution.ticks, execution.lots * execution.sign) + execution.fee_uyen
        if execution.order.order_id not in self.foreign_orders:
            self._look_at_close(execution)
        elif not self._leverage:
            self._foreign_lots += execution.lots if execution.order.side == "BUY" else -execution.lots
        elif not execution.order.settles:
            self.foreign_positions.update(position.position_id for position, _ in execution.parts)

    def _look_at_close(self, execution: Execution) -> None:
        """See whether a close of ours took a position of somebody else's that could be known when it was sent."""
        order = execution.order
        if order.order_type == "LOSSCUT" or not order.settles:
            return
        for position in (position for position, _ in execution.parts if self._knew(order, position)):
            seconds = (order.at_ns - position.at_ns) / NS_PER_SECOND
            self.taken = f"order {order.order_id} closed position {position.position_id}, which was not ours and {seconds:.1f} s old"

    def _knew(self, order: Order, position: Position) -> bool:
        """Return whether a position is somebody else's, and that could be known when a close of ours was sent.

        The documented exception: somebody opens a position on our side while a bulk close is on its way, or so short before
        it that no question need show it yet; where no event tells of it, no comparison either.
        """
        if position.position_id not in self.foreign_positions:
            return False
        pair = order.order_id, position.position_id
        if pair not in self._known:
            hidden = self._exchange.assumptions.visibility_seconds + VISIBILITY_SECONDS
            seconds = hidden if self._tells() else hidden + COMPARED_SECONDS
            self._known[pair] = order.at_ns > position.at_ns + int(seconds * NS_PER_SECOND)
        return self._known[pair]


class OurAccount:
    """What is ours in all symbols together.

    Attributes:
        by_symbol: What is ours of each.
    """

    def __init__(self, exchange: Exchange, account: Account, symbols: Iterable[str], tells: Callable[[], bool] = lambda: True) -> None:
        self.by_symbol = {symbol: Ours(exchange, account, symbol, FOREIGN_LOTS, tells) for symbol in symbols}

    @property
    def told(self) -> bool:
        """Whether the exchange has told of anything that nobody has looked at yet."""
        return any(ours.dirty or ours.prints or ours.taken for ours in self.by_symbol.values())

    @property
    def foreign_orders(self) -> set[int]:
        """Orders that a hand placed, in any symbol."""
        return set().union(*(ours.foreign_orders for ours in self.by_symbol.values()))

    @property
    def executions(self) -> dict[int, Execution]:
        """Everything that was ever executed for the account, by number."""
        return {number: execution for ours in self.by_symbol.values() for number, execution in ours.executions.items()}

    def includes(self, execution: Execution, forced: set[int]) -> bool:
        """Return whether a fill belongs into our books: see :meth:`Ours.includes`."""
        return self.by_symbol[execution.order.symbol].includes(execution, forced)

    def open_symbols(self) -> list[str]:
        """Return symbols that hold something of ours, or in which an order of ours may still open something."""
        holdings = {symbol: ours.refresh() for symbol, ours in self.by_symbol.items()}
        return [symbol for symbol, holding in holdings.items() if holding.lots or holding.opening]

    def worst_gross_uyen(self) -> int:
        """Return what all positions come to at the last prices, whichever side, once all that is open to add to them has filled."""
        return sum(ours.gross_uyen(holding.lots + holding.opening) for ours in self.by_symbol.values() for holding in (ours.refresh(),))

    def equity_uyen(self, capital_uyen: int) -> int:
        """Return the capital and what our fills made of it, at the last prices."""
        return capital_uyen + sum(ours.worth_uyen for ours in self.by_symbol.values())


def _stops(orders: Iterable[Order]) -> frozenset[int]:
    return frozenset(order.price for order in orders if order.execution_type == "STOP")
