"""What the exchange keeps about its customers: accounts, orders, fills, positions and flows of money.

Plain records in integers (micro-yen, lots, ticks) and the wire's words. Only the ledger changes their money,
only the matcher and what stands above it their states.

Source: reference/gmo-coin-api.md §5.7, §5.9, §5.11.
"""

from __future__ import annotations

from dataclasses import dataclass, field

ACTIVE = frozenset({"WAITING", "ORDERED", "MODIFYING", "CANCELLING"})
SIDES = ("BUY", "SELL")


@dataclass(slots=True, eq=False)
class Position:
    """One leverage position: what one fill opened.

    Attributes:
        ticks: Price it was opened at.
        lots: What is left of it.
        reserved: Lots tied up in open close orders, the wire's ``orderdSize``.
        losscut: Ticks at which it is closed by force.
        last_closed: Lots of the latest close.
    """

    position_id: int
    account: Account
    symbol: str
    side: str
    ticks: int
    lots: int
    losscut: int
    at_ns: int
    reserved: int = 0
    last_closed: int = 0

    @property
    def sign(self) -> int:
        """1 for a long position, -1 for a short one."""
        return 1 if self.side == "BUY" else -1

    @property
    def free_lots(self) -> int:
        """Lots that no close order ties up."""
        return self.lots - self.reserved


@dataclass(slots=True, eq=False)
class Settle:
    """A close order's claim on one position.

    Attributes:
        lots: Still to be closed.
        held: Lots of the position it ties up now.
    """

    position: Position
    lots: int
    held: int = 0


@dataclass(slots=True, eq=False)
class Execution:
    """One fill of one order.

    Attributes:
        cumulative: Lots of the order executed so far, this fill included.
        match_id: The same number on both sides of a match between customers, 0 against the market.
        parts: The leverage positions it opened or closed a part of, with the lots of each; none on spot.
        position_id: The position it is told with, if any.
        loss_gain_uyen: Realised profit or loss of a close, before the fee.
    """

    execution_id: int
    order: Order
    ticks: int
    lots: int
    fee_uyen: int
    at_ns: int
    cumulative: int
    match_id: int = 0
    parts: tuple[tuple[Position, int], ...] = ()
    position_id: int | None = None
    loss_gain_uyen: int = 0

    @property
    def sign(self) -> int:
        """1 for a purchase, -1 for a sale."""
        return 1 if self.order.side == "BUY" else -1


@dataclass(slots=True, eq=False)
class Order:
    """One order, in the wire's words.

    Attributes:
        price: Ticks; 0 for MARKET.
        visible_ns: From when on queries show it and its fills.
        queue_ahead: Others' lots at its price that came before it.
        rank: Its place among customers' orders of one price; an amended order gets a new one.
        held: What it ties up: micro-yen, or lots of a spot SELL. A close order ties up positions instead.
        leverage: Whether its symbol is a leverage one.
        losscut: Ticks that positions it opens take as losscut price, 0 for the default.
        settle_type: ``CLOSE`` for one that closes positions, else ``OPEN``; of a spot SELL what is assumed.
        settles: The positions a close order closes, in this order.
        bulk: Whether it named none of them.
        position_gone: A close order that ended because its position was closed by force; streams say ``CLOSED_ORDER``.
        waiting: Lots it counts for against caps: what may still be bought, sold or opened.
        changes: How often its price was changed.
        ended_ns: When it ended, 0 while it is active.
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
    rank: int = 0
    held: int = 0
    leverage: bool = False
    order_type: str = "NORMAL"
    losscut: int = 0
    settle_type: str = "OPEN"
    settles: list[Settle] = field(default_factory=list)
    bulk: bool = False
    position_gone: bool = False
    waiting: int = 0
    changes: int = 0
    ended_ns: int = 0
    executions: list[Execution] = field(default_factory=list)

    @property
    def open_lots(self) -> int:
        """Lots that may still fill."""
        return self.lots - self.executed if self.active else 0

    @property
    def active(self) -> bool:
        """Whether it may still fill."""
        return self.status in ACTIVE

    @property
    def opens(self) -> bool:
        """Whether it opens leverage positions."""
        return self.leverage and not self.settles

    @property
    def holds_yen(self) -> bool:
        """Whether what it ties up is money."""
        return self.opens if self.leverage else self.side == "BUY"


@dataclass(frozen=True, slots=True)
class Flow:
    """Money or coins that came or went other than by a fill.

    Attributes:
        kind: ``deposit``, ``withdrawal`` (from and to the outside), ``transfer`` (from and to the FX account) or
            ``leverage_fee``.
        asset: ``JPY`` or a spot symbol; of a leverage fee ``JPY``.
        amount: Signed: micro-yen, or lots of the symbol; above zero when it came in.
        reference: Transaction hash of coins, the position's symbol of a leverage fee.
        position_id: Of a leverage fee.
    """

    at_ns: int
    kind: str
    asset: str
    amount: int
    reference: str = ""
    position_id: int = 0


@dataclass(slots=True)
class Total:
    """All positions of one account, symbol and side together.

    Attributes:
        cost: Sum of opening price times lots, in ticks times lots.
    """

    lots: int = 0
    cost: int = 0


@dataclass(slots=True, eq=False)
class Account:
    """One customer.

    Attributes:
        held_uyen: Micro-yen tied up in open orders.
        held_lots: Lots tied up in open spot sell orders, by symbol.
        waiting: Open lots of orders that do not close positions, by symbol and side.
        totals: Open positions added up, by symbol and side.
        flows: What came and went other than by fills, oldest first.
        fx_uyen: What lies on the customer's FX account, as far as transfers tell.
        called_until_ns: Deadline of a margin call, 0 without one.
        volumes: Executed yen by week.
        opened_today: Day, and lots executed on it by symbol and side, for the daily caps.
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
    waiting: dict[tuple[str, str], int] = field(default_factory=dict)
    positions: dict[int, Position] = field(default_factory=dict)
    totals: dict[tuple[str, str], Total] = field(default_factory=dict)
    flows: list[Flow] = field(default_factory=list)
    fx_uyen: int = 0
    called_until_ns: int = 0
    volumes: dict[int, int] = field(default_factory=dict)
    opened_today: tuple[int, dict[tuple[str, str], int]] = (0, {})

    def __post_init__(self) -> None:
        self.first_jpy_uyen = self.jpy_uyen
        self.first_coins = dict(self.coins)

    def active(self, symbol: str | None = None) -> list[Order]:
        """Return orders that may still fill, oldest first."""
        return [order for order in self.open_orders.values() if symbol in (None, order.symbol)]

    def reserved_lots(self, symbol: str) -> int:
        """Return coins that open sell orders tie up."""
        return self.held_lots.get(symbol, 0)

    def free_lots(self, symbol: str) -> int:
        """Return coins that no open sell order ties up."""
        return self.coins.get(symbol, 0) - self.held_lots.get(symbol, 0)

    def positions_of(self, symbol: str, side: str | None = None) -> list[Position]:
        """Return open positions of a symbol, oldest first."""
        return [p for p in self.positions.values() if p.symbol == symbol and side in (None, p.side)]
