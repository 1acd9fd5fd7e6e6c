"""The plan of the open position, and when it ends.

The core's position is what the ledger says, nothing else. A plan made at one bar has become a position by
the next, or is dropped once nothing of it can fill any more; what filled only in part is not chased. A
trade that ended, however it ended, ends its plan and starts the cool-down, whose first bar is the one that
sees the end. An exit, once decided, stays decided until the position is gone: one that the exchange could
not carry out within a bar must not be forgotten because the strategy says it only once. Not so on bars that
come late, after a gap or a restart: a strategy that warms up again speaks of times before the position.
"""

from __future__ import annotations

from gmobot.core.compiled import compiled
from gmobot.core.records import Record

# Fields of records are numbers that mypy cannot see.
# mypy: disable-error-code="no-any-return"


@compiled
def settle(engine: Record, account: Record, settings: Record) -> bool:
    """Bring the plan in line with the position. Returns whether ``last_trade_pnl_uyen`` is news."""
    # A new core meets an account with a past: trades that closed before it are not its trades.
    closed = engine.bars > 1 and account.closed_trades > engine.closed_trades
    engine.closed_trades = account.closed_trades
    if closed or (engine.held_bars > 0 and account.position == 0):
        engine.cooldown = settings.cooldown_bars
        engine.held_bars = 0
    elif engine.cooldown > 0:
        engine.cooldown -= 1
    if account.position != 0:
        engine.held_bars += 1
    if account.pending != 0:
        # An entry may still fill, perhaps after a lost reply: its stop must be known when it does.
        return closed
    if account.position == 0:
        clear(engine)
    elif engine.leaving == 0:
        engine.target = account.position
    return closed


@compiled
def leave(engine: Record, lasting: bool) -> None:  # noqa: FBT001  # compiled functions are called by position
    """Decide to close the position: for good, or only until the next bar."""
    engine.target = 0
    if lasting:
        engine.leaving = 1


@compiled
def clear(engine: Record) -> None:
    """Forget the plan."""
    engine.target = 0
    engine.stop = 0
    engine.take_profit = 0
    engine.max_holding_bars = 0
    engine.held_bars = 0
    engine.leaving = 0


@compiled
def held_too_long(engine: Record) -> bool:
    """Return whether the position has reached its holding limit."""
    return bool(engine.max_holding_bars > 0 and engine.held_bars >= engine.max_holding_bars)
