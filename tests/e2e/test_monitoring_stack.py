"""``docker-compose --profile monitoring up -d`` from a fresh clone, with Debian's Prometheus and Alertmanager where the images have theirs.

No registry is needed: the stand-in images are this machine's programs on the bot's base image. Grafana's is a page that answers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from tests.deploy.monitoring import needs_alertmanager, needs_prometheus
from tests.deploy.processes import ask, get, until, with_url
from tests.e2e.monitoring_images import DOCKERFILES, stand_ins
from tests.e2e.stack import Stack, docker, needs_docker
from tests.ports import free_port

BASE = os.environ.get("PYTHON_IMAGE", "")
pytestmark = [
    *needs_docker,
    pytest.mark.skipif(not BASE, reason="PYTHON_IMAGE is not set; see .ci/base_image.sh"),
    needs_prometheus,
    needs_alertmanager,
]
WEBHOOK = "http://127.0.0.1:9/webhook-that-nobody-else-may-read"


@pytest.fixture(scope="module")
def images() -> Iterator[dict[str, str]]:
    """Build the stand-ins; returns the variables that make Compose use them."""
    with stand_ins(BASE, f"gmobot-e2e-{os.getpid()}") as variables:
        yield variables


@pytest.fixture
def monitored(stack: Stack, images: dict[str, str]) -> Iterator[Stack]:
    """A clone with the stand-ins; Debian's Alertmanager is older than ``webhook_url_file``."""
    stack.env |= images | {f"{name.upper()}_PORT": str(free_port()) for name in DOCKERFILES}
    stack.env |= {"GMO_API_KEY": "emulator-key", "GMO_API_SECRET": "emulator-secret"}
    (stack.folder / "deploy/alertmanager/alertmanager.yml").write_text(with_url(WEBHOOK), encoding="utf-8")
    yield stack
    stack.compose("--profile", "monitoring", "down", "--volumes")


def up(stack: Stack) -> str:
    stack.compose("--profile", "monitoring", "up", "-d")
    return f"http://127.0.0.1:{stack.env['PROMETHEUS_PORT']}"


def facts(stack: Stack, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(docker("inspect", stack.compose("--profile", "monitoring", "ps", "-q", name)))
    return found[0]


def targets(url: str) -> dict[str, str]:
    """Return what Prometheus says of each job: up, or why not; empty while it does not answer."""
    try:
        found = get(f"{url}/api/v1/targets")["data"]["activeTargets"]
    except OSError:
        return {}
    return {row["labels"]["job"]: row["lastError"] or row["health"] for row in found}


def answers(url: str) -> bool:
    try:
        return bool(get(url))
    except OSError:
        return False


def test_the_profile_comes_up_and_sees_the_bot_on_its_port(monitored: Stack) -> None:
    url = up(monitored)
    assert monitored.port != 9754

    until(
        lambda: targets(url) == {"gmobot": "up", "prometheus": "up", "alertmanager": "up"},
        lambda: f"all targets are up: {targets(url)}",
        seconds=90,
    )
    assert ask(url, f'up{{instance="bot:{monitored.port}"}}')
    assert get(f"{url}/api/v1/alertmanagers")["data"]["activeAlertmanagers"][0]["url"] == "http://alertmanager:9093/api/v2/alerts"
    assert len(get(f"{url}/api/v1/rules")["data"]["groups"]) == 7
    assert get(f"http://127.0.0.1:{monitored.env['GRAFANA_PORT']}/gmobot.json")["uid"] == "gmobot"
    for name in DOCKERFILES:
        host = facts(monitored, name)["HostConfig"]
        assert (host["ReadonlyRootfs"], host["CapDrop"], host["Privileged"]) == (True, ["ALL"], False)
        (published,) = facts(monitored, name)["NetworkSettings"]["Ports"].values()
        assert [binding["HostIp"] for binding in published] == ["127.0.0.1"]


def test_alertmanager_starts_without_a_webhook_and_gets_it_alone_when_it_is_there(monitored: Stack) -> None:
    read = "cd /run/alertmanager && ls && cat *"

    def inside(command: str) -> str:
        return monitored.compose("--profile", "monitoring", "exec", "-T", "alertmanager", "/bin/sh", "-c", command, check=False)

    up(monitored)
    assert inside("ls /run/alertmanager") == ""
    health = f"http://127.0.0.1:{monitored.env['ALERTMANAGER_PORT']}/api/v2/status"
    until(lambda: answers(health), "Alertmanager answers without a webhook", seconds=60)
    assert inside("id -u") == "65534"
    monitored.write_secrets(mode=0o600)
    (monitored.folder / "secrets/discord_webhook_url").write_text(WEBHOOK, encoding="utf-8")
    (monitored.folder / "secrets/discord_webhook_url").chmod(0o600)
    up(monitored)
    assert inside(read) == f"discord_webhook_url\n{WEBHOOK}"
    assert inside("ls /run/secrets 2>&1").endswith("No such file or directory")
    assert WEBHOOK not in json.dumps(facts(monitored, "alertmanager")) + monitored.compose("--profile", "monitoring", "logs", "webhook")
