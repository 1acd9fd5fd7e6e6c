"""What happens to orders inside a bar: the rules of the simulator, compiled, each in one place.

- A decision at the close of bar *t* fills at the open of *t + 1*, plus adverse slippage, as taker.
- Inside a bar the adverse extreme comes first: a long position's stop is looked at before its target.
- The open comes before both: a bar that opens beyond the stop or beyond the target fills that one, at the open.
- A stop fills at its trigger, a target at its price, both plus slippage, both as taker: live, a STOP turns
  into a market order, and a target is a market order sent when its price is traded.
- A position that was opened at this bar's open can be stopped in this bar.
"""

from __future__ import annotations

from gmobot.core.compiled import compiled
from gmobot.core.instrument import round_fee as _round_fee
from gmobot.core.ledger import apply_buy, apply_sell

# mypy: disable-error-code="no-untyped-def"
# ruff: noqa: ANN001, ANN201

round_fee = compiled(_round_fee)
ENTRY = 1
EXIT = 2
STOP = 3
TARGET = 4


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
