"""`gmobot notify test`, and a start that fails: told, masked, and never a flood."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.run_cli import Cli
from tests.ops.webhooks import TOKEN, WebhookServer

from gmobot.cli.notify import MARKER, manner_of, tell_failure
from gmobot.config import Config, Mode, Notify
from gmobot.ops.digest import QuietHours
from gmobot.ops.notices import Severity

BAD = "mode: nonsense\n"


@pytest.fixture
def server() -> Iterator[WebhookServer]:
    made = WebhookServer()
    yield made
    made.close()


def test_each_target_gets_a_message_and_its_result_is_said(cli: Cli, server: WebhookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_WEBHOOK_URL", server.url)
    monkeypatch.setenv("GMOBOT_NOTIFY_URLS", f"json://127.0.0.1:1/{TOKEN}")
    result = cli("notify", "test")
    assert result.code == 6
    assert result.out.splitlines() == ["discord          sent", "json             failed  not_accepted"]
    assert server.texts == ["[paper/production/no orders] 🟢 gmobot: 通知のテストです。この文が読めれば設定は正しいです。"]
    assert TOKEN not in result.out + result.err


def test_it_is_0_when_all_arrived_and_can_be_read_by_a_program(cli: Cli, server: WebhookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_WEBHOOK_URL", server.url)
    monkeypatch.setenv("GMOBOT__NOTIFY__LANGUAGE", "en")
    result = cli("notify", "test", "--json")
    assert result.code == 0
    assert json.loads(result.out) == {"ok": True, "targets": [{"target": "discord", "status": "sent", "reason": None}]}
    assert "a test: if you can read this" in server.texts[0]


def test_without_a_target_it_says_where_one_belongs(cli: Cli) -> None:
    result = cli("notify", "test")
    assert result.code == 6
    assert "DISCORD_WEBHOOK_URL" in result.err
    assert json.loads(cli("notify", "test", "--json").out) == {"ok": False, "targets": []}


def test_a_start_with_a_bad_configuration_is_told_once_an_hour(cli: Cli, server: WebhookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_WEBHOOK_URL", server.url)
    cli.var.mkdir(parents=True)
    cli.config = cli.var / "bad.yaml"
    cli.config.write_text(BAD)
    for _ in range(3):
        assert cli("run").code == 2
    assert len(server.texts) == 1
    assert "起動に失敗しました" in server.texts[0]
    assert "mode" in server.texts[0]


def test_a_start_without_its_secret_is_told(cli: Cli, server: WebhookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_WEBHOOK_URL", server.url)
    for name, value in (("MODE", "live"), ("EXECUTE_ORDERS", "true"), ("ENVIRONMENT", "emulator"), ("NOTIFY__LANGUAGE", "en")):
        monkeypatch.setenv(f"GMOBOT__{name}", value)
    assert cli("run").code == 2
    assert "[live/emulator] 🔴" in server.texts[0]
    assert "the start failed: missing_credentials: GMO_API_KEY" in server.texts[0]


def test_a_heartbeat_address_that_is_none_stops_the_start_and_is_not_shown(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GMOBOT_HEARTBEAT_URL", f"nowhere-{TOKEN}")
    monkeypatch.setenv("GMOBOT__HEALTH__PORT", "0")
    result = cli("run")
    assert result.code == 2
    assert "GMOBOT_HEARTBEAT_URL" in result.err
    written = b"".join(path.read_bytes() for path in cli.var.rglob("*") if path.is_file())
    assert TOKEN not in result.err + result.out
    assert TOKEN.encode() not in written


class Failing:
    """A start that fails again and again."""

    def __init__(self, directory: Path) -> None:
        self.at = 1_767_225_600.0
        self.config = Config.model_validate({"paths": {"var": directory}, "notify": {"language": "en"}})

    def tell(self, why: str, *, crashed: bool = False) -> None:
        tell_failure(self.config, why, crashed=crashed, clock=lambda: self.at)


def test_the_same_reason_is_told_again_after_an_hour(tmp_path: Path, server: WebhookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_WEBHOOK_URL", server.url)
    failing = Failing(tmp_path)
    for minute in (0, 1, 59, 61, 62):
        failing.at = 1_767_225_600.0 + 60 * minute
        failing.tell(f"port 9754 in use since {minute}", crashed=True)
    assert len(server.texts) == 2
    assert "the run crashed: port" in server.texts[0]


def test_ever_new_reasons_are_no_flood_either(tmp_path: Path, server: WebhookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_WEBHOOK_URL", server.url)
    failing = Failing(tmp_path)
    for letter in "abcdefghij":
        failing.tell(letter * 3)
    assert len(server.texts) == 5


def test_what_cannot_be_remembered_is_not_told(tmp_path: Path, server: WebhookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_WEBHOOK_URL", server.url)
    (tmp_path / "state").write_text("a file where a folder belongs")
    Failing(tmp_path).tell("x")
    assert server.texts == []


def test_a_reason_that_reached_nobody_is_told_at_the_next_start(
    tmp_path: Path, server: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISCORD_WEBHOOK_URL", f"http://127.0.0.1:1/api/webhooks/1/{TOKEN}")
    failing = Failing(tmp_path)
    failing.tell("x")
    monkeypatch.setenv("DISCORD_WEBHOOK_URL", server.url)
    failing.tell("x")
    failing.tell("x")
    assert len(server.texts) == 1


def test_a_secret_in_the_reason_is_masked_and_a_torn_marker_is_none(
    tmp_path: Path, server: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISCORD_WEBHOOK_URL", server.url)
    monkeypatch.setenv("GMO_API_SECRET", "an-api-secret")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / MARKER).write_text("{torn")
    Failing(tmp_path).tell(f"an-api-secret at {server.url}")
    assert "an-api-secret" not in server.texts[0]
    assert TOKEN not in server.texts[0]


def test_the_configuration_says_how_and_shapes_no_trading() -> None:
    config = Config(notify=Notify(language="en", quiet_hours="23:00-07:00", min_severity="warning", fills=False, daily_summary=False))
    manner = manner_of(config)
    assert (manner.language, manner.least, manner.quiet) == ("en", Severity.WARNING, QuietHours(23 * 60, 7 * 60))
    assert (manner.fills, manner.daily_summary) == (False, False)
    assert config.hash() == Config().hash()
    assert manner_of(Config(mode=Mode.LIVE, execute_orders=True)).label == ""


@pytest.mark.parametrize("hours", ["24:00-07:00", "23-7", "23:00", "23:60-01:00", "always"])
def test_bad_quiet_hours_are_refused_by_name(cli: Cli, monkeypatch: pytest.MonkeyPatch, hours: str) -> None:
    monkeypatch.setenv("GMOBOT__NOTIFY__QUIET_HOURS", hours)
    result = cli("config", "check")
    assert result.code == 2
    assert "quiet_hours" in result.err


def test_the_heartbeat_s_address_is_never_shown(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GMOBOT__HEARTBEAT__URL", f"https://hc.example/{TOKEN}")
    shown = cli("config", "show")
    assert "heartbeat.url" in shown.out
    assert TOKEN not in shown.out + cli("config", "show", "--json").out
