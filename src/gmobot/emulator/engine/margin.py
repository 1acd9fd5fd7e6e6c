"""What leverage costs and allows: margin in use, valuation, equity, buying power, and default losscut prices.

Margin is JPY alone: coins on the account do not count. Sums go over the account's totals, not over single
positions, so that an account with a thousand of them is as quick as one with two.

Source: reference/gmo-coin-api.md §5.1, §6.1, §6.6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_DOWN, Decimal
from typing import Literal

from gmobot.core.instrument import PPM, Instrument
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.engine.records import SIDES, Account, Total

Valuation = Callable[[str, str], int]
"""Symbol and side of a position to the ticks it is valued at, 0 while there is no price."""
_TENTH_PERCENT = Decimal("0.1")


def default_losscut(side: str, ticks: int, leverage: int) -> int:
    """Return where a position loses half its margin, rounded toward the price it was opened at."""
    twice = 2 * leverage
    return -(-ticks * (twice - 1) // twice) if side == "BUY" else ticks * (twice + 1) // twice


class Margins:
    """The figures of ``account/margin``, from an account's records and the market's prices."""

    def __init__(self, instruments: Mapping[str, Instrument], assumptions: Assumptions, valuation: Valuation) -> None:
        self._units = {symbol: instrument.unit_uyen for symbol, instrument in instruments.items()}
        self._assumptions = assumptions
        self.valuation = valuation

    def of_notional(self, notional_uyen: int) -> int:
        """Return the margin of so much worth of positions or orders."""
        return -(-notional_uyen // self._assumptions.leverage)

    def gain_uyen(self, symbol: str, side: str, ticks: int, cost: int, lots: int) -> int:
        """Return what lots bought or sold for ``cost`` (ticks times lots) gain at a price."""
        gain = (ticks * lots - cost) * self._units[symbol]
        return gain if side == "BUY" else -gain

    def unrealised_of(self, symbol: str, side: str, total: Total) -> int:
        """Return the valuation gain or loss of one total."""
        ticks = self.valuation(symbol, side)
        return self.gain_uyen(symbol, side, ticks, total.cost, total.lots) if ticks else 0

    def unrealised_uyen(self, account: Account) -> int:
        """Return the valuation gain or loss of all positions."""
        return sum(self.unrealised_of(symbol, side, total) for (symbol, side), total in account.totals.items())

    def used_uyen(self, account: Account) -> int:
        """Return the margin that positions use; of a hedge both sides or the larger, as assumed."""
        used: dict[str, list[int]] = {}
        for (symbol, _), total in account.totals.items():
            used.setdefault(symbol, []).append(total.cost * self._units[symbol])
        together: Callable[[list[int]], int] = sum if self._assumptions.hedge_margin == "sum" else max
        return sum(self.of_notional(together(costs)) for costs in used.values())

    def equity_uyen(self, account: Account) -> int:
        """Return yen and the valuation of positions: ``actualProfitLoss``."""
        return account.jpy_uyen + self.unrealised_uyen(account)

    def available_uyen(self, account: Account) -> int:
        """Return buying power: equity without what positions and open orders need. May be below zero."""
        free = account.jpy_uyen - account.held_uyen
        if not account.totals:
            return free
        return free + self.unrealised_uyen(account) - self.used_uyen(account)

    def spendable_uyen(self, account: Account) -> int:
        """Return yen that may leave the account, for coins or by transfer: a valuation gain is no yen yet."""
        free = account.jpy_uyen - account.held_uyen
        return min(free, self.available_uyen(account)) if account.totals else free

    def below(self, account: Account, ratio: Decimal) -> bool:
        """Return whether equity is less than a share of the margin in use."""
        return self.equity_uyen(account) * PPM < int(ratio * PPM) * self.used_uyen(account)

    def ratio_percent(self, account: Account) -> Decimal | None:
        """Return the maintenance ratio with one decimal, cut off; ``None`` without a position."""
        used = self.used_uyen(account)
        if not used:
            return None
        return (Decimal(self.equity_uyen(account)) / used * 100).quantize(_TENTH_PERCENT, ROUND_DOWN)

    def status(self, account: Account) -> Literal["NORMAL", "MARGIN_CALL", "LOSSCUT"]:
        """Return ``marginCallStatus``: LOSSCUT while positions that must go still wait for a book to go into."""
        if account.totals and self.below(account, self._assumptions.account_losscut_ratio):
            return "LOSSCUT"
        return "MARGIN_CALL" if self.called(account) else "NORMAL"

    def called(self, account: Account) -> bool:
        """Return whether a margin call is outstanding; it is met while equity covers the margin in use."""
        return account.called_until_ns > 0 and self.below(account, self._assumptions.margin_call_ratio)

    def exposure(self, account: Account, symbol: str) -> int:
        """Return the lots an account has open on both sides of a symbol."""
        return sum(account.totals[symbol, side].lots for side in SIDES if (symbol, side) in account.totals)
