"""``gmobot state``: copy the database, put a copy back, see whether it holds together."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import typer

from gmobot.cli.run import instance_lock
from gmobot.clock import SystemClock
from gmobot.config import load
from gmobot.errors import DataError, StoreError
from gmobot.live import emergency, schema
from gmobot.live.backups import backup
from gmobot.live.integrity import check
from gmobot.ops.audit_read import verify as verify_audit

_BROKEN = 5


def back_up(config: Path, to: Path | None) -> int:
    """Copy the database, also while a daemon uses it; return the exit code.

    Raises:
        DataError: There is none, or no room.
    """
    database = _database(config)
    try:
        typer.echo(str(backup(database, reason="by-hand", to=to)))
    except StoreError as error:
        raise DataError(str(error)) from None
    return 0


def restore(config: Path, source: Path) -> int:
    """Put a backup in the database's place; the next start is halted, for a person to look.

    Raises:
        ConfigError: A daemon is running.
        DataError: The file cannot be used; nothing was changed.
    """
    state = load(config).config.paths.state
    state.mkdir(parents=True, exist_ok=True)
    with instance_lock(state):
        fresh = state / ".restoring.db"
        try:
            shutil.copyfile(source, fresh)
            _prepare(fresh, source)
        except (OSError, sqlite3.Error, StoreError) as error:
            fresh.unlink(missing_ok=True)
            raise DataError(f"{source} cannot be restored: {error}; nothing was changed") from None
        aside = _put_aside(state)
        fresh.replace(state / "gmobot.db")
        _sync(state)
    if aside is not None:
        typer.echo(f"the replaced database is kept in {aside}")
    typer.echo(f"restored from {source}; the next start is halted until `gmobot resume --acknowledge`")
    return 0


def verify(config: Path, *, as_json: bool) -> int:
    """Check the database and the audit log; return the exit code.

    Raises:
        DataError: There is no database.
    """
    paths = load(config).config.paths
    database = _database(config)
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        trouble = _version_trouble(db) or check(db)
    audit = verify_audit(paths.logs)
    waiting = len(emergency.read(paths.state / emergency.NAME))
    ok = trouble is None and audit.ok
    if as_json:
        found = {"ok": ok, "database": trouble, "audit": audit.problem or None, "audit_events": audit.lines, "emergency_records": waiting}
        typer.echo(json.dumps(found))
    elif ok:
        more = f"; {waiting} records of the emergency journal are there to be merged at the next start, if they were not" if waiting else ""
        typer.echo(f"ok: {database} holds together, {audit.lines} audit events, chain whole{more}")
    else:
        typer.echo(f"broken: {database}: {trouble}" if trouble else f"broken: audit log: {audit.problem}", err=True)
    return 0 if ok else _BROKEN


def _prepare(fresh: Path, source: Path) -> None:
    """Bring a copy to today's schema, check it, and write into it where it came from and that a person must look."""
    with closing(sqlite3.connect(fresh, isolation_level=None)) as db:
        if trouble := _version_trouble(db):
            raise StoreError(trouble)
        schema.migrate(db)
        if trouble := check(db):
            raise StoreError(trouble)
        now = SystemClock().now_ns()
        db.execute("INSERT OR REPLACE INTO restored VALUES (1, ?, ?)", (str(source), now))
        db.execute("INSERT OR REPLACE INTO latches VALUES ('halt', 'state_restored', ?)", (now,))
        # What the emergency journal holds belongs to the database that is replaced.
        db.execute("PRAGMA journal_mode = DELETE")
    descriptor = os.open(fresh, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _version_trouble(db: sqlite3.Connection) -> str | None:
    try:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.DatabaseError as error:
        return f"it is no database ({error})"
    if version == 0:
        return "it is not a state database of gmobot"
    return f"it was written by a newer gmobot (schema {version}, this one knows {schema.VERSION})" if version > schema.VERSION else None


def _put_aside(state: Path) -> Path | None:
    kept = [path for path in (*state.glob("gmobot.db*"), state / emergency.NAME) if path.exists()]
    if not kept:
        return None
    aside = state / f"replaced-{datetime.now(UTC).strftime('%Y%m%dT%H%M%S%fZ')}"
    aside.mkdir()
    for path in kept:
        path.replace(aside / path.name)
    return aside


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _database(config: Path) -> Path:
    database = load(config).config.paths.state / "gmobot.db"
    if not database.exists():
        raise DataError(f"{database}: no state database there; run the daemon first, or pass its --config")
    return database
