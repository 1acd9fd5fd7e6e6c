"""Key figures against tables worked out by hand; what cannot be told is None."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from gmobot.backtest.metrics import daily_returns, drawdown, measure, trade_results
from gmobot.backtest.simulate import FILL, Simulation
from gmobot.core.ledger import LEDGER
from gmobot.core.records import BAR

DAY = 86_400 * 10**9


def simulation(
    equity: list[int], *, step_ns: int = DAY, initial: int = 1_000, fills: Sequence[tuple[int, ...]] | None = None
) -> Simulation:
    data = np.zeros(len(equity), BAR)
    data["open_time"] = np.arange(len(equity)) * step_ns
    rows = np.array(fills or [], FILL)
    return Simulation(data, np.array(equity), rows, np.zeros(1, LEDGER), initial, len(equity) // 2, 0, 0, False, np.zeros(1))


def none() -> np.ndarray:
    return np.zeros(0, np.int64)


def test_return_and_cagr() -> None:
    run = simulation([1_000] * 365 + [1_210], initial=1_000)
    figures = measure(run, 1, none())
    assert figures.total_return == pytest.approx(0.21)
    assert figures.cagr == pytest.approx(0.21)


def test_drawdown_and_its_length() -> None:
    times = np.arange(6) * DAY
    depth, seconds = drawdown(times, np.array([100.0, 120.0, 90.0, 60.0, 119.0, 130.0]), 100.0)
    assert depth == pytest.approx(0.5)
    assert seconds == 4 * 86_400


def test_drawdown_counts_a_loss_from_the_start() -> None:
    assert drawdown(np.arange(2) * DAY, np.array([90.0, 80.0]), 100.0)[0] == pytest.approx(0.2)


def test_daily_returns_are_of_whole_days() -> None:
    times = np.arange(6) * (DAY // 2)
    returns = daily_returns(times, np.array([100.0, 110.0, 105.0, 121.0, 121.0, 133.1]), 100.0)
    assert returns == pytest.approx([0.1, 0.1, 0.1])


def test_sharpe_and_sortino() -> None:
    run = simulation([1_100, 1_045, 1_149], initial=1_000)
    daily = np.array([0.1, -0.05, 1_149 / 1_045 - 1])
    figures = measure(run, 1, none())
    assert figures.sharpe == pytest.approx(daily.mean() / daily.std() * math.sqrt(365))
    assert figures.sortino == pytest.approx(daily.mean() / math.sqrt((0.05**2) / 3) * math.sqrt(365))


def test_what_cannot_be_told_is_none() -> None:
    figures = measure(simulation([1_000, 1_000], step_ns=60 * 10**9), 1, none())
    assert (figures.cagr, figures.sharpe, figures.sortino, figures.calmar) == (None, None, None, None)
    assert (figures.win_rate, figures.profit_factor, figures.expectancy_jpy) == (None, None, None)


def test_trades_win_rate_profit_factor_expectancy() -> None:
    results = np.array([3_000_000, -1_000_000, 2_000_000], np.int64)
    figures = measure(simulation([1_000, 1_000]), 1, results)
    assert figures.trades == 3
    assert figures.win_rate == pytest.approx(2 / 3)
    assert figures.profit_factor == pytest.approx(5.0)
    assert figures.expectancy_jpy == pytest.approx(4 / 3)


def test_only_gains_have_no_profit_factor() -> None:
    assert measure(simulation([1_000, 1_000]), 1, np.array([5], np.int64)).profit_factor is None


def test_trade_results_are_cash_between_flats() -> None:
    # A long at a loss of 102 that paid 5 for a night, a flip within one bar, a short that gains.
    fills = [(1, 1, 100, 10, 0, -1_001), (2, 3, 90, -10, 1, -107), (2, 1, 90, -10, 1, 792), (4, 2, 80, 10, 2, -9)]
    run = simulation([1_000] * 5, fills=fills)
    assert trade_results(run).tolist() == [-107, 98]
    assert measure(run, 1, none()).turnover == pytest.approx((1_000 + 900 + 900 + 800) / 1_000)


def test_without_a_closed_trade_there_are_no_results() -> None:
    assert trade_results(simulation([1_000], fills=[(0, 1, 100, 10, 0, -1_001)])).tolist() == []
    assert trade_results(simulation([1_000])).tolist() == []
