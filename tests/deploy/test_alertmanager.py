"""The real Alertmanager on the deployed configuration: what reaches Discord, what is told once, and that nothing keeps it from starting."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from tests.deploy.monitoring import alerts, needs_alertmanager
from tests.deploy.processes import alertmanager, discord, get, until, with_url

pytestmark = needs_alertmanager


def fire(address: str, name: str, **labels: str) -> None:
    """Send an alert as Prometheus would, with its own annotations."""
    (rule,) = (rule for rule in alerts() if rule["alert"] == name)
    here = {"alertname": name, "job": "gmobot", "instance": "bot:9754"} | rule["labels"] | labels
    body = json.dumps([{"labels": here, "annotations": rule["annotations"]}]).encode()
    request = urllib.request.Request(f"http://{address}/api/v2/alerts", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


def told(messages: list[dict[str, Any]]) -> list[str]:
    return [message["embeds"][0]["title"].rpartition(": ")[2] for message in messages]


def test_amtool_takes_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "alertmanager.yml"
    config.write_text(with_url("http://127.0.0.1:1/x"), encoding="utf-8")
    done = subprocess.run(["amtool", "check-config", str(config)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_every_alert_has_a_way_to_discord(rule: dict[str, Any], tmp_path: Path) -> None:
    config = tmp_path / "alertmanager.yml"
    config.write_text(with_url("http://127.0.0.1:1/x"), encoding="utf-8")
    labels = [f"alertname={rule['alert']}", f"severity={rule['labels']['severity']}", "job=gmobot"]
    command = ["amtool", "config", "routes", "test", f"--config.file={config}", "--verify.receivers=discord", *labels]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_discord_gets_a_message_a_person_can_act_on(tmp_path: Path) -> None:
    with discord() as (webhook, messages), alertmanager(tmp_path, webhook) as address:
        fire(address, "TradingHalted")
        fire(address, "DiskLow")
        until(lambda: len(messages) == 2, "two messages", seconds=15)
    critical, warning = sorted((message["embeds"][0] for message in messages), key=lambda embed: embed["title"])[::-1]
    titles = {critical["title"], warning["title"]}
    assert titles == {"🔴 緊急 Critical: TradingHalted", "🟡 警告 Warning: DiskLow"}
    halted = next(embed["description"] for embed in (critical, warning) if "TradingHalted" in embed["title"])
    assert halted.splitlines()[0] == "**取引が停止 (halt) しています / Trading is halted**"
    assert "gmobot resume --acknowledge" in halted
    assert "docs/runbooks/trading-halted.md" in halted


def test_critical_goes_before_warnings(tmp_path: Path) -> None:
    with discord() as (webhook, messages), alertmanager(tmp_path, webhook) as address:
        fire(address, "ClockSkew")
        fire(address, "OrderOutcomeUnknown")
        until(lambda: len(messages) == 2, "two messages", seconds=15)
    assert told(messages) == ["OrderOutcomeUnknown", "ClockSkew"]


@pytest.mark.parametrize(
    ("worse", "follows"),
    [
        ("BotDown", "RunLoopStalled"),
        ("BotDown", "MonitorDegraded"),
        ("BotNotStarted", "RunLoopFailures"),
        ("MonitorDegraded", "MonitorReconnecting"),
        ("RiskAbort", "RiskDegraded"),
        ("DiskExhausted", "DiskLow"),
    ],
)
def test_what_follows_from_something_worse_is_not_told_beside_it(worse: str, follows: str, tmp_path: Path) -> None:
    with discord() as (webhook, messages), alertmanager(tmp_path, webhook) as address:
        fire(address, worse)
        until(lambda: told(messages) == [worse], "the worse one", seconds=15)
        fire(address, follows)

        def inhibited() -> bool:
            return any(
                row["status"]["inhibitedBy"] for row in get(f"http://{address}/api/v2/alerts") if row["labels"]["alertname"] == follows
            )

        until(inhibited, f"{follows} is inhibited", seconds=15)
        time.sleep(3)  # longer than any group waits here
    assert told(messages) == [worse]


@pytest.mark.parametrize("alone", ["TradingHalted", "PositionUnprotected", "OrderOutcomeUnknown"])
def test_what_concerns_money_is_never_inhibited(alone: str, tmp_path: Path) -> None:
    with discord() as (webhook, messages), alertmanager(tmp_path, webhook) as address:
        for rule in alerts():
            if rule["labels"]["severity"] == "critical":
                fire(address, rule["alert"])
        until(lambda: alone in told(messages), f"{alone} beside all the others", seconds=15)


def test_a_webhook_that_does_not_answer_ends_nothing(tmp_path: Path) -> None:
    with alertmanager(tmp_path, "http://127.0.0.1:1/x") as address:
        fire(address, "TradingHalted")

        def failed() -> bool:
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as reply:
                text = reply.read().decode()
            return any(
                float(line.split()[-1]) > 0
                for line in text.splitlines()
                if line.startswith('alertmanager_notification_requests_failed_total{integration="discord"')
            )

        until(failed, "the failure is counted", seconds=20)
        assert urllib.request.urlopen(f"http://{address}/-/healthy", timeout=5).status == 200
