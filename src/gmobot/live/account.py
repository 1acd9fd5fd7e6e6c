"""The account as a whole: what is ours in money, how far below its peak, how much lost today.

Only what the bot traded, and the yen it found when it first started, is its business. Peak equity and the
day's start are state and not memory: they survive restarts, and the day turns at 06:00 JST.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gmobot.clock import Clock, trading_day
from gmobot.core.records import ACCOUNT
from gmobot.live.books import Books
from gmobot.live.market import Market

_COINS = "base_lots:"
AccountRecord = np.ndarray[tuple[int], np.dtype[np.void]]


@dataclass(slots=True)
class AccountState:
    """Account-wide numbers that are kept, in micro-yen.

    Attributes:
        base_cash: Yen found at the exchange when the bot first started; ``None`` before it has asked.
        base_coins: Lots of each symbol found then: not ours, never sold.
    """

    base_cash: int | None = None
    peak: int = 0
    day: int = 0
    day_start: int = 0
    base_coins: dict[str, int] = field(default_factory=dict)

    @classmethod
    def restore(cls, saved: Mapping[str, int]) -> AccountState:
        """Make the state from what the database holds."""
        if "base_cash" not in saved:
            return cls()
        coins = {name.removeprefix(_COINS): value for name, value in saved.items() if name.startswith(_COINS)}
        return cls(saved["base_cash"], saved["peak"], saved["day"], saved["day_start"], coins)

    def to_dict(self) -> dict[str, int]:
        """Return the numbers for the database; empty while nothing is known."""
        if self.base_cash is None:
            return {}
        coins = {_COINS + symbol: lots for symbol, lots in self.base_coins.items()}
        return {"base_cash": self.base_cash, "peak": self.peak, "day": self.day, "day_start": self.day_start, **coins}


class Account:
    """Values the books at the market and keeps peak and day's start."""

    def __init__(self, books: Books, markets: Mapping[str, Market], clock: Clock, state: AccountState) -> None:
        self._books = books
        self._markets = markets
        self._clock = clock
        self.state = state
        self.wallet_drift_uyen = 0

    def start(self, base_cash_uyen: int, base_coins: Mapping[str, int]) -> None:
        """Set the capital, once in the life of a database."""
        day = trading_day(self._clock.now_ns())
        self.state = AccountState(base_cash_uyen, base_cash_uyen, day, base_cash_uyen, dict(base_coins))

    @property
    def cash_uyen(self) -> int:
        """Yen that are ours: the base and everything our fills did to it."""
        return (self.state.base_cash or 0) + sum(self._books.ledger(symbol).yen_uyen for symbol in self._books.symbols)

    def worth_uyen(self, symbol: str) -> int:
        """Return what our position in a symbol is worth; at cost before the first price."""
        ledger, mark = self._books.ledger(symbol), self._markets[symbol].mark()
        if not mark:
            return ledger.cost_uyen
        return self._books.instrument(symbol).notional_uyen(mark, ledger.position)

    @property
    def equity_uyen(self) -> int:
        """Cash and everything we own, at the market."""
        return self.cash_uyen + sum(self.worth_uyen(symbol) for symbol in self._books.symbols)

    @property
    def drawdown(self) -> float:
        """Share of the peak that is lost, 0 to 1."""
        return max(0.0, (self.state.peak - self.equity_uyen) / self.state.peak) if self.state.peak > 0 else 0.0

    @property
    def daily_pnl_uyen(self) -> int:
        """Gain since 06:00 JST."""
        return self.equity_uyen - self.state.day_start

    @property
    def leverage(self) -> float:
        """Gross worth of positions over equity."""
        equity = self.equity_uyen
        gross = sum(abs(self.worth_uyen(symbol)) for symbol in self._books.symbols)
        return gross / equity if equity > 0 else 0.0

    def observe(self) -> bool:
        """Take note of a new peak or a new day. Returns whether the kept numbers changed."""
        if self.state.base_cash is None:
            return False
        before = self.state.to_dict()
        equity, day = self.equity_uyen, trading_day(self._clock.now_ns())
        self.state.peak = max(self.state.peak, equity)
        if day > self.state.day:
            self.state.day, self.state.day_start = day, equity
        return self.state.to_dict() != before

    def accept_loss(self) -> None:
        """An operator has seen the drawdown: measure the next one from here, or the halt would never end."""
        self.state.peak = self.equity_uyen

    def record(self, symbol: str, *, halted: bool) -> AccountRecord:
        """Return the account as the core sees it when a bar of ``symbol`` closes."""
        ledger = self._books.ledger(symbol)
        others = [other for other in self._books.symbols if other != symbol and self._books.position(other)]
        record = np.zeros(1, ACCOUNT)
        row = record[0]
        ledger.show(record)
        pending = sum(intent.open_lots for intent in self._books.open_intents(symbol) if intent.opens)
        if not pending and abs(ledger.position) < self._books.instrument(symbol).min_lots:
            # Dust can be neither sold nor protected: the trade is over, and the next one takes it along.
            row["position"] = row["cost_uyen"] = 0
        row["cash_uyen"] = self.cash_uyen
        row["equity_uyen"] = self.equity_uyen
        row["peak_equity_uyen"] = max(self.state.peak, self.equity_uyen)
        row["day_start_equity_uyen"] = self.state.day_start
        row["wallet_drift_uyen"] = self.wallet_drift_uyen
        row["other_positions"] = len(others)
        row["other_gross_uyen"] = sum(abs(self.worth_uyen(other)) for other in others)
        row["pending"] = pending
        row["halted"] = int(halted)
        return record
