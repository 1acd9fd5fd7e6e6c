"""What must hold at every step of every seed, seen from the exchange and from the database file, never from the daemon.

The costly sums are made again only when the exchange has told of an order or a fill: nothing else can change
them. Time without protection is added up at every step.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from gmobot.emulator.engine.checks import NewOrder
from gmobot.emulator.engine.exchange import Exchange
from gmobot.emulator.engine.records import Account, Execution, Order
from gmobot.live import emergency
from gmobot.ops.audit_read import verify

UNPROTECTED_SECONDS = 5.0
"""Longest that own lots may lie open by our own doing: every outcome known, no reply awaited, nothing refused."""
TROUBLED_SECONDS = 60.0
"""Longest with slow replies, lost events and unknown outcomes: several in a row, each looked for past both delays."""
STRIKE_SECONDS = 5.0
"""How long after a fault what lies open is still its doing."""


class Violation(AssertionError):
    """An invariant does not hold."""


@dataclass(slots=True)
class Holding:
    """What is ours at the exchange, summed up.

    Attributes:
        lots: Of our position, without a sign.
        covered: Of them, what our own closes would take, or a losscut price carried by their entry.
        opening: What our open entries may still add.
    """

    lots: int = 0
    covered: int = 0
    opening: int = 0


class Ours:
    """Tells what is ours at the exchange from what is somebody else's."""

    def __init__(self, exchange: Exchange, account: Account, symbol: str, foreign_lots: int) -> None:
        self._exchange = exchange
        self._account = account
        self._symbol = symbol
        self._foreign_lots = foreign_lots
        self._leverage = symbol.endswith("_JPY")
        self.foreign_orders: set[int] = set()
        self.foreign_positions: set[int] = set()
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
        """Sum up again if anything happened."""
        if self.dirty:
            self.dirty = False
            self.holding = self._on_leverage() if self._leverage else self._on_spot()
        return self.holding

    def _orders(self) -> list[Order]:
        return [order for order in self._account.open_orders.values() if order.order_id not in self.foreign_orders]

    def _on_spot(self) -> Holding:
        lots = self._account.coins[self._symbol] - self._foreign_lots
        if lots < 0:
            raise Violation(f"sold {-lots} lots that are not ours")
        orders = self._orders()
        covered = sum(order.open_lots for order in orders if order.side == "SELL")
        return Holding(lots, covered, sum(order.open_lots for order in orders if order.side == "BUY"))

    def _on_leverage(self) -> Holding:
        positions = [p for p in self._account.positions.values() if p.lots and p.position_id not in self.foreign_positions]
        if len({position.side for position in positions}) > 1:
            raise Violation("both sides are held")
        orders = self._orders()
        for order in orders:
            if any(settle.held and settle.position.position_id in self.foreign_positions for settle in order.settles):
                raise Violation(f"order {order.order_id} closes a position that is not ours")
        covered = sum(order.open_lots for order in orders if order.settles)
        return Holding(sum(p.lots for p in positions), covered, sum(order.open_lots for order in orders if order.opens))

    def _on_news(self, *news: Any) -> None:
        if news[0] in ("order", "execution", "position"):
            self.dirty = True
        if news[0] == "execution":
            self._take_fill(news[1])

    def _take_fill(self, execution: Execution) -> None:
        if execution.order.order_id not in self.foreign_orders:
            return
        if not self._leverage:
            self._foreign_lots += execution.lots if execution.order.side == "BUY" else -execution.lots
        elif execution.position is not None and not execution.order.settles:
            self.foreign_positions.add(execution.position.position_id)


class State(Protocol):
    """What the world tells of itself; asked only while something lies open."""

    def alive(self) -> bool:
        """Return whether a daemon runs, and the exchange takes orders."""
        ...

    def plain(self) -> bool:
        """Return whether nothing is unknown, nothing is awaited, and no fault has just struck."""
        ...


