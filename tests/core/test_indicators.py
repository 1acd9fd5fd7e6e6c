from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import talib
from numba import njit
from numpy.typing import NDArray

from gmobot.core.compiled import plain_call
from gmobot.core.indicators import (
    Atr,
    Deviation,
    Ema,
    RollingMax,
    RollingMin,
    Rsi,
    Sma,
    atr,
    deviation,
    ema,
    rolling_max,
    rolling_min,
    rsi,
    sma,
)

PERIOD = 20
STATE = np.dtype(
    [
        ("ema", Ema.dtype),
        ("rsi", Rsi.dtype),
        ("atr", Atr.dtype),
        ("sma", Sma.of(64).dtype),
        ("deviation", Deviation.of(64).dtype),
        ("max", RollingMax.of(64).dtype),
        ("min", RollingMin.of(64).dtype),
    ],
    align=True,
)
EMA, RSI, ATR, SMA, DEVIATION, MAX, MIN = range(7)


@njit(nogil=True)
def run(states: Any, high: Any, low: Any, close: Any, period: int, out: Any) -> None:
    state = states[0]
    for i in range(len(close)):
        out[i, 0] = ema(state.ema, close[i], period)
        out[i, 1] = rsi(state.rsi, close[i], period)
        out[i, 2] = atr(state.atr, high[i], low[i], close[i], period)
        out[i, 3] = sma(state.sma, close[i], period)
        out[i, 4] = deviation(state.deviation, close[i], period)
        out[i, 5] = rolling_max(state.max, high[i], period)
        out[i, 6] = rolling_min(state.min, low[i], period)


def values(high: Any, low: Any, close: Any, period: int = PERIOD, *, jit: bool = True) -> NDArray[np.float64]:
    out = np.zeros((len(close), 7))
    (run if jit else plain_call(run))(np.zeros(1, STATE), high, low, close, period, out)
    return out


@pytest.fixture(scope="module")
def market(market_data: Path) -> tuple[NDArray[np.float64], ...]:
    table = pl.read_parquet(market_data / "ohlcv_1m" / "binance_BTCUSDT_1m_20240726_20240825.parquet")
    return tuple(table[name].to_numpy() for name in ("high", "low", "close"))


@pytest.mark.parametrize("period", [2, 14, 64])
def test_every_indicator_agrees_with_talib_on_a_month_of_real_bars(market: Any, period: int) -> None:
    high, low, close = market
    ours = values(high, low, close, period)
    theirs = {
        EMA: talib.EMA(close, period),
        RSI: talib.RSI(close, period),
        ATR: talib.ATR(high, low, close, period),
        SMA: talib.SMA(close, period),
        MAX: talib.MAX(high, period),
        MIN: talib.MIN(low, period),
    }
    for column, expected in theirs.items():
        warm = ~np.isnan(expected)
        assert warm.sum() >= len(close) - period - 1
        np.testing.assert_allclose(ours[warm, column], expected[warm], rtol=1e-9, err_msg=str(column))


def test_the_deviation_is_that_of_a_fresh_computation_over_each_window(market: Any) -> None:
    # TA-Lib subtracts squares of prices and keeps some six digits; NumPy's two passes are the better judge.
    high, low, close = market
    ours = values(high, low, close)[PERIOD - 1 :, DEVIATION]
    fresh = np.lib.stride_tricks.sliding_window_view(close, PERIOD).std(axis=1)
    np.testing.assert_allclose(ours, fresh, rtol=1e-9)
    theirs = talib.STDDEV(close, PERIOD)[PERIOD - 1 :]
    np.testing.assert_allclose(ours[fresh > 1.0], theirs[fresh > 1.0], rtol=1e-5)


def test_compiled_and_uncompiled_agree_bit_for_bit(market: Any) -> None:
    high, low, close = (column[:5_000] for column in market)
    assert values(high, low, close).tobytes() == values(high, low, close, jit=False).tobytes()


def test_before_the_warm_up_each_gives_its_best_estimate_of_what_it_saw() -> None:
    close = np.array([10.0, 12.0, 11.0, 15.0])
    out = values(close + 1.0, close - 1.0, close, 3)
    assert out[:3, EMA].tolist() == [10.0, 11.0, 11.0]
    assert out[:3, SMA].tolist() == [10.0, 11.0, 11.0]
    assert out[0, RSI] == 50.0
    assert out[0, ATR] == 0.0
    assert out[:, MAX].tolist() == [11.0, 13.0, 13.0, 16.0]
    assert out[:, MIN].tolist() == [9.0, 9.0, 9.0, 10.0]


@pytest.mark.parametrize("period", [1, 2, 63, 64])
def test_rolling_extremes_are_right_up_to_the_whole_declared_window(period: int) -> None:
    rng = np.random.default_rng(7)
    falling = np.arange(300.0, 0.0, -1.0)
    noisy = rng.integers(0, 9, 2_000).astype(float)
    for series in (falling, falling[::-1].copy(), noisy):
        out = values(series, series, series, period)
        for i in range(len(series)):
            window = series[max(0, i - period + 1) : i + 1]
            assert (out[i, MAX], out[i, MIN]) == (window.max(), window.min())


def test_a_spike_leaves_no_rounding_error_behind() -> None:
    quiet = np.full(500, 10_000_000.0)
    quiet[100] = 1e15
    out = values(quiet, quiet, quiet)
    assert out[200:, DEVIATION].tolist() == [0.0] * 300
    assert out[200:, SMA].tolist() == [10_000_000.0] * 300


@pytest.mark.parametrize("period", [0, -1, 65])
@pytest.mark.parametrize("jit", [True, False])
def test_a_period_that_does_not_fit_its_window_is_refused_and_writes_nowhere(period: int, *, jit: bool) -> None:
    @njit
    def one(states: Any, period: int) -> float:
        return sma(states[0].sma, 1.0, period)

    states = np.zeros(1, STATE)
    with pytest.raises(ValueError, match="longer than the window"):
        (one if jit else plain_call(one))(states, period)
    assert states.tobytes() == np.zeros(1, STATE).tobytes()


def test_a_window_has_a_sane_length() -> None:
    with pytest.raises(ValueError, match="1 to 100000"):
        Sma.of(0)
