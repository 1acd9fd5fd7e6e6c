"""The bot's container: what it may not do, and what Docker does with one that halts, cannot start, or has no keys."""

from __future__ import annotations

import json
import os
import re
import time

import pytest
import yaml
from tests.e2e.stack import HEALTHY_SECONDS, Stack, docker, needs_docker, until

pytestmark = needs_docker
MOST_STARTS_IN_A_MINUTE = 12
"""Docker waits 0.1 s before it starts an ended container again, and twice as long each time, up to a minute: ten times."""


def test_it_has_no_power_it_does_not_need(stack: Stack) -> None:
    stack.write_secrets()
    stack.up()
    facts = stack.inspect()
    host = facts["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert any("no-new-privileges" in option for option in host["SecurityOpt"])
    assert host["Init"] is True
    assert host["Privileged"] is False
    assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "5"}
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert facts["Config"]["StopTimeout"] == 30
    assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (2**30, 10**9, 256)
    assert facts["NetworkSettings"]["Ports"] == {
        "9754/tcp": None,
        f"{stack.port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(stack.port)}],
    }
    mounts = {mount["Destination"]: mount["RW"] for mount in facts["Mounts"]}
    assert mounts == {"/app/configs": False, "/app/strategies": False, "/run/secrets": False, "/app/var": True}
    every = stack.inside("from glob import glob; print(*(open(name).read() for name in glob('/proc/[0-9]*/status')))")
    assert set(re.findall(r"^Uid:\s+(.*)$", every, re.MULTILINE)) == {"1000\t1000\t1000\t1000"}
    assert set(re.findall(r"^Cap\w+:\s+(\w+)$", every, re.MULTILINE)) == {"0" * 16}
    with pytest.raises(AssertionError, match="Read-only file system"):
        stack.inside("open('/app/x', 'w')")


def test_a_halt_stays_up_and_healthy_and_holds_over_a_crash(stack: Stack) -> None:
    stack.write_secrets()
    stack.up()
    before = stack.progress()["run_id"]
    stack.compose("exec", "-T", "bot", "gmobot", "halt")
    if os.geteuid() == 0:
        os.kill(int(stack.inspect()["State"]["Pid"]), 9)
        until(lambda: stack.progress()["run_id"] != before and stack.progress()["status"] != "starting", lambda: f"{stack.progress()}")
        assert stack.progress()["previous_run"] == "crashed"
    stack.wait_for("healthy")
    starts = stack.inspect()["RestartCount"]
    time.sleep(10)
    assert stack.progress()["status"] == "halted"
    assert (stack.health(), stack.inspect()["RestartCount"]) == ("healthy", starts)
    assert json.loads(stack.get("/livez"))["status"] == "ok"


def test_a_bad_configuration_is_started_seldom_and_says_what_is_wrong(stack: Stack) -> None:
    stack.write_config("bad.yaml", "mode: paper\nrisk:\n  max_drawdwn: 0.1\n")
    began = time.time()
    stack.compose("up", "-d", "bot")
    time.sleep(max(0.0, began + 60 - time.time()))
    until(lambda: stack.inspect()["State"]["Restarting"], lambda: json.dumps(stack.inspect()["State"]), seconds=HEALTHY_SECONDS)

    facts = stack.inspect()
    assert facts["State"]["ExitCode"] == 2
    first = ["--since", f"{began:.0f}", "--until", f"{began + 60:.0f}", "--filter", f"container={facts['Id']}", "--filter", "event=start"]
    starts = len(docker("events", *first, "--format", "{{.Status}}").splitlines())
    assert 2 <= starts <= MOST_STARTS_IN_A_MINUTE
    logs = stack.run("docker", "logs", facts["Id"])
    (line,) = set((logs.stdout + logs.stderr).splitlines())
    assert all(part in line for part in ("configs/bad.yaml", "risk.max_drawdwn", "unknown key"))
    run = stack.progress()
    assert (run["status"], run["armed"]) == ("failed", False)
    assert "risk.max_drawdwn" in run["last_error"]


def test_paper_needs_no_secret_and_says_so(stack: Stack) -> None:
    """``configs/default.yaml`` as it stands but for two addresses: the emulator stands in for GMO Coin."""
    default = yaml.safe_load((stack.folder / "configs" / "default.yaml").read_text(encoding="utf-8"))
    default["venue"] = {"rest_url": "http://exchange:9755", "ws_url": "ws://exchange:9755"}
    stack.write_config("paper.yaml", yaml.safe_dump(default))
    stack.up()
    until(lambda: stack.progress().get("monitor_status") == "active", lambda: f"{stack.progress()}")
    run = stack.progress()
    assert (run["mode"], run["environment"], run["execute_orders"]) == ("paper", "production", False)
    assert run["status"] == "running"
    assert '"mode": "paper"' in stack.compose("logs", "bot")
    time.sleep(5)
    assert (stack.health(), stack.inspect()["RestartCount"]) == ("healthy", 0)
    assert stack.emulator("/access")["access"] == [], "paper signs nothing"


def test_without_a_network_it_waits_and_does_not_end(stack: Stack) -> None:
    """``configs/default.yaml`` where GMO Coin cannot be reached."""
    stack.env["GMOBOT_CONFIG"] = "configs/default.yaml"
    override = {"services": {"bot": {"extra_hosts": ["api.coin.z.com:127.0.0.1"]}}}
    (stack.folder / "docker-compose.override.yml").write_text(yaml.safe_dump(override), encoding="utf-8")
    stack.compose("up", "-d", "bot")
    until(lambda: stack.progress().get("status") is not None, lambda: stack.compose("logs", "bot"))
    time.sleep(10)
    facts = stack.inspect()
    assert (facts["State"]["Status"], facts["RestartCount"]) == ("running", 0)
    assert json.loads(stack.get("/livez"))["status"] == "ok"
    assert "the exchange does not answer yet" in stack.compose("logs", "bot")