class Watch:
    """Checks every step and every order."""

    def __init__(self, ours: Ours, exchange: Exchange, database: Path, *, limit_lots: int) -> None:
        self._ours = ours
        self._exchange = exchange
        self._database = database
        self._limit = limit_lots
        self._sent: set[int] = set()
        self._db: sqlite3.Connection | None = None
        self._looked_at = self._open_seconds = self._plain_seconds = 0.0
        self.excess_lots = 0
        """Lots the owner's own hand, or an order that was hidden for too long, added beyond the limit."""

    def step(self, now: float, state: State) -> None:
        """Check what must hold after every step."""
        holding, last = self._ours.refresh(), self._looked_at
        self._looked_at = now
        if holding.lots + holding.opening > self._limit + self.excess_lots:
            raise Violation(f"{holding.lots} lots held and {holding.opening} on the way, the limit is {self._limit}")
        if holding.lots <= holding.covered or not state.alive():
            self._open_seconds = self._plain_seconds = 0.0
            return
        self._open_seconds += now - last
        self._plain_seconds = self._plain_seconds + now - last if state.plain() else 0.0
        if self._plain_seconds > UNPROTECTED_SECONDS or self._open_seconds > TROUBLED_SECONDS:
            bare = holding.lots - holding.covered
            raise Violation(f"{bare} lots unprotected for {self._open_seconds:.1f} s, {self._plain_seconds:.1f} s of it with all known")

    def order(self, new: NewOrder, *, closing: bool) -> None:
        """Check an order that reaches the exchange: a prior intent, sent once, asked for, and not while anything is unknown."""
        rows = self._intents(new, closing=closing)
        fresh = [row for row in rows if row[0] not in self._sent]
        if not rows:
            raise Violation(f"an order without an intent: {new}")
        if not fresh:
            raise Violation(f"intent {rows[-1][0]} was sent twice: {new}")
        intent_id, decision_id, purpose = fresh[-1]
        self._sent.add(intent_id)
        if purpose != "entry":
            return
        db = self._read()
        unknown = db.execute(
            "SELECT COUNT(*) FROM intents WHERE state IN ('intent', 'unknown') AND intent_id <> ?", (intent_id,)
        ).fetchone()[0]
        if unknown:
            raise Violation(f"an entry while {unknown} outcomes are unknown: {new}")
        if db.execute("SELECT 1 FROM latches WHERE name IN ('halt', 'pause', 'close')").fetchone():
            raise Violation(f"an entry after a halt: {new}")
        sign = 1 if new.side == "BUY" else -1
        asked = db.execute(
            "SELECT COUNT(*) FROM journal WHERE seq > (SELECT MAX(seq) - 60 FROM journal) AND kind = 'bar' "
            "AND json_extract(payload, '$.bar.open_time') = ? AND json_extract(payload, '$.desired.action') = ?",
            (decision_id, sign),
        ).fetchone()[0]
        if not asked:
            raise Violation(f"an entry that no decision asked for: {new}")

    def forget_connection(self) -> None:
        """The file is about to be replaced."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _intents(self, new: NewOrder, *, closing: bool) -> list[tuple[int, int, str]]:
        """Return the intents that this order may be, as number, decision and purpose: from the database, or from where they
        go while it cannot be written.
        """
        instrument = self._exchange.instruments[new.symbol]
        wanted: dict[str, object] = {
            "symbol": new.symbol,
            "side": new.side,
            "type": new.execution_type,
            "lots": instrument.lots(new.size),
            "price": instrument.ticks(new.price or Decimal(0)),
            "settle": "CLOSE" if closing else "OPEN",
        }
        condition = " AND ".join(f"{name} = ?" for name in wanted)
        query = f"SELECT intent_id, decision_id, purpose FROM intents WHERE state = 'intent' AND {condition}"
        found = self._read().execute(query, tuple(wanted.values())).fetchall()
        for _, batch in emergency.read(self._database.with_name(emergency.NAME)):
            for sql, values in batch:
                if sql.startswith("INSERT INTO intents"):
                    columns = sql[sql.index("(") + 1 : sql.index(")")].split(", ")
                    row: dict[str, Any] = dict(zip(columns, values, strict=True))
                    if all(row[name] == value for name, value in wanted.items()):
                        found.append((row["intent_id"], row["decision_id"], row["purpose"]))
        return found

    def _read(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = sqlite3.connect(f"file:{self._database}?mode=ro", uri=True, isolation_level=None)
        return self._db


def check_end(exchange: Exchange, account: Account, ours: Ours, var: Path, by_hand: frozenset[int]) -> None:
    """After a quiet time, a clean stop and a last look, our books must be the exchange's, to the unit."""
    exchange.check()
    with closing(sqlite3.connect(var / "state" / "gmobot.db")) as db:
        fills = {row[0]: row[1:] for row in db.execute("SELECT execution_id, order_id, lots, ticks, fee_uyen FROM fills")}
        unresolved = db.execute("SELECT intent_id, state FROM intents WHERE state IN ('intent', 'unknown')").fetchall()
        live = {row[0] for row in db.execute("SELECT order_id FROM intents WHERE state IN ('acknowledged', 'working')")}
        known = {row[0] for row in db.execute("SELECT order_id FROM intents WHERE order_id IS NOT NULL AND purpose <> 'forced'")}
        forced = {row[0] for row in db.execute("SELECT order_id FROM intents WHERE purpose = 'forced'")}
        foreign = {row[0] for row in db.execute("SELECT order_id FROM foreign_orders")} - forced
        lots, cash, reported = db.execute(
            "SELECT json_extract(record, '$.position'), json_extract(record, '$.cash_uyen'), json_extract(record, '$.reported_uyen') "
            "FROM ledgers"
        ).fetchone() or (0, 0, 0)
        base = db.execute("SELECT value FROM account WHERE key = 'base_cash'").fetchone()
        halted = db.execute("SELECT reason FROM latches WHERE name = 'halt'").fetchone()
    executed = {e.execution_id: (e.order.order_id, e.lots, e.ticks, e.fee_uyen) for e in account.executions if _is_ours(e, ours, forced)}
    sent = {order_id for order_id, order in account.orders.items() if order_id not in by_hand and order.order_type != "LOSSCUT"}
    yen = reported if account.positions or (exchange.symbols and any(s.endswith("_JPY") for s in exchange.symbols)) else cash
    # An order that ended without a fill before anybody could see it cannot be told from one that never arrived.
    lost = {order_id for order_id in sent - known if account.orders[order_id].executed or account.orders[order_id].active}
    problems = {
        f"fills differ from executions: {set(fills.items()) ^ set(executed.items())}": fills != executed,
        f"unresolved intents {unresolved}": bool(unresolved),
        f"orders without an owner {lost}": bool(lost),
        f"owned orders that are not there {known - sent}": bool(known - sent),
        f"open orders differ {live}": {order.order_id for order in account.active() if order.order_id not in by_hand} != live,
        f"ours taken for foreign {foreign & sent}": bool(foreign & sent),
        f"halted {halted}": halted is not None,
        f"position differs: {lots} of {ours.signed}": lots != ours.signed,
        f"cash differs by {0 if base is None else base[0] + yen - account.jpy_uyen} uyen": base is None
        or base[0] + yen != account.jpy_uyen,
    }
    verdict = verify(var / "logs")
    problems[f"audit: {verdict.problem}"] = not verdict.ok
    for problem, holds in problems.items():
        if holds:
            raise Violation(problem)


def _is_ours(execution: Execution, ours: Ours, forced: set[int]) -> bool:
    """Whether a fill belongs into our books: of our order, or of anybody's that closed our position."""
    order = execution.order
    if order.settles and execution.position is not None:
        return execution.position.position_id not in ours.foreign_positions
    return order.order_id not in ours.foreign_orders or order.order_id in forced
