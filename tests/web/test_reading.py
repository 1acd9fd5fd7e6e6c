"""Health, metrics, artifacts and the page, as a browser or a probe gets them."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.ops.samples import complete, progress
from tests.web.parts import running

from gmobot.ops.artifacts import RunComplete, RunProgress, schema, write
from gmobot.ops.audit import AuditLog

EVERY_GET = [
    "/",
    "/healthz",
    "/livez",
    "/readyz",
    "/metrics",
    "/api/openapi.json",
    "/api/v1/progress",
    "/api/v1/complete",
    "/api/v1/events",
]


async def test_health_is_ok_while_every_check_passes(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        status, body, _ = await site.get("/healthz")
    assert (status, body["status"], body["failing"]) == (200, "ok", [])
    assert body["checks"] == {"run_loop": True, "monitor_status": True}


async def test_health_fails_by_the_name_of_the_failing_check(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        site.view.named["monitor_status"] = False
        status, body, _ = await site.get("/healthz")
        assert (await site.get("/livez"))[0] == 200
    assert (status, body["status"], body["failing"]) == (503, "failing", ["monitor_status"])


async def test_readiness_is_not_health(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        assert (await site.get("/readyz"))[:2] == (200, {"ready": True})
        site.view.can_trade = False
        assert (await site.get("/readyz"))[:2] == (503, {"ready": False})
        assert (await site.get("/healthz"))[0] == 200


async def test_metrics_are_what_prometheus_reads(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        site.telemetry.turn(failed=False)
        status, body, headers = await site.get("/metrics")
        _, _, modern = await site.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    assert "run_loop" in {family.name for family in text_string_to_metric_families(body)}
    assert modern["Content-Type"].startswith("application/openmetrics-text")


async def test_progress_is_the_artifact(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        site.view.run = progress(equity_jpy=Decimal("1E-8"))
        _, body, _ = await site.get("/api/v1/progress")
    jsonschema.Draft202012Validator(schema(RunProgress)).validate(body)
    assert body["equity_jpy"] == "0.00000001"


async def test_the_summary_is_the_file_and_404_before_there_is_one(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        assert (await site.get("/api/v1/complete"))[0] == 404
        write(tmp_path, complete())
        status, body, _ = await site.get("/api/v1/complete")
    assert status == 200
    assert msgspec.convert(body, RunComplete) == complete()


async def test_events_are_the_newest_of_the_audit_log(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, max_bytes=1_000_000, retention=2)
    for seq in range(1, 31):
        log.append(seq, 0, "r", "fill", {"n": seq})
    async with running(tmp_path) as site:
        _, body, _ = await site.get("/api/v1/events")
    assert [event["seq"] for event in body] == list(range(11, 31))


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"mode": "paper", "environment": "production"}, "paper", "PAPER"),
        ({"mode": "live", "environment": "emulator"}, "emulator", "EMULATOR"),
        ({"mode": "live", "environment": "production"}, "live", "REAL MONEY"),
        ({"mode": "live", "environment": "production", "status": "halted"}, "halted", "HALTED"),
    ],
)
async def test_the_page_says_unmistakably_whose_money_it_is(tmp_path: Path, changes: dict[str, Any], kind: str, words: str) -> None:
    async with running(tmp_path) as site:
        site.view.run = progress(**changes)
        _, page, _ = await site.get("/")
    [(classes, text)] = re.findall(r'id="banner" class="([^"]*)".*?>([^<]*)</p>', page, re.DOTALL)
    assert classes == f"banner {kind}"
    assert words in text
    assert ("REAL MONEY" in text) == (changes["environment"] == "production" and changes["mode"] == "live")


async def test_the_page_speaks_japanese_and_english_and_runs_nothing_inline(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        _, page, headers = await site.get("/")
        script = (await site.get("/static/page.js"))[1]
        style = (await site.get("/static/page.css"))[1]
    assert headers["Content-Type"].startswith("text/html")
    assert "銘柄" in page
    assert "Instruments" in page
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"\son\w+=|\sstyle=|<style", page) == []
    assert "innerHTML" not in script
    assert "/api/v1/progress" in script
    assert ".banner.live" in style
    assert "unsafe" not in headers["Content-Security-Policy"]


async def test_the_script_finds_every_element_it_draws_into(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        _, page, _ = await site.get("/")
        script = (await site.get("/static/page.js"))[1]
    wanted = set(re.findall(r'getElementById\("(\w+)"\)', script))
    assert wanted
    assert wanted <= set(re.findall(r'\bid="(\w+)"', page))
    for name in re.findall(r"node\.dataset\.(\w+)", script):
        assert f"data-{name}=" in page


async def test_what_a_run_says_cannot_become_markup(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        site.view.run = progress(mode='"><script>alert(1)</script>', last_error="<b>")
        _, page, _ = await site.get("/")
    assert "<script>alert" not in page


@pytest.mark.parametrize("path", [*EVERY_GET, "/static/page.js", "/nothing"])
async def test_every_answer_keeps_a_browser_strict(tmp_path: Path, path: str) -> None:
    async with running(tmp_path) as site:
        _, _, headers = await site.get(path)
        _, _, foreign = await site.get(path, Host="evil.example")
    for answer in (headers, foreign):
        assert answer["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["X-Frame-Options"] == "DENY"
        assert "Access-Control-Allow-Origin" not in answer


async def test_openapi_describes_every_route_and_no_other(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        _, document, _ = await site.get("/api/openapi.json")
        routes = {
            (route.method.lower(), route.resource.canonical)
            for route in site.app.build().router.routes()
            if route.resource is not None and route.method in ("GET", "POST")
        }
    described = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert described == routes - {("get", "/"), ("get", "/static"), ("get", "/api/openapi.json")}
    names = set(re.findall(r'"#/components/schemas/(\w+)"', msgspec.json.encode(document).decode()))
    assert names <= set(document["components"]["schemas"])
