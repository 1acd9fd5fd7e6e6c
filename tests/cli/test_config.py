"""``gmobot config``: what is wrong, where, and where every value comes from."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from tests.cli.run_cli import REPO, Cli

SHIPPED = sorted(path.name for path in (REPO / "configs").glob("*.yaml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_configurations_are_good(cli: Cli, name: str) -> None:
    cli.config = REPO / "configs" / name
    outcome = cli("config", "check")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"{cli.config}: ok (")
    assert json.loads(cli("config", "check", "--json").out)["ok"] is True


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mode: papper", "mode: "),
        ("risk: {max_drawdwn: 0.1}", "risk.max_drawdwn: unknown key"),
        ("a: [1", "not valid YAML"),
        ("instruments: [{strategy: 'gmobot.strategies.ema_momentum:Nope'}]", "Nope"),
        ("instruments: [{params: {fsat: 3}}]", "fsat"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(cli: Cli, tmp_path: Path, text: str, told: str) -> None:
    cli.config = tmp_path / "bad.yaml"
    cli.config.write_text(text)
    outcome = cli("config", "check")
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("gmobot: ")
    assert outcome.err.count("\n") == 1
    assert told in outcome.err


def test_show_tells_the_origin_of_every_value(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEALTH_PORT", "9999")
    lines = cli("config", "show").out.splitlines()
    assert "health.port = 9999  [HEALTH_PORT]" in lines
    assert f'mode = "paper"  [{cli.config}]' in lines
    assert "runtime.interval_seconds = 1.0  [default]" in lines
    shown = json.loads(cli("config", "show", "--json").out)
    assert shown["config"]["health"]["port"] == 9999
    assert shown["origins"]["health.port"] == "HEALTH_PORT"


def test_the_audit_log_s_variables_count_and_empty_ones_do_not(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIT_LOG_MAX_BYTES", "1048576")
    monkeypatch.setenv("AUDIT_LOG_RETENTION", " ")
    lines = cli("config", "show").out.splitlines()
    assert "audit.max_bytes = 1048576  [AUDIT_LOG_MAX_BYTES]" in lines
    assert "audit.retention = 7  [default]" in lines
    monkeypatch.setenv("AUDIT_LOG_MAX_BYTES", "")
    assert "audit.max_bytes = 10485760  [default]" in cli("config", "show").out.splitlines()
    for name, value in (("AUDIT_LOG_RETENTION", "0"), ("AUDIT_LOG_MAX_BYTES", "10MB")):
        with monkeypatch.context() as patched:
            patched.setenv(name, value)
            outcome = cli("audit", "verify")
            assert (outcome.code, name in outcome.err) == (2, True), outcome.err


def test_show_says_where_a_secret_is_and_never_what(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("file-secret-value")
    file.chmod(0o600)
    monkeypatch.setenv("GMO_API_KEY_FILE", str(file))
    monkeypatch.setenv("GMO_API_SECRET", "environment-secret-value")
    plain, as_json = cli("config", "show"), cli("config", "show", "--json")
    assert f"GMO_API_KEY = ***  [{file}]" in plain.out
    assert "GMO_API_SECRET = ***  [GMO_API_SECRET]" in plain.out
    assert "GMOBOT_CONTROL_TOKEN is not set" in plain.out
    assert "prefer a file" in plain.err
    assert json.loads(as_json.out)["secrets"]["GMO_API_KEY"] == str(file)
    assert "secret-value" not in plain.out + plain.err + as_json.out + as_json.err


@pytest.mark.parametrize("name", [name for name in SHIPPED if name.startswith("live.")])
def test_a_shipped_live_configuration_sends_no_order_until_somebody_says_so(name: str) -> None:
    text = yaml.safe_load((REPO / "configs" / name).read_text())
    assert (text["mode"], text["execute_orders"], text["environment"]) == ("live", False, "production")
    limits = [name for name in text["risk"] if name.startswith("max_") or name.endswith("limit")]
    assert len(limits) >= 6
    assert all(text["risk"][limit] > 0 for limit in limits)


def test_both_products_have_a_live_configuration() -> None:
    assert {"live.spot.yaml", "live.leverage.yaml"} <= set(SHIPPED)


def test_the_schema_accepts_what_is_shipped(cli: Cli) -> None:
    schema = json.loads(cli("config", "schema", config=False).out)
    for file in (REPO / "configs").glob("*.yaml"):
        jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(file.read_text()))
