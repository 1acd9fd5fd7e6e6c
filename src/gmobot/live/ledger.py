"""One symbol's ledger as the daemon keeps it: the core's own arithmetic, run plain, stored as numbers.

Beside it stands what the symbol did to the yen at the exchange, as the exchange reports it. On spot the two are
the same. On leverage no yen moves for the notional: a close brings its reported gain or loss, every fill costs
its fee, and a night its leverage fee.

What each of the latest trades brought is kept until somebody has judged it: several may end between two looks.

Whole lots are booked. What an order filled beyond them, when the exchange's grid became finer than ours, stands beside
until that order's next fill.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

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
_TRADE = "trade:"
_REST = "rest:"
_REST_DIGITS = 18
"""Of a coin: no amount that gets past the wire is finer."""


class Rest(NamedTuple):
    """Less than a lot, filled and not booked.

    Attributes:
        order_id: Of the order that filled it.
        coins: Signed: bought or sold.
        position_id: The leverage position that its last fill opened or closed.
    """

    order_id: int
    coins: Decimal
    position_id: int | None


class SymbolLedger:
    """Coins and yen of one symbol, changed by fills and leverage fees only.

    Attributes:
        position: Lots we own; negative is short.
        cost_uyen: What they were bought for; of a short position negative: what they were sold for.
        cash_uyen: What all fills and fees did to our yen, every notional paid for in full.
        on_leverage: Whether the symbol is a leverage product.
        rests: What orders filled beyond whole lots, by their ids.
        trades: What closed trades brought after fees, by their numbers, until they are forgotten.
    """

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._record: Any = numbers(np.zeros(1, LEDGER)[0])
        self._reported_uyen = 0
        self.on_leverage = instrument.product is Product.LEVERAGE
        self.position = self.cost_uyen = self.cash_uyen = 0
        self.rests: dict[int, Rest] = {}
        self.trades: dict[int, int] = {}

    @classmethod
    def restore(cls, instrument: Instrument, saved: Mapping[str, int] | None) -> SymbolLedger:
        """Make a ledger from what the database holds, or an empty one."""
        ledger = cls(instrument)
        kept = dict(saved or {})
        ledger._reported_uyen = kept.pop(_REPORTED, 0)
        for name, value in kept.items():
            if name.startswith(_REST):
                order_id, position_id = map(int, name.removeprefix(_REST).split(":"))
                ledger.keep(Rest(order_id, Decimal(value).scaleb(-_REST_DIGITS), position_id or None))
            elif name.startswith(_TRADE):
                ledger.trades[int(name.removeprefix(_TRADE))] = value
            else:
                setattr(ledger._record, name, value)
        ledger._read()
        return ledger

    def fits(self, side: Side, lots: int, *, closes: bool = False) -> bool:
        """Return whether a fill can be ours: it closes no more than is held, and opens no second side."""
        held, sign = self.position, 1 if side is Side.BUY else -1
        if closes or (side is Side.SELL and not self.on_leverage):
            return held * sign < 0 and lots <= abs(held)
        return held * sign >= 0

    def rest(self, order_id: int) -> Decimal:
        """Return the coins that an order filled beyond its whole lots."""
        return abs(self.rests[order_id].coins) if order_id in self.rests else Decimal(0)

    def keep(self, rest: Rest) -> None:
        """Take what an order has filled beyond its whole lots by now."""
        self.rests.pop(rest.order_id, None)
        if rest.coins:
            self.rests[rest.order_id] = rest

    def apply(self, side: Side, ticks: int, lots: int, fee_uyen: int, *, closes: bool = False, realized_uyen: int | None = 0) -> int:
        """Book a fill.

        Args:
            side: Of the fill.
            ticks: Its price.
            lots: Its size; 0 when it filled less than one.
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
        before, closed = self.realized_uyen, self.closed_trades
        change = _buy if side is Side.BUY else _sell
        pnl = change(self._record, self._instrument.unit_uyen, ticks, lots, fee_uyen)
        self._read()
        if self.closed_trades > closed:
            self.trades[self.closed_trades] = pnl
        brought = self.realized_uyen - before if realized_uyen is None else realized_uyen
        self._reported_uyen += brought - fee_uyen
        return brought

    def forget_trades(self, judged: int) -> None:
        """Forget what the trades up to a number brought."""
        self.trades = {number: pnl for number, pnl in self.trades.items() if number > judged}

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
        rests = {f"{_REST}{key}:{rest.position_id or 0}": int(rest.coins.scaleb(_REST_DIGITS)) for key, rest in self.rests.items()}
        trades = {f"{_TRADE}{number}": pnl for number, pnl in self.trades.items()}
        return {name: getattr(self._record, name) for name in LEDGER.names or ()} | {_REPORTED: self._reported_uyen} | rests | trades

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
