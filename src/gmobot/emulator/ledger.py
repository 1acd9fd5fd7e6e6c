"""Accounts: balances in integers, holds for open orders, executions, and the identities between them.

Money moves in exactly one place, :meth:`Ledger.book`. Everything else is derived, and :meth:`Ledger.check`
derives it a second time from the executions alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gmobot.core.instrument import PPM, Instrument, round_fee

ACTIVE = frozenset({"WAITING", "ORDERED", "MODIFYING", "CANCELLING"})


class LedgerBrokenError(AssertionError):
    """The exchange's own books do not add up."""


@dataclass(slots=True, eq=False)
class Execution:
    """One fill of one order.

    Attributes:
        cumulative: Lots of the order executed so far, this fill included.
        match_id: The same number on both sides of a match between customers, 0 against the market.
    """

    execution_id: int
    order: Order
    ticks: int
    lots: int
    fee_uyen: int
    at_ns: int
    cumulative: int
    match_id: int = 0

    @property
    def sign(self) -> int:
        """1 when coins came in, -1 when they went out."""
        return 1 if self.order.side == "BUY" else -1


@dataclass(slots=True, eq=False)
class Order:
    """One order, in the wire's words.

    Attributes:
        price: Ticks; 0 for MARKET.
        visible_ns: From when on queries show it and its fills.
        queue_ahead: Others' lots at its price that came before it.
        held: What it ties up: micro-yen of a BUY, lots of a SELL.
    """

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
    held: int = 0
    executions: list[Execution] = field(default_factory=list)

    @property
    def open_lots(self) -> int:
        """Lots that may still fill."""
        return self.lots - self.executed if self.active else 0

    @property
    def active(self) -> bool:
        """Whether it may still fill."""
        return self.status in ACTIVE


@dataclass(slots=True, eq=False)
class Account:
    """One customer.

    Attributes:
        held_uyen: Micro-yen tied up in open buy orders.
        held_lots: Lots tied up in open sell orders, by symbol.
    """

    name: str
    secret: bytes = field(repr=False)
    jpy_uyen: int
    coins: dict[str, int]
    first_jpy_uyen: int = 0
    first_coins: dict[str, int] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    open_orders: dict[int, Order] = field(default_factory=dict)
    executions: list[Execution] = field(default_factory=list)
    held_uyen: int = 0
    held_lots: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.first_jpy_uyen = self.jpy_uyen
        self.first_coins = dict(self.coins)

    def active(self, symbol: str | None = None) -> list[Order]:
        """Return orders that may still fill, oldest first."""
        return [order for order in self.open_orders.values() if symbol in (None, order.symbol)]

    def free_uyen(self, order: Order | None = None) -> int:
        """Return yen that nothing else ties up; what ``order`` itself holds counts as free."""
        return self.jpy_uyen - self.held_uyen + (order.held if order is not None and order.side == "BUY" else 0)

    def reserved_lots(self, symbol: str) -> int:
        """Return coins that open sell orders tie up."""
        return self.held_lots.get(symbol, 0)

    def free_lots(self, symbol: str) -> int:
        """Return coins that no open sell order ties up."""
        return self.coins.get(symbol, 0) - self.reserved_lots(symbol)


@dataclass(frozen=True, slots=True)
class Terms:
    """What one fill of a symbol costs, worked out once.

    Attributes:
        unit_uyen: Micro-yen of one lot at one tick.
    """

    unit_uyen: int
    maker_ppm: int
    taker_ppm: int


