"""A backup is put in the place of the database, and told what has happened since: the audit log knows.

Fills since the backup are found again at the exchange, by the ids of the orders they belong to. GMO Coin knows no
order id of ours, so the orders themselves must be known: those that were sent after the backup are taken from the
audit log. What was latched since is not: the next start is halted until a person has looked.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from gmobot.config import DATABASE
from gmobot.errors import StoreError
from gmobot.live import emergency, schema, statements
from gmobot.live.integrity import check
from gmobot.live.intents import Intent, IntentState, Purpose
from gmobot.live.recording import Start
from gmobot.ops.audit_read import events
from gmobot.venue.models import OrderType, Settle, Side, TimeInForce

_FRESH = ".restoring.db"


@dataclass(frozen=True, slots=True)
class PutBack:
    """What a restore did.

    Attributes:
        aside: Where the replaced database is kept, ``None`` when there was none.
        orders: Orders sent since the backup that were taken from the audit log.
        unreadable: Such orders of symbols whose tick and lot the backup does not know: the exchange will call them foreign.
    """

    aside: Path | None
    orders: int
    unreadable: int


def put_back(state: Path, logs: Path, source: Path, *, now_ns: int) -> PutBack:
    """Put a backup in the database's place. No daemon may use it.

    Args:
        state: The state directory.
        logs: Where the audit log lies.
        source: The backup.
        now_ns: Wall time.

    Raises:
        StoreError: The file cannot be used; nothing was changed.
    """
    fresh = state / _FRESH
    try:
        shutil.copyfile(source, fresh)
        with closing(sqlite3.connect(fresh, isolation_level=None)) as db:
            taken, unreadable = _prepare(db, source, logs, now_ns)
        _sync(fresh)
    except (OSError, sqlite3.Error, StoreError) as error:
        fresh.unlink(missing_ok=True)
        raise StoreError(f"{source} cannot be restored: {error}; nothing was changed") from None
    aside = _put_aside(state)
    fresh.replace(state / DATABASE)
    _sync(state)
    return PutBack(aside, taken, unreadable)


def version_trouble(db: sqlite3.Connection) -> str | None:
    """Return why this is no state database that we can use, or ``None``."""
    try:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.DatabaseError as error:
        return f"it is no database ({error})"
    if version == 0:
        return "it is not a state database of gmobot"
    return f"it was written by a newer gmobot (schema {version}, this one knows {schema.VERSION})" if version > schema.VERSION else None


def take_over(db: sqlite3.Connection, told: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """Add the orders that the audit log tells of and the database does not know.

    Args:
        db: A database of today's schema.
        told: Audit events, the newest first.

    Returns:
        How many were added or given their order id, and how many could not be read.
    """
    last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'audit'").fetchone()
    since = int(last[0]) if last else 0
    orders: dict[int, dict[str, Any]] = {}
    for event in told:
        if int(event.get("seq", 0)) <= since:
            break
        if event.get("intent_id") and str(event.get("event")).startswith("order_"):
            # The newest word counts; when it was sent, the oldest one.
            number = int(event["intent_id"])
            orders[number] = dict(event) | orders.get(number, {}) | {"ts": event["ts"]}
    starts = {
        row[0]: msgspec.json.decode(row[1], type=Start) for row in db.execute("SELECT symbol, payload FROM journal WHERE kind = 'start'")
    }
    found = [_add(db, order, starts.get(str(order["symbol"]))) for _, order in sorted(orders.items())]
    return found.count(True), found.count(None)


def _add(db: sqlite3.Connection, order: Mapping[str, Any], start: Start | None) -> bool | None:
    """Add one order. Returns whether it was news, or ``None`` when it cannot be read."""
    if order["state"] == IntentState.REJECTED:
        return False
    known = db.execute("SELECT order_id FROM intents WHERE intent_id = ?", (order["intent_id"],)).fetchone()
    if known is not None:
        if known[0] is not None or "order_id" not in order:
            return False
        db.execute("UPDATE intents SET order_id = ?, state = 'acknowledged' WHERE intent_id = ?", (order["order_id"], order["intent_id"]))
        return True
    if start is None:
        return None
    sql, values = statements.insert_intent(_intent(order, start))
    db.execute(sql, values)
    return True


def _intent(order: Mapping[str, Any], start: Start) -> Intent:
    """Return an order as if nothing of it had filled: what did is found at the exchange."""
    tick, at_ns = Decimal(start.tick_size), round(datetime.fromisoformat(order["ts"]).timestamp() * 1e9)
    type_ = OrderType(order["type"])
    return Intent(
        intent_id=order["intent_id"],
        symbol=order["symbol"],
        purpose=Purpose(order["purpose"]),
        side=Side(order["side"]),
        type=type_,
        time_in_force=TimeInForce.GTC if type_ is OrderType.LIMIT else TimeInForce.IOC,
        lots=int(Decimal(order["size"]) / Decimal(start.size_step)),
        price=int(Decimal(order.get("price", 0)) / tick),
        decision_id=order["decision_id"],
        created_ns=at_ns,
        updated_ns=at_ns,
        state=IntentState.ACKNOWLEDGED if "order_id" in order else IntentState.INTENT,
        order_id=order.get("order_id"),
        detail="taken from the audit log after a restore",
        settle=Settle(order.get("settle", Settle.OPEN)),
        position_id=order.get("position_id"),
        losscut=int(Decimal(order.get("losscut_price", 0)) / tick),
    )


def _prepare(db: sqlite3.Connection, source: Path, logs: Path, now_ns: int) -> tuple[int, int]:
    """Bring a copy to today's schema, check it, tell it what happened since, where it came from, and that a person must look."""
    if trouble := version_trouble(db):
        raise StoreError(trouble)
    schema.migrate(db)
    if trouble := check(db):
        raise StoreError(trouble)
    with db:
        db.execute("BEGIN IMMEDIATE")
        result = take_over(db, events(logs))
        db.execute("INSERT OR REPLACE INTO restored VALUES (1, ?, ?)", (str(source), now_ns))
        db.execute("INSERT OR REPLACE INTO latches VALUES ('halt', 'state_restored', ?)", (now_ns,))
    db.execute("PRAGMA journal_mode = DELETE")
    return result


def _put_aside(state: Path) -> Path | None:
    """Move the replaced database away, with the emergency journal: what that holds belongs to it."""
    kept = [path for path in (*state.glob(f"{DATABASE}*"), state / emergency.NAME) if path.exists()]
    if not kept:
        return None
    aside = state / f"replaced-{datetime.now(UTC).strftime('%Y%m%dT%H%M%S%fZ')}"
    aside.mkdir()
    for path in kept:
        path.replace(aside / path.name)
    return aside


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
