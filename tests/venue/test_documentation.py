"""Every pointer of ``docs/gmo-coin.md`` into the code leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

REPO = Path(__file__).parents[2]
TEXT = (REPO / "docs" / "gmo-coin.md").read_text(encoding="utf-8")
VENUE = REPO / "src" / "gmobot" / "venue"


def test_every_file_named_exists() -> None:
    named = set(re.findall(r"`((?:\w+/)*\w+\.py|(?:\w+/)+)`", TEXT))
    assert len(named) > 10
    # Everything is below venue/, but for what other rooms do about the exchange.
    places = (VENUE, REPO / "src" / "gmobot", REPO)
    assert [name for name in sorted(named) if not any((place / name).exists() for place in places)] == []


def test_every_name_used_is_in_the_code() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (REPO / "src" / "gmobot").rglob("*.py"))
    named = {name for name in re.findall(r"`([A-Za-z_.]+)(?:\(\w*\))?`", TEXT) if "_" in name or name[:1].isupper()}
    assert len(named) > 20
    missing = {name for name in named if name.rpartition(".")[2] not in source and name.partition(".")[0] not in ("rest", "gmo")}
    assert missing == set()
