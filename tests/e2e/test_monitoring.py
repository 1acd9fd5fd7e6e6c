"""A real bot trades with the real emulator, a real Prometheus looks on: every panel, rule and alert is asked and must answer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.deploy.monitoring import alerts, needs_alertmanager, needs_prometheus, panel_queries, recordings, selectors
from tests.deploy.processes import alertmanager, ask, discord, get, prometheus, until
from tests.e2e.processes import Bot, Emulator
from tests.ops.webhooks import WebhookServer
from tests.ports import free_port

pytestmark = [pytest.mark.e2e, needs_prometheus, needs_alertmanager]

ENOUGH_SECONDS = 90.0


@dataclass(frozen=True)
class Scene:
    """What runs."""

    url: str
    bot: Bot
    exchange: Emulator
    messages: list[dict[str, Any]]

    def firing(self) -> set[str]:
        """Return the alerts that fire now."""
        found = get(f"{self.url}/api/v1/alerts")["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in found if alert["state"] == "firing"}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Bot, emulator with a market of its own, Prometheus, Alertmanager and a webhook; every event a panel waits for has happened."""
    exchange = Emulator("--market", "synthetic", "--speed", "60", "--seed", "7")
    port, folder = free_port(), tmp_path_factory.mktemp("m")
    bot = Bot(tmp_path_factory.mktemp("b"), exchange.url, health={"port": port}, heartbeat={"interval_seconds": 1})
    people, watcher = WebhookServer(), WebhookServer()
    # The first message is refused: a counter with labels appears with its first event.
    people.once.append((500, {}))
    bot.environ |= {"DISCORD_WEBHOOK_URL": people.url, "GMOBOT_HEARTBEAT_URL": f"{watcher.base}/beat"}
    try:
        bot.begin()
        with (
            discord(refusals=1) as (webhook, messages),
            alertmanager(folder, webhook) as alerts_to,
            prometheus(folder, bot=f"127.0.0.1:{port}", alerts_to=alerts_to) as url,
        ):
            stage = Scene(url, bot, exchange, messages)
            until(lambda: bool(ask(url, "gmobot_fills_total")), "the bot trades", seconds=60)
            assert stage.firing() == set()
            _let_happen(exchange)
            yield stage
    finally:
        bot.kill()
        exchange.close()
        people.close()
        watcher.close()


def _let_happen(exchange: Emulator) -> None:
    """Lose a reply, refuse a query, drop a socket, answer slowly: counters with labels appear with their first event."""
    exchange.ask("/faults", {"fault": "reply_lost_after", "where": "/v1/order", "times": 1})
    exchange.ask("/faults", {"fault": "server_busy", "where": "/v1/activeOrders", "times": 3})
    exchange.ask("/faults", {"fault": "socket_dropped", "where": "trades", "times": 1})
    # A STOP whose acknowledgement takes its time leaves its position unprotected meanwhile.
    exchange.ask("/faults", {"fault": "reply_slow", "where": "/v1/order", "times": 8, "seconds": 3})


def unanswered(scene: Scene, queries: dict[str, str]) -> list[str]:
    """Return those of the named queries that have no data within the time, each asked until it has some."""
    open_, give_up = dict(queries), time.monotonic() + ENOUGH_SECONDS
    while open_ and time.monotonic() < give_up:
        open_ = {name: query for name, query in open_.items() if not ask(scene.url, query)}
        time.sleep(0.5)
    return list(open_)


def test_every_rule_is_evaluated_without_an_error_and_every_recording_has_data(scene: Scene) -> None:
    missing = unanswered(scene, {rule["record"]: rule["record"] for rule in recordings()})
    assert missing == [], scene.bot.console()
    seen = [rule for group in get(f"{scene.url}/api/v1/rules")["data"]["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in seen} == {rule["record"] for rule in recordings()} | {rule["alert"] for rule in alerts()}
    assert [rule["name"] for rule in seen if rule["health"] != "ok" or rule.get("lastError")] == []


def test_every_series_an_alert_asks_for_is_there(scene: Scene) -> None:
    wanted = {f"{alert['alert']}: {series}": series for alert in alerts() for series in selectors(alert["expr"])}
    assert len(wanted) >= len(alerts())
    assert unanswered(scene, wanted) == []


def test_every_panel_has_data_once_its_event_has_happened(scene: Scene) -> None:
    done = scene.bot.call("halt")  # the panel of firing alerts waits for one
    assert done.returncode == 0, done.stderr
    until(lambda: "TradingHalted" in scene.firing(), "the halt fires", seconds=30)
    queries = {f"{title}: {query}": query.replace("$__rate_interval", "1m") for title, query in panel_queries()}
    needed = {name: query for name, query in queries.items() if "changes(process_start_time" not in query}
    assert unanswered(scene, needed) == []
    for query in queries.values():
        ask(scene.url, query)  # Prometheus takes those as well that have nothing to tell yet


def test_a_halt_reaches_discord_though_the_first_message_was_refused(scene: Scene) -> None:
    def told() -> bool:
        return any("TradingHalted" in message["embeds"][0]["title"] for message in scene.messages)

    assert scene.bot.call("halt").returncode == 0
    until(told, "the message of the halt", seconds=30)
    assert not [message for message in scene.messages if "error expanding" in json.dumps(message)]


def test_a_bot_that_ends_is_missed(scene: Scene) -> None:
    assert scene.bot.stop() == 0, scene.bot.console()

    def waits() -> bool:
        return "BotDown" in {alert["labels"]["alertname"] for alert in get(f"{scene.url}/api/v1/alerts")["data"]["alerts"]}

    until(waits, "the alert begins its minute", seconds=15)
    assert "TradingHalted" in scene.firing(), "what the bot told last still holds"
