"""``gmobot status | pause | resume | halt | flatten`` against a real socket, and against none."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.cli.run_cli import Cli
from tests.ops.samples import progress
from tests.web.parts import Site

from gmobot.cli import control
from gmobot.web.app import serve_unix

COMMANDS = ["pause", "resume", "halt", "flatten"]


@contextmanager
def a_daemon(site: Site, path: Path) -> Iterator[None]:
    """Serve on a thread of its own: the command line brings its own loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        runner = asyncio.run_coroutine_threadsafe(serve_unix(site.app.build(), path), loop).result(10)
        try:
            yield
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> Path:
    """A var folder whose path fits into a socket's address."""
    cli.var = tmp_path_factory.mktemp("s")
    monkeypatch.setenv("GMOBOT__PATHS__VAR", str(cli.var))
    return cli.var / "state" / "control.sock"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_reaches_the_daemon(cli: Cli, tmp_path: Path, short: Path, name: str) -> None:
    site = Site(tmp_path, token=None, hosts=None)
    with a_daemon(site, short):
        outcome = cli(name)
    assert (outcome.code, outcome.out, outcome.err) == (0, f"{name}: done\n", "")
    assert site.controls.commands == [(name, False, "socket")]


def test_resume_acknowledges_only_when_told(cli: Cli, tmp_path: Path, short: Path) -> None:
    site = Site(tmp_path, token=None, hosts=None)
    with a_daemon(site, short):
        cli("resume", "--acknowledge")
    assert site.controls.commands == [("resume", True, "socket")]


def test_a_refusal_is_exit_9(cli: Cli, tmp_path: Path, short: Path) -> None:
    site = Site(tmp_path, token=None, hosts=None)
    site.controls.refuse = "halted (max_drawdown_exceeded): look into it"
    with a_daemon(site, short):
        outcome = cli("resume")
    assert (outcome.code, outcome.err) == (9, "refused: halted (max_drawdown_exceeded): look into it\n")


@pytest.mark.parametrize("name", ["status", *COMMANDS])
def test_no_daemon_is_exit_7(cli: Cli, short: Path, name: str) -> None:
    outcome = cli(name)
    assert outcome.code == 7
    assert outcome.err == f"no daemon answers at {short}; is it running, with this --config?\n"


def test_a_socket_that_a_crash_left_is_exit_7(cli: Cli, short: Path) -> None:
    short.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(short))
    assert cli("halt").code == 7


def test_a_daemon_that_hangs_leaves_the_outcome_open(cli: Cli, short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_SECONDS", 0.05)
    short.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(short))
        silent.listen()
        command, look = cli("halt"), cli("status")
    assert (command.code, look.code) == (7, 7)
    assert "may have been carried out, look with `gmobot status`" in command.err
    assert "carried out" not in look.err


def test_status_says_where_the_daemon_stands(cli: Cli, tmp_path: Path, short: Path) -> None:
    site = Site(tmp_path, token=None, hosts=None)
    with a_daemon(site, short):
        plain, as_json = cli("status"), cli("status", "--json")
    assert plain.code == 0
    assert plain.out.splitlines() == [
        "running  live/emulator (sends orders)  monitor active  equity 10000123.5 JPY",
        "BTC  position 0.00001  buy ema_momentum_long",
    ]
    assert json.loads(as_json.out)["run_id"] == progress().run_id


def test_status_says_that_no_orders_are_wanted(cli: Cli, tmp_path: Path, short: Path) -> None:
    site = Site(tmp_path, token=None, hosts=None)
    site.view.run = progress(armed=False, execute_orders=False)
    with a_daemon(site, short):
        assert "(sends no orders: execute_orders is false)" in cli("status").out


def test_status_shouts_what_needs_a_person(cli: Cli, tmp_path: Path, short: Path) -> None:
    import msgspec

    site = Site(tmp_path, token=None, hosts=None)
    row = msgspec.structs.replace(progress().instruments[0], protected=False, unknown_orders=2, last_decision=None)
    site.view.run = progress(instruments=[row], last_error="a person must look", armed=False)
    with a_daemon(site, short):
        out = cli("status").out
    assert "(sends no orders: not armed: gmobot resume --acknowledge)" in out
    assert "UNPROTECTED  2 orders unknown" in out
    assert "last error: a person must look" in out
