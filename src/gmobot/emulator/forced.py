"""Positions that are closed by force: at their losscut price, below the account's losscut ratio, after a margin call.

Each becomes a LOSSCUT order into the book. Orders in its way go first: close orders of the position, and the
account's own orders that it would meet. What the book does not take stays, and is tried again when the market moves.

Source: reference/gmo-coin-api.md §6.5, §6.6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.ledger import Ledger
from gmobot.emulator.listing import SymbolMarket
from gmobot.emulator.records import Account, Order, Position, Settle

MakeOrder = Callable[[Position, list[Settle]], Order]


class Forced:
    """Watches positions against the market."""

    def __init__(self, symbols: Mapping[str, SymbolMarket], ledger: Ledger, assumptions: Assumptions, make_order: MakeOrder) -> None:
        self._symbols = symbols
        self._ledger = ledger
        self._assumptions = assumptions
        self._make_order = make_order

    def sweep(self, symbol: str, now_ns: int) -> None:
        """Close what the market of a symbol has made untenable; what that trades may make more of it."""
        if not self._ledger.positions[symbol]:
            return
        tried: set[int] = set()
        while (found := self._untenable(tried)) is not None:
            position, reason = found
            tried.add(position.position_id)
            self.close(position, reason, now_ns)

    def close_all(self, account: Account, reason: str, now_ns: int) -> None:
        """Close everything an account has, after cancelling what would open more."""
        self.cancel_opening(account, reason)
        for position in list(account.positions.values()):
            if position.lots:
                self.close(position, reason, now_ns)

    def cancel_opening(self, account: Account, reason: str) -> None:
        """Cancel the orders of an account that would open positions."""
        for order in [order for order in account.open_orders.values() if order.opens]:
            self._symbols[order.symbol].matcher.cancel(order, reason)

    def close(self, position: Position, reason: str, now_ns: int) -> None:
        """Close one position into the book, as far as there is one."""
        account, matcher = position.account, self._symbols[position.symbol].matcher
        for order in account.active(position.symbol):
            claims = any(settle.position is position for settle in order.settles)
            if claims or (order.side == position.side and order.execution_type == "LIMIT"):
                order.position_gone = claims
                matcher.cancel(order, reason)
        order = self._make_order(position, [Settle(position, position.lots)])
        matcher.accept(order, now_ns)
        matcher.trigger(now_ns)

    def _untenable(self, tried: set[int]) -> tuple[Position, str] | None:
        for positions in self._ledger.positions.values():
            for position in positions.values():
                if position.position_id not in tried and self._reached(position):
                    return position, "POSITION_LOSSCUT"
        for account in self._ledger.accounts.values():
            if account.totals and self._ledger.margins.below(account, self._assumptions.account_losscut_ratio):
                left = [position for position in account.positions.values() if position.position_id not in tried]
                if left:
                    self.cancel_opening(account, "ACCOUNT_LOSSCUT")
                    return left[0], "ACCOUNT_LOSSCUT"
        return None

    def _reached(self, position: Position) -> bool:
        ticks = self._ledger.margins.valuation(position.symbol, position.side)
        return ticks > 0 and (ticks <= position.losscut if position.side == "BUY" else ticks >= position.losscut)
