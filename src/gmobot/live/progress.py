"""What an operator sees: the daemon's state as the two artifacts, and its health as named checks."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from gmobot import __version__
from gmobot.clock import iso_utc
from gmobot.core.instrument import to_yen
from gmobot.live.decisions import ACTIONS
from gmobot.live.guards import STATUS_NAMES
from gmobot.ops.artifacts import (
    InstrumentProgress,
    LastDecision,
    Notification,
    Pipeline,
    PipelineSummary,
    RiskProgress,
    RunComplete,
    RunProgress,
    StreamProgress,
)

if TYPE_CHECKING:
    from gmobot.live.daemon import Daemon
    from gmobot.live.desk import Desk

_STEPS = ["feed", "decide", "order", "book"]


def run_progress(daemon: Daemon) -> RunProgress:
    """Return where the daemon stands."""
    config, supervisor, clock = daemon.config, daemon.supervisor, daemon.clock
    return RunProgress(
        run_id=daemon.run_id,
        version=__version__,
        config_hash=daemon.config_hash,
        mode=config.mode.value,
        environment=config.environment.value,
        execute_orders=config.execute_orders,
        armed=daemon.sends_orders,
        status=daemon.status,
        monitor_status=supervisor.status.value,
        monitor_status_since=iso_utc(supervisor.since_ns),
        started_at=iso_utc(daemon.started_ns),
        updated_at=iso_utc(clock.now_ns()),
        instruments=[_instrument(daemon, desk) for desk in daemon.desks.values()],
        equity_jpy=to_yen(daemon.account.equity_uyen) if daemon.account and daemon.account.state.base_cash is not None else None,
        risk=_risk(daemon),
        run_loop_total=daemon.telemetry.turns,
        run_loop_failures_total=daemon.telemetry.failed_turns,
        reconnect_count=supervisor.reconnects,
        streams=[StreamProgress(name=stream.name, age_seconds=_rounded(stream.age_seconds())) for stream in daemon.streams],
        clock_skew_ms=round(daemon.guards.skew_seconds * 1_000, 3) if daemon.guards else None,
        exchange_status=supervisor.exchange.value if supervisor.exchange else None,
        preflight=daemon.preflight,
        previous_run="crashed" if daemon.previous_crashed else None,
        last_error=daemon.last_error,
    )


def run_complete(daemon: Daemon, *, status: str, stop_reason: str | None) -> RunComplete:
    """Return the summary of the run so far; it is final when there is a reason why it stopped."""
    config, final = daemon.config, stop_reason is not None
    return RunComplete(
        run_id=daemon.run_id,
        version=__version__,
        config_hash=daemon.config_hash,
        mode=config.mode.value,
        environment=config.environment.value,
        final=final,
        status=status,
        stop_reason=stop_reason,
        started_at=iso_utc(daemon.started_ns),
        completed_at=iso_utc(daemon.clock.now_ns()) if final else None,
        pipeline=Pipeline(name="live", steps=_STEPS),
        pipeline_summary=_summary(daemon),
        notifications=daemon.notifier.results() if daemon.notifier is not None else {"discord": Notification()},
    )


def _summary(daemon: Daemon) -> PipelineSummary:
    turns, failed = daemon.telemetry.turns, daemon.telemetry.failed_turns
    books, account = daemon.books, daemon.account
    bars = sum(desk.decisions.bars for desk in daemon.desks.values())
    if books is None or account is None:
        return PipelineSummary(reconnect_count=daemon.supervisor.reconnects, run_loop_total=turns, run_loop_failures_total=failed)
    ledgers = [books.ledger(symbol) for symbol in books.symbols]
    base = account.state.base_cash
    return PipelineSummary(
        bars=bars,
        decisions=bars,
        orders=books.counts.orders,
        fills=books.counts.fills,
        trades=sum(ledger.closed_trades for ledger in ledgers),
        fees_jpy=to_yen(sum(ledger.fees_uyen for ledger in ledgers)),
        realized_pnl_jpy=to_yen(sum(ledger.realized_uyen for ledger in ledgers)),
        equity_jpy=to_yen(account.equity_uyen) if base is not None else None,
        return_=_share((account.equity_uyen - base) / base) if base else None,
        max_drawdown=_share(account.max_drawdown) if base else None,
        reconnect_count=daemon.supervisor.reconnects,
        run_loop_total=turns,
        run_loop_failures_total=failed,
    )


def _instrument(daemon: Daemon, desk: Desk) -> InstrumentProgress:
    symbol, instrument, books = desk.config.symbol, desk.market.instrument, daemon.books
    decisions = desk.decisions
    return InstrumentProgress(
        symbol=symbol,
        product_type=desk.config.product,
        strategy=desk.config.strategy,
        last_bar_at=iso_utc(decisions.last_bar_ns) if decisions.last_bar_ns else None,
        last_decision=_decision(desk),
        position=instrument.size(books.position(symbol)) if books else Decimal(0),
        protected=desk.protection.cause is None,
        open_orders=len(books.open_intents(symbol)) if books else 0,
        unknown_orders=len(books.unresolved(symbol)) if books else 0,
    )


def _decision(desk: Desk) -> LastDecision | None:
    last, instrument = desk.decisions.last, desk.market.instrument
    if last is None:
        return None
    return LastDecision(
        bar_at=iso_utc(desk.decisions.last_bar_ns),
        action=ACTIONS[last.action],
        confidence=round(last.confidence, 6),
        reason_codes=list(last.reason_names),
        stop_price=instrument.price(last.stop) if last.stop else None,
        take_profit_price=instrument.price(last.take_profit) if last.take_profit else None,
        max_holding_bars=last.max_holding_bars or None,
        target_size=instrument.size(last.target),
    )


def _risk(daemon: Daemon) -> RiskProgress | None:
    guards, account = daemon.guards, daemon.account
    if guards is None or account is None:
        return None
    return RiskProgress(
        status=STATUS_NAMES[guards.status],
        reason_codes=guards.reasons,
        drawdown=_share(account.drawdown),
        daily_loss=max(Decimal(0), -to_yen(account.daily_pnl_uyen)),
        leverage=_share(account.leverage),
        wallet_drift_jpy=to_yen(account.wallet_drift_uyen),
    )


def _share(value: float) -> Decimal:
    return Decimal(f"{value:.6f}")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
