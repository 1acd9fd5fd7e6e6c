"""One symbol's ledger as the daemon keeps it: the core's own arithmetic, run plain, stored as numbers.

Beside it stands what the symbol did to the yen at the exchange, as the exchange reports it. On spot the two are
the same. On leverage no yen moves for the notional: a close brings its reported gain or loss, every fill costs
its fee, and a night its leverage fee.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gmobot.core.compiled import numbers, uncompiled
from gmobot.core.instrument import Instrument, Product
from gmobot.core.ledger import LEDGER, apply_buy, apply_leverage_fee, apply_sell, show
from gmobot.errors import FatalError
from gmobot.venue.models import Side

_buy = uncompiled(apply_buy)
_sell = uncompiled(apply_sell)
_leverage_fee = uncompiled(apply_leverage_fee)
_show = uncompiled(show)
_REPORTED = "reported_uyen"


class SymbolLedger:
    """Coins and yen of one symbol, changed by fills and leverage fees only.

    Attributes:
        position: Lots we own; negative is short.
        cost_uyen: What they were bought for; of a short position negative: what they were sold for.
        cash_uyen: What all fills and fees did to our yen, every notional paid for in full.
        on_leverage: Whether the symbol is a leverage product.
    """

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._record: Any = numbers(np.zeros(1, LEDGER)[0])
        self._reported_uyen = 0
        self.on_leverage = instrument.product is Product.LEVERAGE
        self.position = self.cost_uyen = self.cash_uyen = 0

    @classmethod
    def restore(cls, instrument: Instrument, saved: Mapping[str, int] | None) -> SymbolLedger:
        """Make a ledger from what the database holds, or an empty one."""
        ledger = cls(instrument)
        kept = dict(saved or {})
        ledger._reported_uyen = kept.pop(_REPORTED, 0)
        for name, value in kept.items():
            setattr(ledger._record, name, value)
        ledger._read()
        return ledger

    def fits(self, side: Side, lots: int, *, closes: bool = False) -> bool:
        """Return whether a fill can be ours: it closes no more than is held, and opens no second side."""
        held, signed = self.position, lots if side is Side.BUY else -lots
        if closes or (side is Side.SELL and not self.on_leverage):
            return held * signed < 0 and lots <= abs(held)
        return held * signed >= 0

    def apply(self, side: Side, ticks: int, lots: int, fee_uyen: int, *, closes: bool = False, realized_uyen: int | None = 0) -> int:
        """Book a fill.

        Args:
            side: Of the fill.
            ticks: Its price.
            lots: Its size.
            fee_uyen: As reported, signed.
            closes: Whether it closes what is held, on leverage; on spot a sale always does.
            realized_uyen: What a leverage close brought, as reported; ``None`` when it was not: then our own sum is taken.

        Returns:
            What it brought.

        Raises:
            FatalError: It closes more than is ours, or opens a second side.
        """
        if not self.fits(side, lots, closes=closes):
            raise FatalError(f"{self._instrument.symbol}: a fill of {lots} lots, {side.value}, does not fit {self.position} that are ours")
        before = self.realized_uyen
        change = _buy if side is Side.BUY else _sell
        change(self._record, self._instrument.unit_uyen, ticks, lots, fee_uyen)
        self._read()
        brought = self.realized_uyen - before if realized_uyen is None else realized_uyen
        self._reported_uyen += brought - fee_uyen
        return brought

    def apply_leverage_fee(self, fee_uyen: int) -> None:
        """Book what holding a position over the day's turn cost."""
        _leverage_fee(self._record, fee_uyen)
        self._reported_uyen -= fee_uyen
        self._read()

    def show(self, account: Any) -> None:  # noqa: ANN401  # whatever has an ACCOUNT record's fields
        """Write what the fields of an ACCOUNT record tell of this symbol."""
        _show(self._record, account)

    def to_dict(self) -> dict[str, int]:
        """Return all numbers, for the database."""
        return {name: getattr(self._record, name) for name in LEDGER.names or ()} | {_REPORTED: self._reported_uyen}

    @property
    def yen_uyen(self) -> int:
        """What this symbol did to the yen at the exchange."""
        return self._reported_uyen if self.on_leverage else self.cash_uyen

    @property
    def fees_uyen(self) -> int:
        """Fees paid, rebates subtracted."""
        return int(self._record.fees_uyen)

    @property
    def realized_uyen(self) -> int:
        """What closes brought above cost, before fees."""
        return int(self._record.realized_uyen)

    @property
    def closed_trades(self) -> int:
        """Trades that went back to flat."""
        return int(self._record.closed_trades)

    def _read(self) -> None:
        """Keep at hand what is asked for many times between two fills."""
        record = self._record
        self.position, self.cost_uyen, self.cash_uyen = record.position, record.cost_uyen, record.cash_uyen
