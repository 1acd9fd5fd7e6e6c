"""The two artifacts of a run: where it stands, and what came of it.

The structs are the contract; their JSON Schemas in ``docs/schemas`` are generated from them. Money and
sizes are decimal strings, never binary floats; times are ISO 8601 UTC with ``Z``.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from gmobot.ops.atomic import write_atomic

PROGRESS = "run_progress.json"
COMPLETE = "run_complete.json"
_DAEMON_MODES = ("paper", "live")
SCHEMA_VERSION = 1


def _one_of(*names: str) -> msgspec.Meta:
    # The pattern is what msgspec checks, the enum what a reader of the schema wants to see.
    return msgspec.Meta(pattern=f"^({'|'.join(names)})$", extra_json_schema={"enum": list(names)})


_TIME = msgspec.Meta(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z$", extra_json_schema={"format": "date-time"})
_AMOUNT = msgspec.Meta(extra_json_schema={"pattern": r"^-?\d+(\.\d+)?$"})

Time = Annotated[str, _TIME]
"""ISO 8601 UTC with ``Z``."""
Amount = Annotated[Decimal, _AMOUNT]
"""Money, a size or a ratio: a plain decimal string, without an exponent."""
Count = Annotated[int, msgspec.Meta(ge=0)]
Mode = Annotated[str, _one_of("backtest", "paper", "live", "optimize", "walk-forward")]
Environment = Annotated[str, _one_of("production", "emulator")]
RunStatus = Annotated[str, _one_of("starting", "running", "paused", "halted", "stopping", "stopped", "failed")]
MonitorStatus = Annotated[str, _one_of("active", "reconnecting", "degraded")]
RiskStatus = Annotated[str, _one_of("ok", "degraded", "abort")]
Action = Annotated[str, _one_of("buy", "sell", "hold")]
Outcome = Annotated[str, _one_of("running", "completed", "stopped", "halted", "failed")]
Delivery = Annotated[str, _one_of("sent", "disabled", "failed")]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class LastDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What the core last said of a symbol."""

    bar_at: Time
    action: Action
    confidence: Share
    reason_codes: list[str]
    stop_price: Amount | None
    take_profit_price: Amount | None
    max_holding_bars: Count | None
    target_size: Amount


class InstrumentProgress(msgspec.Struct, frozen=True, kw_only=True):
    """Where one symbol stands."""

    symbol: str
    product_type: str
    strategy: str
    last_bar_at: Time | None
    last_decision: LastDecision | None
    position: Amount
    protected: bool
    open_orders: Count
    unknown_orders: Count


class RiskProgress(msgspec.Struct, frozen=True, kw_only=True):
    """The guards of the account."""

    status: RiskStatus
    reason_codes: list[str]
    drawdown: Amount
    daily_loss: Amount
    leverage: Amount
    wallet_drift_jpy: Amount


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
    mode: Mode
    environment: Environment
    execute_orders: bool
    armed: bool
    status: RunStatus
    monitor_status: MonitorStatus
    monitor_status_since: Time
    started_at: Time
    updated_at: Time
    instruments: list[InstrumentProgress] = []
    equity_jpy: Amount | None = None
    risk: RiskProgress | None = None
    run_loop_total: Count = 0
    run_loop_failures_total: Count = 0
    reconnect_count: Count = 0
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

    bars: Count = 0
    decisions: Count = 0
    orders: Count = 0
    fills: Count = 0
    trades: Count = 0
    fees_jpy: Amount = Decimal(0)
    realized_pnl_jpy: Amount = Decimal(0)
    equity_jpy: Amount | None = None
    return_: Amount | None = msgspec.field(name="return", default=None)
    max_drawdown: Amount | None = None
    win_rate: Amount | None = None
    profit_factor: Amount | None = None
    sharpe: Amount | None = None
    reconnect_count: Count = 0
    run_loop_total: Count = 0
    run_loop_failures_total: Count = 0