class Ledger:
    """All accounts, and what the rest of the world gave and got.

    Attributes:
        fees_uyen: Fees collected, rebates subtracted.
        market_uyen: Yen that other participants received.
        market_coins: Coins that other participants received.
    """

    def __init__(self, accounts: Mapping[str, Account], instruments: Mapping[str, Instrument], fee_rounding: int) -> None:
        self.accounts = dict(accounts)
        self.fees_uyen = 0
        self.market_uyen = 0
        self.market_coins: dict[str, int] = {}
        self._terms = {symbol: Terms(i.unit_uyen, i.maker_fee_ppm, i.taker_fee_ppm) for symbol, i in instruments.items()}
        self._fee_rounding = fee_rounding

    def fee_uyen(self, symbol: str, ticks: int, lots: int, *, maker: bool) -> int:
        """Return the signed fee of a fill."""
        terms = self._terms[symbol]
        return round_fee(ticks * lots * terms.unit_uyen, terms.maker_ppm if maker else terms.taker_ppm, self._fee_rounding)

    def notional_uyen(self, symbol: str, ticks: int, lots: int) -> int:
        """Return what lots are worth at a price."""
        return ticks * lots * self._terms[symbol].unit_uyen

    def needed(self, order: Order) -> int:
        """Return what an order ties up: lots of a SELL; of a BUY its worth at its price and the taker's fee."""
        if order.side == "SELL":
            return order.open_lots
        notional = self.notional_uyen(order.symbol, order.price, order.open_lots)
        return notional + -(-notional * max(0, self._terms[order.symbol].taker_ppm) // PPM)

    def hold(self, order: Order) -> None:
        """Tie up what an order still needs, and no more."""
        account, now = order.account, self.needed(order)
        change, order.held = now - order.held, now
        if order.side == "BUY":
            account.held_uyen += change
        else:
            account.held_lots[order.symbol] = account.held_lots.get(order.symbol, 0) + change
        if order.active:
            account.open_orders[order.order_id] = order
        else:
            account.open_orders.pop(order.order_id, None)

    def affordable(self, order: Order, ticks: int, lots: int, *, maker: bool) -> int:
        """Return how many of ``lots`` a BUY's account can pay for at a price; a SELL's coins are tied up already."""
        if order.side == "SELL":
            return lots
        free, unit = order.account.free_uyen(order), self.notional_uyen(order.symbol, ticks, 1)
        lots = min(lots, max(0, free // unit + 1))
        while lots > 0 and unit * lots + self.fee_uyen(order.symbol, ticks, lots, maker=maker) > free:
            # One step gets there from above in a moment: the fee is a small share of the notional.
            excess = unit * lots + self.fee_uyen(order.symbol, ticks, lots, maker=maker) - free
            lots -= max(1, excess // (2 * unit))
        return max(0, lots)

    def book(self, execution: Execution) -> None:
        """Move yen and coins for one fill."""
        order, account = execution.order, execution.order.account
        notional = self.notional_uyen(order.symbol, execution.ticks, execution.lots)
        account.jpy_uyen -= execution.sign * notional + execution.fee_uyen
        account.coins[order.symbol] = account.coins.get(order.symbol, 0) + execution.sign * execution.lots
        self.fees_uyen += execution.fee_uyen
        # Between customers the two sides of a match cancel out here.
        self.market_uyen += execution.sign * notional
        self.market_coins[order.symbol] = self.market_coins.get(order.symbol, 0) - execution.sign * execution.lots
        order.executed += execution.lots
        order.executions.append(execution)
        account.executions.append(execution)
        if order.executed == order.lots:
            order.status = "EXECUTED"
        self.hold(order)

    def check(self) -> None:
        """Compare balances, totals, holds and orders with the executions.

        Raises:
            LedgerBrokenError: They do not add up; the text says where.
        """
        for account in self.accounts.values():
            self._check_balances(account)
            self._check_orders(account)
        self._check_totals()

    def _check_balances(self, account: Account) -> None:
        jpy, coins = account.first_jpy_uyen, dict(account.first_coins)
        for execution in account.executions:
            symbol = execution.order.symbol
            jpy -= execution.sign * self.notional_uyen(symbol, execution.ticks, execution.lots) + execution.fee_uyen
            coins[symbol] = coins.get(symbol, 0) + execution.sign * execution.lots
        _same(f"{account.name}: micro-yen", account.jpy_uyen, jpy)
        _same(f"{account.name}: coins", account.coins, coins)
        if account.jpy_uyen < 0 or min(account.coins.values(), default=0) < 0:
            raise LedgerBrokenError(f"{account.name}: below zero: {account.jpy_uyen} micro-yen, {account.coins}")

    def _check_orders(self, account: Account) -> None:
        active = {order.order_id: order for order in account.orders.values() if order.active}
        _same(f"{account.name}: open orders", account.open_orders, active)
        held = sum(self.needed(order) for order in active.values() if order.side == "BUY")
        _same(f"{account.name}: held micro-yen", account.held_uyen, held)
        for symbol in self._terms:
            lots = sum(order.open_lots for order in active.values() if order.side == "SELL" and order.symbol == symbol)
            _same(f"{account.name}: held {symbol}", account.reserved_lots(symbol), lots)
        for order in account.orders.values():
            _same(f"order {order.order_id}: executed", order.executed, sum(e.lots for e in order.executions))
            if order.executed > order.lots or (order.status == "EXECUTED") != (order.executed == order.lots):
                raise LedgerBrokenError(f"order {order.order_id}: {order.executed} of {order.lots} lots executed, status {order.status}")

    def _check_totals(self) -> None:
        accounts = self.accounts.values()
        moved = sum(account.jpy_uyen - account.first_jpy_uyen for account in accounts)
        _same("micro-yen of everybody", moved + self.fees_uyen + self.market_uyen, 0)
        for symbol in self._terms:
            coins = sum(a.coins.get(symbol, 0) - a.first_coins.get(symbol, 0) for a in accounts)
            _same(f"{symbol} of everybody", coins + self.market_coins.get(symbol, 0), 0)
        matches: dict[int, int] = {}
        for account in accounts:
            for execution in account.executions:
                if execution.match_id:
                    matches[execution.match_id] = matches.get(execution.match_id, 0) + execution.sign * execution.lots
        unpaired = [match for match, lots in matches.items() if lots]
        _same("matches between customers with one side only", unpaired, [])


def _same(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise LedgerBrokenError(f"{what}: {found} instead of {expected}")
