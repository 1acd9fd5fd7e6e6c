"""Metrics: names, labels and types exactly as the contract has them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as plain

from gmobot.ops.telemetry import Telemetry

openmetrics: Callable[[str], Iterator[Metric]] = openmetrics_parser.text_string_to_metric_families

CONTRACT = {
    "run_loop_total": ("counter", ()),
    "run_loop_failures_total": ("counter", ()),
    "monitor_status": ("gauge", ("status",)),
    "gmobot_reconnects_total": ("counter", ("stream",)),
    "gmobot_stream_message_age_seconds": ("gauge", ("stream",)),
    "gmobot_stream_messages_total": ("counter", ("channel", "stream")),
    "gmobot_orders_total": ("counter", ("outcome", "side", "type")),
    "gmobot_orders_unknown": ("gauge", ()),
    "gmobot_order_roundtrip_seconds": ("histogram", ()),
    "gmobot_tick_to_order_seconds": ("histogram", ()),
    "gmobot_fills_total": ("counter", ("liquidity", "side")),
    "gmobot_decisions_total": ("counter", ("action",)),
    "gmobot_api_requests_total": ("counter", ("endpoint", "outcome")),
    "gmobot_api_errors_total": ("counter", ("category",)),
    "gmobot_rate_limit_wait_seconds": ("gauge", ()),
    "gmobot_equity_jpy": ("gauge", ()),
    "gmobot_drawdown_ratio": ("gauge", ()),
    "gmobot_daily_pnl_jpy": ("gauge", ()),
    "gmobot_position_size": ("gauge", ("symbol",)),
    "gmobot_position_unprotected_seconds_total": ("counter", ("cause",)),
    "gmobot_risk_status": ("gauge", ("status",)),
    "gmobot_exchange_maintenance": ("gauge", ()),
    "gmobot_clock_skew_seconds": ("gauge", ()),
    "gmobot_disk_free_bytes": ("gauge", ()),
    "gmobot_halted": ("gauge", ()),
    "gmobot_state_unwritable": ("gauge", ()),
    "gmobot_notifications_total": ("counter", ("outcome",)),
    "gmobot_heartbeats_total": ("counter", ("outcome",)),
    "gmobot_build_info": ("gauge", ("config_hash", "version")),
}


def new() -> Telemetry:
    return Telemetry(version="1.2.3", config_hash="abcd")


def used() -> Telemetry:
    """Telemetry in which every metric has had a value."""
    telemetry = new()
    telemetry.turn(failed=False)
    telemetry.turn(failed=True)
    telemetry.monitor_status("active")
    telemetry.risk_status("degraded")
    telemetry.reconnect("public")
    telemetry.stream("public", 0.5, {"trades": 3})
    telemetry.order("buy", "limit", "acknowledged")
    telemetry.order_roundtrip(0.03)
    telemetry.tick_to_order(0.00015)
    telemetry.fill("buy", "maker")
    telemetry.decision("hold")
    telemetry.request("/v1/order", "refused", "validation")
    telemetry.unprotected("stop_refused", 1.5)
    telemetry.heartbeat("sent")
    telemetry.notification("sent")
    telemetry.account(equity_jpy=1e7, drawdown=0.01, daily_pnl_jpy=-5.0, positions={"BTC": 0.01})
    telemetry.surroundings(
        unknown_orders=1,
        limit_wait_seconds=0.2,
        maintenance=True,
        skew_seconds=-0.1,
        disk_free_bytes=9,
        halted=True,
        unwritable=False,
    )
    return telemetry


def text(telemetry: Telemetry, accept: str = "") -> str:
    return telemetry.render(accept)[0].decode()


def samples(telemetry: Telemetry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in plain(text(telemetry)) for s in family.samples}


@pytest.mark.parametrize("name", CONTRACT)
def test_a_metric_of_the_contract_has_its_exact_name_type_and_labels(name: str) -> None:
    kind, labels = CONTRACT[name]
    exposition = text(used())
    assert f"# TYPE {name} {kind}\n" in exposition
    probe = f"{name}_count" if kind == "histogram" else name
    found = {labels_of for sample, labels_of in samples(used()) if sample == probe}
    assert found
    assert all(tuple(key for key, _ in pairs) == labels for pairs in found)


def test_nothing_is_exported_that_the_contract_does_not_know() -> None:
    names = set(re.findall(r"^# TYPE (\S+) ", text(used()), re.MULTILINE))
    foreign = {name for name in names if not name.startswith(("process_", "python_")) and not name.endswith("_created")}
    assert foreign == set(CONTRACT)


def test_what_nobody_counts_is_asked_for_when_it_is_shown() -> None:
    telemetry, ages = new(), iter([0.5, 7.0])
    telemetry.ask = lambda: telemetry.stream("public", next(ages), {})
    name = ("gmobot_stream_message_age_seconds", (("stream", "public"),))
    assert [samples(telemetry)[name], samples(telemetry)[name]] == [0.5, 7.0]


def test_process_metrics_are_there() -> None:
    assert "process_resident_memory_bytes" in text(new())


@pytest.mark.parametrize("status", ["active", "reconnecting", "degraded"])
def test_monitor_status_is_one_hot(status: str) -> None:
    telemetry = new()
    telemetry.monitor_status(status)
    values = {labels[0][1]: value for (name, labels), value in samples(telemetry).items() if name == "monitor_status"}
    assert values == {name: float(name == status) for name in ("active", "reconnecting", "degraded")}


def test_monitor_status_is_there_from_the_first_scrape() -> None:
    found = samples(new())
    assert found["monitor_status", (("status", "reconnecting"),)] == 1
    assert found["run_loop_total", ()] == 0
    assert found["run_loop_failures_total", ()] == 0


@pytest.mark.parametrize("name", [name for name, (kind, labels) in CONTRACT.items() if kind == "gauge" and not labels])
def test_what_nobody_could_tell_yet_is_absent(name: str) -> None:
    assert not [found for found, _ in samples(new()) if found == name]


def test_a_status_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="'broken' is none of active, reconnecting, degraded"):
        new().monitor_status("broken")


def test_turns_are_counted_once_and_failures_beside_them() -> None:
    telemetry = new()
    for failed in (False, True, False, True):
        telemetry.turn(failed=failed)
    found = samples(telemetry)
    assert (found["run_loop_total", ()], found["run_loop_failures_total", ()]) == (4, 2)
    assert (telemetry.turns, telemetry.failed_turns) == (4, 2)


def test_message_totals_of_a_stream_never_go_back() -> None:
    telemetry = new()
    for total in (5, 9, 9, 2, 4):
        telemetry.stream("public", None, {"trades": total})
    assert samples(telemetry)["gmobot_stream_messages_total", (("channel", "trades"), ("stream", "public"))] == 13


def test_an_age_that_is_not_known_is_absent() -> None:
    telemetry = new()
    telemetry.stream("private", None, {})
    assert not [name for name, _ in samples(telemetry) if name == "gmobot_stream_message_age_seconds"]


def test_a_request_without_trouble_counts_no_error() -> None:
    telemetry = new()
    telemetry.request("/v1/ticker", "ok", None)
    assert not [name for name, _ in samples(telemetry) if name == "gmobot_api_errors_total"]


def test_tick_to_order_resolves_from_a_hundred_microseconds() -> None:
    telemetry = new()
    telemetry.tick_to_order(0.00009)
    telemetry.tick_to_order(0.00011)
    assert samples(telemetry)["gmobot_tick_to_order_seconds_bucket", (("le", "0.0001"),)] == 1


def test_build_info_names_version_and_config() -> None:
    assert samples(new())["gmobot_build_info", (("config_hash", "abcd"), ("version", "1.2.3"))] == 1


def test_two_daemons_in_one_process_do_not_share_metrics() -> None:
    one, other = new(), new()
    one.turn(failed=False)
    assert samples(other)["run_loop_total", ()] == 0


def test_both_formats_parse() -> None:
    body, content_type = used().render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert list(openmetrics(body.decode()))
    body, content_type = used().render("text/plain")
    assert content_type.startswith("text/plain")
    assert list(plain(body.decode()))
