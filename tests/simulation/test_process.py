"""A process that can die anywhere: what it did before counts, what it does afterwards does not, what was not synced is torn."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.simulation.loop import VirtualLoop
from tests.simulation.process import DaemonClock, Disk, Mortal, MortalWorker, leave_as_killed

from gmobot.clock import NS_PER_SECOND
from gmobot.errors import StoreError
from gmobot.live.records import Event
from gmobot.live.store import Store
from gmobot.ops.audit import AuditLog
from gmobot.ops.audit_files import repair_torn_line
from gmobot.ops.audit_read import verify


class Always(random.Random):
    """Chooses what it is told to."""

    def __init__(self, chosen: str) -> None:
        super().__init__(1)
        self.chosen = chosen

    def choice(self, seq: Any) -> Any:
        return seq[seq.index(self.chosen)]


class Bench:
    """A store on a disk that misbehaves."""

    def __init__(self, var: Path) -> None:
        self.var = var
        for folder in ("state", "logs", "artifacts"):
            (var / folder).mkdir(exist_ok=True)
        self.disk, self.life, self.writes = Disk(random.Random(1)), Mortal(), 0
        self.path = var / "state" / "gmobot.db"
        self.store = self.begin()

    def begin(self) -> Store:
        """Start a life."""
        self.life = Mortal()
        audit = AuditLog(self.var / "logs", max_bytes=1 << 20, retention=2)
        worker = MortalWorker(self.life, self._written)
        loop = VirtualLoop(1)
        clock = DaemonClock(loop)
        loop.close()
        return Store(self.path, audit=audit, run_id="run", clock=clock, worker=worker, connect=self.disk.connect)

    async def emit(self, times: int) -> None:
        for number in range(times):
            await self.store.emit([Event("error", {"reason": f"number {number}"})])

    def told(self) -> int:
        """Return how many events are committed."""
        with sqlite3.connect(self.path) as db:
            count = db.execute("SELECT COUNT(*) FROM audit WHERE event = 'error'").fetchone()[0]
        db.close()
        return int(count)

    def _written(self) -> None:
        self.writes += 1


def test_where_writing_takes_time_calls_follow_each_other_and_who_stops_waiting_stops_none() -> None:
    loop, done = VirtualLoop(1), list[tuple[int, float]]()

    def note(number: int) -> None:
        done.append((number, loop.time()))

    async def write() -> None:
        worker = MortalWorker(Mortal(), lambda: None, seconds=0.05)
        calls = [asyncio.ensure_future(worker.run(partial(note, number))) for number in range(3)]
        await asyncio.sleep(0.06)
        calls[1].cancel()
        await calls[2]

    loop.run_until_complete(write())
    loop.close()
    assert [(number, round(at, 2)) for number, at in done] == [(0, 0.05), (1, 0.1), (2, 0.15)]


@pytest.mark.parametrize(("after", "kept"), [(False, 2), (True, 3)])
async def test_a_death_at_the_third_write_is_before_it_or_after_it(tmp_path: Path, after: bool, kept: int) -> None:  # parametrised
    bench = Bench(tmp_path)
    await bench.store.open()
    bench.life.doom.writes, bench.life.doom.after_write = 3, after
    with pytest.raises(StoreError):
        await bench.emit(5)
    with pytest.raises(StoreError):
        await bench.emit(1)
    assert bench.life.dead
    bench.store.abandon()
    assert bench.told() == kept


async def test_whatever_is_torn_what_was_committed_is_there_at_the_next_start(tmp_path: Path) -> None:
    bench, torn_logs, torn_wals = Bench(tmp_path), 0, 0
    wal, log = bench.path.with_name("gmobot.db-wal"), tmp_path / "logs" / "audit_events.jsonl"
    for round_ in range(1, 13):
        await bench.store.open()
        await bench.emit(3)
        before = wal.stat().st_size, log.stat().st_size
        leave_as_killed(bench.store, tmp_path, random.Random(round_))
        torn_wals += wal.stat().st_size > before[0]
        torn_logs += log.stat().st_size < before[1]
        assert bench.told() == 3 * round_
        bench.store = bench.begin()
    assert torn_wals
    assert torn_logs
    await bench.store.open()
    await bench.emit(1)
    await bench.store.close()
    assert verify(tmp_path / "logs").ok
    assert len(log.read_text(encoding="utf-8").splitlines()) == 3 * 12 + 1, "what was torn off the log is written again"


async def test_a_full_disk_and_a_lock_refuse_writes_until_they_end(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.store.open()
    bench.disk.full = True
    await bench.emit(1)
    assert bench.store.trouble is not None
    assert bench.told() == 0
    bench.disk.full = False
    db = bench.disk.connect(bench.path)
    db.execute("BEGIN IMMEDIATE")
    db.execute("ROLLBACK")
    bench.disk.lock(bench.path)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        db.execute("BEGIN IMMEDIATE")
    bench.disk.unlock()
    db.execute("BEGIN IMMEDIATE")
    db.close()
    bench.store.abandon()


async def test_a_full_disk_is_found_out_anywhere_in_a_transaction_and_nothing_is_told_twice(tmp_path: Path) -> None:
    bench, found = Bench(tmp_path), set()
    await bench.store.open()
    for number in range(1, 25):
        bench.disk.full = True
        await bench.emit(1)
        assert bench.store.trouble is not None
        found.add((bench.told() - number + 1, bench.store.trouble.rsplit(": ", 1)[1]))
        bench.disk.full = False
        leave_as_killed(bench.store, tmp_path, random.Random(number))
        bench.store = bench.begin()
        await bench.store.open()
        assert bench.told() == number
    assert found == {(0, "database or disk is full"), (1, "disk I/O error")}
    await bench.store.close()


@pytest.mark.parametrize("where", ["begin", "statement", "commit", "sync"])
async def test_what_a_full_disk_refuses_is_kept_only_where_its_last_sync_failed(tmp_path: Path, where: str) -> None:
    bench = Bench(tmp_path)
    await bench.store.open()
    bench.disk.draw = Always(where)
    bench.disk.full = True
    await bench.emit(1)
    assert bench.told() == (where == "sync")
    bench.store.abandon()


def test_the_walls_clock_can_be_set_and_the_monotonic_one_goes_on() -> None:
    loop = VirtualLoop(1)
    clock = DaemonClock(loop)
    before = clock.now_ns()
    clock.offset_seconds = -60.0
    assert (clock.now_ns() - before, clock.monotonic()) == (-60 * NS_PER_SECOND, 0.0)
    loop.close()


def test_a_line_that_ends_in_the_middle_is_cut_off(tmp_path: Path) -> None:
    log = tmp_path / "audit_events.jsonl"
    log.write_bytes(b'{"seq": 1}\n{"se')
    repair_torn_line(log)
    assert log.read_bytes() == b'{"seq": 1}\n'
