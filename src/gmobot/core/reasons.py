"""The one dictionary of reason codes: why something was decided, refused or changed.

Decision and risk reasons travel inside the compiled core as bits of an int64 set; a user's strategy may
declare up to sixteen of its own. Operational reasons never enter the core and are plain names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

DECISION: Final[tuple[str, ...]] = (
    "ema_momentum_long",
    "ema_momentum_short",
    "rsi_overbought",
    "rsi_oversold",
    "breakout_long",
    "breakout_short",
    "buy_and_hold",
    "volatility_spike",
    "thin_liquidity",
    "below_min_confidence",
    "cooldown_active",
    "max_positions_reached",
    "max_holding_reached",
    "stop_loss",
    "take_profit",
    "no_setup",
    "warming_up",
    "stale_bar",
)
RISK: Final[tuple[str, ...]] = (
    "max_drawdown_exceeded",
    "daily_loss_limit_exceeded",
    "max_position_size_exceeded",
    "max_trade_loss_exceeded",
    "max_leverage_exceeded",
    "wallet_drift_exceeded",
    "price_collar",
    "order_rate_limit",
    "reject_circuit_open",
    "disk_low",
)
OPERATIONS: Final[tuple[str, ...]] = (
    "missing_credentials",
    "execute_orders_disabled",
    "not_armed",
    "graceful_shutdown",
    "operator_halt",
    "operator_pause",
    "exchange_maintenance",
    "stream_stale",
    "clock_skew",
    "rate_limited",
    "network_error",
    "auth_error",
    "exchange_error",
    "order_outcome_unknown",
    "position_unprotected",
    "state_unwritable",
    "foreign_order",
    "external_cash_flow",
    "data_gap",
    "state_restored",
    "strategy_timeout",
    "previous_run_crashed",
    "rules_changed",
)

_FIRST_RISK_BIT = 24
_FIRST_USER_BIT = 40
MAX_USER_REASONS = 16

BIT: Final[Mapping[str, int]] = {
    **{name: 1 << position for position, name in enumerate(DECISION)},
    **{name: 1 << (_FIRST_RISK_BIT + position) for position, name in enumerate(RISK)},
}
"""Name to bit, for decision and risk reasons."""

EMA_MOMENTUM_LONG: Final = BIT["ema_momentum_long"]
EMA_MOMENTUM_SHORT: Final = BIT["ema_momentum_short"]
RSI_OVERBOUGHT: Final = BIT["rsi_overbought"]
RSI_OVERSOLD: Final = BIT["rsi_oversold"]
BREAKOUT_LONG: Final = BIT["breakout_long"]
BREAKOUT_SHORT: Final = BIT["breakout_short"]
BUY_AND_HOLD: Final = BIT["buy_and_hold"]
VOLATILITY_SPIKE: Final = BIT["volatility_spike"]
THIN_LIQUIDITY: Final = BIT["thin_liquidity"]
BELOW_MIN_CONFIDENCE: Final = BIT["below_min_confidence"]
COOLDOWN_ACTIVE: Final = BIT["cooldown_active"]
MAX_POSITIONS_REACHED: Final = BIT["max_positions_reached"]
MAX_HOLDING_REACHED: Final = BIT["max_holding_reached"]
STOP_LOSS: Final = BIT["stop_loss"]
TAKE_PROFIT: Final = BIT["take_profit"]
NO_SETUP: Final = BIT["no_setup"]
WARMING_UP: Final = BIT["warming_up"]
STALE_BAR: Final = BIT["stale_bar"]
MAX_DRAWDOWN_EXCEEDED: Final = BIT["max_drawdown_exceeded"]
DAILY_LOSS_LIMIT_EXCEEDED: Final = BIT["daily_loss_limit_exceeded"]
MAX_POSITION_SIZE_EXCEEDED: Final = BIT["max_position_size_exceeded"]
MAX_TRADE_LOSS_EXCEEDED: Final = BIT["max_trade_loss_exceeded"]
MAX_LEVERAGE_EXCEEDED: Final = BIT["max_leverage_exceeded"]
WALLET_DRIFT_EXCEEDED: Final = BIT["wallet_drift_exceeded"]


def user_bit(position: int) -> int:
    """Return the bit of a strategy's own reason number ``position`` (0 to 15)."""
    if not 0 <= position < MAX_USER_REASONS:
        raise ValueError(f"a strategy may declare {MAX_USER_REASONS} reasons of its own, not {position + 1}")
    return 1 << (_FIRST_USER_BIT + position)


def names(reasons: int, user: Sequence[str] = ()) -> list[str]:
    """Return the names in a reason set, in the dictionary's order, the strategy's own last."""
    found = [name for name, bit in BIT.items() if reasons & bit]
    return found + [name for position, name in enumerate(user) if reasons & user_bit(position)]
