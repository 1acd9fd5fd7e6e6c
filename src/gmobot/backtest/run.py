"""One backtest from plain arguments: simulate, measure, and the summary the artifact carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from numpy.typing import NDArray

from gmobot.backtest.metrics import Metrics, measure, trade_results
from gmobot.backtest.simulate import Simulation, simulate
from gmobot.core.instrument import Instrument, Product, to_uyen, to_yen
from gmobot.core.settings import Settings
from gmobot.strategies.program import Program

_BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Backtest:
    """A finished backtest of one symbol."""

    program: Program
    instrument: Instrument
    simulation: Simulation
    metrics: Metrics

    @property
    def final_equity_jpy(self) -> Decimal:
        """Account worth at the last close."""
        equity = self.simulation.equity
        return to_yen(int(equity[-1]) if len(equity) else self.simulation.initial_uyen)


def run_backtest(program: Program, settings: Settings, bars: NDArray[Any], *, initial_jpy: Decimal, slippage_ticks: int = 0) -> Backtest:
    """Run a program over bars and measure it."""
    instrument = settings.instrument
    run = simulate(program, settings, bars, initial_uyen=to_uyen(initial_jpy), slippage_ticks=slippage_ticks)
    return Backtest(program, instrument, run, measure(run, instrument.unit_uyen, trade_results(run)))


def rows(test: Backtest) -> list[tuple[str, str]]:
    """Return label and value of every line a person reads."""
    m = test.metrics
    leverage = [("of them leverage fees", f"{m.leverage_fees_jpy:,.0f} JPY"), ("losscuts", f"{m.losscuts:,}")]
    return [
        ("bars", f"{len(test.simulation.bars):,}"),
        ("final equity", f"{test.final_equity_jpy:,} JPY"),
        ("return", _percent(m.total_return)),
        ("CAGR", _percent(m.cagr)),
        ("volatility", _percent(m.volatility)),
        ("Sharpe", _number(m.sharpe)),
        ("Sortino", _number(m.sortino)),
        ("Calmar", _number(m.calmar)),
        ("max drawdown", _percent(m.max_drawdown)),
        ("longest drawdown", f"{m.max_drawdown_seconds / 86_400:.1f} days"),
        ("trades", f"{m.trades:,}"),
        ("win rate", _percent(m.win_rate)),
        ("profit factor", _number(m.profit_factor)),
        ("expectancy", f"{m.expectancy_jpy:,.2f} JPY" if m.expectancy_jpy is not None else "–"),
        ("exposure", _percent(m.exposure)),
        ("turnover", f"{m.turnover:,.2f} x"),
        ("fees", f"{m.fees_jpy:,.0f} JPY"),
        *(leverage if test.instrument.product is Product.LEVERAGE else []),
        ("halted by a guard", "yes" if test.simulation.halted else "no"),
    ]


def sparkline(values: Sequence[int], width: int = 60) -> str:
    """Return a curve as a line of blocks."""
    if not len(values):
        return ""
    step = max(1, len(values) // width)
    chosen = [int(value) for value in values[::step]]
    low, high = min(chosen), max(chosen)
    span = max(1, high - low)
    return "".join(_BLOCKS[(value - low) * (len(_BLOCKS) - 1) // span] for value in chosen)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f} %"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
