"""Artifacts as a run would leave them, with every part filled."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from gmobot.ops.artifacts import (
    InstrumentProgress,
    LastDecision,
    Pipeline,
    PipelineSummary,
    RiskProgress,
    RunComplete,
    RunProgress,
    StreamProgress,
)

NOW = "2025-10-09T08:53:20.000Z"
_DECISION = LastDecision(
    bar_at=NOW,
    action="buy",
    confidence=0.75,
    reason_codes=["ema_momentum_long"],
    stop_price=Decimal(14_900_000),
    take_profit_price=None,
    max_holding_bars=30,
    target_size=Decimal("0.01"),
)
_INSTRUMENT = InstrumentProgress(
    symbol="BTC",
    product_type="spot",
    strategy="gmobot.strategies.ema_momentum:EmaMomentum",
    last_bar_at=NOW,
    last_decision=_DECISION,
    position=Decimal("0.00001"),
    protected=True,
    open_orders=1,
    unknown_orders=0,
)
_RISK = RiskProgress(
    status="ok",
    reason_codes=[],
    drawdown=Decimal("0.01"),
    daily_loss=Decimal(0),
    leverage=Decimal("0.1"),
    wallet_drift_jpy=Decimal(0),
)
_PROGRESS = RunProgress(
    run_id="1760000000-abcdef01",
    version="0.1.0",
    config_hash="0123456789abcdef",
    mode="live",
    environment="emulator",
    execute_orders=True,
    armed=True,
    status="running",
    monitor_status="active",
    monitor_status_since=NOW,
    started_at=NOW,
    updated_at=NOW,
    instruments=[_INSTRUMENT],
    equity_jpy=Decimal("10000123.5"),
    risk=_RISK,
    run_loop_total=42,
    streams=[StreamProgress(name="public", age_seconds=0.2), StreamProgress(name="private", age_seconds=None)],
    clock_skew_ms=1.5,
    exchange_status="OPEN",
)
_SUMMARY = PipelineSummary(bars=100, decisions=100, return_=Decimal("0.0125"), equity_jpy=Decimal(10_125_000), run_loop_total=42)
_COMPLETE = RunComplete(
    run_id=_PROGRESS.run_id,
    version=_PROGRESS.version,
    config_hash=_PROGRESS.config_hash,
    mode="live",
    environment="emulator",
    final=True,
    status="stopped",
    stop_reason="graceful_shutdown",
    started_at=NOW,
    completed_at=NOW,
    pipeline=Pipeline(name="live", steps=["feed", "decide"]),
    pipeline_summary=_SUMMARY,
)


def progress(**changes: Any) -> RunProgress:
    """Return a full progress artifact."""
    return msgspec.structs.replace(_PROGRESS, **changes)


def complete(**changes: Any) -> RunComplete:
    """Return a full summary."""
    return msgspec.structs.replace(_COMPLETE, **changes)
