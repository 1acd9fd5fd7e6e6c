"""Emits audit events through the real outbox into a log that rotates all the time, until it is killed. Its last word is a number."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from gmobot.clock import SystemClock
from gmobot.live.records import Event
from gmobot.live.store import Store
from gmobot.live.workers import InlineWorker
from gmobot.ops.audit import AuditLog


async def write(directory: Path, retention: int, count: int) -> None:
    """Go on where the last run was killed; with a count, end after so many events."""
    audit = AuditLog(directory / "logs", max_bytes=1_200, retention=retention)
    store = Store(directory / "state" / "gmobot.db", audit=audit, run_id="r", clock=SystemClock(), worker=InlineWorker())
    await store.open()
    sys.stdout.write("writing\n")
    sys.stdout.flush()
    number = 0
    while number < count or not count:
        number += 1
        await store.emit([Event("error", {"number": number, "part": part, "note": "x" * 60}) for part in range(3)])
    await store.close()


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
