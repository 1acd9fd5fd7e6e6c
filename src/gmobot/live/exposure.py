"""What all symbols together may come to at worst: limits of the account, which no symbol's order manager sees alone."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from gmobot.config import Config
from gmobot.core.instrument import PPM
from gmobot.live.account import Account
from gmobot.live.plan import Place


class AccountLimits:
    """Judges an entry by everything that is held or may still be bought, in any symbol."""

    def __init__(self, account: Account, *, max_leverage: Decimal, slack: Decimal, max_positions: Mapping[str, int]) -> None:
        """Make the limits.

        Args:
            account: What is held and may still fill, at the market.
            max_leverage: Worth of positions over equity, 0 for any.
            slack: Share by which prices may have moved since an entry was sized.
            max_positions: By symbol: most symbols that may be open with it, itself included; at least 1.
        """
        self._account = account
        self._most_ppm = int(max_leverage * (1 + slack) * PPM)
        self._max_positions = max_positions

    @classmethod
    def of(cls, config: Config, account: Account) -> AccountLimits:
        """Return them as configured: prices may move as far as the collar lets an order follow."""
        most = {instrument.symbol: instrument.filters.max_positions for instrument in config.instruments}
        return cls(account, max_leverage=config.risk.max_leverage, slack=config.risk.price_collar, max_positions=most)

    def denial(self, symbol: str, place: Place) -> str | None:
        """Return why an entry would be too much for the account, or ``None``."""
        others = self._account.open_beside(symbol)
        if len(others) >= self._max_positions[symbol]:
            return "max_positions_reached"
        worst = self._account.worst_gross_uyen(symbol, adding=place.lots, price=place.price)
        worst += sum(self._account.worst_gross_uyen(other) for other in others)
        if self._most_ppm and worst * PPM > self._account.equity_uyen * self._most_ppm:
            return "max_leverage_exceeded"
        return None
