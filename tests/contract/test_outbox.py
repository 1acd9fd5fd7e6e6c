"""Database and audit log together: whatever becomes of one of them, the other loses and doubles nothing."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gmobot.clock import SystemClock
from gmobot.live.records import Event
from gmobot.live.store import Store
from gmobot.live.workers import InlineWorker
from gmobot.ops.audit import AuditLog
from gmobot.ops.audit_files import NAME
from gmobot.ops.audit_read import events, verify


def opened(directory: Path, run_id: str = "run-1") -> Store:
    audit = AuditLog(directory / "logs", max_bytes=1_500, retention=20)
    return Store(directory / "state" / "gmobot.db", audit=audit, run_id=run_id, clock=SystemClock(), worker=InlineWorker())


async def record(directory: Path, run_id: str, count: int) -> None:
    """Emit events of one run, the way the daemon does."""
    store = opened(directory, run_id)
    await store.open()
    for number in range(count):
        await store.emit([Event("error", {"number": number})])
    await store.close()


def recorded(directory: Path) -> list[tuple[str, int]]:
    return [(event["run_id"], event["number"]) for event in events(directory / "logs")][::-1]


async def test_runs_follow_each_other(tmp_path: Path) -> None:
    await record(tmp_path, "r1", 5)
    await record(tmp_path, "r2", 3)
    assert recorded(tmp_path) == [("r1", n) for n in range(5)] + [("r2", n) for n in range(3)]
    assert verify(tmp_path / "logs").ok


async def test_a_new_database_beside_an_old_log_loses_nothing(tmp_path: Path) -> None:
    await record(tmp_path, "r1", 5)
    shutil.rmtree(tmp_path / "state")
    await record(tmp_path, "r2", 3)
    assert recorded(tmp_path) == [("r1", n) for n in range(5)] + [("r2", n) for n in range(3)]
    assert verify(tmp_path / "logs").ok


@pytest.mark.parametrize("cut", [1, 50, 400, 100_000])
async def test_what_a_crash_took_from_the_log_is_written_again(tmp_path: Path, cut: int) -> None:
    await record(tmp_path, "r1", 12)
    path = tmp_path / "logs" / NAME
    path.write_bytes(path.read_bytes()[:-cut])
    await record(tmp_path, "r2", 2)
    assert recorded(tmp_path) == [("r1", n) for n in range(12)] + [("r2", n) for n in range(2)]
    assert verify(tmp_path / "logs").ok


async def test_a_whole_new_log_beside_an_old_database_is_filled_from_the_outbox(tmp_path: Path) -> None:
    await record(tmp_path, "r1", 5)
    shutil.rmtree(tmp_path / "logs")
    await record(tmp_path, "r2", 1)
    assert recorded(tmp_path) == [("r1", n) for n in range(5)] + [("r2", 0)]
    assert verify(tmp_path / "logs").ok


@pytest.mark.parametrize(
    "fields",
    [{"detail": "\ud800"}, {3: 1, 20: 2}, {"a": (1, 2)}, {"size": Decimal("0.01")}],
    ids=["surrogate", "numbers", "tuple", "decimal"],
)
async def test_what_json_would_change_is_changed_before_it_is_kept(tmp_path: Path, fields: dict[Any, Any]) -> None:
    store = opened(tmp_path)
    await store.open()
    await store.emit([Event("error", fields)])
    await store.close()
    assert verify(tmp_path / "logs").ok
    assert len(list(events(tmp_path / "logs"))) == 1
