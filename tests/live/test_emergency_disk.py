"""While the database cannot be written, what reduces risk goes on and nothing of it is lost: real files, locks, full disks."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Literal

import pytest
from tests.live.bench import STOP, Bench, HandClock, fill, intent, open_store
from tests.live.disk import small_disk, stuff

from gmobot.errors import StoreError
from gmobot.live import database, emergency
from gmobot.live.database import UnwritableError
from gmobot.live.emergency import EmergencyJournal
from gmobot.live.intents import Intent, IntentState, Latch
from gmobot.live.records import EngineRow, Event
from gmobot.live.statements import Batch
from gmobot.live.store import Store
from gmobot.live.workers import InlineWorker, ThreadWorker
from gmobot.ops.audit import AuditLog
from gmobot.ops.audit_read import events, verify

BATCH: Batch = [("INSERT INTO latches VALUES (?, ?, ?)", ("halt", "operator_halt", 1))]


def told(intent: Intent) -> Event:
    return Event("order_intent", {"intent_id": intent.intent_id})


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Another process writes, and does not end."""
    with closing(sqlite3.connect(directory / "state" / "gmobot.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


# --- the file -------------------------------------------------------------------------------------


def test_its_space_is_taken_before_it_is_needed(tmp_path: Path) -> None:
    journal = EmergencyJournal(tmp_path / "journal")
    assert journal.open() == []
    before = (tmp_path / "journal").stat()
    for number in range(1, 100):
        journal.append(number, BATCH)
    after = (tmp_path / "journal").stat()
    assert before.st_size == after.st_size == emergency.SIZE
    assert before.st_blocks * 512 >= emergency.SIZE, "allocated, not promised"
    journal.close()
    assert EmergencyJournal(tmp_path / "journal").open() == [(number, BATCH) for number in range(1, 100)]


@pytest.mark.parametrize("cut", [1, 8, 30, 60])
def test_a_torn_last_record_is_seen_and_what_was_before_it_kept(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "journal"
    journal = EmergencyJournal(path)
    journal.open()
    journal.append(1, BATCH)
    end = journal._end
    journal.append(2, BATCH)
    journal.close()
    content = bytearray(path.read_bytes())
    content[end + cut] ^= 0xFF
    path.write_bytes(content)
    again = EmergencyJournal(path)
    assert again.open() == [(1, BATCH)]
    again.append(2, BATCH)
    again.close()
    assert emergency.read(path) == [(1, BATCH), (2, BATCH)]


def test_what_was_cleared_does_not_come_back_behind_a_shorter_record(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = EmergencyJournal(path)
    journal.open()
    for number in range(1, 5):
        journal.append(number, BATCH)
    journal.clear()
    journal.append(5, BATCH)
    journal.close()
    assert emergency.read(path) == [(5, BATCH)]


def test_a_full_one_says_so_and_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = EmergencyJournal(path, size=512)
    journal.open()
    with pytest.raises(StoreError, match="is full"):
        for number in range(1, 100):
            journal.append(number, BATCH)
    journal.close()
    kept = emergency.read(path)
    assert kept
    assert path.stat().st_size == 512
    assert [number for number, _ in kept] == list(range(1, len(kept) + 1))


# --- the store over it ----------------------------------------------------------------------------


async def test_behind_a_foreign_lock_entries_are_refused_and_exits_recorded_soon(bench: Bench) -> None:
    await bench.open()
    await bench.owning(100)
    with locked(bench.directory):
        started = time.monotonic()
        stop = await bench.intend(**STOP)
        assert time.monotonic() - started < 4 * database.BUSY_SECONDS, "an exit does not wait for the lock"
        started = time.monotonic()
        with pytest.raises(UnwritableError):
            await bench.intend()
        assert time.monotonic() - started < 0.1, "known to be locked: tried once a second"
        assert "locked" in str(trouble(bench.store))
        await bench.books.acknowledge(stop, 77)
    assert bench.sql(f"SELECT COUNT(*) FROM intents WHERE intent_id = {stop.intent_id}") == [(0,)]
    bench.clock.advance(1.0)
    await bench.store.emit([])
    assert trouble(bench.store) is None
    assert bench.sql(f"SELECT state, order_id FROM intents WHERE intent_id = {stop.intent_id}") == [("acknowledged", 77)]
    later = await bench.intend()
    assert later.intent_id > stop.intent_id
    await bench.close()
    assert emergency.read(bench.directory / "state" / emergency.NAME) == []


async def test_fills_latches_and_decisions_of_an_emergency_are_merged_once_and_in_order(bench: Bench) -> None:
    await bench.open()
    ours = await bench.acknowledged()
    with locked(bench.directory):
        await bench.books.book(fill(11, lots=40))
        await bench.store.save_decisions(EngineRow(symbol="BTC", program="p", bar_open_ns=5, state=b"\x00\xff", desired="{}"), [], [])
        await bench.store.latch(Latch.HALT, "operator_halt", [Event("control_command", {"command": "halt"})])
        await bench.books.book(fill(12, lots=60))
    bench.clock.advance(1.0)
    await bench.store.emit([Event("reconnect", {})])
    assert bench.sql("SELECT execution_id FROM fills ORDER BY booked_ns, rowid") == [(11,), (12,)]
    assert bench.sql(f"SELECT state, executed_lots FROM intents WHERE intent_id = {ours.intent_id}") == [("filled", 100)]
    names = [event["event"] for event in bench.events()]
    assert names[-6:] == ["fill", "position_changed", "control_command", "fill", "position_changed", "reconnect"]
    await bench.reopen()
    assert bench.saved.latches == {Latch.HALT: "operator_halt"}
    assert bench.saved.engines["BTC"].state == b"\x00\xff"
    assert bench.books.position("BTC") == 100
    await bench.close()
    assert verify(bench.directory / "logs").ok


async def test_a_crash_in_an_emergency_loses_decisions_only(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged()
    with locked(bench.directory):
        await bench.store.save_decisions(EngineRow(symbol="BTC", program="p", bar_open_ns=5, state=b"", desired="{}"), [], [])
        await bench.books.book(fill(11, lots=40))
        stop = await bench.intend(**STOP)
        bench.store.abandon()
    for _ in range(2):
        await bench.open()
        assert trouble(bench.store) is None
        assert bench.saved.engines == {}
        assert bench.books.position("BTC") == 40
        assert [i.intent_id for i in bench.saved.open_intents] == [1, stop.intent_id]
        assert bench.sql("SELECT COUNT(*) FROM fills") == [(1,)]
        bench.store.abandon()


async def test_a_start_behind_a_lock_knows_what_is_in_the_emergency_journal(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged()
    with locked(bench.directory):
        await bench.books.book(fill(11, lots=40))
        first = await bench.intend(**STOP)
        await bench.reopen()
        assert trouble(bench.store) is not None
        assert bench.books.position("BTC") == 40
        assert await bench.store.positions_at(1 << 62) == {"BTC": 40}
        second = await bench.intend(**STOP)
        assert second.intent_id == first.intent_id + 1
        with pytest.raises(UnwritableError):
            await bench.intend()
        await bench.reopen()
        assert [i.intent_id for i in bench.saved.open_intents] == [1, first.intent_id, second.intent_id]
    await bench.reopen()
    assert trouble(bench.store) is None
    assert bench.sql("SELECT intent_id FROM intents ORDER BY intent_id") == [(1,), (first.intent_id,), (second.intent_id,)]
    await bench.close()


def trouble(store: Store) -> str | None:
    return store.trouble


class _LostCommit(sqlite3.Connection):
    """A connection whose next commit is on disk, and reported as failed: the sync after it failed."""

    lose = 0

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> Literal[False]:
        super().__exit__(kind, error, trace)
        if type(self).lose:
            type(self).lose -= 1
            raise sqlite3.OperationalError("disk I/O error")
        return False


@pytest.mark.parametrize("crash", [False, True])
async def test_a_commit_that_failed_and_is_in_the_file_is_not_applied_again(tmp_path: Path, *, crash: bool) -> None:
    def connect(path: Path) -> sqlite3.Connection:
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=_LostCommit)

    def store(run_id: str) -> Store:
        audit = AuditLog(tmp_path / "logs", max_bytes=1_000_000, retention=3)
        path = tmp_path / "state" / "gmobot.db"
        return Store(path, audit=audit, run_id=run_id, clock=clock, worker=InlineWorker(), connect=connect)

    (tmp_path / "logs").mkdir()
    clock = HandClock()
    first = store("a")
    await first.open()
    _LostCommit.lose = 1
    made = await first.add_intent(intent(**STOP), told)
    assert trouble(first) is not None
    _LostCommit.lose = 1
    with pytest.raises(UnwritableError):
        await first.add_intent(intent(), told)
    if crash:
        _LostCommit.lose = 0
        first.abandon()
        first = store("b")
        await first.open()
    _LostCommit.lose = 0
    clock.advance(1.0)
    other = await first.add_intent(intent(**STOP), told)
    saved = await first.load()
    assert [i.intent_id for i in saved.open_intents] == [made.intent_id, other.intent_id]
    told_of = [(e["event"], e["intent_id"]) for e in sorted(events(tmp_path / "logs"), key=lambda e: int(e["seq"]))]
    refused = [] if crash else [("order_rejected", made.intent_id + 1)]
    assert told_of == [("order_intent", made.intent_id), *refused, ("order_intent", other.intent_id)]
    await first.close()


async def test_an_entry_that_was_refused_and_is_in_the_file_ends_as_never_sent(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    clock = HandClock()
    path = tmp_path / "state" / "gmobot.db"
    audit = AuditLog(tmp_path / "logs", max_bytes=1_000_000, retention=3)

    def connect(path: Path) -> sqlite3.Connection:
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=_LostCommit)

    store = Store(path, audit=audit, run_id="a", clock=clock, worker=InlineWorker(), connect=connect)
    await store.open()
    _LostCommit.lose = 1
    with pytest.raises(UnwritableError):
        await store.add_intent(intent(), told)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT state FROM intents").fetchall() == [("intent",)]
    with pytest.raises(UnwritableError):
        await store.add_intent(intent(), told)  # nothing was tried: this one is not in the file
    clock.advance(1.0)
    sent = await store.add_intent(intent(**STOP), told)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT intent_id, state, detail FROM intents ORDER BY 1").fetchall() == [
            (1, "rejected", f"not sent: {path}: disk I/O error"),
            (sent.intent_id, "intent", ""),
        ]
        assert db.execute("SELECT ref, json_extract(payload, '$.state') FROM journal WHERE kind = 'order' ORDER BY seq").fetchall() == [
            (1, "intent"),
            (1, "rejected"),
            (2, "rejected"),
            (sent.intent_id, "intent"),
        ]
    assert [(e["event"], e["intent_id"]) for e in sorted(events(tmp_path / "logs"), key=lambda e: int(e["seq"]))] == [
        ("order_intent", 1),
        ("order_rejected", 1),
        ("order_rejected", 2),
        ("order_intent", sent.intent_id),
    ]
    await store.close()


async def test_a_database_that_may_not_grow_is_an_emergency_and_ends_when_it_may(bench: Bench) -> None:
    await bench.open()
    await bench.owning(100)
    db = bench.store._database._connection
    assert db is not None
    db.execute(f"PRAGMA max_page_count = {db.execute('PRAGMA page_count').fetchone()[0]}")
    for _ in range(40):
        await bench.store.emit([Event("reconnect", {"detail": "x" * 500})])
    assert "full" in str(trouble(bench.store))
    stop = await bench.intend(**STOP)
    bench.clock.advance(1.0)
    await bench.books.acknowledge(stop, 5)
    assert trouble(bench.store) is None, "tried with a new connection, which knows no limit"
    assert bench.sql("SELECT order_id FROM intents WHERE purpose = 'protect'") == [(5,)]
    await bench.close()


async def test_on_a_disk_that_is_full_exits_go_on_through_a_restart_and_are_merged_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path, 24) as directory:
        bench = Bench(directory)
        await bench.open()
        await bench.owning(100)
        stuffing = stuff(directory)
        stop = await bench.intend(**STOP)
        # The log of changes has some room of its own; then the disk is really full.
        while trouble(bench.store) is None:
            await bench.store.emit([Event("reconnect", {"detail": "x" * 5_000})])
        assert re.search("full|I/O", str(trouble(bench.store)))
        await bench.books.acknowledge(stop, 5)
        with pytest.raises(UnwritableError):
            await bench.intend()
        await bench.reopen()
        assert trouble(bench.store) is not None
        assert [(i.intent_id, i.order_id) for i in bench.saved.open_intents] == [(stop.intent_id, 5)]
        await bench.books.end(bench.saved.open_intents[0], IntentState.CANCELLED, "")
        close = await bench.intend(**(STOP | {"price": 1}))
        stuffing.unlink()
        bench.clock.advance(1.0)
        await bench.books.acknowledge(close, 6)
        assert trouble(bench.store) is None
        assert bench.sql("SELECT state, order_id FROM intents WHERE purpose = 'protect'") == [("cancelled", 5), ("acknowledged", 6)]
        await bench.close()
        assert verify(directory / "logs").ok


async def test_where_there_is_no_room_for_the_emergency_journal_the_start_says_how_much_it_needs(tmp_path: Path) -> None:
    with small_disk(tmp_path, 2) as directory, pytest.raises(StoreError, match="it needs 4 MiB, free some space"):
        await open_store(directory, HandClock()).open()


async def test_a_lock_holds_up_neither_the_loop_nor_the_exit(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    worker = ThreadWorker("test-store")
    audit = AuditLog(tmp_path / "logs", max_bytes=1_000_000, retention=3)
    store = Store(tmp_path / "state" / "gmobot.db", audit=audit, run_id="a", clock=HandClock(), worker=worker)
    await store.open()
    with locked(tmp_path):
        started = time.monotonic()
        exit_ = asyncio.create_task(store.add_intent(intent(**STOP), told))
        turns = 0
        while not exit_.done():
            await asyncio.sleep(0.005)
            turns += 1
        assert time.monotonic() - started < 4 * database.BUSY_SECONDS
        assert turns > 5, "the loop went on turning meanwhile"
    await store.close()
    worker.close()
    with closing(sqlite3.connect(tmp_path / "state" / "gmobot.db")) as db:
        assert db.execute("SELECT COUNT(*) FROM intents").fetchone() == (1,), "merged at the end"
