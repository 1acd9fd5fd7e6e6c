"""The plan of the open position, and when it ends.

The core's position is what the ledger says, nothing else. A plan made at one bar has become a position by
the next, or is dropped once nothing of it can fill any more; what filled only in part is not chased. A
trade that ended, however it ended, ends its plan and starts the cool-down, whose first bar is the one that
sees the end. An exit, once decided, stays decided until the position is gone: one that the exchange could
not carry out within a bar must not be forgotten because the strategy says it only once. Not so on bars that
come late, after a gap or a restart: a strategy that warms up again speaks of times before the position. Bars from
before the plan count for nothing at all: no holding time, no cool-down, no exit.

A flip (leverage) is an exit and an entry decided as one. Its entry is good for its bar only, like any other:
where the former side is still there one bar later, only the exit stays decided, under the former side's stop.
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
    closed = (engine.bars > 1 or engine.held_bars > 0) and account.closed_trades > engine.closed_trades
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
    elif engine.flipping != 0:
        _settle_flip(engine, account)
    return closed


@compiled
def stay(engine: Record, account: Record) -> None:
    """Hold what is held: the bar is from before the plan."""
    if account.pending == 0 and engine.leaving == 0:
        engine.target = account.position


@compiled
def _settle_flip(engine: Record, account: Record) -> None:
    """See what became of the flip that the last bar decided."""
    engine.flipping = 0
    if (account.position > 0 and engine.target > 0) or (account.position < 0 and engine.target < 0):
        engine.leaving = 0
        engine.target = account.position
        return
    engine.target = 0
    engine.stop = engine.former_stop
    engine.take_profit = 0
    engine.max_holding_bars = 0


@compiled
def leave(engine: Record, lasting: bool) -> None:  # noqa: FBT001  # compiled functions are called by position
    """Decide to close the position: for good, or only until the next bar."""
    engine.target = 0
    if lasting:
        engine.leaving = 1


@compiled
def flip(engine: Record, former_stop: int) -> None:
    """Make the entry that was just planned the second half of leaving the position that is open."""
    engine.leaving = 1
    engine.flipping = 1
    engine.former_stop = former_stop


@compiled
def clear(engine: Record) -> None:
    """Forget the plan."""
    engine.target = 0
    engine.stop = 0
    engine.take_profit = 0
    engine.max_holding_bars = 0
    engine.held_bars = 0
    engine.leaving = 0
    engine.flipping = 0


@compiled
def held_too_long(engine: Record) -> bool:
    """Return whether the position has reached its holding limit."""
    return bool(engine.max_holding_bars > 0 and engine.held_bars >= engine.max_holding_bars)
