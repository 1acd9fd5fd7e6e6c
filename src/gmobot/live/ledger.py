"""One symbol's ledger as the daemon keeps it: the core's own arithmetic, run plain, stored as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gmobot.core.compiled import PlainRecord, uncompiled
from gmobot.core.instrument import Instrument
from gmobot.core.ledger import LEDGER, apply_buy, apply_sell, show
from gmobot.errors import FatalError
from gmobot.venue.models import Side

_buy = uncompiled(apply_buy)
_sell = uncompiled(apply_sell)
_show = uncompiled(show)


class SymbolLedger:
    """Coins and yen of one symbol, changed by fills only."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._numbers = np.zeros(1, LEDGER)
        self._record: Any = PlainRecord(self._numbers[0])

    @classmethod
    def restore(cls, instrument: Instrument, saved: Mapping[str, int] | None) -> SymbolLedger:
        """Make a ledger from what the database holds, or an empty one."""
        ledger = cls(instrument)
        for name, value in (saved or {}).items():
            setattr(ledger._record, name, value)
        return ledger

    def apply(self, side: Side, ticks: int, lots: int, fee_uyen: int) -> None:
        """Book a fill.

        Raises:
            FatalError: It sells more than is ours.
        """
        if side is Side.BUY:
            _buy(self._record, self._instrument.unit_uyen, ticks, lots, fee_uyen)
        elif lots > self.position:
            raise FatalError(f"{self._instrument.symbol}: a fill sells {lots} lots of {self.position} that are ours")
        else:
            _sell(self._record, self._instrument.unit_uyen, ticks, lots, fee_uyen)

    def show(self, account: np.ndarray[tuple[int], np.dtype[np.void]]) -> None:
        """Write what a one-element ACCOUNT array tells of this symbol."""
        _show(self._record, PlainRecord(account[0]))

    def to_dict(self) -> dict[str, int]:
        """Return all numbers, for the database."""
        return {name: int(self._numbers[0][name]) for name in LEDGER.names or ()}

    @property
    def position(self) -> int:
        """Lots we own."""
        return int(self._record.position)

    @property
    def cost_uyen(self) -> int:
        """What they were bought for."""
        return int(self._record.cost_uyen)

    @property
    def cash_uyen(self) -> int:
        """What all fills and fees did to our yen."""
        return int(self._record.cash_uyen)

    @property
    def fees_uyen(self) -> int:
        """Fees paid, rebates subtracted."""
        return int(self._record.fees_uyen)

    @property
    def realized_uyen(self) -> int:
        """What sales brought above cost, before fees."""
        return int(self._record.realized_uyen)

    @property
    def closed_trades(self) -> int:
        """Trades that went back to flat."""
        return int(self._record.closed_trades)
