"""One closed bar in, one desired state out.

::

    bar ─▶ observe ─▶ the strategy's decide ─▶ conclude ─▶ desired
              │                                   ▲
              └─ regime, counters                 └─ account, plan, filters, sizing, guards

A loop module generated per strategy calls the three in this order, in the simulator and live alike.
"""

from __future__ import annotations

import math

from gmobot.core.compiled import compiled
from gmobot.core.decision import BUY, CLOSE, HOLD, SELL, Decision
from gmobot.core.exits import clear, flip, held_too_long, leave, settle, stay
from gmobot.core.reasons import (
    BELOW_MIN_CONFIDENCE,
    COOLDOWN_ACTIVE,
    MAX_HOLDING_REACHED,
    MAX_POSITIONS_REACHED,
    NO_SETUP,
    STALE_BAR,
    THIN_LIQUIDITY,
    VOLATILITY_SPIKE,
    WARMING_UP,
)
from gmobot.core.records import BAR_LATE, BAR_PAST, RISK_ABORT, RISK_OK, Record
from gmobot.core.risk import assess
from gmobot.core.sizing import entry_lots

# Fields of records are numbers that mypy cannot see.
# mypy: disable-error-code="no-any-return"

_FAST_RANGE = 2.0 / (5 + 1)
_SLOW_RANGE = 2.0 / (100 + 1)
_REGIME_BARS = 100
"""The regime filters stay silent until their long means have seen this many bars."""


@compiled
def observe(engine: Record, bar: Record, settings: Record, shown: Record) -> None:
    """Take note of a bar and fill ``shown``, the PRICE_BAR the strategy gets to see."""
    top, bottom = bar.high, bar.low
    if engine.bars > 0:
        top, bottom = max(top, engine.last_close), min(bottom, engine.last_close)
    true_range = float(top - bottom)
    if engine.bars == 0:
        engine.fast_range = engine.slow_range = true_range
        engine.mean_volume = float(bar.volume)
    else:
        engine.fast_range += (true_range - engine.fast_range) * _FAST_RANGE
        engine.slow_range += (true_range - engine.slow_range) * _SLOW_RANGE
        engine.mean_volume += (bar.volume - engine.mean_volume) * _SLOW_RANGE
    engine.last_close = bar.close
    engine.bars += 1
    shown.time = bar.open_time
    if settings.price_denominator == 1:
        # Most symbols have whole yen, and a division takes longer than the test.
        yen = settings.price_numerator
        shown.open, shown.high = float(bar.open * yen), float(bar.high * yen)
        shown.low, shown.close = float(bar.low * yen), float(bar.close * yen)
    else:
        shown.open, shown.high = _yen(bar.open, settings), _yen(bar.high, settings)
        shown.low, shown.close = _yen(bar.low, settings), _yen(bar.close, settings)
    shown.volume = bar.volume * settings.size_numerator / settings.size_denominator
    shown.can_short = settings.leverage > 0


@compiled
def _yen(ticks: int, settings: Record) -> float:
    """Return ticks in yen."""
    return ticks * settings.price_numerator / settings.price_denominator


@compiled
def conclude(engine: Record, bar: Record, account: Record, settings: Record, decision: Decision, desired: Record) -> None:
    """Turn the strategy's decision into the desired state of the symbol."""
    action, confidence, reasons, stop, take_profit, max_holding = decision
    # Not "confidence <= 0": what is not a number counts as none.
    confidence = min(confidence, 1.0) if confidence > 0.0 else 0.0
    if bar.flags & BAR_PAST:
        stay(engine, account)
        _tell(engine, desired, engine.target, HOLD, confidence, reasons, RISK_OK)
        return
    closed = settle(engine, account, settings)
    status, risk_reasons = assess(account, settings, bar.close, closed)
    exposed = account.position != 0 or account.pending != 0
    held = account.position if account.position != 0 or account.pending == 0 else engine.target
    closing = action == CLOSE
    if closing:
        action = HOLD if held == 0 else (SELL if held > 0 else BUY)
    against = exposed and ((action < 0 and held >= 0) or (action > 0 and held < 0))
    if account.position != 0 and held_too_long(engine):
        leave(engine, bar.flags & BAR_LATE == 0)
        reasons |= MAX_HOLDING_REACHED
    elif action != 0 and (against or not exposed):
        former_stop, staying = engine.stop, engine.leaving == 0
        if against:
            leave(engine, bar.flags & BAR_LATE == 0)
        if _may_open(account, settings, action, against, closing or not staying):
            blocked = _entry_block(engine, bar, account, settings, confidence, against)
            if status == RISK_OK and blocked == 0 and account.halted == 0:
                blocked = _enter(engine, bar, account, settings, action, stop, take_profit, max_holding)
                if against and blocked == 0:
                    flip(engine, former_stop)
            reasons |= blocked
    if status == RISK_ABORT and settings.close_on_abort != 0:
        leave(engine, True)  # noqa: FBT003  # as above
    target = engine.target
    if status != RISK_OK or account.halted != 0:
        # Exits only: what an entry under way would still add is not wanted any more.
        target = min(target, max(account.position, 0)) if target > 0 else max(target, min(account.position, 0))
    _tell(engine, desired, target, action, confidence, reasons | risk_reasons, status)


