"""Grafana's provisioning and the dashboard: shaped as Grafana reads them, pointing at what is there, readable in both languages."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from tests.deploy.monitoring import DASHBOARD, DEPLOY, ROOT, alerts, dashboard, panel_queries, recordings, selectors
from tests.ops.test_telemetry import CONTRACT

SCHEMAS = Path(__file__).parent / "schemas"
PROVISIONING = DEPLOY / "grafana" / "provisioning"
PANELS = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
UNSHOWN = {"gmobot_build_info": "a label of the version, for queries by hand"}


def schema(name: str) -> Any:
    return json.loads((SCHEMAS / f"{name}.schema.json").read_bytes())


def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    return content


def test_the_dashboard_is_shaped_as_grafana_reads_it() -> None:
    jsonschema.Draft202012Validator(schema("dashboard")).validate(dashboard())


@pytest.mark.parametrize(("folder", "file"), [("datasources", "prometheus.yml"), ("dashboards", "gmobot.yml")])
def test_provisioning_is_shaped_as_grafana_reads_it(folder: str, file: str) -> None:
    assert [path.name for path in (PROVISIONING / folder).iterdir()] == [file]
    jsonschema.Draft202012Validator(schema(folder)).validate(yaml.safe_load((PROVISIONING / folder / file).read_text(encoding="utf-8")))


def test_what_provisioning_names_is_what_compose_mounts_and_runs() -> None:
    mounts = dict(volume.split(":")[1::-1] for volume in compose()["grafana"]["volumes"])
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards" / "gmobot.yml").read_text(encoding="utf-8"))["providers"]
    assert (ROOT / mounts[provider["options"]["path"]] / DASHBOARD.name).is_file()
    home = compose()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/{DASHBOARD.name}"
    (source,) = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text(encoding="utf-8"))["datasources"]
    service, port = re.fullmatch(r"http://(\w+):(\d+)", source["url"]).groups()  # type: ignore[union-attr]
    assert compose()[service]["ports"][0].endswith(f":{port}")


def test_panels_have_names_of_their_own_and_do_not_overlap() -> None:
    every = dashboard()["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    assert len({panel["title"] for panel in every}) == len(every)
    for one, other in itertools.combinations([panel["gridPos"] for panel in every], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in every)


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_a_panel_is_explained_in_both_languages(panel: dict[str, Any]) -> None:
    assert re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", panel["description"])
    assert re.search(r"[A-Za-z]{2,} [a-z]{2,}", panel["description"])
    assert re.search(r"[A-Za-z]", panel["title"])


def test_the_rows_are_those_an_operator_looks_for() -> None:
    rows = [panel["title"].split()[-1] for panel in dashboard()["panels"] if panel["type"] == "row"]
    assert rows == ["Health", "Money", "Orders", "Protection", "API", "Resources", "Notifications"]


def test_every_metric_of_the_bot_is_on_a_panel_or_in_what_one_is_computed_from() -> None:
    recorded = {rule["record"]: rule["expr"] for rule in recordings()}
    shown = {selector.split("{")[0] for _, expression in panel_queries() for selector in selectors(expression)}
    for name in shown & set(recorded):
        shown |= {selector.split("{")[0] for selector in selectors(recorded[name])}
    told = {name.removesuffix("_bucket") for name in shown}
    assert set(CONTRACT) - told == set(UNSHOWN)


def test_panels_ask_for_nothing_that_is_not_there() -> None:
    known = {name for metric in CONTRACT for name in (metric, f"{metric}_bucket")} | {rule["record"] for rule in recordings()}
    others = ("up", "ALERTS", "process_", "alertmanager_")
    for title, expression in panel_queries():
        for name in (selector.split("{")[0] for selector in selectors(expression)):
            assert name in known or name.startswith(others), f"{title}: {name}"


@pytest.mark.parametrize(
    ("title", "alert"),
    [
        ("Run loop failures", "RunLoopFailures"),
        ("Stream age", "StreamStale"),
        ("Unprotected seconds", "PositionUnprotected"),
        ("Clock skew", "ClockSkew"),
        ("Disk free", "DiskLow"),
        ("Disk free", "DiskExhausted"),
    ],
)
def test_a_line_drawn_on_a_panel_is_the_threshold_of_its_alert(title: str, alert: str) -> None:
    (panel,) = (panel for panel in PANELS if panel["title"].endswith(title))
    drawn = {step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]}
    (expression,) = (rule["expr"] for rule in alerts() if rule["alert"] == alert)
    (threshold,) = re.findall(r"(?:>=|>|<) ([0-9.e]+)", expression)
    assert float(threshold) in drawn
