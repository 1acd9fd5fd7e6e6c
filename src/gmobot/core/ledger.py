"""The integer ledger of one symbol: what fills do to coins and yen. Exact, with identities that hold by ``==``.

Average cost, of either sign. A long position's cost is what was paid for it; a short position's is negative:
what it was sold for. A closing fill takes its share of the cost out, rounded toward keeping; the last lot
takes the rest. After every event::

    cash = received - paid - fees            (nothing else moves cash)
    cost has the sign of the position, and is 0 exactly when the position is 0
    cash + cost = realized - fees            (realized: what closing brought beyond the cost it took out)
    cash + position x price                  is what the symbol is worth, gains that are still open included

On spot, cash is our yen. On leverage no yen moves for the notional: the exchange's yen balance is
cash + cost, that is realized - fees, and fees include those for holding over the day's turn.

GMO keeps one position per fill and never nets. We hold one side at a time and enter once per decision, so the
fills of one entry are the position, and its average is exact. A fill never crosses zero: a flip is two fills.

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
        ("position", "i8"),  # lots, negative is short
        ("cost_uyen", "i8"),  # of the open position, fees apart, with the position's sign
        ("cash_uyen", "i8"),  # moved by fills and fees, starting at 0
        ("fees_uyen", "i8"),  # paid so far, rebates subtracted
        ("realized_uyen", "i8"),  # before fees
        ("trade_fees_uyen", "i8"),  # of the open trade
        ("trade_realized_uyen", "i8"),  # of the open trade, before fees
        ("last_trade_pnl_uyen", "i8"),  # of the last closed trade, after fees
        ("closed_trades", "i8"),
        ("leverage_fees_uyen", "i8"),  # the part of the fees that was for holding over the day's turn
    ],
    align=True,
)


@compiled
def apply_buy(ledger: Record, unit_uyen: int, ticks: int, lots: int, fee_uyen: int) -> int:
    """Book a purchase: it opens or adds to a long position, or closes lots of a short one.

    The fee is what the exchange reports, signed. Returns the trade's P/L after fees when it closes, else 0.
    """
    if ledger.position < 0:
        return _close(ledger, unit_uyen, ticks, lots, fee_uyen)
    return _open(ledger, unit_uyen, ticks, lots, fee_uyen)


@compiled
def apply_sell(ledger: Record, unit_uyen: int, ticks: int, lots: int, fee_uyen: int) -> int:
    """Book a sale: it closes lots of a long position, or opens or adds to a short one (leverage only).

    Returns the trade's P/L after fees when it closes, else 0.
    """
    if ledger.position > 0:
        return _close(ledger, unit_uyen, ticks, -lots, fee_uyen)
    return _open(ledger, unit_uyen, ticks, -lots, fee_uyen)


@compiled
def apply_leverage_fee(ledger: Record, fee_uyen: int) -> None:
    """Book what holding the position over the day's turn costs. It is part of the trade's result."""
    ledger.leverage_fees_uyen += fee_uyen
    _pay(ledger, fee_uyen)


@compiled
def _open(ledger: Record, unit_uyen: int, ticks: int, lots: int, fee_uyen: int) -> int:
    """Add signed lots to a position of their sign, or to none."""
    paid = ticks * lots * unit_uyen
    ledger.position += lots
    ledger.cost_uyen += paid
    ledger.cash_uyen -= paid
    _pay(ledger, fee_uyen)
    return 0


@compiled
def _close(ledger: Record, unit_uyen: int, ticks: int, lots: int, fee_uyen: int) -> int:
    """Add signed lots to a position of the other sign that is at least as large."""
    received = -ticks * lots * unit_uyen
    held, cost, share = abs(ledger.position), abs(ledger.cost_uyen), abs(lots)
    # Whole lots first: cost times lots could pass 63 bits, cost modulo position times lots cannot.
    taken = cost // held * share + cost % held * share // held
    if lots > 0:
        taken = -taken
    ledger.position += lots
    ledger.cost_uyen -= taken
    ledger.cash_uyen += received
    ledger.realized_uyen += received - taken
    ledger.trade_realized_uyen += received - taken
    _pay(ledger, fee_uyen)
    if ledger.position != 0:
        return 0
    pnl = ledger.trade_realized_uyen - ledger.trade_fees_uyen
    ledger.last_trade_pnl_uyen = pnl
    ledger.closed_trades += 1
    ledger.trade_fees_uyen = 0
    ledger.trade_realized_uyen = 0
    return pnl


@compiled
def _pay(ledger: Record, fee_uyen: int) -> None:
    ledger.cash_uyen -= fee_uyen
    ledger.fees_uyen += fee_uyen
    ledger.trade_fees_uyen += fee_uyen


@compiled
def show(ledger: Record, account: Record) -> None:
    """Write what the ACCOUNT record tells of this symbol, all of it in one place, so that no caller forgets a part."""
    account.position = ledger.position
    account.cost_uyen = ledger.cost_uyen
    account.last_trade_pnl_uyen = ledger.last_trade_pnl_uyen
    account.closed_trades = ledger.closed_trades
    account.trade_realized_uyen = ledger.trade_realized_uyen - ledger.trade_fees_uyen
