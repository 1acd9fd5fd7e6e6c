"""Positions that are closed by force: at their losscut price, below the account's losscut ratio, after a margin call.

Each becomes a LOSSCUT order into the book. Orders in its way go first: close orders of the position, and the
account's own orders that it would meet. What the book does not take stays, and is tried again when the market moves.

Source: reference/gmo-coin-api.md §6.5, §6.6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.engine.ledger import Ledger
from gmobot.emulator.engine.listing import SymbolMarket
from gmobot.emulator.engine.records import Account, Order, Position, Settle

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
        while True:
            if (position := self._reached(tried)) is not None:
                tried.add(position.position_id)
                self.close(position, "POSITION_LOSSCUT", now_ns)
            elif (account := self._sunk(tried)) is not None:
                tried.update(account.positions)
                self.close_all(account, "ACCOUNT_LOSSCUT", now_ns)
            else:
                return

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

    def _reached(self, tried: set[int]) -> Position | None:
        """Return a position whose losscut price the market has reached."""
        value = self._ledger.margins.valuation
        for symbol, positions in self._ledger.positions.items():
            if not positions:
                continue
            long_at, short_at = value(symbol, "BUY"), value(symbol, "SELL")
            for position in positions.values():
                cut = position.losscut
                reached = 0 < long_at <= cut if position.side == "BUY" else short_at >= cut
                if reached and position.position_id not in tried:
                    return position
        return None

    def _sunk(self, tried: set[int]) -> Account | None:
        """Return an account below the ratio at which all its positions go."""
        below, ratio = self._ledger.margins.below, self._assumptions.account_losscut_ratio
        for account in self._ledger.accounts.values():
            if account.totals and not tried.issuperset(account.positions) and below(account, ratio):
                return account
        return None
