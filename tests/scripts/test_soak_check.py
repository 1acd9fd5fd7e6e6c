"""What a soak calls growth, and what it calls lost, doubled or unexplained."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from scripts import soak_check

MIB = float(2**20)


@pytest.mark.parametrize(
    ("looks", "grows"),
    [
        ([150.0] * 5 + [180.0] * 60, False),
        ([180.0, 184.0] * 40, False),
        ([180.0 + 0.5 * look for look in range(100)], True),
        ([180.0] * 70 + [200.0] * 30, True),
        ([180.0], False),
    ],
    ids=["warms up", "breathes", "leaks", "jumps late", "one look"],
)
def test_growth(looks: list[float], grows: bool) -> None:
    assert bool(soak_check.growth([look * MIB for look in looks])) is grows


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "gmobot.db"
    monkeypatch.setattr(soak_check, "DATABASE", f"file:{path}")
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE fills (execution_id, order_id, side)")
        db.execute("CREATE TABLE intents (order_id, state)")
        db.execute("INSERT INTO fills VALUES (1, 10, 'BUY')")
        db.execute("INSERT INTO intents VALUES (10, 'filled')")
    return path


def books(*, executions: list[tuple[int, int, str]] | None = None, orders: list[tuple[int, str, str]] | None = None) -> dict[str, Any]:
    sold = [{"executionId": e, "orderId": o, "side": side} for e, o, side in ([(1, 10, "BUY")] if executions is None else executions)]
    placed = [{"orderId": o, "status": status, "executedSize": done} for o, status, done in orders or [(10, "EXECUTED", "0.01")]]
    return {"executions": sold, "orders": placed}


@pytest.mark.parametrize(
    ("statement", "theirs", "found"),
    [
        ("SELECT 1", books(), []),
        ("DELETE FROM fills", books(), ["fills.lost"]),
        ("SELECT 1", books(executions=[]), ["fills.invented"]),
        ("INSERT INTO fills VALUES (1, 10, 'BUY')", books(), ["fills.doubled"]),
        ("UPDATE intents SET order_id = 9", books(), ["orders.without_intent"]),
        ("SELECT 1", books(orders=[(10, "EXECUTED", "0.01"), (11, "WAITING", "0")]), ["orders.without_intent"]),
        ("SELECT 1", books(orders=[(10, "EXECUTED", "0.01"), (11, "CANCELED", "0")]), []),
        ("INSERT INTO intents VALUES (10, 'filled')", books(), ["orders.sent_twice"]),
        ("INSERT INTO intents VALUES (NULL, 'unknown')", books(), ["orders.unresolved"]),
    ],
)
def test_differences(database: Path, statement: str, theirs: dict[str, Any], found: list[str]) -> None:
    with closing(sqlite3.connect(database)) as db, db:
        db.execute(statement)
    assert [line.split()[0] for line in soak_check.differences(theirs)] == found
