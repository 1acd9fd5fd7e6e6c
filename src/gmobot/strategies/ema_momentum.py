"""The default strategy: follow the trend while it is neither overheated nor too wild.

Two exponential means give the trend, their gap its strength, the fast one's slope its freshness. A high
RSI (falling: a low one) says the move is late, and confidence falls with the gap measured in true ranges, so
that the same gap counts less in a wild market. Stop and target are true ranges away. It goes short where the
symbol allows it, and never from long to short at once: the other side must earn its own confidence first.
"""

from __future__ import annotations

from gmobot.core.decision import Decision, buy, close, hold, sell
from gmobot.core.indicators import Atr, Ema, Rsi, atr, ema, rsi
from gmobot.core.reasons import EMA_MOMENTUM_LONG, EMA_MOMENTUM_SHORT, NO_SETUP, RSI_OVERBOUGHT, RSI_OVERSOLD
from gmobot.core.records import Record
from gmobot.strategies.declaration import Strategy, param


class EmaMomentum(Strategy):
    """Long while the fast mean is above the slow one and still rising; on leverage short while it is below and still falling."""

    class Params:
        """Periods are bars; stops and targets are multiples of the average true range."""

        fast: int = param(12, low=2, high=200)
        slow: int = param(26, low=3, high=400)
        rsi_period: int = param(14, low=2, high=200)
        rsi_overbought: float = param(75.0, low=50.0, high=100.0)
        rsi_oversold: float = param(25.0, low=0.0, high=50.0)
        atr_period: int = param(14, low=2, high=200)
        stop_atr: float = param(3.0, low=0.1, high=50.0)
        take_profit_atr: float = param(6.0, low=0.1, high=100.0)
        full_gap_atr: float = param(1.0, low=0.01, high=50.0)
        max_holding: int = param(0, low=0, high=1_000_000)

    class State:
        """Two means, the overheating gauge, the range, and the fast mean of the bar before."""

        fast: Ema
        slow: Ema
        heat: Rsi
        range: Atr
        last_fast: float

    @staticmethod
    def warmup(params: Record) -> int:
        """Return the bars after which every indicator has left its seed behind."""
        return int(max(params.slow, params.rsi_period + 1, params.atr_period + 1))

    @staticmethod
    def decide(state: Record, bar: Record, params: Record, position: float) -> Decision:
        """Enter on a growing gap that is not overheated; leave when the means cross back."""
        fast = ema(state.fast, bar.close, params.fast)
        slow = ema(state.slow, bar.close, params.slow)
        heat = rsi(state.heat, bar.close, params.rsi_period)
        wide = atr(state.range, bar.high, bar.low, bar.close, params.atr_period)
        slope = fast - state.last_fast
        state.last_fast = fast
        gap = fast - slow
        if position > 0.0:
            return close(1.0, EMA_MOMENTUM_SHORT) if gap < 0.0 else hold(EMA_MOMENTUM_LONG)
        if position < 0.0:
            return close(1.0, EMA_MOMENTUM_LONG) if gap > 0.0 else hold(EMA_MOMENTUM_SHORT)
        if wide <= 0.0:
            return hold(NO_SETUP)
        stop_distance, target_distance = wide * params.stop_atr, wide * params.take_profit_atr
        if gap > 0.0 and slope > 0.0:
            if heat > params.rsi_overbought:
                return hold(RSI_OVERBOUGHT)
            confidence = min(1.0, gap / (wide * params.full_gap_atr))
            stop, target = bar.close - stop_distance, bar.close + target_distance
            return buy(confidence, EMA_MOMENTUM_LONG, stop=stop, take_profit=target, max_holding=params.max_holding)
        if gap < 0.0 and slope < 0.0 and bar.can_short:
            if heat < params.rsi_oversold:
                return hold(RSI_OVERSOLD)
            confidence = min(1.0, -gap / (wide * params.full_gap_atr))
            stop, target = bar.close + stop_distance, bar.close - target_distance
            return sell(confidence, EMA_MOMENTUM_SHORT, stop=stop, take_profit=target, max_holding=params.max_holding)
        return hold(NO_SETUP)
