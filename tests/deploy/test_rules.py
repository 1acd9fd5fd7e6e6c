"""Prometheus's own tools on what is deployed: it is valid, it fires when it should, and its tests notice when it would not."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.deploy.monitoring import PROMETHEUS, ROOT, alerts, kebab, needs_prometheus, recordings, selectors
from tests.ops.test_telemetry import CONTRACT

from gmobot.config import Config
from gmobot.live.protection import ACCEPTED, Cause

UNIT_TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
NAMES = [alert["alert"] for alert in alerts()]
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


def promtool(*arguments: str, folder: Path = PROMETHEUS) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False)


@needs_prometheus
def test_prometheus_takes_the_configuration() -> None:
    done = promtool("check", "config", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 rule files found" in done.stdout


@needs_prometheus
@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.stem)
def test_rules_do_what_their_unit_tests_say(path: Path) -> None:
    done = promtool("test", "rules", path.name, folder=path.parent)
    assert done.returncode == 0, done.stdout + done.stderr


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def write(path: Path, content: object) -> None:
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")


def about_only(case: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a test with nothing but its checks of one alert."""
    kept = [check for check in case.get("promql_expr_test", []) if f'"{name}"' in check["expr"]]
    return {key: value for key, value in case.items() if key != "alert_rule_test"} | {"promql_expr_test": kept}


def untouched(alert: dict[str, Any]) -> None:
    """The control: taken out of its file alone, an alert still passes."""


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.stem)
def test_values_are_quoted(path: Path) -> None:
    """``0x40`` without quotes is 64 to Python and forty-one zeros to promtool."""
    assert all(isinstance(series["values"], str) for case in read(path)["tests"] for series in case["input_series"])


def never(alert: dict[str, Any]) -> None:
    alert["expr"] = f"({alert['expr']}) and vector(0) == 1"


def always(alert: dict[str, Any]) -> None:
    alert["expr"] = "vector(1)"
    alert.pop("for", None)


def sooner(alert: dict[str, Any]) -> None:
    alert["for"] = shifted(alert["for"], -1)


def later(alert: dict[str, Any]) -> None:
    alert["for"] = shifted(alert["for"], 1)


def shifted(duration: str, by: int) -> str:
    """Return a duration one evaluation longer or shorter: 15 seconds, a minute for what lasts hours."""
    unit = {"s": 1, "m": 60, "h": 3600}[duration[-1]]
    return f"{int(duration[:-1]) * unit + by * (60 if unit == 3600 else 15)}s"


SPOILT = [(name, spoil) for name in NAMES for spoil in (untouched, never, always)]
SPOILT += [(alert["alert"], spoil) for alert in alerts() if "for" in alert for spoil in (sooner, later)]


@needs_prometheus
@pytest.mark.slow
@pytest.mark.parametrize(("name", "spoil"), SPOILT, ids=lambda value: value if isinstance(value, str) else value.__name__)
def test_no_alert_can_be_spoilt_unnoticed(name: str, spoil: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    shutil.copy(PROMETHEUS / "rules.yml", tmp_path)
    group = next(group for group in read(PROMETHEUS / "alerts.yml")["groups"] if name in [rule.get("alert") for rule in group["rules"]])
    (rule,) = (rule for rule in group["rules"] if rule.get("alert") == name)
    spoil(rule)
    write(tmp_path / "alerts.yml", {"groups": [group | {"rules": [rule]}]})
    (tmp_path / "tests").mkdir()
    about = []
    for path in UNIT_TESTS:
        content = read(path)
        if cases := [only for case in content["tests"] if (only := about_only(case, name))["promql_expr_test"]]:
            write(tmp_path / "tests" / path.name, content | {"tests": cases})
            about.append(path.name)
    assert about
    done = promtool("test", "rules", *about, folder=tmp_path / "tests")
    assert (done.returncode == 0) == (spoil is untouched), f"{name} {spoil.__name__}: {done.stdout}{done.stderr}"


def test_thresholds_are_those_of_the_operations_document() -> None:
    found = {alert["alert"]: (alert["expr"], alert.get("for")) for alert in alerts()}
    assert found["RunLoopFailures"] == ("increase(run_loop_failures_total[5m]) >= 3", None)
    assert found["MonitorDegraded"] == ('monitor_status{status="degraded"} == 1', "2m")
    assert found["MonitorReconnecting"] == ('monitor_status{status="reconnecting"} == 1', "5m")


def test_causes_that_raise_no_alarm_are_those_the_bot_accepts() -> None:
    (expression,) = (alert["expr"] for alert in alerts() if alert["alert"] == "PositionUnprotected")
    (passed_over,) = re.findall(r'cause!~"([^"]*)"', expression)
    assert set(passed_over.split("|")) == {cause.value for cause in ACCEPTED}
    assert set(passed_over.split("|")) < {cause.value for cause in Cause}


def test_limits_of_the_surroundings_come_before_or_with_those_of_the_bot() -> None:
    config = Config()
    found = {alert["alert"]: alert["expr"] for alert in alerts()}
    assert float(found["DiskExhausted"].split("< ")[1]) == config.risk.min_free_disk_bytes
    assert float(found["DiskLow"].split("< ")[1]) > config.risk.min_free_disk_bytes
    assert float(found["ClockSkew"].split("> ")[1]) < config.risk.max_clock_skew_seconds
    (lasts,) = (alert["for"] for alert in alerts() if alert["alert"] == "MaintenanceTooLong")
    assert float(lasts.removesuffix("h")) * 60 < config.maintenance.max_minutes


@pytest.mark.parametrize("alert", alerts(), ids=NAMES)
def test_an_alert_says_what_is_wrong_in_both_languages_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    notes = alert["annotations"]
    assert set(notes) == {"summary", "description", "runbook"}
    japanese, english = notes["summary"].split(" / ")
    assert JAPANESE.search(japanese)
    assert not JAPANESE.search(english)
    ours, theirs = notes["description"].splitlines()
    assert JAPANESE.search(ours)
    assert not JAPANESE.search(theirs)
    assert notes["runbook"] == f"docs/runbooks/{kebab(alert['alert'])}.md"


@pytest.mark.skipif(not (ROOT / "docs" / "runbooks").is_dir(), reason="there is no docs/runbooks yet")
@pytest.mark.parametrize("alert", alerts(), ids=NAMES)
def test_the_runbook_an_alert_names_is_there(alert: dict[str, Any]) -> None:
    assert (ROOT / alert["annotations"]["runbook"]).is_file()


@pytest.mark.parametrize("rule", alerts() + recordings(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_asks_for_nothing_the_bot_does_not_tell(rule: dict[str, Any]) -> None:
    recorded = {other["record"] for other in recordings()}
    asked = {selector.split("{")[0] for selector in selectors(rule["expr"])}
    assert asked
    told = {name for metric in CONTRACT for name in (metric, f"{metric}_bucket")}
    others = {"up", "process_start_time_seconds", "alertmanager_notifications_failed_total"}
    assert asked <= told | recorded | others


def test_names_are_taken_once() -> None:
    assert len(NAMES) == len(set(NAMES))
