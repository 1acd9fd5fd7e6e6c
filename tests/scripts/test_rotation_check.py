"""What the emulator's access record says of a rotation."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from scripts import rotation_check

MOMENT = "2026-01-05T00:00:10.000000Z"


def row(second: int, key: str, error: str | None = None) -> dict[str, Any]:
    return {"at": f"2026-01-05T00:00:{second:02}.000000Z", "key": key, "error": error}


@pytest.mark.parametrize(
    ("record", "verdict"),
    [
        ([row(1, "old"), row(9, "old"), row(11, "new"), row(12, "new")], None),
        ([row(1, "old"), row(9, "new"), row(9, "old"), row(12, "new")], None),
        ([row(1, "old"), row(11, "new"), row(12, "old")], "old_key_used_after_switch"),
        ([row(1, "old"), row(11, "old")], "old_key_used_after_switch"),
        ([row(1, "old"), row(11, "old", "ERR-5012"), row(12, "new")], "old_key_used_after_switch"),
        ([row(11, "new"), row(12, "other")], "unknown_key_used_after_switch"),
        ([row(1, "old"), row(9, "new")], "new_key_never_used"),
        ([row(11, "new"), row(12, "new", "ERR-5010")], "new_key_refused ERR-5010"),
    ],
)
def test_verdict(
    record: list[dict[str, Any]], verdict: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["-", MOMENT, "new", "old", "older"])
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"access": record})))
    code = rotation_check.main()
    said = capsys.readouterr().out.splitlines()
    assert (code, said[1:]) == ((1, [f"failed_check=rotation.{verdict}"]) if verdict else (0, []))
