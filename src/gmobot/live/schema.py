"""The state database: its tables, as numbered steps from an empty file to today's, each taken once and forward only.

A step is a file ``migrations/NNNN_name.sql``; its number is the version of the schema after it. Integers are
ticks, lots, micro-yen and nanoseconds, as in the core. ``audit`` is an outbox: an event is written in the
transaction of its effect and copied to the log file afterwards, by ``seq``.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Step:
    """One migration.

    Attributes:
        version: Of the schema after it.
        name: What it is about.
        sql: Its statements.
    """

    version: int
    name: str
    sql: str


def _steps() -> tuple[Step, ...]:
    found = sorted(file.name for file in files("gmobot.live.migrations").iterdir() if file.name.endswith(".sql"))
    steps = []
    for position, name in enumerate(found, start=1):
        number, _, rest = name.removesuffix(".sql").partition("_")
        if int(number) != position:
            raise RuntimeError(f"migrations/{name}: expected number {position:04d}")
        steps.append(Step(position, rest, files("gmobot.live.migrations").joinpath(name).read_text(encoding="utf-8")))
    return tuple(steps)


def migrate(db: sqlite3.Connection) -> None:
    """Take a database from wherever it stands to today's schema, step by step; a step is taken whole or not at all.

    Raises:
        sqlite3.Error: A step could not be taken; the database stands before it.
    """
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    for step in STEPS[version:]:
        db.executescript(f"BEGIN IMMEDIATE;{step.sql}PRAGMA user_version = {step.version};COMMIT;")


STEPS = _steps()
VERSION = len(STEPS)
