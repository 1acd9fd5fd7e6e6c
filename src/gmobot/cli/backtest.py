"""``gmobot backtest``: one backtest from a configuration; a table, and ``run_complete.json``."""

from __future__ import annotations

import uuid
from decimal import Decimal
from pathlib import Path

import msgspec
import typer

from gmobot import __version__
from gmobot.backtest.run import Backtest, rows, run_backtest, sparkline
from gmobot.cli.rules import recorded_instrument
from gmobot.clock import SystemClock, iso_utc
from gmobot.config import Config, InstrumentConfig, load
from gmobot.core.instrument import Instrument, InstrumentError
from gmobot.errors import ConfigError
from gmobot.history.bars import BarData, read_bars
from gmobot.history.synthetic import synthetic_bars
from gmobot.live.desk import engine_settings
from gmobot.ops import artifacts
from gmobot.ops.artifacts import Pipeline, PipelineSummary, RunComplete
from gmobot.strategies.loader import load as load_strategy


def run_backtest_command(path: Path, data: Path | None, *, jit: bool, as_json: bool) -> None:
    """Run one backtest and report it.

    Raises:
        UserError: The configuration, the strategy or the data is wrong.
    """
    config, started = load(path).config, SystemClock().now_ns()
    wanted = _only(config)
    instrument = recorded_instrument(wanted.symbol, config.venue.fee_rounding)
    bars = _bars(config, wanted, instrument, data)
    program = load_strategy(wanted.strategy, wanted.params, jit=jit)
    try:
        settings = engine_settings(wanted, config, instrument, program)
        test = run_backtest(program, settings, bars.bars, initial_jpy=config.backtest.initial_jpy, slippage_ticks=wanted.slippage_ticks)
    except InstrumentError as error:
        raise ConfigError(f"{path}: {error}") from None
    complete = _complete(config, test, started)
    artifacts.write(config.paths.artifacts, complete)
    if as_json:
        typer.echo(msgspec.json.encode(complete).decode())
        return
    _print(wanted, test, bars, data or config.backtest.data)
    typer.echo(f"\n{config.paths.artifacts / artifacts.COMPLETE}")


def _only(config: Config) -> InstrumentConfig:
    if len(config.instruments) > 1:
        symbols = ", ".join(instrument.symbol for instrument in config.instruments)
        raise ConfigError(f"instruments: a backtest runs one symbol, found {symbols}; give it a configuration with one")
    return config.instruments[0]


def _bars(config: Config, wanted: InstrumentConfig, instrument: Instrument, data: Path | None) -> BarData:
    source = data or config.backtest.data
    if source is None:
        made = synthetic_bars(instrument, count=config.backtest.synthetic_bars, bar_seconds=wanted.bar_seconds, seed=config.backtest.seed)
        return BarData(made, 0, 0, 0)
    return read_bars(source, instrument, price_scale=config.backtest.price_scale, bar_seconds=wanted.bar_seconds)


def _print(wanted: InstrumentConfig, test: Backtest, bars: BarData, source: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{wanted.symbol}  {test.program.name}", title_justify="left")
    table.add_column("")
    table.add_column("", justify="right")
    for label, value in rows(test):
        table.add_row(label, value)
    console = Console()
    console.print(table)
    console.print(sparkline(list(test.simulation.equity[:: max(1, len(test.simulation.equity) // 60)])))
    if source is None:
        console.print("synthetic market (no data file was given): these figures say nothing about the real one")
    if bars.rounded_prices or bars.rounded_volumes:
        console.print(f"put on the grid: prices of {bars.rounded_prices:,} bars, volumes of {bars.rounded_volumes:,}")
    if bars.gaps:
        console.print(f"gaps of ten minutes and more: {bars.gaps:,}")


def _complete(config: Config, test: Backtest, started_ns: int) -> RunComplete:
    m, now = test.metrics, SystemClock().now_ns()
    return RunComplete(
        run_id=f"{started_ns // 10**9}-{uuid.uuid4().hex[:8]}",
        version=__version__,
        config_hash=config.hash(),
        mode="backtest",
        environment=config.environment.value,
        final=True,
        status="completed",
        stop_reason="completed",
        started_at=iso_utc(started_ns),
        completed_at=iso_utc(now),
        pipeline=Pipeline(name="backtest", steps=["read", "simulate", "measure"]),
        pipeline_summary=PipelineSummary(
            bars=len(test.simulation.bars),
            decisions=len(test.simulation.bars),
            orders=len(test.simulation.fills),
            fills=len(test.simulation.fills),
            trades=m.trades,
            fees_jpy=_yen(m.fees_jpy),
            realized_pnl_jpy=_yen(m.realized_pnl_jpy),
            equity_jpy=test.final_equity_jpy,
            return_=_share(m.total_return),
            max_drawdown=_share(m.max_drawdown),
            win_rate=_share(m.win_rate),
            profit_factor=_share(m.profit_factor),
            sharpe=_share(m.sharpe),
        ),
    )


def _yen(value: float) -> Decimal:
    return Decimal(f"{value:.6f}")


def _share(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(f"{value:.6f}")
