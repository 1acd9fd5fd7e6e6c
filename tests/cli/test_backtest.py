"""``gmobot backtest``: the wiring from a configuration to a summary."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from tests.cli.run_cli import REPO, Cli
from tests.ops.samples import complete, progress

from gmobot.ops.artifacts import RunComplete, previous_run_crashed, schema, write


@pytest.fixture(autouse=True)
def _few_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GMOBOT__BACKTEST__SYNTHETIC_BARS", "400")


def test_it_prints_a_table_and_leaves_a_valid_summary(cli: Cli) -> None:
    outcome = cli("backtest", "--no-jit")
    assert outcome.code == 0, outcome.err
    assert "final equity" in outcome.out
    summary = json.loads((cli.var / "artifacts" / "run_complete.json").read_text())
    jsonschema.Draft202012Validator(schema(RunComplete)).validate(summary)
    assert (summary["mode"], summary["final"], summary["status"]) == ("backtest", True, "completed")
    assert summary["pipeline_summary"]["bars"] == 400


def test_json_is_the_artifact(cli: Cli) -> None:
    outcome = cli("backtest", "--no-jit", "--json")
    assert json.loads(outcome.out) == json.loads((cli.var / "artifacts" / "run_complete.json").read_text())


def test_the_same_configuration_gives_the_same_figures(cli: Cli) -> None:
    figures = [json.loads(cli("backtest", "--no-jit", "--json").out)["pipeline_summary"] for _ in range(2)]
    assert figures[0] == figures[1]


def test_leverage_lists_what_holding_cost_and_what_was_cut(cli: Cli) -> None:
    cli.config = REPO / "configs" / "live.leverage.yaml"
    told = cli("backtest", "--no-jit")
    assert told.code == 0, told.err
    assert "BTC_JPY" in told.out
    assert "leverage fees" in told.out
    assert "losscuts" in told.out


def test_spot_lists_neither(cli: Cli) -> None:
    told = cli("backtest", "--no-jit").out
    assert "leverage" not in told
    assert "losscut" not in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("instruments: [{symbol: NOPE}]", "no rules are recorded for NOPE"),
        ("instruments: [{symbol: BTC}, {symbol: ETH}]", "a backtest runs one symbol, found BTC, ETH"),
        ("instruments: [{symbol: BTC, sizing: {size: 0.000001}}]", "is not a multiple of"),
        ("backtest: {data: /nowhere.parquet}", "/nowhere.parquet: no such file"),
    ],
)
def test_a_mistake_is_one_line(cli: Cli, tmp_path: Path, text: str, told: str) -> None:
    cli.config = tmp_path / "bad.yaml"
    cli.config.write_text(text)
    outcome = cli("backtest", "--no-jit")
    assert outcome.code == 2
    assert told in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_backtest_beside_a_daemon_s_files_makes_no_crash_of_a_clean_stop(cli: Cli) -> None:
    artifacts = cli.var / "artifacts"
    write(artifacts, progress(run_id="r1", status="stopped"))
    write(artifacts, complete(run_id="r1"))
    cli("backtest", "--no-jit")
    assert not previous_run_crashed(artifacts)
    write(artifacts, progress(run_id="r1", status="running"))
    assert previous_run_crashed(artifacts)
