"""How the exchange's balances differ from our books."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from gmobot.core.instrument import to_yen
from gmobot.live.flows import Flow


@dataclass(frozen=True, slots=True)
class Difference:
    """What the exchange has more (or less) than our books say.

    Attributes:
        yen_uyen: Yen.
        coins: Coins, by spot symbol; only those that differ.
    """

    yen_uyen: int = 0
    coins: Mapping[str, Decimal] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.yen_uyen != 0 or bool(self.coins)

    def __str__(self) -> str:
        parts = [f"{to_yen(self.yen_uyen):+f} JPY"] if self.yen_uyen else []
        return ", ".join(parts + [f"{amount:+f} {symbol}" for symbol, amount in self.coins.items()]) or "none"

    def without(self, flow: Flow) -> Difference:
        """Return what is left when a flow explains its part."""
        coins = dict(self.coins)
        if flow.amount and flow.asset != "JPY":
            coins[flow.asset] = coins.get(flow.asset, Decimal(0)) - flow.amount
        return Difference(self.yen_uyen - flow.yen_uyen, {symbol: amount for symbol, amount in coins.items() if amount})
