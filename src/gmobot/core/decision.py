"""What a strategy answers to a bar: buy, sell or hold, how sure, why, and where it was wrong.

A decision is a plain tuple inside the compiled core: ``(action, confidence, reasons, stop, take_profit,
max_holding)``. Prices are yen, 0 for none; ``max_holding`` is bars, 0 for no limit.
"""

from __future__ import annotations

from typing import Final

from gmobot.core.compiled import compiled
from gmobot.core.reasons import NO_SETUP

# mypy: disable-error-code="no-untyped-def"
# ruff: noqa: ANN001, ANN201

BUY: Final = 1
SELL: Final = -1
HOLD: Final = 0


@compiled
def buy(confidence, reason, stop=0.0, take_profit=0.0, max_holding=0):
    """Open a long position, protected at ``stop``, unless one is open already."""
    return (1, float(confidence), reason, float(stop), float(take_profit), max_holding)


@compiled
def sell(confidence, reason, stop=0.0, take_profit=0.0, max_holding=0):
    """Close the long position."""
    return (-1, float(confidence), reason, float(stop), float(take_profit), max_holding)


@compiled
def hold(reason=NO_SETUP):
    """Change nothing."""
    return (0, 0.0, reason, 0.0, 0.0, 0)
