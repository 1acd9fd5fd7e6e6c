"""The state database, opened to be read only: beside a running daemon or without one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from gmobot.errors import UserError
from gmobot.live import schema


def reading(database: Path) -> sqlite3.Connection:
    """Open a database of today's schema; whoever asks closes it.

    Raises:
        UserError: There is none, it is damaged, or another version's.
    """
    if not database.exists():
        raise UserError(f"{database}: no state database there; run the daemon first, or pass its --config")
    db: sqlite3.Connection | None = None
    try:
        db = sqlite3.connect(f"file:{database}?mode=ro", uri=True, isolation_level=None)
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error as error:
        if db is not None:
            db.close()
        raise UserError(f"{database}: {error}; see `gmobot state verify`") from None
    if version != schema.VERSION:
        db.close()
        raise UserError(f"{database}: schema {version}, this gmobot reads {schema.VERSION}; start the daemon once, it brings it up to date")
    return db
