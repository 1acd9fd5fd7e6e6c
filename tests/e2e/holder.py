"""A strategy that buys once and holds, under a stop far away."""

HOLDER = """
from gmobot.core.decision import buy, hold
from gmobot.core.reasons import BUY_AND_HOLD
from gmobot.strategies.declaration import Strategy


class Holder(Strategy):
    @staticmethod
    def decide(state, bar, params, position):
        if position > 0.0:
            return hold(BUY_AND_HOLD)
        return buy(1.0, BUY_AND_HOLD, stop=bar.close * 0.9)
"""
