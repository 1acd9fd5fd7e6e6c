"""The SQLite file itself: opening, migrating, applying batches, and copying the audit outbox to its log.

``synchronous=FULL`` in WAL mode fsyncs each commit. Before an existing file is migrated it is copied aside; a file
of a newer schema, or a damaged one, is refused with the command that puts a backup back, and never touched.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol, TypeVar

from gmobot.errors import StoreError
from gmobot.live import schema
from gmobot.live.backups import backup, newest_for
from gmobot.live.integrity import check
from gmobot.live.pruning import Pruner
from gmobot.live.shadow import shadow
from gmobot.live.statements import Batch

T = TypeVar("T")
Numbered = tuple[int, Batch]
"""A batch with its number: each is above those of all batches before it."""
Connect = Callable[[Path], sqlite3.Connection]
BUSY_SECONDS = 0.25
"""How long a commit waits for another process's lock: an exit must not wait longer before it takes the emergency way."""
_OUTBOX_BATCH = 500
_WAL_BYTES = 16 << 20
"""What a write-ahead log that has grown behind a long reader is cut back to."""
_OURS_TO_MEND = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.NotSupportedError)
"""Errors that say that we are wrong, not that the disk is."""


class AuditSink(Protocol):
    """The audit log file, as the database needs it."""

    @property
    def last_seq(self) -> int:
        """Sequence number of the last whole line on disk, 0 for none."""

    def append(self, seq: int, ts_ns: int, run_id: str, event: str, fields: Mapping[str, Any]) -> None:
        """Write one event; an event at or below ``last_seq`` is ignored."""


