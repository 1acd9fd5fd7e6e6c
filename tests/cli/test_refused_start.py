"""A configuration that cannot be read: one line, exit 2, and the reason where the operator looks first."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.cli.run_cli import Cli

from gmobot.cli.run import instance_lock
from gmobot.ops.artifacts import PROGRESS


@pytest.fixture
def bad(cli: Cli) -> Cli:
    cli.config = cli.var.parent / "bad.yaml"
    cli.config.write_text("mode: paper\nrisk:\n  max_drawdwn: 0.1\n", encoding="utf-8")
    return cli


def left(cli: Cli) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((cli.var / "artifacts" / PROGRESS).read_bytes())
    return found


def test_the_reason_is_left_in_run_progress(bad: Cli) -> None:
    bad.var.mkdir()
    done = bad("run")
    assert (done.code, done.err.count("\n")) == (2, 1)
    run = left(bad)
    assert (run["status"], run["armed"], run["execute_orders"], run["config_hash"]) == ("failed", False, False, "unknown")
    assert done.err == f"gmobot: {run['last_error']}\n"
    assert "risk.max_drawdwn" in run["last_error"]


def test_nothing_is_left_where_nothing_was(bad: Cli) -> None:
    assert bad("run").code == 2
    assert not bad.var.exists()


def test_the_record_of_a_daemon_that_runs_there_is_not_touched(bad: Cli) -> None:
    for name in ("state", "artifacts"):
        (bad.var / name).mkdir(parents=True)
    (bad.var / "artifacts" / PROGRESS).write_text('{"run_id": "of the daemon"}', encoding="utf-8")
    with instance_lock(bad.var / "state"):
        assert bad("run").code == 2
    assert left(bad) == {"run_id": "of the daemon"}


def test_a_mistake_in_the_environment_is_left_too(bad: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ``var`` is cannot be told then; it is where it is by default."""
    monkeypatch.setenv("GMOBOT__RISK__NONSENSE", "1")
    monkeypatch.chdir(bad.var.parent)
    (bad.var.parent / "var").mkdir()
    assert bad("run").code == 2
    assert "GMOBOT__RISK__NONSENSE" in (bad.var.parent / "var" / "artifacts" / PROGRESS).read_text(encoding="utf-8")
