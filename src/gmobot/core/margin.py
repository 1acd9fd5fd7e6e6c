"""What a leverage position ties up, costs and is cut at: GMO's rules, in integers, compiled.

Margin is the notional over the leverage (2 for individuals). Each position has a losscut price, half of its
margin away from its open price and rounded to the tick toward it; the exchange closes it there and takes a fee
of open price x size. Holding over 06:00 JST costs a share of the valuation, every day of the year.

Not modelled, because the exchange does not publish their numbers: the account's own losscut ratio and the margin
call at 06:30 JST. Source: reference/gmo-coin-api.md §6.6.
"""

from __future__ import annotations

from gmobot.core.compiled import compiled
from gmobot.core.instrument import round_fee as _round_fee
from gmobot.core.records import Record

# Fields of records are numbers that mypy cannot see.
# mypy: disable-error-code="no-any-return"

round_fee = compiled(_round_fee)
_YEN = 1_000_000


@compiled
def losscut_price(open_ticks: int, side: int, leverage: int) -> int:
    """Return the price in ticks at which a position is cut: a long one's (``side`` 1) rounded up, a short one's (-1) down."""
    if side > 0:
        return -(-open_ticks * (2 * leverage - 1) // (2 * leverage))
    return open_ticks * (2 * leverage + 1) // (2 * leverage)


@compiled
def losscut_fee(cost_uyen: int, settings: Record) -> int:
    """Return what a losscut costs, of a position's cost (either sign)."""
    return round_fee(abs(cost_uyen), settings.losscut_fee_ppm, settings.fee_rounding)


@compiled
def leverage_fee(position: int, price: int, turns: int, settings: Record) -> int:
    """Return what holding a position (either sign), valued at ``price`` ticks, over ``turns`` turns of the day costs."""
    worth = abs(position) * price * settings.unit_uyen
    return round_fee(worth, settings.leverage_fee_ppm, settings.fee_rounding) * turns


@compiled
def carried_lots(power_uyen: int, settings: Record, price: int) -> int:
    """Return the lots whose margin and taker fee buying power can carry, one yen kept for the fee's rounding."""
    lot = price * settings.unit_uyen
    each = -(-lot // settings.leverage) + lot * max(settings.taker_fee_ppm, 0) // 1_000_000 + 1
    return max(power_uyen - _YEN, 0) // each
