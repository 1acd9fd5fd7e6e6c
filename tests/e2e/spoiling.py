"""Faults planted into a copy of the house: an edit that must be there to be made."""

from __future__ import annotations

from pathlib import Path


def replace(path: Path, before: str, after: str) -> None:
    """Put one text in the place of another.

    Raises:
        AssertionError: It does not occur exactly once: write the fault anew.
    """
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{before!r} occurs {text.count(before)} times in {path.name}"
    path.write_text(text.replace(before, after), encoding="utf-8")
