"""Letting go of what is too old, a few rows at a time: a writer that is busy longer would keep an exit waiting.

Fills are kept for good, and with them everything that explains them: the order, the bar it was decided at, what was
said about it, and how the core began. The rest of the journal, orders that never filled, other people's orders and
runs of which nothing is left go once they are older than the retention. Of the audit outbox the latest are kept, and
what somebody has yet to be told of.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from gmobot.clock import NS_PER_SECOND
from gmobot.live.intents import IntentState
from gmobot.ops.notices import TABLE

AT_ONCE = 100
"""Rows that are looked at in one table: a few milliseconds."""
OUTBOX_KEPT = 20_000
"""Audit events that are kept after they are in the log file."""
_UNTOLD_NS = 7 * 86_400 * NS_PER_SECOND
"""How long one is kept that somebody has yet to be told of; later it is no news."""
_TOLD_OF = ", ".join(f"'{name}'" for name in TABLE)
_FINAL = ", ".join(f"'{state.value}'" for state in IntentState if state.is_final)


class _Kind(NamedTuple):
    """A table that is gone through from its beginning, in the order of its key.

    Attributes:
        old: Condition that holds of rows before the moment; they come first.
        idle: Condition under which such a row explains nothing.
    """

    table: str
    key: str
    old: str
    idle: str


_KINDS = (
    _Kind(
        "journal",
        "seq",
        "at_ns < :before",
        "kind <> 'start' "
        "AND NOT (kind = 'bar' AND EXISTS (SELECT 1 FROM intents AS i "
        "WHERE i.symbol = journal.symbol AND i.decision_id = journal.ref AND i.executed_lots > 0)) "
        "AND NOT (kind <> 'bar' AND EXISTS (SELECT 1 FROM intents AS i WHERE i.intent_id = journal.ref AND i.executed_lots > 0))",
    ),
    _Kind(
        "intents",
        "intent_id",
        "updated_ns < :before",
        f"executed_lots = 0 AND state IN ({_FINAL}) AND NOT EXISTS (SELECT 1 FROM fills AS f WHERE f.intent_id = intents.intent_id)",  # noqa: S608  # our own words
    ),
    _Kind("foreign_orders", "order_id", "seen_ns < :before", "TRUE"),
    _Kind(
        "runs",
        "rowid",
        "started_ns < :before",
        "run_id <> (SELECT run_id FROM runs ORDER BY started_ns DESC LIMIT 1) "
        "AND NOT EXISTS (SELECT 1 FROM journal AS j WHERE j.run_id = runs.run_id)",
    ),
)


class Pruner:
    """Goes through the tables once per life, and on from there: what is kept is not looked at again and again."""

    def __init__(self) -> None:
        self._past: dict[str, int] = {}

    def prune(self, db: sqlite3.Connection, before_ns: int, *, copied: int) -> int:
        """Look at a few rows of each table.

        Args:
            db: The database.
            before_ns: What is older may go.
            copied: Number of the last audit event that is in the log file.

        Returns:
            How many rows were looked at; 0 when nothing old is left.

        Raises:
            sqlite3.Error: It cannot be written.
        """
        newest = "SELECT ts_ns FROM audit ORDER BY seq DESC LIMIT 1"
        untold = f"seq > (SELECT MIN(seq) FROM notified) AND event IN ({_TOLD_OF}) AND ts_ns > ({newest}) - :kept"  # noqa: S608  # ours
        told = f"SELECT seq FROM audit WHERE seq <= :last AND ({untold}) IS NOT TRUE ORDER BY seq LIMIT :most"  # noqa: S608  # ours
        past = dict(self._past)
        with db:
            db.execute("BEGIN IMMEDIATE")
            values = {"last": copied - OUTBOX_KEPT, "most": AT_ONCE, "kept": _UNTOLD_NS}
            looked = db.execute(f"DELETE FROM audit WHERE seq IN ({told})", values).rowcount  # noqa: S608  # ours
            looked += sum(self._look(db, kind, past, before_ns) for kind in _KINDS)
        self._past = past
        return looked

    @staticmethod
    def _look(db: sqlite3.Connection, kind: _Kind, past: dict[str, int], before_ns: int) -> int:
        table, key = kind.table, kind.key
        values = {"past": past.get(table, -1 << 63), "before": before_ns, "most": AT_ONCE}
        next_rows = f"SELECT {key} AS number, {kind.old} AS is_old FROM {table} WHERE {key} > :past ORDER BY {key} LIMIT :most"  # noqa: S608
        rows = db.execute(next_rows, values).fetchall()
        fresh = next((place for place, row in enumerate(rows) if not row[1]), len(rows))
        if not fresh:
            return 0
        values["last"] = rows[fresh - 1][0]
        db.execute(f"DELETE FROM {table} WHERE {key} > :past AND {key} <= :last AND {kind.idle}", values)  # noqa: S608
        past[table] = values["last"]
        return fresh
