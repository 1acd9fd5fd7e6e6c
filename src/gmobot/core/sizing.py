"""How many lots an entry asks for. Integers only; zero means "do not enter".

``fixed`` asks for the same size every time. ``risk fraction`` asks for as many lots as would lose the
given share of equity if the stop filled at its price. Both are cut to what limits and cash allow.
"""

from __future__ import annotations

from gmobot.core.compiled import compiled
from gmobot.core.records import Record

# Fields of records are numbers that mypy cannot see.
# mypy: disable-error-code="no-any-return"

RISK_FRACTION = 1


@compiled
def entry_lots(account: Record, settings: Record, price: int, stop: int) -> int:
    """Return lots to buy at ``price`` ticks with a stop at ``stop`` ticks (0 for none)."""
    if settings.sizing == RISK_FRACTION:
        if stop <= 0 or stop >= price:
            return 0
        # Equity in whole yen times millionths is micro-yen, and cannot overflow.
        at_risk = account.equity_uyen // 1_000_000 * settings.risk_fraction_ppm
        lots = at_risk // ((price - stop) * settings.unit_uyen)
    else:
        lots = settings.fixed_lots
    if settings.max_position_lots > 0:
        lots = min(lots, settings.max_position_lots)
    lots = min(lots, settings.max_lots, affordable_lots(account.cash_uyen, settings, price))
    return lots if lots >= settings.min_lots else 0


@compiled
def affordable_lots(cash_uyen: int, settings: Record, price: int) -> int:
    """Return the lots that cash can pay for, taker fee included and one yen kept for its rounding."""
    lot = price * settings.unit_uyen
    each = lot + lot * max(settings.taker_fee_ppm, 0) // 1_000_000 + 1
    return max(cash_uyen - 1_000_000, 0) // each
