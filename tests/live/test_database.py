"""The file itself: what makes it unusable, what only makes it wait, and what is refused as ours to mend."""

from __future__ import annotations

import itertools
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from gmobot.errors import StoreError
from gmobot.live import emergency, schema
from gmobot.live.database import Database, Numbered, UnwritableError, connect
from gmobot.live.emergency import EmergencyJournal
from gmobot.live.integrity import check
from gmobot.live.schema import Step
from gmobot.ops.audit import AuditLog

NUMBERS = itertools.count(1)
EVENT = "INSERT INTO audit (ts_ns, run_id, event, fields) VALUES (1, 'run', 'told', '{}')"


def told(count: int) -> list[Numbered]:
    """Return a batch of events, with a number that no other batch has."""
    return [(next(NUMBERS), [(EVENT, ())] * count)]


class Fragile(sqlite3.Connection):
    """A connection whose disk can be taken away."""

    broken: sqlite3.Error | None = None

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        if self.broken is not None:
            raise self.broken
        return super().execute(*arguments)


def fragile(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Fragile)


def made(directory: Path, connect: Any = connect) -> Database:
    (directory / "logs").mkdir(parents=True, exist_ok=True)
    audit = AuditLog(directory / "logs", max_bytes=10_000_000, retention=3)
    return Database(directory / "state" / "gmobot.db", audit, connect=connect)


def disk_gone(database: Database, error: sqlite3.Error | None) -> None:
    connection = database._connection
    assert isinstance(connection, Fragile)
    connection.broken = error


IO_ERROR = sqlite3.OperationalError("disk I/O error")


def test_a_commit_the_disk_does_not_take_is_worth_waiting_for(tmp_path: Path) -> None:
    database = made(tmp_path, fragile)
    database.open()
    disk_gone(database, IO_ERROR)
    with pytest.raises(UnwritableError, match="disk I/O error"):
        database.apply(told(1))
    with pytest.raises(UnwritableError, match="disk I/O error"):
        database.prune(1)
    with pytest.raises(StoreError, match="disk I/O error"):
        database.read(lambda db: db.execute("SELECT 1"))
    disk_gone(database, None)
    database.apply(told(1))
    database.close()


def test_a_batch_that_is_wrong_is_not_waited_for_and_leaves_nothing(tmp_path: Path) -> None:
    database = made(tmp_path)
    database.open()
    with pytest.raises(StoreError, match="NOT NULL") as raised:
        database.apply([*told(1), (next(NUMBERS), [("INSERT INTO audit (ts_ns, run_id, event, fields) VALUES (1, NULL, '', '')", ())])])
    assert not isinstance(raised.value, UnwritableError)
    assert database.read(lambda db: db.execute("SELECT COUNT(*) FROM audit").fetchone()) == (0,)
    database.close()


def test_a_file_that_is_not_open_is_told_as_such(tmp_path: Path) -> None:
    database = made(tmp_path)
    with pytest.raises(UnwritableError, match="is not open"):
        database.apply([])
    database.close()


def test_a_new_connection_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    def not_now(path: Path) -> sqlite3.Connection:
        raise IO_ERROR

    database = made(tmp_path)
    database.open()
    before = database._connection
    database._connect = not_now
    with pytest.raises(UnwritableError, match="disk I/O error"):
        database.reopen()
    assert database._connection is before
    database._connect = connect
    database.reopen()
    assert database._connection is not before
    database.apply(told(1))
    database.close()


