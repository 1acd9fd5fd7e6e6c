"""How many lots an entry asks for. Integers only; zero means "do not enter".

``fixed`` asks for the same size every time. ``risk fraction`` asks for as many lots as would lose the
given share of equity if the stop filled at its price. Both are cut to what limits and money allow: on spot
the cash that pays for it, on leverage the margin and the largest leverage.
"""

from __future__ import annotations

from gmobot.core.compiled import compiled
from gmobot.core.margin import carried_lots
from gmobot.core.records import Record

# Fields of records are numbers that mypy cannot see.
# mypy: disable-error-code="no-any-return"

RISK_FRACTION = 1
_YEN = 1_000_000


@compiled
def entry_lots(account: Record, settings: Record, price: int, stop: int, side: int) -> int:
    """Return lots, never negative, to enter with at ``price`` ticks.

    Args:
        account: An ACCOUNT record.
        settings: A SETTINGS record.
        price: In ticks.
        stop: Its trigger in ticks, 0 for none.
        side: 1 to buy, -1 to sell short.
    """
    if settings.sizing == RISK_FRACTION:
        distance = (price - stop) * side
        if stop <= 0 or distance <= 0:
            return 0
        # Equity in whole yen times millionths is micro-yen, and cannot overflow.
        at_risk = account.equity_uyen // _YEN * settings.risk_fraction_ppm
        lots = at_risk // (distance * settings.unit_uyen)
    else:
        lots = settings.fixed_lots
    if settings.max_position_lots > 0:
        lots = min(lots, settings.max_position_lots)
    allowed = affordable_lots(account.cash_uyen, settings, price) if settings.leverage == 0 else _margin_lots(account, settings, price)
    lots = min(lots, settings.max_lots, allowed)
    return lots if lots >= settings.min_lots else 0


@compiled
def affordable_lots(cash_uyen: int, settings: Record, price: int) -> int:
    """Return the lots that cash can pay for, taker fee included and one yen kept for its rounding."""
    lot = price * settings.unit_uyen
    each = lot + lot * max(settings.taker_fee_ppm, 0) // 1_000_000 + 1
    return max(cash_uyen - _YEN, 0) // each


@compiled
def _margin_lots(account: Record, settings: Record, price: int) -> int:
    """Return the lots that margin and the largest leverage allow. An open gain carries nothing, an open loss counts."""
    power = min(account.cash_uyen, account.equity_uyen) - account.other_gross_uyen // settings.leverage
    lots = carried_lots(power, settings, price)
    if settings.max_leverage_ppm > 0:
        room = account.equity_uyen // _YEN * settings.max_leverage_ppm - account.other_gross_uyen
        lots = min(lots, max(room, 0) // (price * settings.unit_uyen))
    return lots
