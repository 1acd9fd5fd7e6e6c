"""A real daemon on a real emulator, seen only from outside: ports, socket, files, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.ports import free_port

REPO = Path(__file__).parents[2]
DEMO = REPO / "configs" / "demo.yaml"
TOKEN = "a-control-token-of-this-test"
API_SECRET = "an-api-secret-of-this-test"
PATIENCE_SECONDS = 90.0

pytestmark = pytest.mark.slow


class World:
    """Where the daemon is reached, and what it runs with."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.port, self.exchange_port = free_port(), free_port()
        exchange = f"127.0.0.1:{self.exchange_port}"
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("GMOBOT", "GMO_"))}
        self.environ = plain | {
            "GMOBOT__PATHS__VAR": str(var),
            "HEALTH_PORT": str(self.port),
            "GMOBOT__VENUE__REST_URL": f"http://{exchange}",
            "GMOBOT__VENUE__WS_URL": f"ws://{exchange}",
            "GMO_API_KEY": "test-key",
            "GMO_API_SECRET": API_SECRET,
            "GMOBOT_CONTROL_TOKEN": TOKEN,
            "GMOBOT_LOG": "json",
        }

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gmobot", *arguments, "--config", str(DEMO)]
        return subprocess.run(command, env=self.environ, capture_output=True, text=True, check=False, timeout=60)

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def artifact(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.var / "artifacts" / f"{name}.json").read_text())
        schema = json.loads((REPO / "docs" / "schemas" / f"{name}.schema.json").read_text())
        jsonschema.Draft202012Validator(schema).validate(found)
        return found

    def samples(self) -> dict[str, float]:
        families = text_string_to_metric_families(self.get("/metrics")[1])
        return {s.name + "".join(f"/{value}" for value in s.labels.values()): s.value for family in families for s in family.samples}


def until(said: Callable[[], Any]) -> Any:
    """Wait for another process: the one place where only real time will do."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            found = said()
        except (OSError, LookupError, TypeError):
            found = None
        if found:
            return found
        assert time.monotonic() < deadline, "the daemon never got there"
        time.sleep(0.2)


@contextmanager
def process(world: World, log: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        command = [sys.executable, "-m", "gmobot", *arguments]
        started = subprocess.Popen(command, env=world.environ, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield started
    finally:
        if started.poll() is None:
            started.kill()
        started.wait(10)


def test_a_run_from_start_to_clean_stop(tmp_path_factory: pytest.TempPathFactory) -> None:
    world = World(tmp_path_factory.mktemp("d"))
    logs = tmp_path_factory.mktemp("l")
    account = f"test-key:{API_SECRET}:JPY=10000000"
    exchange = ("exchange", "--port", str(world.exchange_port), "--account", account)
    with process(world, logs / "exchange.log", *exchange), process(world, logs / "run.log", "run", "--config", str(DEMO)) as daemon:
        until(lambda: world.get("/healthz")[0] == 200 and world.artifact("run_progress")["instruments"][0]["last_decision"])
        until(lambda: world.artifact("run_complete"))
        _look(world)
        _command(world)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(30) == 0
    final = world.artifact("run_complete")
    assert (final["final"], final["status"], final["stop_reason"]) == (True, "halted", "graceful_shutdown")
    assert final["run_id"] == world.artifact("run_progress")["run_id"]
    assert world.cli("audit", "verify").returncode == 0
    assert world.cli("status").returncode == 7
    written = b"".join(file.read_bytes() for folder in (world.var, logs) for file in folder.rglob("*") if file.is_file())
    assert API_SECRET.encode() not in written
    assert TOKEN.encode() not in written


def _look(world: World) -> None:
    assert json.loads(world.get("/healthz")[1])["failing"] == []
    assert world.get("/livez")[0] == 200
    assert "EMULATOR" in world.get("/")[1]
    progress, complete = world.artifact("run_progress"), world.artifact("run_complete")
    assert progress["run_id"] == complete["run_id"]
    assert (complete["final"], complete["status"]) == (False, "running")
    samples = world.samples()
    assert samples["run_loop_total"] >= 1
    assert sum(samples[f"monitor_status/{name}"] for name in ("active", "reconnecting", "degraded")) == 1
    status = world.cli("status", "--json")
    assert json.loads(status.stdout)["run_id"] == progress["run_id"]


def _command(world: World) -> None:
    assert world.cli("halt").returncode == 0
    until(lambda: json.loads(world.get("/api/v1/progress")[1])["status"] == "halted")
    assert world.samples()["gmobot_halted"] == 1
    refused = world.cli("resume")
    assert refused.returncode == 9
    assert "operator_halt" in refused.stderr
    found = world.cli("audit", "search", "operator_halt", "--event", "control_command", "--json").stdout.splitlines()
    assert len(found) == 1


def test_a_missing_secret_is_one_line_exit_2_and_on_record(tmp_path_factory: pytest.TempPathFactory) -> None:
    world = World(tmp_path_factory.mktemp("d"))
    del world.environ["GMO_API_SECRET"]
    result = world.cli("run")
    assert result.returncode == 2
    assert result.stderr.startswith("gmobot: missing_credentials: GMO_API_SECRET is needed to send orders; looked in ")
    assert result.stderr.count("\n") == 1
    progress = world.artifact("run_progress")
    assert progress["status"] == "failed"
    assert "GMO_API_SECRET" in progress["last_error"]
