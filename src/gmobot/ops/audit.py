"""The audit log: one JSON object a line, chained by hashes, rotated by size.

Each line's ``hash`` is SHA-256 over the line before's hash and the line's own content, so that nothing can
be changed, dropped or inserted unseen. When the oldest file is deleted, the hash of its last line stays
behind as the anchor. The database is the outbox: an event at or below ``last_seq`` is already here.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gmobot.clock import iso_utc
from gmobot.ops.atomic import write_atomic

NAME = "audit_events.jsonl"
_ANCHOR = "audit_anchor.json"
_GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What a check of the chain found.

    Attributes:
        ok: Whether it is whole.
        lines: Lines that hold.
        problem: File, line and what is wrong with the first one that does not.
    """

    ok: bool
    lines: int
    problem: str = ""


class AuditLog:
    """Appends to the log. One writer, on one thread."""

    def __init__(self, directory: Path, *, max_bytes: int, retention: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._retention = retention
        self._path = directory / NAME
        directory.mkdir(parents=True, exist_ok=True)
        _repair_torn_line(self._path)
        self._forget_anchored()
        anchor = _read_anchor(directory)
        self._seq, self._hash = anchor
        for file in reversed(generations(directory)):
            last = _last_line(file)
            if last is not None:
                self._seq, self._hash = int(last["seq"]), str(last["hash"])
                break

    @property
    def last_seq(self) -> int:
        """Sequence number of the last whole line, 0 for none."""
        return self._seq

    def append(self, seq: int, ts_ns: int, run_id: str, event: str, fields: Mapping[str, Any]) -> None:
        """Write one event; one that is here already is ignored.

        Raises:
            OSError: The disk refuses; the event is not here.
        """
        if seq <= self._seq:
            return
        entry = {"seq": seq, "ts": iso_utc(ts_ns), "run_id": run_id, "event": event, **fields, "prev_hash": self._hash}
        digest = _digest(self._hash, entry)
        line = json.dumps(entry | {"hash": digest}, ensure_ascii=False) + "\n"
        self._rotate_if_full(len(line.encode()))
        before = self._path.stat().st_size if self._path.exists() else 0
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError:
            # Half a line must not stay in front of the next attempt.
            os.truncate(self._path, before)
            raise
        self._seq, self._hash = seq, digest

    def _rotate_if_full(self, more: int) -> None:
        if not self._path.exists() or self._path.stat().st_size + more <= self._max_bytes:
            return
        with self._path.open("rb") as file:
            os.fsync(file.fileno())
        free = next((n for n in range(1, self._retention + 1) if not self._generation(n).exists()), None)
        if free is None:
            oldest = self._generation(self._retention)
            last = _last_line(oldest)
            if last is not None:
                write_atomic(self._directory / _ANCHOR, json.dumps({"seq": last["seq"], "hash": last["hash"]}).encode())
            oldest.unlink()
            free = self._retention
        for number in range(free, 1, -1):
            self._generation(number - 1).replace(self._generation(number))
        self._path.replace(self._generation(1))

    def _forget_anchored(self) -> None:
        """Finish a rotation that was cut off between writing the anchor and deleting its file."""
        seq, _ = _read_anchor(self._directory)
        for file in generations(self._directory):
            last = _last_line(file)
            if last is not None and int(last["seq"]) <= seq:
                file.unlink()

    def _generation(self, number: int) -> Path:
        return self._directory / f"{NAME}.{number}"


def generations(directory: Path) -> list[Path]:
    """Return the log's files, oldest first."""
    numbered = [(int(path.suffix[1:]), path) for path in directory.glob(f"{NAME}.*") if path.suffix[1:].isdigit()]
    current = directory / NAME
    return [path for _, path in sorted(numbered, reverse=True)] + ([current] if current.exists() else [])


def events(directory: Path) -> Iterator[dict[str, Any]]:
    """Yield every readable event, oldest first."""
    for file in generations(directory):
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                if line.endswith("\n"):
                    yield json.loads(line)


def tail(directory: Path, count: int) -> list[dict[str, Any]]:
    """Return the newest events, oldest first."""
    return list(deque(events(directory), maxlen=count))


def verify(directory: Path) -> VerifyResult:
    """Check the whole chain."""
    seq, previous = _read_anchor(directory)
    count = 0
    for file in generations(directory):
        with file.open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    entry = json.loads(line)
                    digest, entry_seq = entry.pop("hash"), int(entry["seq"])
                except (ValueError, KeyError, TypeError, AttributeError):
                    return VerifyResult(ok=False, lines=count, problem=f"{file}:{number}: not a whole audit line")
                if entry_seq <= seq:
                    if count == 0 and previous != _GENESIS:
                        continue
                    return VerifyResult(ok=False, lines=count, problem=f"{file}:{number}: seq {entry_seq} comes after {seq}")
                if entry.get("prev_hash") != previous or _digest(previous, entry) != digest:
                    return VerifyResult(ok=False, lines=count, problem=f"{file}:{number}: the chain is broken at seq {entry_seq}")
                seq, previous, count = entry_seq, digest, count + 1
    return VerifyResult(ok=True, lines=count)


def _digest(previous: str, entry: Mapping[str, Any]) -> str:
    text = json.dumps(entry, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256((previous + text).encode()).hexdigest()


def _read_anchor(directory: Path) -> tuple[int, str]:
    try:
        anchor = json.loads((directory / _ANCHOR).read_bytes())
    except FileNotFoundError:
        return 0, _GENESIS
    return int(anchor["seq"]), str(anchor["hash"])


def _last_line(path: Path) -> dict[str, Any] | None:
    last = None
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            last = line
    return json.loads(last) if last else None


def _repair_torn_line(path: Path) -> None:
    """Cut off a last line that was not written to its end: the outbox still has it."""
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)
