"""Price-time matching of one symbol: what an incoming order, a cancel or a trade of the tape brings about.

An order walks the others' levels and the customers' resting orders, best price first, at one price the
others first; what it takes from the others' levels is gone until the tape moves on: market impact.
"""

from __future__ import annotations

from collections.abc import Callable

from gmobot.core.instrument import Instrument, round_fee
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.book import OrderBook
from gmobot.emulator.ledger import Execution, Order
from gmobot.emulator.market import Trade

OnExecution = Callable[[Execution], None]
OnOrder = Callable[[Order, str], None]
OnTrade = Callable[[Trade], None]


class Matcher:
    """Matches one symbol's orders."""

    def __init__(
        self,
        book: OrderBook,
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
            assumptions: Fee rounding, stop trigger.
            next_id: Gives execution ids.
            on_execution: Told of each fill, after balances moved.
            on_order: Told of an order's news with the wire's ``msgType``.
            on_trade: Told of each match that customers caused, for the public tape.
        """
        self._book = book
        self._assumptions = assumptions
        self._next_id = next_id
        self._on_execution = on_execution
        self._on_order = on_order
        self._on_trade = on_trade

    @property
    def _instrument(self) -> Instrument:
        return self._book.instrument

    def accept(self, order: Order, now_ns: int) -> None:
        """Take a valid new order."""
        if order.execution_type == "STOP":
            order.status = "WAITING"
            self._book.stops.append(order)
            self._on_order(order, "NOR")
            return
        if order.execution_type == "MARKET":
            if self._assumptions.market_emits_new:
                self._on_order(order, "NOR")
            self._take(order, now_ns)
            self._expire(order, "EXPIRED_FAK")
            return
        self._accept_limit(order, now_ns)

    def cancel(self, order: Order, reason: str = "USER") -> None:
        """Take an order out of the book."""
        self._forget(order)
        order.status, order.cancel_type = "CANCELED", reason
        self._on_order(order, "COR")

    def tape(self, trade: Trade) -> None:
        """A trade of other participants: it may fill resting orders and fire stops."""
        left = trade.lots
        for order in list(self._book.resting):
            if left <= 0:
                break
            left = self._fill_from_tape(order, trade, left)
        self._book.recentre(trade.side, trade.ticks)
        self.trigger(trade.at_ns)

    def trigger(self, now_ns: int) -> None:
        """Fire every stop that the market has reached."""
        for order in list(self._book.stops):
            if self.fires(order.side, order.price):
                self._book.stops.remove(order)
                order.status = "ORDERED"
                self._take(order, now_ns)
                self._expire(order, "EXPIRED_FAK")

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
        crosses = self._crosses(order)
        if order.time_in_force == "SOK" and crosses:
            self._expire(order, "EXPIRED_SOK")
            return
        if order.time_in_force == "FOK" and self._takeable(order) < order.lots:
            self._expire(order, "EXPIRED_FOK")
            return
        if crosses and any(maker.account is order.account for maker in self._opposite(order) if self._meets(order, maker.price)):
            self._expire(order, "EXPIRED_SELFTRADE")
            return
        self._on_order(order, "NOR")
        self._take(order, now_ns)
        if order.time_in_force == "FAK":
            self._expire(order, "EXPIRED_FAK")
        elif order.open_lots:
            order.queue_ahead = self._book.queue_at(order.side, order.price)
            self._book.resting.append(order)
            self._book.changes += 1

    def _take(self, order: Order, now_ns: int) -> None:
        others = self._book.asks if order.side == "BUY" else self._book.bids
        while order.open_lots:
            level = others[0] if others and self._meets(order, others[0][0]) else None
            makers = [maker for maker in self._opposite(order) if self._meets(order, maker.price) and maker.account is not order.account]
            best = min(makers, key=lambda maker: maker.price if order.side == "BUY" else -maker.price, default=None)
            if level is None and best is None:
                break
            if best is not None and (level is None or self._better(order, best.price, level[0])):
                lots = min(order.open_lots, best.open_lots)
                self._execute(best, best.price, lots, now_ns, maker=True)
                self._settle_resting(best)
                self._execute(order, best.price, lots, now_ns, maker=False)
                self._on_trade(Trade(now_ns, order.side, best.price, lots))
            elif level is not None:
                lots = min(order.open_lots, level[1])
                level[1] -= lots
                if level[1] <= 0:
                    others.pop(0)
                self._execute(order, level[0], lots, now_ns, maker=False)
                self._on_trade(Trade(now_ns, order.side, level[0], lots))
        self._book.changes += 1

    def _fill_from_tape(self, order: Order, trade: Trade, left: int) -> int:
        """Fill a resting order by a trade of the tape. Returns the lots the trade has left."""
        hit = trade.side != order.side and (trade.ticks <= order.price if order.side == "BUY" else trade.ticks >= order.price)
        if not hit:
            return left
        if trade.ticks == order.price and order.queue_ahead > 0:
            waited = min(order.queue_ahead, left)
            order.queue_ahead -= waited
            left -= waited
        lots = min(left, order.open_lots)
        if lots > 0:
            self._execute(order, order.price, lots, trade.at_ns, maker=True)
            self._settle_resting(order)
        return left - lots

    def _execute(self, order: Order, ticks: int, lots: int, now_ns: int, *, maker: bool) -> None:
        instrument = self._instrument
        rate = instrument.maker_fee_ppm if maker else instrument.taker_fee_ppm
        fee = round_fee(instrument.notional_uyen(ticks, lots), rate, int(self._assumptions.fee_rounding))
        execution = Execution(self._next_id(), order, ticks, lots, fee, now_ns)
        order.account.book(execution, instrument)
        if order.executed == order.lots:
            order.status = "EXECUTED"
        self._on_execution(execution)

    def _settle_resting(self, order: Order) -> None:
        if order.status == "EXECUTED":
            self._forget(order)

    def _expire(self, order: Order, reason: str) -> None:
        if order.open_lots:
            order.status, order.cancel_type = "EXPIRED", reason
            self._on_order(order, "ER")

    def _forget(self, order: Order) -> None:
        for place in (self._book.resting, self._book.stops):
            if order in place:
                place.remove(order)
        self._book.changes += 1

    def _opposite(self, order: Order) -> list[Order]:
        return [maker for maker in self._book.resting if maker.side != order.side]

    def _crosses(self, order: Order) -> bool:
        best = self._book.best_ask if order.side == "BUY" else self._book.best_bid
        return bool(best) and self._meets(order, best)

    def _takeable(self, order: Order) -> int:
        return sum(lots for price, lots in self._book.levels("SELL" if order.side == "BUY" else "BUY", 500) if self._meets(order, price))

    @staticmethod
    def _meets(order: Order, price: int) -> bool:
        if order.execution_type != "LIMIT":
            return True
        return price <= order.price if order.side == "BUY" else price >= order.price

    @staticmethod
    def _better(order: Order, price: int, than: int) -> bool:
        return price < than if order.side == "BUY" else price > than
