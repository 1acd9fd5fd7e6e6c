"""``smoke_live_daemon.sh``: passes, repeats, and on a failure stops at once, says which, and shows everything there is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.e2e.spoiling import replace
from tests.e2e.stack import ROOT, Stack, docker, leftovers, needs_docker, run_script

pytestmark = needs_docker
DIAGNOSTICS = (
    "--- docker-compose ps",
    "--- docker-compose logs --tail=200 bot",
    "--- var/artifacts/run_progress.json",
    "--- var/artifacts/run_complete.json",
    '"monitor_status"',
    '"pipeline_summary"',
)
RENDERED = 'body, content_type = self._telemetry.render(request.headers.get("Accept", ""))'
SMOKE = "smoke_live_daemon.sh"


def test_three_times_beside_a_running_stack_and_nothing_is_left(stack: Stack) -> None:
    stack.write_secrets()
    stack.up()
    done = run_script(SMOKE, SMOKE_REPEAT_COUNT="3", HEALTH_PORT=str(stack.port))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [f"passed_iteration={number}/3" in done.stdout for number in (1, 2, 3)] == [True] * 3
    assert "failed_" not in done.stdout
    assert json.loads(stack.get("/healthz"))["status"] == "ok"
    assert leftovers("smoke") == []


def test_simulated_failure_shows_everything() -> None:
    done = run_script(SMOKE, "--simulate-failure", SMOKE_REPEAT_COUNT="3")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "failed_iteration=1/3" in done.stdout
    assert "failed_check=run_progress.monitor_status reconnecting" in done.stdout
    assert [part for part in DIAGNOSTICS if part not in done.stdout] == []
    assert leftovers("smoke") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can kill what is in a container")
def test_a_bot_that_dies_in_the_second_iteration_fails_that_one() -> None:
    command = ["bash", f"scripts/{SMOKE}"]
    environment = {"PATH": os.environ["PATH"], "SMOKE_REPEAT_COUNT": "3"} | {n: v for n, v in os.environ.items() if n.endswith("_IMAGE")}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as smoke:
        assert smoke.stdout is not None
        said = []
        for line in smoke.stdout:
            said.append(line)
            if line.startswith("healthy after") and "passed_iteration=1/3\n" in said:
                kill_the_bot(smoke.pid)
    assert smoke.returncode == 1, "".join(said)
    assert "failed_iteration=2/3\n" in said
    assert "passed_iteration=3/3\n" not in said
    assert leftovers("smoke") == []


def kill_the_bot(smoke: int) -> None:
    label = f"label=com.docker.compose.project=gmobot-smoke-{smoke}"
    bot = docker("ps", "-q", "--filter", label, "--filter", "label=com.docker.compose.service=bot")
    os.kill(int(docker("inspect", "-f", "{{.State.Pid}}", bot)), signal.SIGKILL)
    time.sleep(0.5)


@pytest.mark.parametrize(
    ("file", "before", "after", "name"),
    [
        ("configs/emulator.yaml", "mode: live", "mode: lively", "start.ended"),
        ("scripts/smoke_check.py", "PROGRESS_FRESH_SECONDS = 10.0", "PROGRESS_FRESH_SECONDS = -1.0", "run_progress.stale"),
        ("src/gmobot/web/app.py", RENDERED, f"{RENDERED}\n        body = self.__dict__.setdefault('first', body)", "metrics.dead"),
        ("Dockerfile", "COPY src src", "COPY source src", "build.failed"),
    ],
    ids=["bad configuration", "stale artifact", "dead metrics", "no image"],
)
def test_what_is_wrong_is_named(spoilt: Path, file: str, before: str, after: str, name: str) -> None:
    replace(spoilt / file, before, after)
    replace(spoilt / "scripts" / SMOKE, "check_stack_verify 60", "check_stack_verify 12")
    done = run_script(SMOKE, folder=spoilt, CHECK_HEALTHY_SECONDS="40")
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"failed_check={name} " in done.stdout
    assert "failed_iteration=1/1" in done.stdout


@pytest.mark.parametrize("script", [SMOKE, "rotate_secrets_check.sh", "soak.sh"])
@pytest.mark.parametrize(
    "environment",
    [{"GMO_API_KEY": "Zx9" * 10}, {"GMO_API_SECRET_FILE": "/run/x"}, {"DISCORD_WEBHOOK_URL": "https://discord.com/api/webhooks/1/x"}],
    ids=lambda environment: next(iter(environment)),
)
def test_real_secrets_are_refused(script: str, environment: dict[str, str]) -> None:
    done = run_script(script, folder=ROOT, **environment)
    assert done.returncode == 2
    ((name, value),) = environment.items()
    assert name in done.stdout + done.stderr
    assert value not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("script", "arguments", "environment"),
    [
        *((SMOKE, (), {"SMOKE_REPEAT_COUNT": count}) for count in ("0", "-1", "x", "1.5")),
        (SMOKE, ("--simulate",), {}),
        ("rotate_secrets_check.sh", ("now",), {}),
        ("soak.sh", (), {"SOAK_HOURS": "0"}),
        ("soak.sh", (), {"SOAK_SPEED": "1001"}),
        ("soak.sh", (), {"SOAK_SPEED": "fast"}),
        ("go_nogo.sh", ("--force",), {}),
    ],
)
def test_wrong_usage_is_exit_2(script: str, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    done = run_script(script, *arguments, folder=ROOT, **environment)
    assert (done.returncode, done.stdout + done.stderr != "") == (2, True)
