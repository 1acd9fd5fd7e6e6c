"""Why an order exists and what became of it, from the journal and the tables it stands in alone."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from gmobot.clock import iso_utc
from gmobot.errors import DataError
from gmobot.live.replay import LoadProgram, state_at

_INTENT = "SELECT * FROM intents WHERE order_id = ? OR intent_id = ? ORDER BY order_id IS NULL, order_id <> ? LIMIT 1"
_DECISION = (
    "SELECT run_id, seq, at_ns, payload FROM journal WHERE symbol = ? AND kind = 'bar' AND json_extract(payload, '$.bar.open_time') = ? "
    "ORDER BY seq LIMIT 1"
)
_STEPS = "SELECT at_ns, kind, payload FROM journal WHERE ref = ? AND kind IN ('request', 'reply', 'order') ORDER BY seq"
_FILLS = "SELECT execution_id, side, lots, ticks, fee_uyen, realized_uyen, position_id, at_ns FROM fills WHERE intent_id = ? ORDER BY at_ns"


def explain(database: Path, number: int, load: LoadProgram) -> dict[str, Any]:
    """Return the story of an order: bar, indicators, decision, intent, what was asked and answered, fills.

    Args:
        database: The state database; a daemon may be using it.
        number: The exchange's order id, or our own number of the intent.
        load: Loads the strategy, to work its indicators out again.

    Raises:
        DataError: There is no such order.
    """
    if not database.exists():
        raise DataError(f"{database}: no state database there; run the daemon first, or pass its --config")
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        found = _rows(db, _INTENT, number, number, number)
        if not found:
            raise DataError(f"{number} is neither an order nor an intent of ours; `gmobot audit search {number}` finds what was said of it")
        intent = found[0]
        decision = _decision(db, intent)
        told = db.execute(_STEPS, (intent["intent_id"],)).fetchall()
        steps = [_step(at, kind, json.loads(payload)) for at, kind, payload in told]
        fills = [row | {"at": iso_utc(row.pop("at_ns"))} for row in _rows(db, _FILLS, intent["intent_id"])]
    story: dict[str, Any] = {"order": _worded(intent), "decision": decision, "steps": steps, "fills": fills}
    if decision is not None:
        decision["indicators"] = state_at(database, decision["run_id"], intent["symbol"], intent["decision_id"], load)
    return story


def _step(at_ns: int, kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Return one step; a word is journaled with the commit after it and carries its own time."""
    if kind == "order":
        return {"at": iso_utc(at_ns), "kind": kind, "says": payload}
    return {"at": iso_utc(payload.get("at_ns", at_ns)), "kind": kind, "says": payload.get("said", payload)}


def _decision(db: sqlite3.Connection, intent: dict[str, Any]) -> dict[str, Any] | None:
    row = db.execute(_DECISION, (intent["symbol"], intent["decision_id"])).fetchone()
    if row is None:
        return None
    run_id, _, at_ns, payload = row
    recorded: dict[str, Any] = json.loads(payload)
    return {"run_id": run_id, "at": iso_utc(at_ns)} | recorded


def _worded(intent: dict[str, Any]) -> dict[str, Any]:
    times = {"created_ns": "created", "updated_ns": "updated"}
    return {times.get(name, name): iso_utc(value) if name in times else value for name, value in intent.items()}


def _rows(db: sqlite3.Connection, query: str, *values: object) -> list[dict[str, Any]]:
    cursor = db.execute(query, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]
