"""The audit log's files: which there are, where they end, what crashes leave behind.

``audit_events.jsonl`` is written to; ``.1`` is the newest rotated file, the highest number the oldest. The
anchor is the end of what has been deleted.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

NAME: Final = "audit_events.jsonl"
ANCHOR: Final = "audit_anchor.json"
GENESIS: Final = "0" * 64
_BLOCK = 65_536
_CANONICAL: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Anchor:
    """A point in the chain: a line's sequence number and hash."""

    seq: int
    hash: str


def chain_hash(previous: str, entry: Mapping[str, Any]) -> str:
    """Return the hash of a line: over the previous hash and the line as canonical JSON, without ``hash``."""
    return hashlib.sha256((previous + _CANONICAL(entry)).encode()).hexdigest()


def generation(directory: Path, number: int) -> Path:
    """Return the path of a rotated file."""
    return directory / f"{NAME}.{number}"


def numbered(directory: Path) -> list[tuple[int, Path]]:
    """Return the rotated files with their numbers, newest first."""
    return sorted((int(path.suffix[1:]), path) for path in directory.glob(f"{NAME}.*") if path.suffix[1:].isdigit())


def generations(directory: Path) -> list[Path]:
    """Return the log's files, oldest first."""
    current = directory / NAME
    return [path for _, path in reversed(numbered(directory))] + ([current] if current.exists() else [])


def read_anchor(directory: Path) -> Anchor:
    """Return the end of what has been deleted; the beginning of everything when nothing was.

    Raises:
        ValueError: The file is not an anchor.
    """
    try:
        anchor = json.loads((directory / ANCHOR).read_bytes())
        return Anchor(int(anchor["seq"]), str(anchor["hash"]))
    except FileNotFoundError:
        return Anchor(0, GENESIS)
    except (KeyError, TypeError) as error:
        raise ValueError(f"no {error}") from None


def backwards(path: Path) -> Iterator[bytes]:
    """Yield a file's lines from the last to the first, without their ends, reading no more than is asked for."""
    with path.open("rb") as file:
        place = file.seek(0, os.SEEK_END)
        rest = b""
        while place:
            step = min(_BLOCK, place)
            place -= step
            file.seek(place)
            rest, *lines = (file.read(step) + rest).split(b"\n")
            yield from (line for line in reversed(lines) if line)
        if rest:
            yield rest


def last_line(path: Path) -> bytes:
    """Return a file's last line, empty when there is none."""
    return next(backwards(path), b"")


def repair_torn_line(path: Path) -> None:
    """Cut off a last line that was not written to its end: the outbox still has it."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        place = size = file.seek(0, os.SEEK_END)
        while place:
            step = min(_BLOCK, place)
            file.seek(place - step)
            found = file.read(step).rfind(b"\n")
            place -= step
            if found >= 0:
                place += found + 1
                break
        if place < size:
            file.truncate(place)