class Gates(msgspec.Struct, frozen=True, kw_only=True):
    """Verdict of an optimisation."""

    accept: bool | None = None
    reasons: list[str] = []


class Optimization(msgspec.Struct, frozen=True, kw_only=True):
    """What a search found; ``enabled`` is false for every other run."""

    enabled: bool = False
    trials: Count = 0
    score: Amount | None = None
    gates: Gates = Gates()
    salvage: bool = False


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """What became of notifications over one channel."""

    status: Delivery = "disabled"
    reason: str | None = None


class RunComplete(msgspec.Struct, frozen=True, kw_only=True):
    """``run_complete.json``: summary of the run so far, or of the finished one."""

    schema_version: int = SCHEMA_VERSION
    run_id: str
    version: str
    config_hash: str
    mode: Mode
    environment: Environment
    final: bool
    status: Outcome
    stop_reason: str | None
    started_at: Time
    completed_at: Time | None
    pipeline: Pipeline
    pipeline_summary: PipelineSummary
    optimization: Optimization = Optimization()
    notifications: dict[str, Notification] = msgspec.field(default_factory=lambda: {"discord": Notification()})


Artifact = RunProgress | RunComplete
FILES: Final[dict[str, type[RunProgress | RunComplete]]] = {PROGRESS: RunProgress, COMPLETE: RunComplete}
"""File name to what is in it."""


def encode(artifact: Artifact) -> bytes:
    """Return an artifact as indented JSON.

    Raises:
        ValueError: An amount is not a number; "cannot be told" is ``None``.
    """
    return msgspec.json.format(msgspec.json.encode(_plain(msgspec.to_builtins(artifact, builtin_types=(Decimal,)))), indent=2)


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Write amounts without an exponent: a lot of 1E-8 is an exact decimal, but few programs read it as one."""
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"{value} is not an amount")
        return f"{value:f}"
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def write(directory: Path, artifact: Artifact) -> None:
    """Write an artifact atomically.

    Raises:
        OSError: The disk refuses; the old file is untouched.
    """
    name = PROGRESS if isinstance(artifact, RunProgress) else COMPLETE
    write_atomic(directory / name, encode(artifact) + b"\n")


def schema(kind: type[RunProgress | RunComplete]) -> dict[str, Any]:
    """Return the JSON Schema of an artifact."""
    whole = msgspec.json.schema(kind)
    for part in whole["$defs"].values():
        # A default is for whoever makes an artifact; whoever reads one finds every key.
        part["required"] = list(part["properties"])
        if "schema_version" in part["properties"]:
            part["properties"]["schema_version"] = {"const": SCHEMA_VERSION}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": kind.__name__, **whole}


def schema_name(name: str) -> str:
    """Return the name of an artifact's schema in ``docs/schemas``: ``run_progress.schema.json``."""
    return name.removesuffix(".json") + ".schema.json"


def write_schemas(directory: Path) -> None:
    """Write the schema of every artifact; run this after a struct changed, and look at the difference."""
    for name, kind in FILES.items():
        write_atomic(directory / schema_name(name), msgspec.json.format(msgspec.json.encode(schema(kind)), indent=2) + b"\n")


def previous_run_crashed(directory: Path) -> bool:
    """Return whether the run before this one ended without leaving a final summary.

    A start that was refused (a bad secret, a port in use) failed before its first turn and left its reason
    in ``run_progress.json``: that is not a crash.
    """
    progress = _read(directory / PROGRESS)
    if progress is None or (progress.get("status") == "failed" and not progress.get("run_loop_total")):
        return False
    complete = _read(directory / COMPLETE)
    if complete is not None and complete.get("mode") not in _DAEMON_MODES:
        # A backtest wrote its summary here since: what the daemon last said of itself must do.
        return progress.get("status") not in ("stopped", "failed")
    return complete is None or complete.get("run_id") != progress.get("run_id") or complete.get("final") is not True


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None
