"""The six guards of the account. Abort beats degraded.

Degraded: no new exposure, exits only. Abort: close what we own, and a halt that stays until an operator
takes it back (the latch belongs to the caller). A limit of 0 is off; there are no negative ones. One trade's loss is what the open
one has lost so far, what it sold already and its fees included, or what the last closed one lost. A short position has
negative lots, cost and worth, so cost minus worth is its loss as well. Ratios are compared as integers in
millionths of whole yen, so that no amount can overflow.
"""

from __future__ import annotations

from gmobot.core.compiled import compiled
from gmobot.core.reasons import (
    DAILY_LOSS_LIMIT_EXCEEDED,
    MAX_DRAWDOWN_EXCEEDED,
    MAX_LEVERAGE_EXCEEDED,
    MAX_POSITION_SIZE_EXCEEDED,
    MAX_TRADE_LOSS_EXCEEDED,
    WALLET_DRIFT_EXCEEDED,
)
from gmobot.core.records import RISK_ABORT, RISK_DEGRADED, RISK_OK, Record

ABORTING = MAX_DRAWDOWN_EXCEEDED | MAX_TRADE_LOSS_EXCEEDED
"""Reasons that end everything; the others only open nothing."""
_YEN = 1_000_000


@compiled
def assess(account: Record, settings: Record, price: int, trade_just_closed: bool) -> tuple[int, int]:  # noqa: FBT001  # called by position
    """Return ``(status, reasons)`` of the account at a price.

    Args:
        account: An ACCOUNT record.
        settings: A SETTINGS record.
        price: In ticks, of the symbol the account record speaks of.
        trade_just_closed: Whether ``last_trade_pnl_uyen`` is news.
    """
    reasons = 0
    worth = account.position * price * settings.unit_uyen
    limit = settings.max_drawdown_ppm
    if limit > 0 and account.peak_equity_uyen - account.equity_uyen > account.peak_equity_uyen // _YEN * limit:
        reasons |= MAX_DRAWDOWN_EXCEEDED
    limit = settings.daily_loss_limit_uyen
    if limit > 0 and account.day_start_equity_uyen - account.equity_uyen > limit:
        reasons |= DAILY_LOSS_LIMIT_EXCEEDED
    limit = settings.max_position_lots
    if limit > 0 and abs(account.position) > limit:
        reasons |= MAX_POSITION_SIZE_EXCEEDED
    limit = settings.max_trade_loss_uyen
    open_loss = account.position != 0 and account.cost_uyen - worth - account.trade_realized_uyen > limit
    closed_loss = trade_just_closed and -account.last_trade_pnl_uyen > limit
    if limit > 0 and (open_loss or closed_loss):
        reasons |= MAX_TRADE_LOSS_EXCEEDED
    limit = settings.max_leverage_ppm
    if limit > 0 and abs(worth) + account.other_gross_uyen > account.equity_uyen // _YEN * limit:
        reasons |= MAX_LEVERAGE_EXCEEDED
    limit = settings.max_wallet_drift_uyen
    if limit > 0 and abs(account.wallet_drift_uyen) > limit:
        reasons |= WALLET_DRIFT_EXCEEDED
    if reasons == 0:
        return RISK_OK, 0
    return (RISK_ABORT if reasons & ABORTING else RISK_DEGRADED), reasons
