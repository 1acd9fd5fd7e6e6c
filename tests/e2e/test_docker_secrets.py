"""Secrets under Compose: files win, any mode and owner works, and none is seen from outside."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.e2e.stack import SECRET, Stack, needs_docker, until

pytestmark = needs_docker
CASES: list[Any] = [pytest.param(0, 0o600, id="root-0600"), pytest.param(1000, 0o644, id="uid-1000-0644")]


@pytest.mark.parametrize(("stack", "mode"), CASES, indirect=["stack"])
def test_secret_files_win_and_stay_secret(stack: Stack, mode: int) -> None:
    stack.env |= {"GMO_API_KEY": "wrong-from-environment", "GMO_API_SECRET": "wrong-from-environment"}
    stack.write_secrets(mode=mode)
    stack.up()

    assert stack.progress()["preflight"] == []
    files = [stack.folder / "secrets" / name for name in ("gmo_api_key", "gmo_api_secret")]
    assert [path.stat().st_mode & 0o777 for path in files] == [0o640, 0o640]
    assert [path.stat().st_uid for path in files] == [stack.uid, stack.uid]
    assert SECRET not in json.dumps(stack.inspect()) + stack.compose("logs", "bot")
    traces = [path for path in (stack.folder / "var").rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert traces == []


def test_missing_secret_ends_the_start_and_says_which(stack: Stack) -> None:
    stack.compose("up", "-d")
    until(lambda: stack.progress().get("status") == "failed", lambda: stack.compose("logs", "bot"))
    assert "GMO_API_KEY" in stack.progress()["last_error"]
    logs = stack.compose("logs", "bot")
    assert "/run/secrets/gmo_api_key" in logs
    assert "Traceback" not in logs
