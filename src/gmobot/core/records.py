"""The fixed layouts that cross the border of the compiled core.

They are NumPy structured types, so that a batch is an array of them, a live call takes one-element
records of the very same type, and the bytes of one can be journaled and fed back later.
All prices are ticks, sizes lots, money micro-yen (``_uyen``), times nanoseconds UTC.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np

Record: TypeAlias = Any
"""One record inside the compiled core: its fields are read and written by attribute."""

BAR: Final = np.dtype(
    [
        ("open_time", "i8"),
        ("open", "i8"),
        ("high", "i8"),
        ("low", "i8"),
        ("close", "i8"),
        ("volume", "i8"),  # lots matched, each match counted once
        ("flags", "i8"),
    ],
    align=True,
)
"""A closed bar. An interval without a trade has no bar."""

BAR_GAP_BEFORE: Final = 1
"""Data is missing before this bar: not "no trades" but "we do not know"."""
BAR_LATE: Final = 2
"""Arrived late (warm-up, gap repair): updates state, never opens a position."""
BAR_PAST: Final = 4
"""From before the plan that is in force: the strategy warms up on it, and neither plan nor counters take notice."""

ACCOUNT: Final = np.dtype(
    [
        ("position", "i8"),  # lots we own; negative is short (leverage)
        ("cost_uyen", "i8"),  # what the open position was bought for, fees apart; a short's is negative: what it was sold for
        ("cash_uyen", "i8"),  # our own yen: on leverage, where a position costs none, the balance without open gains
        ("equity_uyen", "i8"),  # with the position at the bar's close
        ("peak_equity_uyen", "i8"),  # highest equity so far, adjusted by cash flows
        ("day_start_equity_uyen", "i8"),  # at 06:00 JST, adjusted by cash flows
        ("wallet_drift_uyen", "i8"),  # exchange balance minus our ledger
        ("last_trade_pnl_uyen", "i8"),  # of the last closed trade, after fees
        ("closed_trades", "i8"),  # trades closed so far
        ("other_positions", "i8"),  # open positions in the account's other symbols
        ("other_gross_uyen", "i8"),  # their worth
        ("pending", "i8"),  # lots of our entries that may still fill
        ("halted", "i8"),  # 1 while a latched halt forbids new exposure
        ("trade_realized_uyen", "i8"),  # of the open trade so far, after its fees: negative once the entry's fee is paid
    ],
    align=True,
)
"""The account as the core sees it when a bar closes. It comes from the ledger, never from the core."""

PRICE_BAR: Final = np.dtype(
    [
        ("time", "i8"),
        ("open", "f8"),
        ("high", "f8"),
        ("low", "f8"),
        ("close", "f8"),
        ("volume", "f8"),
        ("can_short", "i8"),  # 1 on leverage symbols: with no position open, a sell opens a short one
    ],
    align=True,
)
"""A bar as a strategy sees it: yen and coins, in floats."""

ENGINE: Final = np.dtype(
    [
        ("bars", "i8"),  # bars seen since the state was new
        ("closed_trades", "i8"),  # as of the last bar
        ("cooldown", "i8"),  # bars left in which no position opens
        ("target", "i8"),  # the plan: lots
        ("stop", "i8"),  # the plan: trigger in ticks
        ("take_profit", "i8"),  # the plan: price in ticks
        ("max_holding_bars", "i8"),  # the plan: 0 for no limit
        ("held_bars", "i8"),  # bars the position has been open
        ("leaving", "i8"),  # 1 once an exit was decided, until the position is gone
        ("flipping", "i8"),  # 1 for the bar after a flip was decided: the plan is the new side's
        ("former_stop", "i8"),  # the stop of the side that a flip closes
        ("last_close", "i8"),  # ticks
        ("fast_range", "f8"),  # short mean of the true range, in ticks
        ("slow_range", "f8"),  # long mean of the true range, in ticks
        ("mean_volume", "f8"),  # long mean of the volume, in lots
    ],
    align=True,
)
"""What the engine remembers of one symbol between bars."""

SETTINGS: Final = np.dtype(
    [
        ("price_numerator", "i8"),  # yen = ticks x numerator / denominator
        ("price_denominator", "i8"),
        ("size_numerator", "i8"),  # coins = lots x numerator / denominator
        ("size_denominator", "i8"),
        ("unit_uyen", "i8"),  # one lot at one tick
        ("min_lots", "i8"),
        ("max_lots", "i8"),
        ("taker_fee_ppm", "i8"),
        ("maker_fee_ppm", "i8"),
        ("fee_rounding", "i8"),
        ("leverage", "i8"),  # notional over margin; 0 on spot
        ("leverage_fee_ppm", "i8"),
        ("losscut_fee_ppm", "i8"),
        ("warmup_bars", "i8"),
        ("min_confidence", "f8"),
        ("cooldown_bars", "i8"),
        ("max_positions", "i8"),
        ("volatility_spike_ratio", "f8"),
        ("thin_volume_ratio", "f8"),
        ("sizing", "i8"),  # 0 fixed, 1 risk fraction
        ("fixed_lots", "i8"),
        ("risk_fraction_ppm", "i8"),
        ("max_drawdown_ppm", "i8"),  # limits: 0 is off
        ("daily_loss_limit_uyen", "i8"),
        ("max_position_lots", "i8"),
        ("max_trade_loss_uyen", "i8"),
        ("max_leverage_ppm", "i8"),
        ("max_wallet_drift_uyen", "i8"),
        ("close_on_abort", "i8"),
    ],
    align=True,
)
"""Everything the engine is told once: the instrument, filters, sizing and limits."""

DESIRED: Final = np.dtype(
    [
        ("target", "i8"),  # lots to hold, negative is short; of the other sign than the position: close that first, then open
        ("stop", "i8"),  # trigger in ticks, 0 for none
        ("take_profit", "i8"),  # price in ticks, 0 for none
        ("max_holding_bars", "i8"),  # 0 for no limit
        ("action", "i8"),  # what the strategy asked for: 1 buy, -1 sell, 0 hold
        ("confidence", "f8"),  # 0 to 1
        ("reasons", "i8"),  # a set, see core.reasons
        ("risk_status", "i8"),  # 0 ok, 1 degraded, 2 abort
    ],
    align=True,
)
"""What the account should look like: the order manager converges the exchange to it."""

RISK_OK: Final = 0
RISK_DEGRADED: Final = 1
RISK_ABORT: Final = 2
