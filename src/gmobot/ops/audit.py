"""The audit log: one JSON object a line, chained by hashes, rotated by size.

Each line's ``hash`` is SHA-256 over the line before's hash and the line's own content, so that nothing can
be changed, dropped or inserted unseen. When the oldest file is deleted, the hash of its last line stays
behind as the anchor. The database is the outbox: an event at or below ``last_seq`` is already here, and one
that a crash took from the end of the file is written again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from gmobot.clock import iso_utc
from gmobot.ops.atomic import write_atomic
from gmobot.ops.audit_files import (
    ANCHOR,
    GENESIS,
    NAME,
    Anchor,
    chain_hash,
    generation,
    generations,
    last_line,
    numbered,
    read_anchor,
    repair_torn_line,
)

RESERVED: Final = ("seq", "ts", "run_id", "event", "prev_hash", "hash")
"""Keys of every line. A field of that name gets an underscore behind it."""
_LINE: Final = json.JSONEncoder(ensure_ascii=False).encode


class AuditEvent(StrEnum):
    """Everything that is written to the log (``CONTRACTS`` §8)."""

    RUN_STARTED = "run_started"
    RUN_STOPPED = "run_stopped"
    CONFIG_LOADED = "config_loaded"
    ARMED = "armed"
    SECRET_LOADED = "secret_loaded"
    PREFLIGHT_RESULT = "preflight_result"
    DECISION = "decision"
    ORDER_INTENT = "order_intent"
    ORDER_SUBMITTED = "order_submitted"
    ORDER_ACKNOWLEDGED = "order_acknowledged"
    ORDER_REJECTED = "order_rejected"
    ORDER_OUTCOME_UNKNOWN = "order_outcome_unknown"
    ORDER_RESOLVED = "order_resolved"
    ORDER_AMENDED = "order_amended"
    ORDER_CANCELLED = "order_cancelled"
    FILL = "fill"
    POSITION_CHANGED = "position_changed"
    PROTECTION_CHANGED = "protection_changed"
    CASH_FLOW = "cash_flow"
    RISK_STATUS_CHANGED = "risk_status_changed"
    MONITOR_STATUS_CHANGED = "monitor_status_changed"
    RECONNECT = "reconnect"
    RECONCILED = "reconciled"
    CONTROL_COMMAND = "control_command"
    NOTIFICATION_RESULT = "notification_result"
    ERROR = "error"


class AuditLog:
    """Appends to the log. One writer, on one thread.

    Raises:
        OSError: On creation, when it cannot be read, or is damaged in a way no crash leaves behind.
    """

    def __init__(self, directory: Path, *, max_bytes: int, retention: int) -> None:
        """Open the log and mend what a crash left.

        Args:
            directory: Where it lies.
            max_bytes: A file is rotated before it grows beyond this.
            retention: Rotated files that are kept.
        """
        self._directory = directory
        self._max_bytes = max_bytes
        self._retention = retention
        self._path = directory / NAME
        directory.mkdir(parents=True, exist_ok=True)
        self._end = Anchor(0, GENESIS)
        self._unsure = True
        self._recover()

    @property
    def last_seq(self) -> int:
        """Sequence number of the last whole line, 0 for none."""
        return self._end.seq

    def append(self, seq: int, ts_ns: int, run_id: str, event: str, fields: Mapping[str, Any]) -> None:
        """Write one event; one that is here already is ignored.

        Args:
            seq: Its number.
            ts_ns: When it happened.
            run_id: In which run.
            event: Its name.
            fields: What JSON gives back for them, as the outbox does: what would be read back otherwise breaks the chain.

        Raises:
            OSError: The disk refuses; the event is not here.
        """
        if self._unsure:
            self._recover()
        if seq <= self._end.seq:
            return
        entry: dict[str, Any] = {"seq": seq, "ts": iso_utc(ts_ns), "run_id": run_id, "event": event}
        for key, value in fields.items():
            entry[f"{key}_" if key in RESERVED else key] = value
        entry["prev_hash"] = self._end.hash
        digest = entry["hash"] = chain_hash(self._end.hash, entry)
        line = (_LINE(entry) + "\n").encode()
        self._unsure = True
        self._write(line)
        self._end, self._unsure = Anchor(seq, digest), False

    def _write(self, line: bytes) -> None:
        with self._path.open("ab", buffering=0) as file:
            size = file.tell()
            if not size or size + len(line) <= self._max_bytes:
                _append(file.fileno(), line)
                return
            os.fsync(file.fileno())
        self._rotate()
        with self._path.open("ab", buffering=0) as file:
            _append(file.fileno(), line)

    def _recover(self) -> None:
        """Find out where the log stands, after a crash or a refusal of the disk, and mend what that left behind."""
        repair_torn_line(self._path)
        self._end = self._find_end()
        self._forget_anchored()
        self._unsure = False

    def _find_end(self) -> Anchor:
        for file in reversed(generations(self._directory)):
            if file.stat().st_size:
                return _end_of(file)
        return read_anchor(self._directory)

    def _rotate(self) -> None:
        kept = [number for number, _ in numbered(self._directory)]
        free = next(number for number in range(1, len(kept) + 2) if number not in kept)
        if free > self._retention:
            self._drop(generation(self._directory, number) for number in kept if number >= self._retention)
            free = self._retention
        # From the gap down: wherever this is cut off there is one gap, and the next rotation starts there.
        for number in range(free, 1, -1):
            generation(self._directory, number - 1).replace(generation(self._directory, number))
        self._path.replace(generation(self._directory, 1))

    def _drop(self, files: Iterable[Path]) -> None:
        """Delete the oldest files; the anchor is on disk before the first of them goes."""
        gone = list(files)
        newest = max((_end_of(file) for file in gone), key=lambda end: end.seq)
        write_atomic(self._directory / ANCHOR, json.dumps({"seq": newest.seq, "hash": newest.hash}).encode())
        for file in gone:
            file.unlink()

    def _forget_anchored(self) -> None:
        """Finish a rotation that was cut off between writing the anchor and deleting its files."""
        anchor = read_anchor(self._directory)
        for _, file in numbered(self._directory) if anchor.seq else []:
            if _end_of(file).seq <= anchor.seq:
                file.unlink()


def _end_of(file: Path) -> Anchor:
    line = last_line(file)
    try:
        entry = json.loads(line)
        return Anchor(int(entry["seq"]), str(entry["hash"]))
    except (ValueError, KeyError, TypeError):
        raise OSError(f"{file}: its last line is not an audit event; see `gmobot audit verify`, then move the file away") from None


def _append(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
