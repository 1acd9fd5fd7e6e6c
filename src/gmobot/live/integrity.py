"""Does the database hold together: SQLite's own check, and our identities on top of it."""

from __future__ import annotations

import json
import sqlite3
from decimal import Decimal

from gmobot.core.instrument import UYEN_PER_YEN

_FEWER = """
SELECT i.intent_id, i.executed_lots, COALESCE(SUM(f.lots), 0) FROM intents AS i LEFT JOIN fills AS f USING (intent_id)
GROUP BY i.intent_id HAVING i.executed_lots <> COALESCE(SUM(f.lots), 0)
"""
_HELD = "SELECT symbol, SUM(CASE side WHEN 'BUY' THEN lots ELSE -lots END), COUNT(*) FROM fills GROUP BY symbol"


def check(db: sqlite3.Connection) -> str | None:
    """Return what is wrong with a database of today's schema, in a few words, or ``None``.

    A damaged file can show itself as any of SQLite's errors: they are answers here.
    """
    try:
        return _file(db) or _fills_and_orders(db) or _ledgers(db) or _yen(db)
    except (sqlite3.DatabaseError, ValueError, KeyError) as error:
        return f"it is damaged ({error})"


def _file(db: sqlite3.Connection) -> str | None:
    answer = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if answer != "ok":
        return f"it is damaged ({answer})"
    broken = db.execute("PRAGMA foreign_key_check").fetchone()
    return f"a row of {broken[0]} points nowhere" if broken else None


def _fills_and_orders(db: sqlite3.Connection) -> str | None:
    wrong = db.execute(_FEWER).fetchone()
    return f"order {wrong[0]} has {wrong[1]} lots executed and {wrong[2]} booked" if wrong else None


def _ledgers(db: sqlite3.Connection) -> str | None:
    ledgers = {symbol: json.loads(record) for symbol, record in db.execute("SELECT symbol, record FROM ledgers")}
    for symbol, lots, fills in db.execute(_HELD):
        if symbol not in ledgers:
            return f"{symbol} has {fills} fills and no ledger"
        if ledgers[symbol]["position"] != lots:
            return f"the ledger of {symbol} holds {ledgers[symbol]['position']} lots and its fills add up to {lots}"
    return None


def _yen(db: sqlite3.Connection) -> str | None:
    """Add up what every fill on spot did to our yen. On leverage other things than fills move the ledger."""
    units = _units(db)
    spent = dict.fromkeys(units, 0)
    for symbol, side, lots, ticks, fee_uyen in db.execute("SELECT symbol, side, lots, ticks, fee_uyen FROM fills"):
        if symbol in units:
            spent[symbol] += lots * ticks * units[symbol] * (1 if side == "BUY" else -1) + fee_uyen
    for symbol, record in db.execute("SELECT symbol, record FROM ledgers"):
        cash = json.loads(record).get("cash_uyen", 0)
        if symbol in units and cash != -spent[symbol]:
            return f"the ledger of {symbol} says {cash} micro-yen and its fills add up to {-spent[symbol]}"
    return None


def _units(db: sqlite3.Connection) -> dict[str, int]:
    """Return what a lot times a tick of each spot symbol is in micro-yen, as far as it never changed."""
    found: dict[str, set[Decimal]] = {}
    scale = "json_extract(payload, '$.tick_size') AS tick, json_extract(payload, '$.size_step') AS step"
    query = f"SELECT DISTINCT symbol, {scale} FROM journal WHERE kind = 'start' AND tick <> '' AND step <> ''"  # noqa: S608  # our own words
    for symbol, tick, step in db.execute(query):
        found.setdefault(symbol, set()).add(Decimal(tick) * Decimal(step) * UYEN_PER_YEN)
    return {symbol: int(units.pop()) for symbol, units in found.items() if len(units) == 1 and not symbol.endswith("_JPY")}
