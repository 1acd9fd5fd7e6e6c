"""The plan of the open position, and when it ends.

The core's position is what the ledger says, nothing else. A plan made at one bar either has become a
position by the next, or is dropped once nothing of it can fill any more; what filled only in part is not chased; and a trade that closed,
however it closed, ends its plan and starts the cool-down.
"""

from __future__ import annotations

from gmobot.core.compiled import compiled

# mypy: disable-error-code="no-untyped-def"
# ruff: noqa: ANN001, ANN201


@compiled
def settle(engine, account, settings):
    """Bring the plan in line with the position. Returns whether a trade closed since the last bar."""
    closed = account.closed_trades > engine.closed_trades
    engine.closed_trades = account.closed_trades
    if closed:
        engine.cooldown = settings.cooldown_bars
    elif engine.cooldown > 0:
        engine.cooldown -= 1
    if account.pending != 0:
        # An entry may still fill, perhaps after a lost reply: its stop must be known when it does.
        return closed
    if account.position == 0:
        clear(engine)
    else:
        engine.held_bars = 1 if closed else engine.held_bars + 1
        engine.target = account.position
    return closed


@compiled
def clear(engine):
    """Forget the plan."""
    engine.target = 0
    engine.stop = 0
    engine.take_profit = 0
    engine.max_holding_bars = 0
    engine.held_bars = 0


@compiled
def held_too_long(engine):
    """Return whether the position has reached its holding limit."""
    return engine.max_holding_bars > 0 and engine.held_bars >= engine.max_holding_bars
