"""A strategy that is never at rest: it follows the fast mean, turns from long to short at once, and always has a stop."""

from __future__ import annotations

from gmobot.core.decision import Decision, buy, hold, sell
from gmobot.core.indicators import Atr, Ema, atr, ema
from gmobot.core.reasons import BREAKOUT_LONG, BREAKOUT_SHORT, NO_SETUP
from gmobot.core.records import Record
from gmobot.strategies.declaration import Strategy, param


class Swing(Strategy):
    """Long above the mean, short (on spot: out) below it."""

    class Params:
        """Bars, and multiples of the range."""

        period: int = param(4, low=2, high=50)
        stop_atr: float = param(1.2, low=0.1, high=10.0)

    class State:
        """A mean and a range."""

        mean: Ema
        range: Atr

    @staticmethod
    def warmup(params: Record) -> int:
        """Return the bars after which the mean has left its seed behind."""
        return int(params.period)

    @staticmethod
    def decide(state: Record, bar: Record, params: Record, position: float) -> Decision:
        """Turn with the mean."""
        mean = ema(state.mean, bar.close, params.period)
        wide = atr(state.range, bar.high, bar.low, bar.close, params.period)
        if wide <= 0.0:
            return hold(NO_SETUP)
        distance = wide * params.stop_atr
        if bar.close > mean:
            return buy(1.0, BREAKOUT_LONG, stop=bar.close - distance, take_profit=bar.close + 2.0 * distance)
        if bar.close < mean:
            return sell(1.0, BREAKOUT_SHORT, stop=bar.close + distance, take_profit=bar.close - 2.0 * distance)
        return hold(NO_SETUP)
