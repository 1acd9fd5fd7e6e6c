"""Copies of the state database: made while the daemon runs, kept in a bounded number, put back by command.

A backup is a database like the one it was made of, named by what it is good for::

    state/backups/gmobot-schema3-20260102T030405Z-before-schema-4.db
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from gmobot.errors import StoreError

FOLDER = "backups"
KEPT = 10
"""Backups of the same reason that are kept; the oldest go."""
_NAME = re.compile(r"^gmobot-schema(\d+)-\d{8}T\d{12}Z-[a-z0-9-]+\.db$")


def backup(database: Path, *, reason: str, to: Path | None = None) -> Path:
    """Copy a database as of one moment, while others use it. Returns where the copy is.

    Args:
        database: The file.
        reason: A few words with hyphens, for the name.
        to: Where to put it instead.

    Raises:
        StoreError: It cannot be read, or there is no room for a copy.
    """
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as source:
            version = int(source.execute("PRAGMA user_version").fetchone()[0])
            target = to or _place(database, version, reason)
            target.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(target)) as copy:
                source.backup(copy)
                # A copy is one file: it can be moved and read without a log beside it.
                copy.execute("PRAGMA journal_mode = DELETE")
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{database} cannot be backed up: {error}; check the disk and its owner") from error
    if to is None:
        _forget_oldest(target.parent, reason)
    return target


def backups(database: Path) -> list[Path]:
    """Return the backups beside a database, oldest first."""
    folder = database.parent / FOLDER
    found = [path for path in folder.glob("gmobot-schema*.db") if _NAME.match(path.name)] if folder.is_dir() else []
    return sorted(found, key=lambda path: path.name.split("-")[2])


def newest_for(database: Path, version: int) -> Path | None:
    """Return the newest backup that code of this schema version can open, ``None`` if there is none."""
    fitting = [path for path in backups(database) if (name := _NAME.match(path.name)) and int(name.group(1)) <= version]
    return fitting[-1] if fitting else None


def _place(database: Path, version: int, reason: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    return database.parent / FOLDER / f"gmobot-schema{version}-{stamp}-{reason}.db"


def _forget_oldest(folder: Path, reason: str) -> None:
    same = sorted(path for path in folder.glob(f"gmobot-schema*-{reason}.db") if _NAME.match(path.name))
    for path in sorted(same, key=lambda path: path.name.split("-")[2])[:-KEPT]:
        path.unlink()