def test_a_locked_file_can_be_written_later_and_garbage_never(tmp_path: Path) -> None:
    first = made(tmp_path)
    first.open()
    first.close()
    lock = sqlite3.connect(tmp_path / "state" / "gmobot.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    database = made(tmp_path)
    database.open()
    assert database.read(check) is None, "it can be read meanwhile"
    with pytest.raises(UnwritableError, match="locked"):
        database.prepare()
    lock.close()
    database.prepare()
    database.close()
    for leftover in (tmp_path / "state").iterdir():
        leftover.unlink()
    (tmp_path / "state" / "gmobot.db").write_bytes(b"no database" * 1_000)
    with pytest.raises(StoreError, match="There is no backup that fits") as raised:
        database.open()
    assert not isinstance(raised.value, UnwritableError)


def test_a_log_that_cannot_be_written_is_behind_until_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = made(tmp_path)
    database.open()
    assert database.audit_failure is None

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(AuditLog, "append", full)
        database.apply(told(1))
        assert "No space left" in str(database.audit_failure)
    database.apply([])
    assert database.audit_failure is None
    assert database._audit.last_seq == 1
    database.close()


def test_more_events_than_one_question_brings_are_copied_all(tmp_path: Path) -> None:
    database = made(tmp_path)
    database.open()
    for count in (500, 501):
        before = database._audit.last_seq
        database.apply(told(count))
        assert database._audit.last_seq == before + count
    database.close()


# --- steps ------------------------------------------------------------------------------------------------


def test_every_step_has_the_number_after_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [step.version for step in schema.STEPS] == list(range(1, schema.VERSION + 1))
    assert all(step.name and step.sql for step in schema.STEPS)
    (tmp_path / "0001_first.sql").write_text("SELECT 1;")
    (tmp_path / "notes.txt").write_text("")
    monkeypatch.setattr(schema, "files", lambda _: tmp_path)
    assert schema._steps() == (Step(1, "first", "SELECT 1;"),)
    (tmp_path / "0003_third.sql").write_text("SELECT 1;")
    with pytest.raises(RuntimeError, match=r"0003_third\.sql: expected number 0002"):
        schema._steps()


# --- does it hold together --------------------------------------------------------------------------------


def test_a_file_that_answers_no_question_is_damaged(tmp_path: Path) -> None:
    database = made(tmp_path, fragile)
    database.open()
    assert database.read(check) is None
    disk_gone(database, sqlite3.DatabaseError("malformed"))
    connection = database._connection
    assert connection is not None
    assert check(connection) == "it is damaged (malformed)"
    database.close()


# --- the emergency journal ----------------------------------------------------------------------------------


def journal(directory: Path, size: int = 1 << 16) -> EmergencyJournal:
    directory.mkdir(exist_ok=True)
    return EmergencyJournal(directory / emergency.NAME, size=size)


def test_the_journal_is_allocated_once_in_full(tmp_path: Path) -> None:
    file = journal(tmp_path)
    assert file.open() == []
    assert (tmp_path / emergency.NAME).stat().st_size == 1 << 16
    assert (tmp_path / emergency.NAME).stat().st_mode & 0o777 == 0o600
    file.append(1, [("X", (1,))])
    file.close()
    file.close()
    larger = journal(tmp_path, 1 << 17)
    assert larger.open() == [(1, [("X", (1,))])]
    assert (tmp_path / emergency.NAME).stat().st_size == 1 << 17
    larger.append(2, [("Y", ())])
    assert emergency.read(tmp_path / emergency.NAME) == [(1, [("X", (1,))]), (2, [("Y", ())])]
    larger.close()


def test_the_last_record_that_fits_is_taken(tmp_path: Path) -> None:
    file = journal(tmp_path, 16 + 11 + 16)
    file.open()
    file.append(1, [("XX", ())])
    assert emergency.read(tmp_path / emergency.NAME) == [(1, [("XX", ())])]
    with pytest.raises(StoreError, match="is full"):
        file.append(2, [])
    file.close()
    tight = journal(tmp_path / "tight", 16 + 11 + 15)
    tight.open()
    with pytest.raises(StoreError, match="is full"):
        tight.append(1, [("XX", ())])
    tight.close()


def test_a_file_that_ends_with_its_last_record_is_whole(tmp_path: Path) -> None:
    file = journal(tmp_path)
    file.open()
    file.append(1, [("XX", ())])
    file.close()
    path = tmp_path / emergency.NAME
    path.write_bytes(path.read_bytes()[: 16 + 11])
    assert emergency.read(path) == [(1, [("XX", ())])]


def test_a_lower_number_is_of_another_time(tmp_path: Path) -> None:
    file = journal(tmp_path)
    file.open()
    file.append(5, [("X", ())])
    file.append(5, [("Y", ())])
    assert emergency.read(tmp_path / emergency.NAME) == [(5, [("X", ())])]
    file.close()


@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
def test_a_journal_that_cannot_be_written_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    file = journal(tmp_path)
    file.open()
    file.append(1, [("X", ())])

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, broken)
        with pytest.raises(StoreError, match="Input/output error"):
            file.append(2, [("Y", ())])
    file.append(3, [("Z", ())])
    assert emergency.read(tmp_path / emergency.NAME) == [(1, [("X", ())]), (3, [("Z", ())])], "written over what was torn"
    with monkeypatch.context() as patch:
        patch.setattr(os, call, broken)
        with pytest.raises(StoreError, match="Input/output error"):
            file.clear()
    file.append(4, [("A", ())])
    assert emergency.read(tmp_path / emergency.NAME)[-1] == (4, [("A", ())]), "what comes after a failed clearing is read"
    file.close()


def test_a_journal_that_cannot_be_made_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="it needs 4 MiB, free some space"):
        EmergencyJournal(tmp_path / "nowhere" / emergency.NAME).open()


@pytest.mark.parametrize("call", ["fsync", "fdatasync"])
def test_what_is_in_the_journal_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    synced: list[int] = []
    sync = getattr(os, call)

    def counted(number: int) -> None:
        synced.append(number)
        sync(number)

    monkeypatch.setattr(os, call, counted)
    file = journal(tmp_path)
    file.open()
    file.append(1, [("X", ())])
    file.clear()
    assert len(synced) == (1 if call == "fsync" else 2)
    file.close()


def test_a_connection_that_cannot_be_set_up_is_closed_at_once(tmp_path: Path) -> None:
    """One that is only dropped stays open until the garbage collector comes by, and with it whatever lock it holds."""
    made: list[Fragile] = []

    def broken(path: Path) -> sqlite3.Connection:
        made.append(sqlite3.connect(path, factory=Fragile))
        made[-1].broken = sqlite3.OperationalError("database is locked")
        return made[-1]

    with pytest.raises(UnwritableError, match="locked"):
        Database(tmp_path / "state.db", AuditLog(tmp_path, max_bytes=1_000_000, retention=1), connect=broken).open()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        made[0].executescript("SELECT 1")
