"""What lies in deploy/, read for tests: alerts, recording rules, the dashboard's queries."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
ALERTMANAGER = DEPLOY / "alertmanager" / "alertmanager.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "gmobot.json"

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("promtool") and shutil.which("prometheus")), reason="needs promtool and prometheus (Debian: prometheus)"
)
needs_alertmanager = pytest.mark.skipif(
    not (shutil.which("amtool") and shutil.which("prometheus-alertmanager")),
    reason="needs amtool and prometheus-alertmanager (Debian: prometheus-alertmanager)",
)


def rules(name: str) -> list[dict[str, Any]]:
    """Return the rules of a file, whatever their group."""
    groups = yaml.safe_load((PROMETHEUS / name).read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    """Return every alert."""
    return [rule for rule in rules("alerts.yml") if "alert" in rule]


def recordings() -> list[dict[str, Any]]:
    """Return every recording rule."""
    return [rule for name in ("rules.yml", "alerts.yml") for rule in rules(name) if "record" in rule]


def dashboard() -> dict[str, Any]:
    """Return the dashboard."""
    content: dict[str, Any] = json.loads(DASHBOARD.read_bytes())
    return content


def panel_queries() -> Iterator[tuple[str, str]]:
    """Return title and expression of every query of every panel, and of the annotations."""
    content = dashboard()
    for panel in content["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for annotation in content["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


def kebab(name: str) -> str:
    """Return ``run-loop-failures`` for ``RunLoopFailures``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def selectors(expression: str) -> list[str]:
    """Return every series an expression asks for, with its labels and without range or offset."""
    names = r"(?:run_loop|monitor_status|gmobot_|process_|alertmanager_|instance|up\b|ALERTS\b)[a-z0-9_:]*"
    bare = re.sub(r"\b(?:on|ignoring|by|without)\s*\([^)]*\)", "", expression)
    return re.findall(rf"(?<![\w:\"])(?:{names})(?:\{{[^}}]*\}})?", bare)
