"""Price-time matching of one symbol: what an incoming order, a cancel or a trade of the tape brings about.

An order walks the others' levels and the customers' resting orders, best price first, at one price the
others first; what it takes from the others is gone until the market moves on: market impact. An order that
meets one of its own account's expires there. A tape trade fills a resting order only with the volume that
is left after the queue in front of it.

Source: reference/gmo-coin-api.md §6, §8.9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.book import Level, OrderBook
from gmobot.emulator.ledger import Execution, Ledger, Order
from gmobot.emulator.tape import Trade

OnExecution = Callable[[Execution], None]
OnOrder = Callable[[Order, str], None]
OnTrade = Callable[[Trade], None]


@dataclass(slots=True)
class Plan:
    """What an order would take, and whether it would then meet an order of its own account."""

    fills: list[Level] = field(default_factory=list)
    lots: int = 0
    meets_own: bool = False


class Matcher:
    """Matches one symbol's orders."""

    def __init__(
        self,
        book: OrderBook,
        ledger: Ledger,
        assumptions: Assumptions,
        *,
        next_id: Callable[[], int],
        on_execution: OnExecution,
        on_order: OnOrder,
        on_trade: OnTrade,
    ) -> None:
        """Make a matcher.

        Args:
            book: The symbol's book.
            ledger: Moves the money.
            assumptions: Stop trigger, news of MARKET orders.
            next_id: Gives execution ids.
            on_execution: Told of each fill, after balances moved.
            on_order: Told of an order's news with the wire's ``msgType``.
            on_trade: Told of each match that customers caused, for the public tape.
        """
        self._book = book
        self._ledger = ledger
        self._assumptions = assumptions
        self._next_id = next_id
        self._on_execution = on_execution
        self._on_order = on_order
        self._on_trade = on_trade

    def plan(self, order: Order) -> Plan:
        """Return what an order would take now."""
        plan = Plan()
        limit = order.price if order.execution_type == "LIMIT" else 0
        for level in self._book.walk(_opposite(order.side), limit):
            if level.maker is not None and level.maker.account is order.account:
                plan.meets_own = True
                break
            lots = min(level.lots, order.open_lots - plan.lots)
            plan.fills.append(Level(level.price, lots, level.maker))
            plan.lots += lots
            if plan.lots == order.open_lots:
                break
        return plan

    def cost_uyen(self, order: Order) -> int:
        """Return what a MARKET BUY would pay now, fees included."""
        total = 0
        for fill in self.plan(order).fills:
            fee = self._ledger.fee_uyen(order.symbol, fill.price, fill.lots, maker=False)
            total += self._ledger.notional_uyen(order.symbol, fill.price, fill.lots) + fee
        return total

    def accept(self, order: Order, now_ns: int) -> None:
        """Take a valid new order."""
        self._ledger.hold(order)
        if order.execution_type == "STOP":
            order.status = "WAITING"
            self._book.stops.append(order)
            self._on_order(order, "NOR")
        elif order.execution_type == "MARKET":
            if self._assumptions.market_emits_new:
                self._on_order(order, "NOR")
            self._take(order, now_ns, leftover="EXPIRED_FAK")
        else:
            self._accept_limit(order, now_ns)

    def cancel(self, order: Order, reason: str = "USER") -> None:
        """Take an order out of the book."""
        self._end(order, "CANCELED", reason, "COR")

    def tape(self, trade: Trade) -> None:
        """A trade of other participants: it may fill resting orders and fire stops."""
        left, eaten = trade.lots, 0
        for order in self._book.resting(_opposite(trade.side)):
            if left <= 0 or not _reaches(trade.ticks, order):
                break
            if order.price == trade.ticks:
                waited = min(left, max(0, order.queue_ahead - eaten))
                eaten, left = eaten + waited, left - waited
            left -= self._fill(order, order.price, min(left, order.open_lots), trade.at_ns, maker=True)
        for order in self._book.resting(_opposite(trade.side)):
            if order.price == trade.ticks:
                order.queue_ahead = max(0, order.queue_ahead - eaten)
            elif _reaches(trade.ticks, order):
                order.queue_ahead = 0
        self._book.recentre(trade.side, trade.ticks)
        self.trigger(trade.at_ns)

    def cross(self, now_ns: int, asks: list[tuple[int, int]], bids: list[tuple[int, int]]) -> None:
        """A real book came: what it offers through a resting order's price fills that order."""
        for side, levels in (("BUY", asks), ("SELL", bids)):
            for order in self._book.resting(side):
                through = sum(lots for price, lots in levels if price != order.price and _reaches(price, order))
                self._fill(order, order.price, min(through, order.open_lots), now_ns, maker=True)

    def trigger(self, now_ns: int) -> None:
        """Fire every stop that the market has reached; what they trade may fire others."""
        while (order := next((o for o in self._book.stops if self.fires(o.side, o.price)), None)) is not None:
            self._book.stops.remove(order)
            if order.status == "WAITING":
                order.status = "ORDERED"
            self._take(order, now_ns, leftover="EXPIRED_FAK")

    def fires(self, side: str, price: int) -> bool:
        """Return whether a stop at this price would fire now."""
        if self._assumptions.stop_trigger == "quote":
            reference = self._book.best_ask if side == "BUY" else self._book.best_bid
        else:
            reference = self._book.last
        if not reference:
            return False
        return reference >= price if side == "BUY" else reference <= price

    def _accept_limit(self, order: Order, now_ns: int) -> None:
        plan = self.plan(order)
        if order.time_in_force == "SOK" and (plan.fills or plan.meets_own):
            self._end(order, "EXPIRED", "EXPIRED_SOK", "ER")
            return
        if order.time_in_force == "FOK" and plan.lots < order.lots:
            self._end(order, "EXPIRED", "EXPIRED_SELFTRADE" if plan.meets_own else "EXPIRED_FOK", "ER")
            return
        self._on_order(order, "NOR")
        self._take(order, now_ns, leftover="EXPIRED_FAK" if order.time_in_force == "FAK" else "")
        if order.open_lots:
            self._book.rest(order)

    def _take(self, order: Order, now_ns: int, *, leftover: str) -> None:
        while order.open_lots:
            plan = self.plan(order)
            if any(self._match(order, fill, now_ns) < fill.lots for fill in plan.fills) and order.active:
                continue  # a maker could not pay and is gone: look again
            break
        if order.open_lots and plan.meets_own:
            self._end(order, "EXPIRED", "EXPIRED_SELFTRADE", "ER")
        elif order.open_lots and leftover:
            self._end(order, "EXPIRED", leftover, "ER")

    def _match(self, order: Order, fill: Level, now_ns: int) -> int:
        """Fill an order from one level; a purse too small on either side ends that order. Returns the lots."""
        if fill.maker is None:
            lots = self._fill(order, fill.price, fill.lots, now_ns, maker=False)
            if lots:
                self._book.take(_opposite(order.side), fill.price, lots)
        else:
            payable = self._ledger.affordable(order, fill.price, fill.lots, maker=False)
            match_id = self._next_id()
            lots = self._fill(fill.maker, fill.price, payable, now_ns, maker=True, match_id=match_id)
            self._fill(order, fill.price, lots, now_ns, maker=False, match_id=match_id)
            if payable < fill.lots and order.active:
                self._end(order, "CANCELED", "INSUFFICIENT_BALANCE", "COR")
        if lots:
            self._on_trade(Trade(now_ns, order.side, fill.price, lots))
        return lots

    def _fill(self, order: Order, ticks: int, lots: int, now_ns: int, *, maker: bool, match_id: int = 0) -> int:
        """Fill an order as far as its account can pay. Returns the lots."""
        if lots <= 0:
            return 0
        paid = self._ledger.affordable(order, ticks, lots, maker=maker)
        if paid:
            fee = self._ledger.fee_uyen(order.symbol, ticks, paid, maker=maker)
            execution = Execution(self._next_id(), order, ticks, paid, fee, now_ns, order.executed + paid, match_id)
            self._ledger.book(execution)
            self._book.changes += 1
            if not order.active:
                self._book.remove(order)
            self._on_execution(execution)
        if paid < lots:
            self._end(order, "CANCELED", "INSUFFICIENT_BALANCE", "COR")
        return paid

    def _end(self, order: Order, status: str, reason: str, news: str) -> None:
        order.status, order.cancel_type = status, reason
        self._book.remove(order)
        self._ledger.hold(order)
        self._on_order(order, news)


def _opposite(side: str) -> str:
    return "SELL" if side == "BUY" else "BUY"


def _reaches(ticks: int, order: Order) -> bool:
    """Return whether a trade at a price is at or through a resting order's."""
    return ticks <= order.price if order.side == "BUY" else ticks >= order.price
