"""The yardstick: buy once, keep. What any other strategy has to beat after fees."""

from __future__ import annotations

from gmobot.core.decision import buy, hold
from gmobot.core.reasons import BUY_AND_HOLD
from gmobot.strategies.declaration import Strategy

# mypy: disable-error-code="no-untyped-def"
# ruff: noqa: ANN001, ANN205


class BuyAndHold(Strategy):
    """Buy at the first chance and never sell. It asks for no stop."""

    @staticmethod
    def decide(state, bar, params, position):  # noqa: ARG004  # the shape every strategy has
        """Ask for a position whenever there is none."""
        if position > 0.0:
            return hold(BUY_AND_HOLD)
        return buy(1.0, BUY_AND_HOLD)
