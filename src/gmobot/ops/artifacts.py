"""The two artifacts of a run: where it stands, and what came of it.

The structs are the contract; their JSON Schemas in ``docs/schemas`` are generated from them. Money and
sizes are decimal strings, never binary floats; times are ISO 8601 UTC with ``Z``.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from gmobot.ops.atomic import write_atomic

PROGRESS = "run_progress.json"
COMPLETE = "run_complete.json"
SCHEMA_VERSION = 1


class LastDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What the core last said of a symbol."""

    bar_at: str
    action: str
    confidence: float
    reason_codes: list[str]
    stop_price: Decimal | None
    take_profit_price: Decimal | None
    max_holding_bars: int | None
    target_size: Decimal


class InstrumentProgress(msgspec.Struct, frozen=True, kw_only=True):
    """Where one symbol stands."""

    symbol: str
    product_type: str
    strategy: str
    last_bar_at: str | None
    last_decision: LastDecision | None
    position: Decimal
    protected: bool
    open_orders: int
    unknown_orders: int


class RiskProgress(msgspec.Struct, frozen=True, kw_only=True):
    """The guards of the account."""

    status: str
    reason_codes: list[str]
    drawdown: Decimal
    daily_loss: Decimal
    leverage: Decimal
    wallet_drift_jpy: Decimal


class StreamProgress(msgspec.Struct, frozen=True, kw_only=True):
    """One stream."""

    name: str
    age_seconds: float | None


class RunProgress(msgspec.Struct, frozen=True, kw_only=True):
    """``run_progress.json``: where the running daemon stands."""

    schema_version: int = SCHEMA_VERSION
    run_id: str
    version: str
    config_hash: str
    mode: str
    environment: str
    execute_orders: bool
    armed: bool
    status: str
    monitor_status: str
    monitor_status_since: str
    started_at: str
    updated_at: str
    instruments: list[InstrumentProgress] = []
    equity_jpy: Decimal | None = None
    risk: RiskProgress | None = None
    run_loop_total: int = 0
    run_loop_failures_total: int = 0
    reconnect_count: int = 0
    streams: list[StreamProgress] = []
    clock_skew_ms: float | None = None
    exchange_status: str | None = None
    preflight: list[str] = []
    previous_run: str | None = None
    last_error: str | None = None


class Pipeline(msgspec.Struct, frozen=True, kw_only=True):
    """What kind of run it was."""

    name: str
    steps: list[str]


class PipelineSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A run in numbers; ``None`` is "cannot be told", never zero."""

    bars: int = 0
    decisions: int = 0
    orders: int = 0
    fills: int = 0
    trades: int = 0
    fees_jpy: Decimal = Decimal(0)
    realized_pnl_jpy: Decimal = Decimal(0)
    equity_jpy: Decimal | None = None
    return_: Decimal | None = msgspec.field(name="return", default=None)
    max_drawdown: Decimal | None = None
    win_rate: Decimal | None = None
    profit_factor: Decimal | None = None
    sharpe: Decimal | None = None
    reconnect_count: int = 0
    run_loop_total: int = 0
    run_loop_failures_total: int = 0


class Gates(msgspec.Struct, frozen=True, kw_only=True):
    """Verdict of an optimisation."""

    accept: bool | None = None
    reasons: list[str] = []


class Optimization(msgspec.Struct, frozen=True, kw_only=True):
    """What a search found; ``enabled`` is false for every other run."""

    enabled: bool = False
    trials: int = 0
    score: Decimal | None = None
    gates: Gates = Gates()
    salvage: bool = False


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """What became of notifications over one channel."""

    status: str = "disabled"
    reason: str | None = None


class RunComplete(msgspec.Struct, frozen=True, kw_only=True):
    """``run_complete.json``: summary of the run so far, or of the finished one."""

    schema_version: int = SCHEMA_VERSION
    run_id: str
    version: str
    config_hash: str
    mode: str
    environment: str
    final: bool
    status: str
    stop_reason: str | None
    started_at: str
    completed_at: str | None
    pipeline: Pipeline
    pipeline_summary: PipelineSummary
    optimization: Optimization = Optimization()
    notifications: dict[str, Notification] = msgspec.field(default_factory=lambda: {"discord": Notification()})


def encode(artifact: RunProgress | RunComplete) -> bytes:
    """Return an artifact as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(artifact), indent=2)


def write(directory: Path, artifact: RunProgress | RunComplete) -> None:
    """Write an artifact atomically.

    Raises:
        OSError: The disk refuses; the old file is untouched.
    """
    name = PROGRESS if isinstance(artifact, RunProgress) else COMPLETE
    write_atomic(directory / name, encode(artifact) + b"\n")


def schema(kind: type[RunProgress | RunComplete]) -> dict[str, Any]:
    """Return the JSON Schema of an artifact."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(kind)}


def previous_run_crashed(directory: Path) -> bool:
    """Return whether the run before this one left no final summary."""
    try:
        progress = msgspec.json.decode((directory / PROGRESS).read_bytes(), type=dict[str, Any])
    except (FileNotFoundError, msgspec.DecodeError, msgspec.ValidationError):
        return False
    try:
        complete = msgspec.json.decode((directory / COMPLETE).read_bytes(), type=dict[str, Any])
    except (FileNotFoundError, msgspec.DecodeError, msgspec.ValidationError):
        return True
    return complete.get("run_id") != progress.get("run_id") or complete.get("final") is not True
