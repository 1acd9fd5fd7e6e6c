"""What happens to orders inside a bar: the rules of the simulator, compiled, each in one place.

- A decision at the close of bar *t* fills at the open of *t + 1*, plus adverse slippage, as taker.
- Inside a bar the adverse extreme comes first: a position's stop is looked at before its target.
- The open comes before both: a bar that opens beyond the stop or beyond the target fills that one, at the open.
- A stop fills at its trigger, a target at its price, both plus slippage, both as taker: live, a STOP turns
  into a market order, and a target is a market order sent when its price is traded.
- A position that was opened at this bar's open can be stopped in this bar.

On leverage also:

- A flip closes and opens at the same open; what is bought or sold must be carried by what is left after the close.
- Of stop and losscut price the nearer one acts, in a gap through both too: the price meets it first.
- A losscut fills like a stop, and its fee is of open price x size instead of the taker's.
- Each turn of the trading day between two bars costs a fee on what is held, valued at the last close before it,
  however many days without a bar lie between. A bar that spans 06:00 JST itself counts to the day it opens in.
"""

from __future__ import annotations

from gmobot.core.compiled import compiled
from gmobot.core.ledger import apply_buy, apply_sell
from gmobot.core.margin import losscut_fee, round_fee

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
# ruff: noqa: ANN001, ANN201

ENTRY = 1
EXIT = 2
STOP = 3
TARGET = 4
LOSSCUT = 5


@compiled
def buy_at(ledger, settings, ticks, lots, slippage):
    """Buy at a price plus slippage. Returns the price paid."""
    paid = ticks + slippage
    fee = round_fee(paid * lots * settings.unit_uyen, settings.taker_fee_ppm, settings.fee_rounding)
    apply_buy(ledger, settings.unit_uyen, paid, lots, fee)
    return paid


@compiled
def sell_at(ledger, settings, ticks, lots, slippage):
    """Sell at a price minus slippage. Returns the price received."""
    received = max(1, ticks - slippage)
    fee = round_fee(received * lots * settings.unit_uyen, settings.taker_fee_ppm, settings.fee_rounding)
    apply_sell(ledger, settings.unit_uyen, received, lots, fee)
    return received


@compiled
def trade_at(ledger, settings, ticks, lots, slippage):
    """Buy or, where lots are negative, sell. Returns the price."""
    if lots > 0:
        return buy_at(ledger, settings, ticks, lots, slippage)
    return sell_at(ledger, settings, ticks, -lots, slippage)


@compiled
def cut_at(ledger, settings, ticks, slippage):
    """Close the whole position as a losscut, with its fee. Returns the price."""
    fee = losscut_fee(ledger.cost_uyen, settings)
    if ledger.position > 0:
        price = max(1, ticks - slippage)
        apply_sell(ledger, settings.unit_uyen, price, ledger.position, fee)
    else:
        price = ticks + slippage
        apply_buy(ledger, settings.unit_uyen, price, -ledger.position, fee)
    return price


@compiled
def stop_price(bar, stop, target):
    """Return the price a long position's stop fills at in this bar, 0 when it is not reached (or not first)."""
    if stop <= 0 or bar.low > stop or 0 < target <= bar.open:
        return 0
    return min(stop, bar.open)


@compiled
def target_price(bar, target):
    """Return the price a long position's target fills at in this bar, 0 when it is not reached."""
    if target <= 0 or bar.high < target:
        return 0
    return max(target, bar.open)


@compiled
def short_stop_price(bar, stop, target):
    """Return the price a short position's stop fills at in this bar, 0 when it is not reached (or not first)."""
    if stop <= 0 or bar.high < stop or 0 < bar.open <= target:
        return 0
    return max(stop, bar.open)


@compiled
def short_target_price(bar, target):
    """Return the price a short position's target fills at in this bar, 0 when it is not reached."""
    if target <= 0 or bar.low > target:
        return 0
    return min(target, bar.open)


@compiled
def losscut_first(position, stop, losscut):
    """Return whether the losscut price is met before the stop (0: there is none)."""
    if stop <= 0:
        return True
    return losscut > stop if position > 0 else losscut < stop
