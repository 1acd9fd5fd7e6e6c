"""The state database: on disk when it says so, all or nothing, and an audit log that catches up after a crash."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.live.bench import STOP, Bench, HandClock, fill, intent, open_store

from gmobot.errors import StoreError
from gmobot.live import schema
from gmobot.live.intents import Latch
from gmobot.live.records import Event
from gmobot.live.store import Store
from gmobot.live.workers import InlineWorker, ThreadWorker
from gmobot.ops.audit import AuditLog
from gmobot.ops.audit_read import events, verify


def told(directory: Path) -> list[tuple[int, str]]:
    return sorted((event["seq"], event["event"]) for event in events(directory / "logs"))


async def test_every_commit_is_fsynced(bench: Bench) -> None:
    await bench.open()
    db = bench.store._database._connection
    assert db is not None
    assert db.execute("PRAGMA synchronous").fetchone()[0] == 2, "FULL: WAL is fsynced at each commit"
    assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert db.execute("PRAGMA foreign_keys").fetchone()[0] == 1
    await bench.close()


async def test_another_process_sees_an_intent_as_soon_as_add_returns(bench: Bench) -> None:
    await bench.open()
    await bench.intend()
    with closing(sqlite3.connect(bench.directory / "state" / "gmobot.db")) as other:
        assert other.execute("SELECT state, lots FROM intents").fetchall() == [("intent", 100)]
    await bench.close()


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    store = open_store(tmp_path, HandClock())
    await store.open()
    await store.close()
    path = tmp_path / "state" / "gmobot.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
        db.commit()
    with pytest.raises(StoreError, match=f"newer gmobot .schema {schema.VERSION + 1}, this one knows {schema.VERSION}"):
        await open_store(tmp_path, HandClock()).open()


async def test_a_file_that_is_no_database_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "gmobot.db").write_bytes(b"not a database, and longer than a header of one is" * 50)
    with pytest.raises(StoreError, match=r"gmobot\.db"):
        await open_store(tmp_path, HandClock()).open()


async def test_a_transaction_that_fails_keeps_nothing_of_it(bench: Bench) -> None:
    await bench.open()
    ours = await bench.acknowledged()
    await bench.books.book(fill(11, lots=10))
    before = told(bench.directory)
    same = bench.books._fill(fill(11, lots=10), ours)
    with pytest.raises(StoreError, match="UNIQUE"):
        await bench.store.book(same, ours, {"position": 999}, [Event("fill", {})])
    saved = await bench.store.load()
    assert saved.ledgers["BTC"]["position"] == 10
    assert told(bench.directory) == before
    await bench.close()


async def test_an_order_id_belongs_to_one_intent(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged(order_id=1)
    second = await bench.intend()
    with pytest.raises(StoreError, match="UNIQUE"):
        await bench.books.acknowledge(second, 1)
    await bench.close()


def unfinished(bench: Bench) -> str | None:
    return bench.saved.unfinished_run


class DeafLog:
    """An audit log whose disk is full from one event on."""

    def __init__(self, inner: AuditLog, until: int) -> None:
        self._inner = inner
        self._until = until

    @property
    def last_seq(self) -> int:
        return self._inner.last_seq

    def append(self, seq: int, ts_ns: int, run_id: str, event: str, fields: Mapping[str, Any]) -> None:
        if seq > self._until:
            raise OSError(28, "No space left on device")
        self._inner.append(seq, ts_ns, run_id, event, fields)


async def test_what_a_crash_kept_from_the_log_is_written_at_the_next_start_once(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    inner = AuditLog(tmp_path / "logs", max_bytes=1_000_000, retention=3)
    deaf = DeafLog(inner, until=2)
    store = Store(tmp_path / "state" / "gmobot.db", audit=deaf, run_id="a", clock=HandClock(), worker=InlineWorker())
    await store.open()
    for number in range(5):
        await store.emit([Event(f"event_{number}", {})])
    assert told(tmp_path) == [(1, "event_0"), (2, "event_1")]
    assert "No space left" in str(store.audit_failure)
    store.abandon()

    again = open_store(tmp_path, HandClock(), run_id="b")
    await again.open()
    assert again.audit_failure is None
    assert told(tmp_path) == [(number + 1, f"event_{number}") for number in range(5)]
    await again.emit([Event("after", {})])
    assert told(tmp_path)[-1] == (6, "after")
    await again.close()
    assert verify(tmp_path / "logs").ok


async def test_a_torn_last_line_is_written_again(tmp_path: Path) -> None:
    store = open_store(tmp_path, HandClock())
    await store.open()
    for number in range(3):
        await store.emit([Event(f"event_{number}", {})])
    store.abandon()
    log = tmp_path / "logs" / "audit_events.jsonl"
    log.write_bytes(log.read_bytes()[:-20])
    again = open_store(tmp_path, HandClock())
    await again.open()
    await again.close()
    assert told(tmp_path) == [(1, "event_0"), (2, "event_1"), (3, "event_2")]
    assert verify(tmp_path / "logs").ok


async def test_a_run_without_an_end_is_known_as_unfinished(bench: Bench) -> None:
    await bench.open()
    await bench.store.begin_run("hash", [])
    await bench.reopen()
    assert unfinished(bench) == "run-1"
    bench.clock.advance(1.0)
    await bench.store.begin_run("hash", [])
    await bench.store.end_run("graceful_shutdown", [])
    await bench.reopen()
    assert unfinished(bench) is None
    await bench.close()


async def test_latches_survive_and_are_taken_back_by_name(bench: Bench) -> None:
    await bench.open()
    await bench.store.latch(Latch.HALT, "max_drawdown_exceeded", [])
    await bench.store.latch(Latch.PAUSE, "operator_pause", [])
    await bench.reopen()
    assert bench.saved.latches == {Latch.HALT: "max_drawdown_exceeded", Latch.PAUSE: "operator_pause"}
    await bench.store.unlatch([Latch.PAUSE], [])
    await bench.reopen()
    assert bench.saved.latches == {Latch.HALT: "max_drawdown_exceeded"}
    await bench.close()


async def test_a_closed_store_refuses_instead_of_losing(bench: Bench) -> None:
    await bench.open()
    await bench.close()
    with pytest.raises(StoreError, match="not open"):
        await bench.intend()


async def test_on_its_own_thread_it_writes_in_the_order_it_was_asked(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    worker = ThreadWorker("test-store")
    audit = AuditLog(tmp_path / "logs", max_bytes=1_000_000, retention=3)
    store = Store(tmp_path / "state" / "gmobot.db", audit=audit, run_id="a", clock=HandClock(), worker=worker)
    await store.open()
    made = await store.add_intent(intent(**STOP), lambda i: Event("order_intent", {"intent_id": i.intent_id}))
    for number in range(20):
        await store.emit([Event(f"event_{number}", {})])
    await store.close()
    worker.close()
    assert made.intent_id == 1
    assert [name for _, name in told(tmp_path)] == ["order_intent", *(f"event_{number}" for number in range(20))]
