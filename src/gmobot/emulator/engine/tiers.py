"""How many requests an account may send, which the volume of the week before decides.

Source: reference/gmo-coin-api.md §3.1.
"""

from __future__ import annotations

from gmobot.core.instrument import UYEN_PER_YEN
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.engine.days import trading_week
from gmobot.emulator.engine.records import Account

_VOLUME_YEN = (1_000_000_000, 2_000_000_000)
"""From where on tier 2 and tier 3 begin."""
_RELATION = (2, 3, 5)
"""The tiers' allowances relate like 20, 30 and 50."""


def tier(account: Account, now_ns: int, assumptions: Assumptions) -> int:
    """Return an account's tier. It holds from Sunday 06:00 JST on; the half hour in which tiers switch is not modelled."""
    before = account.volumes.get(trading_week(now_ns) - 1, 0)
    found = 1 + sum(before >= yen * UYEN_PER_YEN for yen in _VOLUME_YEN)
    return found if assumptions.third_tier else min(found, 2)


def allowance(account: Account, now_ns: int, assumptions: Assumptions) -> int:
    """Return GET, and apart from them POST, requests a second."""
    return assumptions.private_per_second * _RELATION[tier(account, now_ns, assumptions) - 1] // _RELATION[0]
