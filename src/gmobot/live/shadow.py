"""A copy of the state in memory, to read what the file would say if it could be written.

Without the journal and the audit outbox, which nobody asks for while the daemon runs and which are nearly all of the file.
"""

from __future__ import annotations

import sqlite3

from gmobot.live import schema

_LEFT_OUT = frozenset({"journal", "audit"})


def shadow(db: sqlite3.Connection) -> sqlite3.Connection:
    """Return the copy; whoever asks closes it.

    Raises:
        sqlite3.Error: The file cannot be read.
    """
    copy = sqlite3.connect(":memory:", isolation_level=None)
    try:
        _fill(copy, db)
    except BaseException:
        copy.close()
        raise
    return copy


def _fill(copy: sqlite3.Connection, db: sqlite3.Connection) -> None:
    for step in schema.STEPS:
        copy.executescript(step.sql)
    for (table,) in copy.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        if table in _LEFT_OUT or (table.startswith("sqlite_") and table != "sqlite_sequence"):
            continue
        copy.execute(f"DELETE FROM {table}")  # noqa: S608  # a name of ours
        rows = db.execute(f"SELECT * FROM {table}")  # noqa: S608  # as above
        places = ", ".join("?" * len(rows.description))
        copy.executemany(f"INSERT INTO {table} VALUES ({places})", rows)  # noqa: S608  # as above
