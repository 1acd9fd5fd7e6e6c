"""Reading the audit log: is the chain whole, what happened last, where is it mentioned.

Readers run beside the daemon that writes: a rotation may move the files under them, and the last line may
be half there. Neither is a broken chain.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from gmobot.ops.audit_files import ANCHOR, GENESIS, NAME, Anchor, backwards, chain_hash, generations, read_anchor

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What a check of the chain found.

    Attributes:
        ok: Whether it is whole.
        lines: Lines that hold.
        problem: File, line and what is wrong with the first one that does not.
        torn: Whether the last line is cut off; the next start writes it again.
    """

    ok: bool
    lines: int
    problem: str = ""
    torn: bool = False


class _BrokenError(Exception):
    """The first thing that is wrong."""


def verify(directory: Path) -> VerifyResult:
    """Check the whole chain, from the anchor of what has been deleted to the last line."""
    result = _verify_once(directory, before := _places(directory))
    for _ in range(_ATTEMPTS):
        if result.ok or before == (now := _places(directory)):
            break
        # The daemon rotated its log meanwhile: what was read is not what there is.
        result = _verify_once(directory, before := now)
    return result


def events(directory: Path) -> Iterator[dict[str, Any]]:
    """Yield every readable event, the newest first."""
    for file in reversed(generations(directory)):
        for line in backwards(file):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                yield entry


def tail(directory: Path, count: int) -> list[dict[str, Any]]:
    """Return the newest events, oldest first."""
    return list(islice(events(directory), count))[::-1]


def after(directory: Path, seq: int) -> list[dict[str, Any]]:
    """Return the events after one of this number, oldest first."""
    return list(takewhile(lambda entry: int(entry.get("seq", 0)) > seq, events(directory)))[::-1]


def search(directory: Path, text: str = "", *, event: str | None = None, count: int | None = None) -> list[dict[str, Any]]:
    """Return the newest events that match, oldest first.

    Args:
        directory: Where the log lies.
        text: Must occur in a value of the event, upper or lower case.
        event: Name it must have.
        count: How many at most.
    """
    wanted = text.casefold()
    found = (entry for entry in events(directory) if event in (None, entry.get("event")) and _mentions(entry, wanted))
    return list(islice(found, count))[::-1]


def _mentions(entry: dict[str, Any], wanted: str) -> bool:
    texts = (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in entry.values())
    return any(wanted in text.casefold() for text in texts)


def _verify_once(directory: Path, places: list[tuple[Path, int]]) -> VerifyResult:
    count = 0
    try:
        end = anchor = _anchor(directory)
        for file, _ in places:
            with file.open("rb") as lines:
                for number, line in enumerate(lines, start=1):
                    if not line.endswith(b"\n") and file.name == NAME:
                        return VerifyResult(ok=True, lines=count, torn=True)
                    end, counted = _link(line, f"{file}:{number}", end, anchor if count == 0 else None)
                    count += counted
    except (_BrokenError, OSError) as error:
        return VerifyResult(ok=False, lines=count, problem=str(error))
    return VerifyResult(ok=True, lines=count)


def _link(line: bytes, where: str, end: Anchor, anchor: Anchor | None) -> tuple[Anchor, int]:
    """Return where the chain stands after a line, and whether the line is a link of it."""
    try:
        entry = json.loads(line)
        digest, seq = entry.pop("hash"), int(entry["seq"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _BrokenError(f"{where}: not a whole audit line") from None
    if anchor is not None and seq <= anchor.seq and anchor.hash != GENESIS:
        return end, 0  # a file whose deletion was cut off: it lies before the anchor
    if seq <= end.seq:
        raise _BrokenError(f"{where}: seq {seq} comes after {end.seq}")
    if entry.get("prev_hash") != end.hash or chain_hash(end.hash, entry) != digest:
        raise _BrokenError(f"{where}: the chain is broken at seq {seq}")
    return Anchor(seq, digest), 1


def _anchor(directory: Path) -> Anchor:
    try:
        return read_anchor(directory)
    except ValueError as error:
        raise _BrokenError(f"{directory / ANCHOR}: not an anchor ({error})") from None


def _places(directory: Path) -> list[tuple[Path, int]]:
    places = []
    for file in generations(directory):
        try:
            places.append((file, file.stat().st_ino))
        except FileNotFoundError:
            continue
    return places
