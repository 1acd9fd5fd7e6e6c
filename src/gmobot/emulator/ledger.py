"""Accounts: balances in integers, orders, executions, and the identities that must hold between them."""

from __future__ import annotations

from dataclasses import dataclass, field

from gmobot.core.instrument import Instrument


class LedgerBrokenError(AssertionError):
    """The exchange's own books do not add up."""


@dataclass(slots=True, eq=False)
class Execution:
    """One fill."""

    execution_id: int
    order: Order
    ticks: int
    lots: int
    fee_uyen: int
    at_ns: int


@dataclass(slots=True, eq=False)
class Order:
    """One order, in the wire's words. Prices are ticks, sizes lots."""

    order_id: int
    account: Account
    symbol: str
    side: str
    execution_type: str
    time_in_force: str
    lots: int
    price: int
    at_ns: int
    visible_ns: int
    status: str = "ORDERED"
    cancel_type: str | None = None
    executed: int = 0
    queue_ahead: int = 0
    executions: list[Execution] = field(default_factory=list)

    @property
    def open_lots(self) -> int:
        """Lots that may still fill."""
        return self.lots - self.executed if self.active else 0

    @property
    def active(self) -> bool:
        """Whether it may still fill."""
        return self.status in ("WAITING", "ORDERED", "MODIFYING", "CANCELLING")


@dataclass(slots=True, eq=False)
class Account:
    """One customer."""

    name: str
    secret: bytes
    jpy_uyen: int
    coins: dict[str, int]
    first_jpy_uyen: int = 0
    first_coins: dict[str, int] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    executions: list[Execution] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.first_jpy_uyen = self.jpy_uyen
        self.first_coins = dict(self.coins)

    def active(self, symbol: str | None = None) -> list[Order]:
        """Return orders that may still fill, oldest first."""
        return [order for order in self.orders.values() if order.active and symbol in (None, order.symbol)]

    def reserved_lots(self, symbol: str) -> int:
        """Return coins tied up in open sell orders."""
        return sum(order.open_lots for order in self.active(symbol) if order.side == "SELL")

    def reserved_uyen(self, instruments: dict[str, Instrument]) -> int:
        """Return yen tied up in open buy orders, at their prices."""
        return sum(instruments[o.symbol].notional_uyen(o.price, o.open_lots) for o in self.active() if o.side == "BUY")

    def book(self, execution: Execution, instrument: Instrument) -> None:
        """Move yen and coins for one fill."""
        order = execution.order
        notional = instrument.notional_uyen(execution.ticks, execution.lots)
        sign = 1 if order.side == "BUY" else -1
        self.jpy_uyen -= sign * notional + execution.fee_uyen
        self.coins[order.symbol] = self.coins.get(order.symbol, 0) + sign * execution.lots
        order.executed += execution.lots
        order.executions.append(execution)
        self.executions.append(execution)

    def check(self, instruments: dict[str, Instrument]) -> None:
        """Compare balances with everything that moved them.

        Raises:
            LedgerBrokenError: They differ, or something is below zero or over-filled.
        """
        jpy, coins = self.first_jpy_uyen, dict(self.first_coins)
        for execution in self.executions:
            order = execution.order
            sign = 1 if order.side == "BUY" else -1
            jpy -= sign * instruments[order.symbol].notional_uyen(execution.ticks, execution.lots) + execution.fee_uyen
            coins[order.symbol] = coins.get(order.symbol, 0) + sign * execution.lots
        if jpy != self.jpy_uyen or coins != self.coins:
            raise LedgerBrokenError(
                f"{self.name}: balances {self.jpy_uyen}, {self.coins} are not what executions make them: {jpy}, {coins}"
            )
        for order in self.orders.values():
            if order.executed != sum(execution.lots for execution in order.executions) or order.executed > order.lots:
                raise LedgerBrokenError(f"order {order.order_id}: {order.executed} of {order.lots} lots executed")
        if min(self.coins.values(), default=0) < 0:
            raise LedgerBrokenError(f"{self.name}: coins below zero: {self.coins}")
