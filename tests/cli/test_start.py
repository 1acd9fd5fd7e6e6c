"""The entry point: fast, one line per mistake, a traceback only on request."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.run_cli import Cli

import gmobot.cli.app as app_module
from gmobot.errors import ConfigError, FatalError

HEAVY = ("numba", "numpy", "polars", "aiohttp", "pydantic", "msgspec", "structlog", "jinja2", "yaml")


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=30)


def test_help_imports_nothing_heavy() -> None:
    start = "import sys; sys.argv = ['gmobot', '--help']"
    script = f"{start}\ntry:\n    from gmobot.cli import main\n    main()\nfinally:\n    print('LOADED', *sys.modules)"
    modules = run_python("-c", script).stdout.rpartition("LOADED")[2].split()
    assert "typer" in modules
    assert not [name for name in HEAVY if name in modules]


def test_help_is_instant() -> None:
    spent = []
    for _ in range(3):
        before = os.times()
        assert run_python("-m", "gmobot", "--help").returncode == 0
        after = os.times()
        # Of the processor: on a machine that does something else too, the clock on the wall tells of that.
        spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    # 0.3 s on an idle machine.
    assert min(spent) < 0.9, spent


def test_python_m_gmobot_is_the_same_command() -> None:
    result = run_python("-m", "gmobot", "config", "check", "--config", "/nowhere.yaml")
    assert result.returncode == 2
    assert result.stderr == "gmobot: /nowhere.yaml: no such file; pass --config FILE or set GMOBOT_CONFIG\n"
    assert result.stdout == ""


def test_debug_shows_where_a_mistake_comes_from() -> None:
    result = run_python("-m", "gmobot", "config", "check", "--config", "/nowhere.yaml", "--debug")
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_debug_is_understood_anywhere(cli: Cli) -> None:
    assert cli("--debug", "config", "schema", config=False).code == 0
    assert cli("config", "schema", "--debug", config=False).code == 0


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("a.yaml: wrong\n  and\tmore"), 2, "gmobot: a.yaml: wrong and more\n"),
        (FatalError("cannot go on"), 1, "gmobot: cannot go on\n"),
        (PermissionError(13, "Permission denied", "a.yaml"), 1, "gmobot: [Errno 13] Permission denied: 'a.yaml'\n"),
    ],
)
def test_every_error_is_one_line(cli: Cli, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, line: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(app_module, "app", fail)
    outcome = cli("status")
    assert (outcome.code, outcome.out, outcome.err) == (code, "", line)


def test_a_reader_who_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    script = f"{sys.executable} -m gmobot config schema | head -c 1"
    result = subprocess.run(["bash", "-o", "pipefail", "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.stderr == ""


@pytest.mark.parametrize("arguments", [["nothing"], ["status", "--nothing"], ["audit", "tail", "-n", "0"], ["exchange", "--speed", "-1"]])
def test_a_command_line_that_makes_no_sense_is_exit_2(cli: Cli, arguments: list[str]) -> None:
    assert cli(*arguments, config=False).code == 2


@pytest.mark.parametrize(
    "command", ["run", "backtest", "exchange", "status", "pause", "halt", "flatten", "resume", "doctor", "config", "audit"]
)
def test_every_command_explains_itself(cli: Cli, command: str) -> None:
    outcome = cli(command, "--help", config=False)
    assert outcome.code == 0
    assert "Usage: gmobot" in outcome.out


def test_run_is_handed_its_options_untouched(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    import gmobot.cli.run as run_module

    seen: list[tuple[Path, bool]] = []

    def run_daemon(path: Path, *, debug: bool) -> int:
        seen.append((path, debug))
        return 3

    monkeypatch.setattr(run_module, "run_daemon", run_daemon)
    assert cli("run", "--debug").code == 3
    assert cli("run").code == 3
    assert seen == [(cli.config, True), (cli.config, False)]
