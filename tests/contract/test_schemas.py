"""What lies in ``docs/schemas`` is what the code writes, key by key as CONTRACTS has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gmobot.ops.artifacts import COMPLETE, FILES, PROGRESS, schema, schema_name, write_schemas

DOCS = Path(__file__).parents[2] / "docs" / "schemas"

PROGRESS_KEYS = (
    "schema_version run_id version config_hash mode environment execute_orders armed status monitor_status monitor_status_since started_at "
    "updated_at instruments equity_jpy risk run_loop_total run_loop_failures_total reconnect_count streams clock_skew_ms exchange_status "
    "preflight previous_run last_error"
)
COMPLETE_KEYS = (
    "schema_version run_id version config_hash mode environment final status stop_reason started_at completed_at pipeline "
    "pipeline_summary optimization notifications"
)
PARTS = {
    "InstrumentProgress": "symbol product_type strategy last_bar_at last_decision position protected open_orders unknown_orders",
    "LastDecision": "bar_at action confidence reason_codes stop_price take_profit_price max_holding_bars target_size",
    "RiskProgress": "status reason_codes drawdown daily_loss leverage wallet_drift_jpy",
    "StreamProgress": "name age_seconds",
    "Pipeline": "name steps",
    "PipelineSummary": (
        "bars decisions orders fills trades fees_jpy realized_pnl_jpy equity_jpy return max_drawdown win_rate profit_factor sharpe "
        "reconnect_count run_loop_total run_loop_failures_total"
    ),
    "Optimization": "enabled trials score gates salvage",
    "Gates": "accept reasons",
    "Notification": "status reason",
    "RunProgress": PROGRESS_KEYS,
    "RunComplete": COMPLETE_KEYS,
}


def definitions() -> dict[str, Any]:
    return {name: part for kind in FILES.values() for name, part in schema(kind)["$defs"].items()}


@pytest.mark.parametrize("name", [PROGRESS, COMPLETE])
def test_the_documented_schema_is_current(name: str, tmp_path: Path) -> None:
    write_schemas(tmp_path)
    documented = (DOCS / schema_name(name)).read_bytes()
    assert documented == (tmp_path / schema_name(name)).read_bytes(), "run gmobot.ops.artifacts.write_schemas(Path('docs/schemas'))"
    assert json.loads(documented)["$ref"] == f"#/$defs/{FILES[name].__name__}"


@pytest.mark.parametrize("part", PARTS)
def test_every_part_has_exactly_the_keys_of_the_contract(part: str) -> None:
    wanted = PARTS[part].split()
    found = definitions()[part]
    assert list(found["properties"]) == wanted
    assert found["required"] == wanted


def test_no_part_is_undocumented() -> None:
    assert set(definitions()) == set(PARTS)
