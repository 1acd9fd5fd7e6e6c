"""Does the database hold together: SQLite's own check, and our identities on top of it."""

from __future__ import annotations

import json
import sqlite3

_FEWER = "SELECT i.intent_id, i.executed_lots, SUM(f.lots) FROM fills AS f JOIN intents AS i USING (intent_id) GROUP BY i.intent_id"
_HELD = "SELECT symbol, SUM(CASE side WHEN 'BUY' THEN lots ELSE -lots END), COUNT(*) FROM fills GROUP BY symbol"


def check(db: sqlite3.Connection) -> str | None:
    """Return what is wrong with a database of today's schema, in a few words, or ``None``.

    A damaged file can show itself as any of SQLite's errors: they are answers here.
    """
    try:
        return _file(db) or _fills_and_orders(db) or _ledgers(db)
    except sqlite3.DatabaseError as error:
        return f"it is damaged ({error})"


def _file(db: sqlite3.Connection) -> str | None:
    answer = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if answer != "ok":
        return f"it is damaged ({answer})"
    broken = db.execute("PRAGMA foreign_key_check").fetchone()
    return f"a row of {broken[0]} points nowhere" if broken else None


def _fills_and_orders(db: sqlite3.Connection) -> str | None:
    for intent_id, executed, booked in db.execute(_FEWER):
        if executed != booked:
            return f"order {intent_id} has {executed} lots executed and {booked} booked"
    return None


def _ledgers(db: sqlite3.Connection) -> str | None:
    ledgers = {symbol: json.loads(record) for symbol, record in db.execute("SELECT symbol, record FROM ledgers")}
    for symbol, lots, fills in db.execute(_HELD):
        if symbol not in ledgers:
            return f"{symbol} has {fills} fills and no ledger"
        if ledgers[symbol]["position"] != lots:
            return f"the ledger of {symbol} holds {ledgers[symbol]['position']} lots and its fills add up to {lots}"
    return None
