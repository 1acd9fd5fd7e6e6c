"""``gmobot audit``: exit codes and lines."""

from __future__ import annotations

import json
import os

import pytest
from tests.cli.run_cli import Cli

from gmobot.ops.audit import AuditLog
from gmobot.ops.audit_files import NAME

T0 = 1_760_000_000_000_000_000


def recorded(cli: Cli, count: int = 5) -> None:
    log = AuditLog(cli.var / "logs", max_bytes=1_000_000, retention=2)
    for seq in range(1, count + 1):
        log.append(seq, T0, "r1", "fill" if seq % 2 else "error", {"order_id": 100 + seq, "note": "停止 x"})


def test_a_whole_log_is_exit_0(cli: Cli) -> None:
    recorded(cli)
    outcome = cli("audit", "verify")
    assert (outcome.code, outcome.out) == (0, "ok: 5 events, chain whole\n")
    assert json.loads(cli("audit", "verify", "--json").out) == {"ok": True, "lines": 5, "problem": None, "torn": False}


def test_no_log_yet_is_whole(cli: Cli) -> None:
    assert cli("audit", "verify").code == 0
    assert cli("audit", "tail").out == ""


def test_a_broken_log_is_exit_5_and_names_the_line(cli: Cli) -> None:
    recorded(cli)
    path = cli.var / "logs" / NAME
    path.write_bytes(path.read_bytes().replace(b'"order_id": 103', b'"order_id": 999'))
    outcome = cli("audit", "verify")
    assert outcome.code == 5
    assert outcome.err == f"broken: {path}:3: the chain is broken at seq 3\n"
    as_json = cli("audit", "verify", "--json")
    assert (as_json.code, json.loads(as_json.out)["ok"]) == (5, False)


def test_a_torn_line_is_said_and_no_failure(cli: Cli) -> None:
    recorded(cli)
    path = cli.var / "logs" / NAME
    os.truncate(path, path.stat().st_size - 3)
    outcome = cli("audit", "verify")
    assert outcome.code == 0
    assert outcome.out.startswith("ok: 4 events, chain whole; the last line is cut off")


def test_tail_shows_the_newest(cli: Cli) -> None:
    recorded(cli)
    assert cli("audit", "tail", "-n", "2").out.splitlines() == [
        "4  2025-10-09T08:53:20.000Z  error  order_id=104  note=停止 x",
        "5  2025-10-09T08:53:20.000Z  fill  order_id=105  note=停止 x",
    ]
    [row] = cli("audit", "tail", "-n", "1", "--json").out.splitlines()
    assert json.loads(row)["hash"]


def test_search_finds_by_text_and_event(cli: Cli) -> None:
    recorded(cli)
    assert [line.split()[0] for line in cli("audit", "search", "103").out.splitlines()] == ["3"]
    assert [line.split()[0] for line in cli("audit", "search", "--event", "error").out.splitlines()] == ["2", "4"]
    assert cli("audit", "search", "no such thing").out == ""


def test_search_for_an_event_that_does_not_exist_is_a_mistake(cli: Cli) -> None:
    outcome = cli("audit", "search", "--event", "fills")
    assert outcome.code == 2
    assert outcome.err.startswith("gmobot: --event fills: there is no such event; there are: run_started, ")


def test_following_goes_on_with_what_comes(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(cli)
    log = AuditLog(cli.var / "logs", max_bytes=1_024, retention=9)
    turns = iter(range(6, 40, 4))

    def pass_time(_: float) -> None:
        first = next(turns)
        if first > 30:
            raise KeyboardInterrupt
        for seq in range(first, first + 4):
            log.append(seq, T0, "run-1", "fill", {"order_id": seq})

    monkeypatch.setattr("gmobot.cli.audit.time.sleep", pass_time)
    outcome = cli("audit", "tail", "-n", "2", "--follow")
    assert outcome.code == 0
    assert [int(line.split()[0]) for line in outcome.out.splitlines()] == list(range(4, 34)), "across rotations, each once"


def test_following_a_log_that_is_not_there_yet(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = iter([lambda: None, lambda: recorded(cli), _interrupt])
    monkeypatch.setattr("gmobot.cli.audit.time.sleep", lambda _: next(turns)())
    assert len(cli("audit", "tail", "-f").out.splitlines()) == 5


def _interrupt() -> None:
    raise KeyboardInterrupt
