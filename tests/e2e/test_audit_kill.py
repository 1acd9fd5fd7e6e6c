"""The audit log under kill -9 and on a disk that is really full: it ends up holding what the database holds, each event once."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.live.disk import small_disk, stuff

from gmobot.clock import SystemClock
from gmobot.live.records import Event
from gmobot.live.store import Store
from gmobot.live.workers import InlineWorker
from gmobot.ops.audit import AuditLog
from gmobot.ops.audit_files import ANCHOR, numbered
from gmobot.ops.audit_read import events, verify

pytestmark = pytest.mark.slow
KILLS = 25


def outbox(directory: Path) -> list[tuple[int, str, dict[str, Any]]]:
    with closing(sqlite3.connect(directory / "state" / "gmobot.db")) as db:
        rows = db.execute("SELECT seq, event, fields FROM audit ORDER BY seq").fetchall()
    return [(seq, event, json.loads(fields)) for seq, event, fields in rows]


def logged(directory: Path) -> list[tuple[int, str, dict[str, Any]]]:
    mine = ("seq", "ts", "run_id", "event", "prev_hash", "hash")
    found = list(events(directory / "logs"))[::-1]
    return [(row["seq"], row["event"], {key: value for key, value in row.items() if key not in mine}) for row in found]


def writer(directory: Path, retention: int, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.e2e.audit_writer", str(directory), str(retention), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize("retention", [1_000, 2])
def test_a_writer_that_is_killed_again_and_again_loses_and_doubles_nothing(tmp_path: Path, retention: int) -> None:
    rng = random.Random(retention)
    for _ in range(KILLS):
        process = writer(tmp_path, retention, 0)
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        time.sleep(rng.uniform(0.0, 0.25))
        process.kill()
        process.communicate(timeout=10)
        interrupted = verify(tmp_path / "logs")
        assert interrupted.ok, interrupted.problem
    last = writer(tmp_path, retention, 5)
    last.communicate(timeout=30)
    assert last.returncode == 0
    result, kept, whole = verify(tmp_path / "logs"), logged(tmp_path), outbox(tmp_path)
    assert result.ok, result.problem
    assert kept == whole[len(whole) - len(kept) :]
    if retention > 2:
        assert kept == whole
        assert len(numbered(tmp_path / "logs")) > 100, "it rotated all the time"
    else:
        assert (tmp_path / "logs" / ANCHOR).exists()
        assert len(numbered(tmp_path / "logs")) == 2


async def test_a_log_on_a_full_disk_falls_behind_and_catches_up(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    with small_disk(tmp_path / "logs", 1):
        audit = AuditLog(tmp_path / "logs", max_bytes=8_000, retention=1_000)
        store = Store(tmp_path / "state" / "gmobot.db", audit=audit, run_id="r", clock=SystemClock(), worker=InlineWorker())
        await store.open()
        await store.emit([Event("error", {"number": -1})])
        for turn in range(4):
            stuffing = stuff(tmp_path / "logs")
            for number in range(40):
                await store.emit([Event("error", {"turn": turn, "number": number, "note": "x" * 700})])
            assert "No space left" in str(store.audit_failure)
            assert store.trouble is None, "the database is on another disk"
            behind = verify(tmp_path / "logs")
            assert behind.ok, behind.problem
            assert behind.lines < len(outbox(tmp_path))
            if turn % 2:
                # The process ends and begins on the full disk.
                await store.close()
                audit = AuditLog(tmp_path / "logs", max_bytes=8_000, retention=1_000)
                store = Store(tmp_path / "state" / "gmobot.db", audit=audit, run_id="r", clock=SystemClock(), worker=InlineWorker())
                await store.open()
                assert "No space left" in str(store.audit_failure)
            stuffing.unlink()
            await store.emit([Event("error", {"turn": turn})])
            assert store.audit_failure is None
            assert logged(tmp_path) == outbox(tmp_path)
            assert verify(tmp_path / "logs").ok
        await store.close()
        assert len(numbered(tmp_path / "logs")) > 5
