"""The yardstick: buy once, keep. What any other strategy has to beat after fees."""

from __future__ import annotations

from gmobot.core.decision import Decision, buy, hold
from gmobot.core.reasons import BUY_AND_HOLD
from gmobot.core.records import Record
from gmobot.strategies.declaration import Strategy


class BuyAndHold(Strategy):
    """Buy at the first chance and never sell. It asks for no stop."""

    @staticmethod
    def decide(state: Record, bar: Record, params: Record, position: float) -> Decision:  # noqa: ARG004  # the shape every strategy has
        """Ask for a position whenever there is none."""
        if position > 0.0:
            return hold(BUY_AND_HOLD)
        return buy(1.0, BUY_AND_HOLD)
