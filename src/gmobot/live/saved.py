"""What a restart needs of what the last run left, read from the database in one go."""

from __future__ import annotations

import json
import sqlite3
from itertools import groupby
from typing import Any

import msgspec

from gmobot.live.intents import Intent, IntentState, Latch
from gmobot.live.positions import Piece, Pieces
from gmobot.live.recent import MOST
from gmobot.live.records import EngineRow
from gmobot.venue.models import Side

ABSENT = "absent: not found after the visibility delay"
"""Detail of an intent whose absence was concluded."""
ABSENT_KEPT = 100
_FINAL = ", ".join(f"'{state.value}'" for state in IntentState if state.is_final)
_OPEN = f"SELECT * FROM intents WHERE state NOT IN ({_FINAL}) ORDER BY intent_id"  # noqa: S608  # our own words
_ABSENT = "SELECT * FROM (SELECT * FROM intents WHERE state = 'rejected' AND detail = ? ORDER BY intent_id DESC LIMIT ?) ORDER BY intent_id"
_PIECES = """
SELECT f.symbol, CASE WHEN (i.purpose = 'entry') = (f.side = 'BUY') THEN 'BUY' ELSE 'SELL' END AS held, f.position_id,
    SUM(CASE WHEN i.purpose = 'entry' THEN f.lots ELSE -f.lots END) AS net, MAX(i.losscut)
FROM fills AS f JOIN intents AS i USING (intent_id) WHERE substr(f.symbol, -4) = '_JPY'
GROUP BY f.symbol, held, f.position_id HAVING net <> 0 ORDER BY f.symbol, held, f.position_id
"""
_USED = """
SELECT symbol, decision_id, SUM(lots) FROM intents AS i WHERE purpose = 'entry' AND decision_id =
    (SELECT MAX(decision_id) FROM intents WHERE purpose = 'entry' AND symbol = i.symbol) GROUP BY symbol, decision_id
"""
_UNFINISHED = "SELECT run_id FROM (SELECT run_id, ended_ns FROM runs ORDER BY started_ns DESC LIMIT 1) WHERE ended_ns IS NULL"


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a restart needs."""

    open_intents: list[Intent]
    absent_intents: list[Intent]
    ledgers: dict[str, dict[str, int]]
    account: dict[str, int]
    engines: dict[str, EngineRow]
    latches: dict[Latch, str]
    foreign_orders: list[int]
    known_orders: list[int]
    known_executions: list[int]
    known_flows: set[str]
    used_decisions: set[tuple[str, int, int]]
    pieces: list[Piece]
    counts: dict[str, int]
    unfinished_run: str | None
    restored_from: str | None


def load(db: sqlite3.Connection) -> Saved:
    """Read it."""
    engines = [msgspec.convert(row, EngineRow) for row in _rows(db, "SELECT * FROM engines")]
    unfinished, restored = db.execute(_UNFINISHED).fetchone(), db.execute("SELECT source FROM restored").fetchone()
    return Saved(
        open_intents=[msgspec.convert(row, Intent) for row in _rows(db, _OPEN)],
        absent_intents=[msgspec.convert(row, Intent) for row in _rows(db, _ABSENT, ABSENT, ABSENT_KEPT)],
        ledgers={row[0]: json.loads(row[1]) for row in db.execute("SELECT symbol, record FROM ledgers")},
        account={row[0]: row[1] for row in db.execute("SELECT key, value FROM account")},
        engines={engine.symbol: engine for engine in engines},
        latches={Latch(row[0]): row[1] for row in db.execute("SELECT name, reason FROM latches")},
        foreign_orders=_latest(db, "foreign_orders", "order_id", "seen_ns"),
        known_orders=_latest(db, "intents", "order_id", "intent_id"),
        known_executions=_latest(db, "fills", "execution_id", "booked_ns"),
        known_flows={row[0] for row in db.execute("SELECT key FROM cash_flows")},
        used_decisions={(row[0], row[1], row[2]) for row in db.execute(_USED)},
        pieces=_pieces(db),
        counts={
            # Those that never filled are let go after a while; numbers are given once.
            "orders": db.execute("SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = 'intents'").fetchone()[0],
            "fills": db.execute("SELECT COUNT(*) FROM fills").fetchone()[0],
        },
        unfinished_run=unfinished[0] if unfinished else None,
        restored_from=restored[0] if restored else None,
    )


def _pieces(db: sqlite3.Connection) -> list[Piece]:
    """Return our leverage positions: what entries opened, less what closes took, those that did not name it included."""
    found: list[Piece] = []
    for (symbol, side), rows in groupby(db.execute(_PIECES), key=lambda row: (row[0], row[1])):
        pieces, beyond = Pieces(symbol), 0
        for _, _, position_id, lots, losscut in rows:
            if lots > 0:
                pieces.opened(position_id, Side(side), lots, losscut)
            else:
                beyond -= lots
        pieces.closed(None, beyond)
        found += pieces.known
    return found


def _latest(db: sqlite3.Connection, table: str, number: str, order: str) -> list[int]:
    """Return the latest numbers of a table, oldest first."""
    query = f"SELECT {number} FROM {table} WHERE {number} IS NOT NULL ORDER BY {order} DESC LIMIT ?"  # noqa: S608  # our own words
    return [row[0] for row in db.execute(query, (MOST,))][::-1]


def _rows(db: sqlite3.Connection, query: str, *values: object) -> list[dict[str, Any]]:
    cursor = db.execute(query, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]
