"""docs/monitoring.md says what is there: metrics as the code exports them, alerts and panels as they are deployed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.deploy.monitoring import ROOT, alerts, dashboard, kebab
from tests.ops.test_telemetry import new, text, used

from gmobot.live.protection import Cause

DOCUMENT = Path(ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
OWN = ("run_loop", "monitor_status", "gmobot_")


def table(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading, without its head."""
    section = DOCUMENT.split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


METRICS = {row[0].strip("`"): row for row in table("指標 Metrics")}


def exported(telemetry: str) -> dict[str, tuple[str, set[str]]]:
    """Return type and labels of each of our metrics that has a sample."""
    found = {}
    for family in text_string_to_metric_families(telemetry):
        if not family.name.startswith(OWN) or family.name.endswith("_created") or not family.samples:
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = (family.type, {label for sample in family.samples for label in sample.labels if label != "le"})
    return found


def test_no_metric_is_missing_and_none_is_invented() -> None:
    assert set(METRICS) == set(exported(text(used())))


@pytest.mark.parametrize("name", METRICS)
def test_type_and_labels_are_those_of_the_code(name: str) -> None:
    _, kind, labels, meaning, _ = METRICS[name]
    told_kind, told_labels = exported(text(used()))[name]
    assert kind == told_kind
    named = re.findall(r"`(\w+)`", re.sub(r"= `\w+`(, `\w+`)*$", "", labels))
    assert set(named) == told_labels
    assert (labels == "–") == (not told_labels)
    assert meaning


@pytest.mark.parametrize("name", METRICS)
def test_what_is_said_to_be_always_there_is_there_before_the_first_turn_and_nothing_else(name: str) -> None:
    assert (METRICS[name][4] == "いつもある") == (name in exported(text(new())))


def test_causes_are_those_of_the_code() -> None:
    told = set(re.findall(r"`(\w+)`", METRICS["gmobot_position_unprotected_seconds_total"][2])) - {"cause"}
    assert told == {cause.value for cause in Cause}


def test_alerts_are_those_deployed_with_severity_and_runbook() -> None:
    told = [(row[0], row[1]) for row in table("アラート Alerts")]
    assert told == [(f"[`{a['alert']}`](runbooks/{kebab(a['alert'])}.md)", a["labels"]["severity"]) for a in alerts()]


def test_every_alert_says_what_to_do_first() -> None:
    assert all(len(row[3]) > 10 for row in table("アラート Alerts"))


def test_panels_are_those_of_the_dashboard() -> None:
    row, there = "", []
    for panel in dashboard()["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
        else:
            there.append([row, panel["title"]])
    assert [cells[:2] for cells in table("ダッシュボード Dashboard")] == there
