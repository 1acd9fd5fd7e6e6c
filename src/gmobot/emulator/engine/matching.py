"""Price-time matching of one symbol: what an incoming order, a cancel or a trade of the tape brings about.

An order walks the others' levels and the customers' resting orders, best price first, at one price the
others first; what it takes from the others is gone until the market moves on: market impact. An order that
meets one of its own account's expires there. A tape trade fills a resting order only with the volume that
is left after the queue in front of it. A leverage order opens one position a fill; a close order closes the
positions it names, one execution each.

Source: reference/gmo-coin-api.md §6, §8.9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.engine.book import Level, OrderBook
from gmobot.emulator.engine.ledger import Ledger
from gmobot.emulator.engine.margin import default_losscut
from gmobot.emulator.engine.records import Execution, Order, Position, Settle
from gmobot.emulator.market.tape import Trade

Parts = tuple[tuple[Position, int], ...]
"""Positions, with the lots of each."""
SPOT_POSITION = 1_234_567
"""As the official sample of a spot row has it (§5.9)."""
OnExecution = Callable[[Execution], None]
OnOrder = Callable[[Order, str, str], None]
OnPosition = Callable[[Position, str], None]
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
        on_position: OnPosition,
        on_trade: OnTrade,
    ) -> None:
        """Make a matcher.

        Args:
            book: The symbol's book.
            ledger: Moves the money.
            assumptions: Stop trigger, news of MARKET orders.
            next_id: Gives ids of executions and positions.
            on_execution: Told of each fill, after balances moved.
            on_order: Told of an order's news with the wire's ``msgType``, and why a change was refused, else "".
            on_position: Told of a position's news with the wire's ``msgType``.
            on_trade: Told of each match that customers caused, for the public tape.
        """
        self._book = book
        self._ledger = ledger
        self._assumptions = assumptions
        self._next_id = next_id
        self._on_execution = on_execution
        self._on_order = on_order
        self._on_position = on_position
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
        """Return what a MARKET order would pay, or need as margin, now, fees included."""
        return self._ledger.cost_uyen(order, [(fill.price, fill.lots) for fill in self.plan(order).fills])

    def accept(self, order: Order, now_ns: int) -> None:
        """Take a valid new order."""
        self._ledger.hold(order)
        if order.execution_type == "STOP":
            order.status = "WAITING"
            self._book.stops.append(order)
            self._announce(order)
        elif order.execution_type == "MARKET":
            forced = order.order_type == "LOSSCUT"
            if self._assumptions.losscut_emits_new if forced else self._assumptions.market_emits_new:
                self._on_order(order, "NOR", "")
            self._tell_reserved(order.settles)
            self._take(order, now_ns, leftover="EXPIRED_FAK")
        else:
            self._accept_limit(order, now_ns)

    def cancel(self, order: Order, reason: str = "USER") -> None:
        """Take an order out of the book."""
        self._end(order, "CANCELED", reason, "COR")

    def amend(self, order: Order, price: int, losscut: int, now_ns: int, *, refused: str = "") -> None:
        """Move a working order to a new price, where it queues up anew; a refused change leaves the old order standing.

        Args:
            order: A resting LIMIT or waiting STOP.
            price: Ticks.
            losscut: Ticks, 0 for the default.
            now_ns: Now.
            refused: Why the change is refused; a post-only order that would take is refused here.
        """
        if not refused and order.time_in_force == "SOK" and self._would_take(order, price):
            refused = "SOK_TAKER"
        if refused:
            self._on_order(order, "ROR", refused)
            return
        waits = order.execution_type == "STOP"
        if not waits:
            self._book.remove(order)
        order.price, order.losscut = price, losscut
        self._ledger.hold(order)
        self._on_order(order, "ROR", "")
        if waits:
            return
        self._take(order, now_ns, leftover="")
        if order.open_lots:
            self._book.rest(order)

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
        self._announce(order)
        self._take(order, now_ns, leftover="EXPIRED_FAK" if order.time_in_force == "FAK" else "")
        if order.open_lots:
            self._book.rest(order)

    def _would_take(self, order: Order, price: int) -> bool:
        """Return whether a resting order would meet anything at another price."""
        # Out of the book while it is asked: what rests hides the others' levels beyond it.
        self._book.remove(order)
        old, order.price = order.price, price
        plan = self.plan(order)
        order.price = old
        self._book.restore(order)
        return bool(plan.fills) or plan.meets_own

    def _announce(self, order: Order) -> None:
        self._on_order(order, "NOR", "")
        self._tell_reserved(order.settles)

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
                self._end(order, "CANCELED", short_of(order), "COR")
        if lots:
            self._on_trade(Trade(now_ns, order.side, fill.price, lots))
        return lots

    def _fill(self, order: Order, ticks: int, lots: int, now_ns: int, *, maker: bool, match_id: int = 0) -> int:
        """Fill an order as far as its account can pay. Returns the lots."""
        if lots <= 0:
            return 0
        paid = self._ledger.affordable(order, ticks, lots, maker=maker)
        for parts in self._told(order, self._parts(order, ticks, paid, now_ns)) if paid else ():
            lots_told = sum(part for _, part in parts) or paid
            self._execute(order, parts, ticks, lots_told, now_ns, maker=maker, match_id=match_id)
        if paid < lots:
            self._end(order, "CANCELED", short_of(order), "COR")
        return paid

    def _told(self, order: Order, parts: Parts) -> list[Parts]:
        """Return the executions that tell of a fill, each with its positions: one for each, but for a bulk close as assumed."""
        together = not parts or (order.bulk and self._assumptions.bulk_close_fills != "each")
        return [parts] if together else [(part,) for part in parts]

    def _parts(self, order: Order, ticks: int, lots: int, now_ns: int) -> Parts:
        """Return a fill's share of each position: none on spot, a new one, or the ones that a close order names, in its order."""
        if not order.leverage:
            return ()
        if order.opens:
            losscut, usual = order.losscut, default_losscut(order.side, ticks, self._assumptions.leverage)
            protects = losscut and (losscut < ticks if order.side == "BUY" else losscut > ticks)
            chosen = losscut if protects else usual
            return ((Position(self._next_id(), order.account, order.symbol, order.side, ticks, lots, chosen, now_ns), lots),)
        parts: list[tuple[Position, int]] = []
        for settle in order.settles:
            part = min(lots, settle.lots)
            lots -= part
            if part:
                parts.append((settle.position, part))
        return tuple(parts)

    def _execute(self, order: Order, parts: Parts, ticks: int, lots: int, now_ns: int, *, maker: bool, match_id: int) -> None:
        ledger = self._ledger
        if order.order_type == "LOSSCUT":
            fee = sum(ledger.losscut_fee_uyen(position, part) for position, part in parts)
        else:
            fee = ledger.fee_uyen(order, ticks, lots, maker=maker)
        gain = sum(ledger.loss_gain_uyen(position, ticks, part) for position, part in parts) if order.settles else 0
        number, cumulative = self._next_id(), order.executed + lots
        told_of = self._told_position(order, parts, number)
        execution = Execution(number, order, ticks, lots, fee, now_ns, cumulative, match_id, parts, told_of, gain)
        ledger.book(execution)
        self._book.changes += 1
        if not order.active:
            self._book.remove(order)
        self._on_execution(execution)
        for position, _ in parts:
            self._on_position(position, "OPR" if order.opens else "UPR" if position.lots else "CPR")

    def _told_position(self, order: Order, parts: Parts, execution_id: int) -> int | None:
        """Return the position an execution names: its own, but for what is assumed of bulk closes and of spot."""
        if not order.leverage:
            return {"none": None, "fill": execution_id, "same": SPOT_POSITION}[self._assumptions.spot_position_id]
        unnamed = order.bulk and self._assumptions.bulk_close_fills == "unnamed"
        return None if unnamed else parts[0][0].position_id

    def _end(self, order: Order, status: str, reason: str, news: str) -> None:
        order.status, order.cancel_type = status, reason
        self._book.remove(order)
        released = [settle for settle in order.settles if settle.held]
        self._ledger.hold(order)
        self._on_order(order, news, "")
        self._tell_reserved(released)

    def _tell_reserved(self, settles: list[Settle]) -> None:
        for settle in settles:
            self._on_position(settle.position, "UPR")


def short_of(order: Order) -> str:
    """Return what an order's end is called when its account cannot pay for it."""
    return "INSUFFICIENT_MARGIN" if order.leverage else "INSUFFICIENT_BALANCE"


def _opposite(side: str) -> str:
    return "SELL" if side == "BUY" else "BUY"


def _reaches(ticks: int, order: Order) -> bool:
    """Return whether a trade at a price is at or through a resting order's."""
    return ticks <= order.price if order.side == "BUY" else ticks >= order.price
