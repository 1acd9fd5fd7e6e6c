"""``gmobot state``: copy the database, put a copy back, see whether it holds together."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import typer

from gmobot.cli.run import instance_lock
from gmobot.clock import SystemClock
from gmobot.config import load
from gmobot.errors import DataError, StoreError
from gmobot.live import emergency
from gmobot.live.backups import backup
from gmobot.live.integrity import check
from gmobot.live.restoring import put_back, version_trouble
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
    paths = load(config).config.paths
    state = paths.state
    state.mkdir(parents=True, exist_ok=True)
    with instance_lock(state):
        try:
            done = put_back(state, paths.logs, source, now_ns=SystemClock().now_ns())
        except StoreError as error:
            raise DataError(str(error)) from None
    if done.aside is not None:
        typer.echo(f"the replaced database is kept in {done.aside}")
    if done.orders:
        typer.echo(f"{done.orders} orders sent since the backup were taken from the audit log; what filled is found at the exchange")
    if done.noted:
        typer.echo(f"{done.noted} orders sent while the database could not be written were taken from the emergency journal")
    for trouble in done.troubles:
        typer.echo(f"{trouble}; compare the exchange's list of orders before you resume", err=True)
    if done.unreadable:
        typer.echo(
            f"{done.unreadable} orders sent since the backup could not be taken over: the exchange's will be called foreign", err=True
        )
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
        trouble = version_trouble(db) or check(db)
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


def _database(config: Path) -> Path:
    database = load(config).config.paths.database
    if not database.exists():
        raise DataError(f"{database}: no state database there; run the daemon first, or pass its --config")
    return database
