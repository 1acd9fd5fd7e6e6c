"""What the daemon has on its disk: the database, read by another connection, and the journal that stands in for it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

from gmobot.core.instrument import Instrument
from gmobot.core.records import BAR_LATE
from gmobot.emulator.engine.checks import NewOrder
from gmobot.live import emergency

ABORTS = frozenset({"max_drawdown_exceeded", "max_trade_loss_exceeded"})
"""Why a guard halts."""


class Prior(NamedTuple):
    """An intent that an order may be."""

    intent_id: int
    decision_id: int
    purpose: str


class Booked(NamedTuple):
    """A row of the fills."""

    order_id: int
    symbol: str
    side: str
    lots: int
    ticks: int
    fee_uyen: int
    realized_uyen: int


class Prices(NamedTuple):
    """What the last decision of a symbol wants held, and at which prices it is to end, in ticks, 0 for none."""

    decision_id: int
    target: int
    stop: int
    take_profit: int


class Evidence:
    """Reads what is on the disk, and knows what an operator was promised. Nothing here asks the daemon.

    Attributes:
        commanded: Commands that the daemon called done, until one that takes them back: they hold whatever the file says, over
            kills, too.
    """

    def __init__(self, database: Path, *, close_on_abort: bool = False) -> None:
        self.database = database
        self._close_on_abort = close_on_abort
        self.commanded: set[str] = set()
        self._db: sqlite3.Connection | None = None

    def forget_connection(self) -> None:
        """The file is about to be replaced, or removed."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def priors(self, new: NewOrder, instrument: Instrument, *, closing: bool) -> list[Prior]:
        """Return the intents that an order may be, from the database, and from where they go while it cannot be written."""
        wanted: dict[str, object] = {
            "symbol": new.symbol,
            "side": new.side,
            "type": new.execution_type,
            "lots": instrument.lots(new.size),
            "price": instrument.ticks(new.price) if new.price is not None else 0,
            "settle": "CLOSE" if closing else "OPEN",
        }
        condition = " AND ".join(f"{name} = ?" for name in wanted)
        query = f"SELECT intent_id, decision_id, purpose FROM intents WHERE state = 'intent' AND {condition}"
        found = [Prior(*row) for row in self._all(query, *wanted.values())]
        for sql, values in self._emergency():
            if sql.startswith("INSERT INTO intents"):
                row = _row(sql, values)
                if all(row[name] == value for name, value in wanted.items()):
                    found.append(Prior(row["intent_id"], row["decision_id"], row["purpose"]))
        return found

    def amends(self, order_id: int, ticks: int) -> bool:
        """Return whether it is written down that an order is being moved to a price."""
        if self._all("SELECT 1 FROM intents WHERE order_id = ? AND amending_to = ?", order_id, ticks):
            return True
        return any(sql.startswith("UPDATE intents") and values[2] == ticks and values[3] == order_id for sql, values in self._emergency())

    def unknown(self) -> set[int]:
        """Return the intents whose outcome is not known, of any symbol."""
        return {row[0] for row in self._all("SELECT intent_id FROM intents WHERE state IN ('intent', 'unknown')")}

    def unresolved(self) -> bool:
        """Return whether what a dead process left behind has orders whose outcome nobody knows."""
        try:
            return bool(self.unknown()) or any(sql.startswith("INSERT INTO intents") for sql, _ in self._emergency())
        except sqlite3.OperationalError:
            # It died before there was anything to read.
            return False

    def latched(self) -> str:
        """Return what forbids new exposure, a command or what the file says, empty for nothing."""
        if self.commanded:
            return min(self.commanded)
        rows = self._all("SELECT name FROM latches WHERE name IN ('halt', 'pause', 'close')")
        return str(rows[0][0]) if rows else ""

    def latches(self) -> dict[str, str]:
        """Return what is latched, and why."""
        return dict(self._all("SELECT name, reason FROM latches"))

    def wanted(self, symbol: str) -> int | None:
        """Return the lots that the last decision wants held, ``None`` before the first.

        None of them while everything is to go: by command, or because a guard has aborted and an abort closes. The halt alone says
        that, whether or not the close was latched with it.
        """
        latched = self.latches()
        if "flatten" in self.commanded or "close" in latched or (self._close_on_abort and latched.get("halt") in ABORTS):
            return 0
        rows = self._all("SELECT json_extract(desired, '$.target') FROM engines WHERE symbol = ?", symbol)
        return int(rows[0][0]) if rows else None

    def prices(self, symbol: str) -> Prices | None:
        """Return what the last decision wants, ``None`` before the first."""
        rows = self._all("SELECT desired FROM engines WHERE symbol = ?", symbol)
        return Prices(*(json.loads(rows[0][0])[name] for name in Prices._fields)) if rows else None

    def asked(self, symbol: str, decision_id: int, sign: int) -> bool:
        """Return whether the bar of a symbol's decision was journaled lately, came in time and brought a desire in a direction."""
        query = (
            "SELECT 1 FROM (SELECT kind, payload FROM journal WHERE symbol = ? ORDER BY seq DESC LIMIT 60) WHERE kind = 'bar' "
            "AND json_extract(payload, '$.bar.open_time') = ? AND json_extract(payload, '$.desired.action') = ? "
            "AND json_extract(payload, '$.bar.flags') & ? = 0"
        )
        return bool(self._all(query, symbol, decision_id, sign, BAR_LATE))

    def account(self) -> dict[str, int]:
        """Return the account-wide numbers, by name."""
        return dict(self._all("SELECT key, value FROM account"))

    def capital_uyen(self) -> int:
        """Return the yen that no trade of ours brought, as far as it is booked, 0 before the first look at them."""
        rows = self._all("SELECT value FROM account WHERE key = 'base_cash'")
        return int(rows[0][0]) if rows else 0

    def fills(self) -> int:
        """Return how many fills are booked."""
        return int(self._all("SELECT COUNT(*) FROM fills")[0][0])

    def booked(self) -> dict[int, Booked]:
        """Return what is booked, by number of the execution."""
        rows = self._all("SELECT execution_id, order_id, symbol, side, lots, ticks, fee_uyen, realized_uyen FROM fills")
        return {row[0]: Booked(*row[1:]) for row in rows}

    def forced(self) -> set[int]:
        """Return orders that were taken for closes of our position by somebody else."""
        return {row[0] for row in self._all("SELECT order_id FROM intents WHERE purpose = 'forced'")}

    def ledgers(self) -> dict[str, dict[str, int]]:
        """Return each symbol's ledger; of some none before their first fill."""
        return {symbol: json.loads(record) for symbol, record in self._all("SELECT symbol, record FROM ledgers")}

    def _emergency(self) -> list[tuple[str, tuple[Any, ...]]]:
        """Return what is written down beside the database, and is not in it."""
        records = emergency.read(self.database.with_name(emergency.NAME))
        merged = self._all("SELECT merged FROM emergency")[0][0] if records else 0
        return [statement for number, batch in records if number > merged for statement in batch]

    def _all(self, sql: str, *values: object) -> list[Any]:
        if self._db is None:
            self._db = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, isolation_level=None)
        return self._db.execute(sql, values).fetchall()


def _row(sql: str, values: tuple[Any, ...]) -> dict[str, Any]:
    columns = sql[sql.index("(") + 1 : sql.index(")")].split(", ")
    return dict(zip(columns, values, strict=True))
