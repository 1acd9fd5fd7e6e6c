"""The integer ledger of one symbol: what fills do to coins and yen. Exact, with identities that hold by ``==``.

Average cost: a sale takes its share of the cost out, rounded toward keeping; the last lot takes the rest.
After every fill::

    cash = received - paid - fees            (nothing else moves cash)
    cost = 0 exactly when position = 0
    cash + cost = realized - fees            (realized: what sales brought above the cost they took out)

The same functions run compiled in the simulator and plain in the daemon.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from gmobot.core.compiled import compiled
from gmobot.core.records import Record

# Fields of records are numbers that mypy cannot see.
# mypy: disable-error-code="no-any-return"

LEDGER: Final = np.dtype(
    [
        ("position", "i8"),  # lots
        ("cost_uyen", "i8"),  # of the open position, fees apart
        ("cash_uyen", "i8"),  # moved by fills and fees, starting at 0
        ("fees_uyen", "i8"),  # paid so far, rebates subtracted
        ("realized_uyen", "i8"),  # before fees
        ("trade_fees_uyen", "i8"),  # of the open trade
        ("trade_realized_uyen", "i8"),  # of the open trade, before fees
        ("last_trade_pnl_uyen", "i8"),  # of the last closed trade, after fees
        ("closed_trades", "i8"),
    ],
    align=True,
)


@compiled
def apply_buy(ledger: Record, unit_uyen: int, ticks: int, lots: int, fee_uyen: int) -> None:
    """Book a purchase. The fee is what the exchange reports, signed."""
    paid = ticks * lots * unit_uyen
    ledger.position += lots
    ledger.cost_uyen += paid
    ledger.cash_uyen -= paid + fee_uyen
    ledger.fees_uyen += fee_uyen
    ledger.trade_fees_uyen += fee_uyen


@compiled
def apply_sell(ledger: Record, unit_uyen: int, ticks: int, lots: int, fee_uyen: int) -> int:
    """Book a sale of lots that are ours. Returns the trade's P/L after fees when it closes, else 0."""
    received = ticks * lots * unit_uyen
    # Whole lots first: cost times lots could pass 63 bits, cost modulo position times lots cannot.
    each, rest = ledger.cost_uyen // ledger.position, ledger.cost_uyen % ledger.position
    taken = each * lots + rest * lots // ledger.position
    ledger.position -= lots
    ledger.cost_uyen -= taken
    ledger.cash_uyen += received - fee_uyen
    ledger.fees_uyen += fee_uyen
    ledger.realized_uyen += received - taken
    ledger.trade_fees_uyen += fee_uyen
    ledger.trade_realized_uyen += received - taken
    if ledger.position != 0:
        return 0
    pnl = ledger.trade_realized_uyen - ledger.trade_fees_uyen
    ledger.last_trade_pnl_uyen = pnl
    ledger.closed_trades += 1
    ledger.trade_fees_uyen = 0
    ledger.trade_realized_uyen = 0
    return pnl


@compiled
def show(ledger: Record, account: Record) -> None:
    """Write what the ACCOUNT record tells of this symbol, all of it in one place, so that no caller forgets a part."""
    account.position = ledger.position
    account.cost_uyen = ledger.cost_uyen
    account.last_trade_pnl_uyen = ledger.last_trade_pnl_uyen
    account.closed_trades = ledger.closed_trades
    account.trade_realized_uyen = ledger.trade_realized_uyen - ledger.trade_fees_uyen
