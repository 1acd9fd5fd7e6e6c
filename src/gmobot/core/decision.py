"""What a strategy answers to a bar: buy, sell, close or hold, how sure, why, and where it was wrong.

A decision is a plain tuple inside the compiled core: ``(action, confidence, reasons, stop, take_profit,
max_holding)``. Prices are yen, 0 for none; ``max_holding`` is bars, 0 for no limit.

====================  ===========================  ===============================  ==========================
answer                no position                  long                             short
====================  ===========================  ===============================  ==========================
``buy``               opens a long one             nothing                          closes it and opens a long
``sell`` on leverage  opens a short one            closes it and opens a short one  nothing
``sell`` on spot      nothing                      closes it                        (there is none)
``close``             nothing                      closes it                        closes it
====================  ===========================  ===============================  ==========================

Where something keeps the new side from opening (a filter, a guard, a cool-down that the closing starts), the
position is closed all the same. ``bar.can_short`` tells a strategy where it is.

The engine turns prices into ticks away from the market: a long position's stop is rounded down, its
target up, a short position's stop up, its target down, so that rounding alone never closes anything. A stop not
below the close (short: above it), or a target not above it (short: below), is a mistake, and such an entry is
not made. Confidence is cut to 0 to 1; one that is not a number is 0.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from gmobot.core.compiled import compiled
from gmobot.core.reasons import NO_SETUP

Decision: TypeAlias = tuple[int, float, int, float, float, int]

BUY: Final = 1
SELL: Final = -1
HOLD: Final = 0
CLOSE: Final = 2
"""Never reported: the engine makes it the sell or buy that closes what is open, or a hold."""


@compiled
def buy(confidence: float, reason: int, stop: float = 0.0, take_profit: float = 0.0, max_holding: int = 0) -> Decision:
    """Open a long position, protected at ``stop`` below the price, unless one is open already."""
    return (1, float(confidence), int(reason), float(stop), float(take_profit), int(max_holding))


@compiled
def sell(confidence: float, reason: int, stop: float = 0.0, take_profit: float = 0.0, max_holding: int = 0) -> Decision:
    """On leverage open a short position, protected at ``stop`` above the price, unless one is open already; on spot close the long one."""
    return (-1, float(confidence), int(reason), float(stop), float(take_profit), int(max_holding))


@compiled
def close(confidence: float, reason: int) -> Decision:
    """Close the position, whichever side it is on, and open nothing."""
    return (2, float(confidence), int(reason), 0.0, 0.0, 0)


@compiled
def hold(reason: int = NO_SETUP) -> Decision:
    """Change nothing."""
    return (0, 0.0, int(reason), 0.0, 0.0, 0)
