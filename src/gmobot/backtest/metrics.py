"""A run in numbers. What cannot be told from the data is ``None``: never zero, never infinite.

Annual figures use 365 days, since the market never closes. Ratios are of daily returns (days of 06:00
JST are not used here: a day is 24 hours of bars from the first one), with a risk-free rate of zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gmobot.backtest.simulate import Simulation

_DAY_NS = 86_400_000_000_000
_YEAR_DAYS = 365.0
_FEWEST_DAYS = 2


@dataclass(frozen=True, slots=True)
class Metrics:
    """Key figures of a run.

    Attributes:
        total_return: Final over initial equity, minus one.
        cagr: The same per year; needs a day at least.
        volatility: Standard deviation of daily returns, per year.
        sharpe: Mean over standard deviation of daily returns, per year.
        sortino: Mean over root mean square of the negative ones, per year.
        calmar: CAGR over the largest drawdown.
        max_drawdown: Largest share of a peak that was lost.
        max_drawdown_seconds: Longest time from a peak until it was reached again, or the end.
        win_rate: Share of closed trades with a gain after fees.
        profit_factor: Gains over losses.
        expectancy_jpy: Mean result of a closed trade.
        exposure: Share of bars with a position.
        turnover: Traded worth over initial equity.
        trades: Closed trades.
        fees_jpy: Paid, rebates subtracted, leverage and losscut fees among them.
        leverage_fees_jpy: For holding over the day's turn.
        losscuts: Positions that the exchange cut.
        realized_pnl_jpy: Of closed lots, before fees.
    """

    total_return: float
    cagr: float | None
    volatility: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    max_drawdown: float
    max_drawdown_seconds: float
    win_rate: float | None
    profit_factor: float | None
    expectancy_jpy: float | None
    exposure: float | None
    turnover: float
    trades: int
    fees_jpy: float
    leverage_fees_jpy: float
    losscuts: int
    realized_pnl_jpy: float


def measure(run: Simulation, unit_uyen: int, trade_pnl_uyen: NDArray[np.int64]) -> Metrics:
    """Return the key figures of a run.

    Args:
        run: What the simulator left.
        unit_uyen: Worth of one lot at one tick.
        trade_pnl_uyen: Result of each closed trade, from :func:`trade_results`.
    """
    equity = run.equity.astype(np.float64)
    start = float(run.initial_uyen)
    final = float(equity[-1]) if len(equity) else start
    years = (int(run.bars["open_time"][-1]) - int(run.bars["open_time"][0])) / _DAY_NS / _YEAR_DAYS if len(equity) > 1 else 0.0
    cagr = (final / start) ** (1 / years) - 1 if years * _YEAR_DAYS >= 1 and final > 0 else None
    daily = daily_returns(run.bars["open_time"], equity, start)
    drop, longest = drawdown(run.bars["open_time"], equity, start)
    gains, losses = trade_pnl_uyen[trade_pnl_uyen > 0].sum(), -trade_pnl_uyen[trade_pnl_uyen < 0].sum()
    traded = float(np.abs(run.fills["lots"].astype(np.float64) * run.fills["ticks"] * unit_uyen).sum())
    return Metrics(
        total_return=final / start - 1,
        cagr=cagr,
        volatility=float(daily.std()) * math.sqrt(_YEAR_DAYS) if len(daily) >= _FEWEST_DAYS else None,
        sharpe=_ratio(daily, float(daily.std()) if len(daily) else 0.0),
        sortino=_ratio(daily, math.sqrt(float((np.minimum(daily, 0.0) ** 2).mean())) if len(daily) else 0.0),
        calmar=cagr / drop if cagr is not None and drop > 0 else None,
        max_drawdown=drop,
        max_drawdown_seconds=longest,
        win_rate=float((trade_pnl_uyen > 0).mean()) if len(trade_pnl_uyen) else None,
        profit_factor=float(gains / losses) if losses > 0 else None,
        expectancy_jpy=float(trade_pnl_uyen.mean()) / 1e6 if len(trade_pnl_uyen) else None,
        exposure=run.exposed_bars / len(equity) if len(equity) else None,
        turnover=traded / start,
        trades=len(trade_pnl_uyen),
        fees_jpy=int(run.ledger["fees_uyen"][0]) / 1e6,
        leverage_fees_jpy=int(run.ledger["leverage_fees_uyen"][0]) / 1e6,
        losscuts=run.losscuts,
        realized_pnl_jpy=int(run.ledger["realized_uyen"][0]) / 1e6,
    )


def daily_returns(times: NDArray[np.int64], equity: NDArray[np.float64], start: float) -> NDArray[np.float64]:
    """Return the returns of whole 24-hour days since the first bar."""
    if len(equity) == 0:
        return np.zeros(0)
    days = (times - times[0]) // _DAY_NS
    last_of_day = np.flatnonzero(np.diff(days) > 0)
    closes = np.concatenate(([start], equity[last_of_day], equity[-1:]))
    if len(closes) <= _FEWEST_DAYS:
        return np.zeros(0)
    return np.diff(closes) / closes[:-1]


def drawdown(times: NDArray[np.int64], equity: NDArray[np.float64], start: float) -> tuple[float, float]:
    """Return the largest share of a peak that was lost, and the longest time below a peak in seconds."""
    if len(equity) == 0:
        return 0.0, 0.0
    peaks = np.maximum.accumulate(np.concatenate(([start], equity)))[1:]
    largest = float(((peaks - equity) / peaks).max())
    at_peak = np.flatnonzero(equity >= peaks)
    marks = np.concatenate((times[:1], times[at_peak], times[-1:]))
    return max(0.0, largest), float(np.diff(marks).max()) / 1e9


def trade_results(run: Simulation) -> NDArray[np.int64]:
    """Return the result of each closed trade after all its fees, in micro-yen: what cash did between two times without a position."""
    cash: NDArray[np.int64] = run.fills["cash_uyen"][np.diff(run.fills["trade"], prepend=0) > 0]
    return np.diff(cash, prepend=0)


def _ratio(returns: NDArray[np.float64], spread: float) -> float | None:
    if len(returns) < _FEWEST_DAYS or spread <= 0.0:
        return None
    return float(returns.mean()) / spread * math.sqrt(_YEAR_DAYS)
