"""What the smoke and go/no-go checks call wrong, and by which name."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from scripts.smoke_check import look

from gmobot.ops.artifacts import COMPLETE, PROGRESS

METRICS = "\n".join(
    [
        "# HELP run_loop_total Turns",
        "run_loop_total 12",
        "run_loop_failures_total 0",
        *(f'monitor_status{{status="{status}"}} {value}' for status, value in (("active", 1), ("reconnecting", 0), ("degraded", 0))),
    ]
)


def moment(seconds_ago: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat().replace("+00:00", "Z")


class Site:
    """A bot's answers and files, all well until a test spoils one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        decision = {"bar_at": moment(1), "action": "hold", "confidence": 0.5, "reason_codes": [], "target_size": "0"}
        decision |= dict.fromkeys(("stop_price", "take_profit_price", "max_holding_bars"))
        row: dict[str, Any] = {"symbol": "BTC", "product_type": "spot", "strategy": "s", "last_bar_at": None, "last_decision": decision}
        row |= {"position": "0", "protected": True, "open_orders": 0, "unknown_orders": 0}
        who: dict[str, Any] = {
            "run_id": "r1",
            "version": "0",
            "config_hash": "h",
            "mode": "live",
            "environment": "emulator",
            "schema_version": 1,
        }
        self.progress: dict[str, Any] = who | {"execute_orders": True, "armed": True, "status": "running", "monitor_status": "active"}
        self.progress |= {name: moment(1) for name in ("monitor_status_since", "started_at", "updated_at")} | {"instruments": [row]}
        self.complete: dict[str, Any] = who | {"final": False, "status": "running", "stop_reason": None, "started_at": moment(9)}
        self.complete |= {"completed_at": None, "pipeline": {"name": "p", "steps": []}, "pipeline_summary": {}}
        self.running = dict(self.progress)
        self.answers: dict[str, tuple[int, str]] = {"/healthz": (200, "{}"), "/metrics": (200, METRICS)}

    def look(self, turns: float = 11.0, **changes: Any) -> list[str]:
        """Return the names of what does not hold."""
        self.answers["/api/v1/progress"] = (200, json.dumps(self.running))
        for name, content in ((PROGRESS, self.progress), (COMPLETE, self.complete)):
            if content:
                (self.folder / name).write_text(json.dumps(content), encoding="utf-8")
        options = argparse.Namespace(artifacts=self.folder, reconnecting_seconds=0.0, any_decision=False)
        vars(options).update(changes)
        return [line.split()[0] for line in look(options, turns)[0]]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = Site(tmp_path)

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = made.answers[self.path]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        monkeypatch.setenv("HEALTH_PORT", str(server.server_port))
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        server.shutdown()
        thread.join()


def test_a_healthy_bot_lacks_nothing(site: Site) -> None:
    assert site.look() == []


def test_health(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.answers["/healthz"] = (503, '{"failing": ["run_loop"]}')
    assert site.look() == ["health.failing"]
    monkeypatch.setenv("HEALTH_PORT", "1")
    assert site.look() == ["health.not_reachable"]


def test_metrics(site: Site) -> None:
    assert site.look(turns=12.0) == ["metrics.dead"]
    site.answers["/metrics"] = (200, METRICS.replace("run_loop_failures", "other"))
    assert site.look() == ["metrics.incomplete"]
    site.answers["/metrics"] = (200, METRICS.replace('active"} 1', 'active"} 0'))
    assert site.look() == ["metrics.incomplete"]
    site.answers["/metrics"] = (200, "no exposition")
    assert site.look() == ["metrics.invalid"]
    site.answers["/metrics"] = (500, "")
    assert site.look() == ["metrics.failing"]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"updated_at": moment(60)}, "stale"),
        ({"updated_at": moment(-60)}, "stale"),
        ({"status": "halted"}, "halted"),
        ({"status": "nonsense"}, "invalid"),
        ({"monitor_status": "degraded"}, "monitor_status"),
        ({"monitor_status": "reconnecting"}, "monitor_status"),
        ({"instruments": []}, "no_decision"),
        ({"schema_version": 2}, "schema"),
    ],
)
def test_run_progress(site: Site, changes: dict[str, Any], name: str) -> None:
    site.progress |= changes
    assert site.look() == [f"run_progress.{name}"]


def test_go_or_no_go_tolerates_a_short_reconnecting_and_no_decision_yet(site: Site) -> None:
    site.progress |= {"monitor_status": "reconnecting", "monitor_status_since": moment(10), "instruments": []}
    assert site.look(reconnecting_seconds=300.0, any_decision=True) == []
    site.progress |= {"monitor_status_since": moment(400)}
    assert site.look(reconnecting_seconds=300.0, any_decision=True) == ["run_progress.monitor_status"]
    site.progress |= {"monitor_status": "degraded", "monitor_status_since": moment(10)}
    assert site.look(reconnecting_seconds=300.0, any_decision=True) == ["run_progress.monitor_status"]


def test_artifacts_are_of_one_run_and_of_the_one_that_runs(site: Site) -> None:
    site.complete |= {"run_id": "r0"}
    assert site.look() == ["run_complete.wrong_run_id"]
    site.complete |= {"run_id": "r1"}
    site.running |= {"run_id": "r2"}
    assert site.look() == ["run_progress.wrong_run_id"]


def test_a_summary_nobody_writes_any_more_is_stale(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.smoke_check.COMPLETE_FRESH_SECONDS", -1.0)
    assert site.look() == ["run_complete.stale"]


def test_an_artifact_that_is_not_there(site: Site) -> None:
    site.complete = {}
    assert site.look() == ["run_complete.missing"]
