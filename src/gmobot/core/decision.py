"""What a strategy answers to a bar: buy, sell or hold, how sure, why, and where it was wrong.

A decision is a plain tuple inside the compiled core: ``(action, confidence, reasons, stop, take_profit,
max_holding)``. Prices are yen, 0 for none; ``max_holding`` is bars, 0 for no limit.

The engine turns prices into ticks away from the market: a long position's stop is rounded down, its
target up, so that rounding alone never closes anything. A stop not below the close, or a target not
above it, is a mistake, and such an entry is not made. Confidence is cut to 0 to 1; one that is not a
number is 0.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from gmobot.core.compiled import compiled
from gmobot.core.reasons import NO_SETUP

Decision: TypeAlias = tuple[int, float, int, float, float, int]

BUY: Final = 1
SELL: Final = -1
HOLD: Final = 0


@compiled
def buy(confidence: float, reason: int, stop: float = 0.0, take_profit: float = 0.0, max_holding: int = 0) -> Decision:
    """Open a long position, protected at ``stop``, unless one is open already."""
    return (1, float(confidence), int(reason), float(stop), float(take_profit), int(max_holding))


@compiled
def sell(confidence: float, reason: int, stop: float = 0.0, take_profit: float = 0.0, max_holding: int = 0) -> Decision:
    """Close the long position."""
    return (-1, float(confidence), int(reason), float(stop), float(take_profit), int(max_holding))


@compiled
def hold(reason: int = NO_SETUP) -> Decision:
    """Change nothing."""
    return (0, 0.0, int(reason), 0.0, 0.0, 0)
