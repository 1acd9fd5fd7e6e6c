"""A backup is put in the place of the database, and told what has happened since: the audit log knows.

Fills since the backup are found again at the exchange, by the ids of the orders they belong to. GMO Coin knows no
order id of ours, so the orders themselves must be known: those that were sent after the backup are taken from the
audit log, and those that were sent while the database could not be written from the emergency journal, since the log
is copied from the database. What was latched since is not: the next start is halted until a person has looked.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain, takewhile
from pathlib import Path
from typing import Any

import msgspec

from gmobot.clock import iso_utc
from gmobot.config import DATABASE
from gmobot.errors import StoreError
from gmobot.live import emergency, schema, statements
from gmobot.live.integrity import check
from gmobot.live.intents import Intent, IntentState, Purpose
from gmobot.live.recording import Start
from gmobot.ops.audit_read import events
from gmobot.venue.models import OrderType, Settle, Side, TimeInForce

_FRESH = ".restoring.db"
_NOTED = "noted"
"""Marks an event of an emergency journal."""


@dataclass(frozen=True, slots=True)
class PutBack:
    """What a restore did.

    Attributes:
        aside: Where the replaced database is kept, ``None`` when there was none.
        orders: Orders sent since the backup that were taken from the audit log.
        noted: Such orders that were taken from the emergency journal.
        unreadable: Such orders of symbols whose tick and lot the backup does not know: the exchange will call them foreign.
        troubles: Why an emergency journal may tell of more than was taken from it.
    """

    aside: Path | None
    orders: int
    noted: int
    unreadable: int
    troubles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Noted:
    """What an emergency journal tells.

    Attributes:
        events: Audit events, the newest first.
        trouble: Why there may be more.
    """

    events: list[dict[str, Any]]
    trouble: str | None


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
        _copy(source, fresh)
        # Before it is moved away, and of one that was moved away with the database that is put back now.
        noted, earlier = _read_noted(state / emergency.NAME), _read_noted(source.with_name(emergency.NAME))
        with closing(sqlite3.connect(fresh, isolation_level=None)) as db:
            _make_ready(db)
            since = chain(noted.events, takewhile(_since(db), events(logs)), earlier.events)
            taken = _bring_up_to_date(db, since, source, now_ns)
        _sync(fresh)
    except (OSError, sqlite3.Error, StoreError) as error:
        _forget(fresh)
        raise StoreError(f"{source} cannot be restored: {error}; nothing was changed") from None
    aside = _put_aside(state)
    fresh.replace(state / DATABASE)
    _sync(state)
    return PutBack(aside, *taken, troubles=tuple(dict.fromkeys(one.trouble for one in (noted, earlier) if one.trouble)))


def version_trouble(db: sqlite3.Connection) -> str | None:
    """Return why this is no state database that we can use, or ``None``."""
    try:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.DatabaseError as error:
        return f"it is no database ({error})"
    if version == 0:
        return "it is not a state database of gmobot"
    return f"it was written by a newer gmobot (schema {version}, this one knows {schema.VERSION})" if version > schema.VERSION else None


def take_over(db: sqlite3.Connection, told: Iterable[Mapping[str, Any]]) -> tuple[int, int, int]:
    """Add the orders that audit events tell of and the database does not know.

    Args:
        db: A database of today's schema.
        told: What the database does not know yet, or knows: the newest first.

    Returns:
        How many were added or given their order id by what the audit log tells, how many by what an emergency journal
        does, and how many could not be read.
    """
    orders: dict[int, dict[str, Any]] = {}
    for event in told:
        if event.get("intent_id") and str(event.get("event")).startswith("order_"):
            # The newest word counts; when it was sent, the oldest one.
            number = int(event["intent_id"])
            orders[number] = dict(event) | orders.get(number, {}) | {"ts": event["ts"]}
    starts = {
        row[0]: msgspec.json.decode(row[1], type=Start) for row in db.execute("SELECT symbol, payload FROM journal WHERE kind = 'start'")
    }
    found = [(_add(db, order, starts.get(str(order["symbol"]))), _NOTED in order) for _, order in sorted(orders.items())]
    return found.count((True, False)), found.count((True, True)), [added for added, _ in found].count(None)


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
        detail=f"taken from the {'emergency journal' if _NOTED in order else 'audit log'} after a restore",
        settle=Settle(order.get("settle", Settle.OPEN)),
        position_id=order.get("position_id"),
        losscut=int(Decimal(order.get("losscut_price", 0)) / tick),
    )


def _copy(source: Path, fresh: Path) -> None:
    """Copy a database together with its write-ahead log: of one that was not closed, the newest commits stand only there."""
    # A log that a killed restore has left would be taken for that of the copy.
    _forget(fresh)
    shutil.copyfile(source, fresh)
    log = source.with_name(f"{source.name}-wal")
    if log.exists():
        shutil.copyfile(log, fresh.with_name(f"{fresh.name}-wal"))


def _forget(fresh: Path) -> None:
    for path in fresh.parent.glob(f"{fresh.name}*"):
        path.unlink()


def _read_noted(path: Path) -> _Noted:
    """Read what an emergency journal tells; one that cannot be read keeps nothing from being restored."""
    try:
        if not path.exists():
            return _Noted([], None)
        records, end = emergency.scan(path)
        rows = [values for _, batch in records for sql, values in batch if sql == statements.INSERT_EVENT]
        told = [json.loads(str(fields)) | {"ts": iso_utc(int(at_ns or 0)), "event": name, _NOTED: True} for at_ns, _, name, fields in rows]
        trouble = f"{path} ends in a torn record; what it told, and any behind it, is not known" if emergency.is_torn(path, end) else None
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        return _Noted([], f"{path} cannot be read: {error}")
    return _Noted(told[::-1], trouble)


def _since(db: sqlite3.Connection) -> Callable[[Mapping[str, Any]], bool]:
    """Return whether an event of the audit log is news to a database."""
    last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'audit'").fetchone()
    return lambda event: int(event.get("seq", 0)) > (int(last[0]) if last else 0)


def _make_ready(db: sqlite3.Connection) -> None:
    """Bring a copy to today's schema and check it."""
    if trouble := version_trouble(db):
        raise StoreError(trouble)
    schema.migrate(db)
    if trouble := check(db):
        raise StoreError(trouble)


def _bring_up_to_date(db: sqlite3.Connection, told: Iterable[Mapping[str, Any]], source: Path, now_ns: int) -> tuple[int, int, int]:
    """Tell a copy what happened since, where it came from, and that a person must look."""
    with db:
        db.execute("BEGIN IMMEDIATE")
        taken = take_over(db, told)
        db.execute("INSERT OR REPLACE INTO restored VALUES (1, ?, ?)", (str(source), now_ns))
        db.execute("INSERT OR REPLACE INTO latches VALUES ('halt', 'state_restored', ?)", (now_ns,))
    db.execute("PRAGMA journal_mode = DELETE")
    return taken


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