class UnwritableError(StoreError):
    """The file cannot be written now; nothing of the batch is in it."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the file as the one writer does."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS)


class Database:
    """One connection, used by one thread.

    Attributes:
        audit_failure: Why the audit log file is behind, or ``None``; the events themselves are safe in the outbox.
    """

    def __init__(self, path: Path, audit: AuditSink, *, connect: Connect = connect) -> None:
        self.path = path
        self._audit = audit
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._prepared = False
        self._pruner = Pruner()
        self.audit_failure: str | None = None

    def open(self) -> None:
        """Open or create the file and bring its schema up to date. After this it can be read; see :meth:`prepare`.

        Raises:
            UnwritableError: Not now: somebody holds a lock, or the disk is full.
            StoreError: It cannot be used; the text says what to do.
        """
        self.close()
        self._prepared = False
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = db = self._configured()
            self._migrate(db)
            self._check(db)
        except sqlite3.OperationalError as error:
            self.close()
            raise UnwritableError(f"{self.path}: {error}") from error
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise StoreError(f"{self.path}: {error}. {self._way_back(schema.VERSION)}") from error
        except StoreError:
            self.close()
            raise

    def prepare(self) -> None:
        """Make an opened file ready to be written: number audit events on from the log, bring the log up to date.

        Raises:
            UnwritableError: Not now.
        """
        db = self._opened()
        try:
            _number_on(db, self._audit.last_seq)
        except sqlite3.Error as error:
            raise UnwritableError(f"{self.path}: {error}") from error
        self._prepared = True
        self._drain(db)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def reopen(self) -> None:
        """Try with a new connection: one that met an I/O error may be of no more use.

        Raises:
            UnwritableError: Not yet.
        """
        try:
            fresh = self._configured()
        except sqlite3.Error as error:
            raise UnwritableError(f"{self.path}: {error}") from error
        self.close()
        self._connection = fresh
        if not self._prepared:
            self.prepare()

    def prune(self, before_ns: int) -> int:
        """Let go of a little from before a moment. Returns how many rows were looked at; 0 when nothing is left to do.

        Raises:
            UnwritableError: It cannot be written.
        """
        try:
            return self._pruner.prune(self._opened(), before_ns, copied=self._audit.last_seq)
        except sqlite3.Error as error:
            raise UnwritableError(f"{self.path}: {error}") from error

    def apply(self, batches: Sequence[Numbered]) -> None:
        """Commit batches, in order, all or nothing; when this returns they are on disk.

        A commit that failed may yet turn out to be in the file: the number kept with each says so, and it is not applied twice.

        Raises:
            UnwritableError: The file cannot be written now.
            StoreError: A batch itself is wrong.
        """
        db = self._opened()
        try:
            with db:
                db.execute("BEGIN IMMEDIATE")
                applied = _applied(db)
                for number, batch in batches:
                    for sql, values in batch if number > applied else ():
                        db.execute(sql, values)
                    applied = max(applied, number)
                db.execute("UPDATE emergency SET merged = ?", (applied,))
        except _OURS_TO_MEND as error:
            raise StoreError(f"{self.path}: {error}") from error
        except sqlite3.Error as error:
            raise UnwritableError(f"{self.path}: {error}") from error
        self._drain(db)

    def applied(self) -> int:
        """Return the number of the last batch that is in the file."""
        return self.read(_applied)

    def read(self, ask: Callable[[sqlite3.Connection], T], waiting: Sequence[Numbered] = ()) -> T:
        """Ask the file something, as if what waits were written.

        Raises:
            StoreError: It does not answer.
        """
        try:
            db = self._opened()
            if not waiting:
                return ask(db)
            applied = _applied(db)
            with closing(shadow(db)) as copy:
                for number, batch in waiting:
                    for sql, values in batch if number > applied else ():
                        copy.execute(sql, values)
                return ask(copy)
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}") from error

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise UnwritableError(f"{self.path} is not open")
        return self._connection

    def _configured(self) -> sqlite3.Connection:
        db = self._connect(self.path)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA foreign_keys = ON")
            db.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        except BaseException:
            # One that is dropped stays open until the garbage collector comes by: its statement cache refers back to it.
            db.close()
            raise
        return db

    def _migrate(self, db: sqlite3.Connection) -> None:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if version > schema.VERSION:
            raise StoreError(
                f"{self.path} was written by a newer gmobot (schema {version}, this one knows {schema.VERSION}); "
                f"run that version again, or go back: {self._way_back(schema.VERSION)}"
            )
        if 0 < version < schema.VERSION:
            backup(self.path, reason=f"before-schema-{schema.VERSION}")
        schema.migrate(db)

    def _check(self, db: sqlite3.Connection) -> None:
        trouble = check(db)
        if trouble is not None:
            raise StoreError(f"{self.path}: {trouble}; nothing was changed. {self._way_back(schema.VERSION)}")

    def _way_back(self, version: int) -> str:
        kept = newest_for(self.path, version)
        if kept is None:
            return "There is no backup that fits"
        return f"To put the newest backup that fits back: gmobot state restore {kept}"

    def _drain(self, db: sqlite3.Connection) -> None:
        """Copy committed events to the log file, in order, from where the file ends.

        What cannot be copied now stays in the outbox: the effect it tells of is committed already.
        """
        try:
            self._copy(db)
            self.audit_failure = None
        except (sqlite3.Error, OSError) as error:
            self.audit_failure = str(error)

    def _copy(self, db: sqlite3.Connection) -> None:
        while True:
            rows = db.execute(
                "SELECT seq, ts_ns, run_id, event, fields FROM audit WHERE seq > ? ORDER BY seq LIMIT ?",
                (self._audit.last_seq, _OUTBOX_BATCH),
            ).fetchall()
            for seq, ts_ns, run_id, event, fields in rows:
                self._audit.append(seq, ts_ns, run_id, event, json.loads(fields))
            if len(rows) < _OUTBOX_BATCH:
                return


def _number_on(db: sqlite3.Connection, last_seq: int) -> None:
    """Number events on from the log file: of a new database beside an old log, it would take the first ones for copies."""
    db.execute("INSERT INTO sqlite_sequence SELECT 'audit', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'audit')")
    db.execute("UPDATE sqlite_sequence SET seq = MAX(seq, ?) WHERE name = 'audit'", (last_seq,))


def _applied(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT merged FROM emergency").fetchone()[0])