@compiled
def _tell(engine: Record, desired: Record, target: int, action: int, confidence: float, reasons: int, status: int) -> None:
    """Fill ``desired``."""
    desired.target = target
    desired.stop = engine.stop
    desired.take_profit = engine.take_profit
    desired.max_holding_bars = engine.max_holding_bars
    desired.action = action
    desired.confidence = confidence
    desired.reasons = reasons
    desired.risk_status = status


@compiled
def _enter(
    engine: Record, bar: Record, account: Record, settings: Record, side: int, stop: float, take_profit: float, max_holding: int
) -> int:
    """Plan an entry. Returns reasons to add: why there is no plan, or none."""
    if side > 0:
        stop_ticks, target_ticks = _ticks_down(stop, settings), _ticks_up(take_profit, settings)
        wrong_stop = stop != 0.0 and not 0 < stop_ticks < bar.close
        wrong_target = take_profit != 0.0 and target_ticks <= bar.close
    else:
        stop_ticks, target_ticks = _ticks_up(stop, settings), _ticks_down(take_profit, settings)
        wrong_stop = stop != 0.0 and stop_ticks <= bar.close
        wrong_target = take_profit != 0.0 and not 0 < target_ticks < bar.close
    lots = entry_lots(account, settings, bar.close, stop_ticks, side)
    if wrong_stop or wrong_target or lots == 0:
        return NO_SETUP
    clear(engine)
    engine.target = lots * side
    engine.stop = stop_ticks
    engine.take_profit = target_ticks
    engine.max_holding_bars = max_holding
    return 0


@compiled
def _may_open(account: Record, settings: Record, action: int, against: bool, only_close: bool) -> bool:  # noqa: FBT001  # as below
    """Return whether a decision asks for a new position: on spot only a purchase does, on leverage the close of the other side may."""
    if settings.leverage == 0:
        return action > 0 and not against
    return not against or not (only_close or account.pending != 0)


@compiled
def _entry_block(engine: Record, bar: Record, account: Record, settings: Record, confidence: float, flips: bool) -> int:  # noqa: FBT001  # called by position
    """Return the filters that keep this bar from opening a position. A flip's own close would start the cool-down: it counts."""
    blocked = 0
    if bar.flags & BAR_LATE:
        blocked |= STALE_BAR
    if engine.bars <= settings.warmup_bars:
        blocked |= WARMING_UP
    if not confidence >= settings.min_confidence:
        blocked |= BELOW_MIN_CONFIDENCE
    if engine.cooldown > 0 or (flips and settings.cooldown_bars > 0):
        blocked |= COOLDOWN_ACTIVE
    if account.other_positions >= settings.max_positions:
        blocked |= MAX_POSITIONS_REACHED
    if engine.bars > _REGIME_BARS:
        ratio = settings.volatility_spike_ratio
        if ratio > 0.0 and engine.fast_range > engine.slow_range * ratio:
            blocked |= VOLATILITY_SPIKE
        if bar.volume < engine.mean_volume * settings.thin_volume_ratio:
            blocked |= THIN_LIQUIDITY
    return blocked


@compiled
def _ticks_down(price: float, settings: Record) -> int:
    """Return a price in ticks, rounded down: a long position's stop and a short one's target move away from the market."""
    if not 0.0 < price < 1.0e15:
        return 0
    return math.floor(price * settings.price_denominator / settings.price_numerator)


@compiled
def _ticks_up(price: float, settings: Record) -> int:
    """Return a price in ticks, rounded up: a long position's target and a short one's stop move away from the market."""
    if not 0.0 < price < 1.0e15:
        return 0
    return math.ceil(price * settings.price_denominator / settings.price_numerator)
