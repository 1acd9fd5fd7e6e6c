"""The lock files: everything pinned by hash, from anywhere, and the bot is tested with what it runs with.

What is known against a version (advisories, yanked releases) changes without us and stands at the index: ``make audit``
asks it. A copy of such a list in here would only be out of date.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"
LOCKS = sorted(path.name for path in REQUIREMENTS.glob("*.lock"))


def entries(lock: str) -> dict[str, str]:
    """Return the text of each requirement by name."""
    text = re.sub(r"^\s*#.*\n", "", (REQUIREMENTS / lock).read_text(encoding="utf-8"), flags=re.MULTILINE)
    parts = [part for part in re.split(r"\n(?=\S)", text.strip()) if part]
    return {re.split(r"[=\s@<>~!\[]", part, maxsplit=1)[0]: part for part in parts}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_one_version_with_hashes_and_nothing_else(lock: str) -> None:
    """Nothing else: an option, an index, a folder or an address would be an entry of another form."""
    found = entries(lock)
    assert found
    form = re.compile(r"[a-z0-9][a-z0-9._-]*==[\w.!+-]+(?: ; [^\\\n]+)?(?: \\\n\s+--hash=sha256:[0-9a-f]{64})+\s*")
    assert [name for name, text in found.items() if not form.fullmatch(text)] == []


def test_the_bot_runs_with_the_versions_it_is_tested_with() -> None:
    run, dev = entries("run.lock"), entries("dev.lock")
    assert run.keys() <= dev.keys()
    assert [name for name, text in run.items() if dev[name].split("#")[0].strip() != text.split("#")[0].strip()] == []
