"""The account as a whole: what is ours in money, how far below its peak, how much lost today.

Only what the bot traded, and the yen it found when it first started, is its business. Peak equity and the
day's start are state and not memory: they survive restarts, and the day turns at 06:00 JST. What comes and goes
other than by our trading (``live/cash.py``) moves base, peak and day's start together, so that it neither trips
a guard nor resets one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from typing import Any

import numpy as np

from gmobot.clock import Clock, trading_day
from gmobot.core.compiled import numbers
from gmobot.core.records import ACCOUNT
from gmobot.live.books import Books
from gmobot.live.market import Market

_COINS = "base_coins:"
_COIN_DIGITS = 10
"""Coins that are not ours are kept to this many digits: finer than any balance, coarse enough for 63 bits."""
_NAMES = ACCOUNT.names or ()
_NOTHING = np.zeros(1, ACCOUNT)[0]
AccountRecord = np.ndarray[tuple[int], np.dtype[np.void]]


@dataclass(slots=True)
class AccountState:
    """Account-wide numbers that are kept, in micro-yen.

    Attributes:
        base_cash: Yen that no trade of ours brought: found when the bot first started, and what came and went since;
            ``None`` before it has asked.
        base_coins: Coins of each spot symbol that are not ours and never sold. They need not be whole lots.
        flows_from_ns: By the exchange's clock: what came or went before is in the base already.
        level_ns: By the exchange's clock: when nothing was left to explain.
        assumed: Whether nobody has asked: what is shown where there is no account. It is not kept, or it would be taken for what was found.
        moved: What came and went that the peak has yet to follow: a share of what is ours is not known without its prices.
    """

    base_cash: int | None = None
    peak: int = 0
    day: int = 0
    day_start: int = 0
    base_coins: dict[str, Decimal] = field(default_factory=dict)
    flows_from_ns: int = 0
    level_ns: int = 0
    moved: int = 0
    assumed: bool = False

    @classmethod
    def restore(cls, saved: Mapping[str, int]) -> AccountState:
        """Make the state from what the database holds."""
        if "base_cash" not in saved:
            return cls()
        coins = {name.removeprefix(_COINS): Decimal(value) for name, value in saved.items() if name.startswith(_COINS)}
        return cls(
            saved["base_cash"],
            saved["peak"],
            saved["day"],
            saved["day_start"],
            {symbol: units.scaleb(-_COIN_DIGITS) for symbol, units in coins.items()},
            saved.get("flows_from_ns", 0),
            saved.get("level_ns", 0),
            saved.get("moved", 0),
        )

    def to_dict(self) -> dict[str, int]:
        """Return the numbers for the database; empty while nothing is known."""
        if self.base_cash is None or self.assumed:
            return {}
        coins = {_COINS + symbol: int(amount.scaleb(_COIN_DIGITS)) for symbol, amount in self.base_coins.items()}
        numbers = {"base_cash": self.base_cash, "peak": self.peak, "day": self.day, "day_start": self.day_start}
        return numbers | {"flows_from_ns": self.flows_from_ns, "level_ns": self.level_ns, "moved": self.moved} | coins


def kept(coins: Decimal) -> Decimal:
    """Return an amount of coins as exactly as it is kept."""
    return coins.quantize(Decimal(1).scaleb(-_COIN_DIGITS), ROUND_FLOOR)


class Account:
    """Values the books at the market and keeps peak and day's start."""

    def __init__(
        self,
        books: Books,
        markets: Mapping[str, Market],
        clock: Clock,
        state: AccountState,
        *,
        exchange_now_ns: Callable[[], int] | None = None,
    ) -> None:
        """Make the account.

        Args:
            books: What is ours.
            markets: What it is worth.
            clock: Ours.
            state: What was kept.
            exchange_now_ns: Returns what the exchange's clock reads, 0 while that is not known; our clock where there is none.
        """
        self._books = books
        self._markets = markets
        self._clock = clock
        self._exchange_now_ns = exchange_now_ns or clock.now_ns
        self.max_drawdown = 0.0
        """Largest share of the peak that was lost in this run."""
        self.state = state
        self.wallet_drift_uyen = 0

    def start(self, base_cash_uyen: int, base_coins: Mapping[str, Decimal], *, at_ns: int | None = None, assumed: bool = False) -> None:
        """Set the capital, once in the life of a database.

        Args:
            base_cash_uyen: Yen that are there now.
            base_coins: Coins by symbol that are there now and not ours.
            at_ns: When that was, by the exchange's clock; our own where there is none.
            assumed: Whether nobody has asked the exchange.
        """
        at = self._clock.now_ns() if at_ns is None else at_ns
        day = trading_day(at)
        self.state = AccountState(base_cash_uyen, base_cash_uyen, day, base_cash_uyen, dict(base_coins), at, at, assumed=assumed)

    @property
    def cash_uyen(self) -> int:
        """Yen that are ours: the base and everything our fills did to it."""
        traded = sum(self._books.ledger(symbol).yen_uyen for symbol in self._books.symbols)
        return (self.state.base_cash or 0) + self._books.retired_uyen + traded

    def gross_uyen(self, symbol: str) -> int:
        """Return what the position in a symbol comes to, negative of a short one; at cost before the first price."""
        ledger, mark = self._books.ledger(symbol), self._markets[symbol].mark()
        return self._books.instrument(symbol).notional_uyen(mark, ledger.position) if mark else ledger.cost_uyen

    def worth_uyen(self, symbol: str) -> int:
        """Return what our position adds to our yen: on spot its worth, on leverage what it has gained so far."""
        ledger = self._books.ledger(symbol)
        return self.gross_uyen(symbol) - (ledger.cost_uyen if ledger.on_leverage else 0)

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
        gross = sum(abs(self.gross_uyen(symbol)) for symbol in self._books.symbols)
        return gross / equity if equity > 0 else 0.0

    def open_lots(self, symbol: str) -> int:
        """Return the lots of a symbol that entries under way may still add, the unknown ones included."""
        return sum(intent.open_lots for intent in self._books.open_intents(symbol) if intent.opens)

    def open_beside(self, symbol: str) -> list[str]:
        """Return the other symbols that hold something, or may before long."""
        return [other for other in self._books.symbols if other != symbol and (self._books.position(other) or self.open_lots(other))]

    def worst_gross_uyen(self, symbol: str, *, adding: int = 0, price: int = 0) -> int:
        """Return what a symbol comes to, whichever side, once all that may still be added is.

        Args:
            symbol: Which.
            adding: Lots of one entry more.
            price: Its price in ticks, 0 for the market's.
        """
        instrument, mark = self._books.instrument(symbol), self._markets[symbol].mark()
        more = instrument.notional_uyen(mark, self.open_lots(symbol)) + instrument.notional_uyen(price or mark, adding)
        return abs(self.gross_uyen(symbol)) + more

    def observe(self) -> bool:
        """Take note of a new peak or a new day. Returns whether the kept numbers changed."""
        if self.state.base_cash is None:
            return False
        before, day = self.state.to_dict(), self.new_day()
        if self._is_valued:
            self._raise_peak()
            self.max_drawdown = max(self.max_drawdown, self.drawdown)
        if day is not None:
            self.state.day, self.state.day_start = day, self.equity_uyen
        return self.state.to_dict() != before

    def new_day(self) -> int | None:
        """Return the trading day that has begun since the last look; ``None`` while none has, or nobody knows what is ours is worth."""
        now = self._exchange_now_ns()
        begun = now > 0 and trading_day(now) > self.state.day
        return trading_day(now) if begun and self.is_known else None

    @property
    def is_known(self) -> bool:
        """Whether drawdown and the day's gain can be judged: everything has a price, and the peak has followed what came and went."""
        return self._is_valued and not self.state.moved

    @property
    def _is_valued(self) -> bool:
        """Whether everything we hold has a price: after a start it has none for a moment, and counts at cost."""
        return all(self._markets[symbol].mark() for symbol in self._books.symbols if self._books.position(symbol))

    def adjust(self, equity_before_uyen: int) -> None:
        """Something came or went that no trade of ours brought: move peak and day's start along.

        The drawdown stays the same share of the peak, and the day's gain the same yen. The peak follows once everything
        has a price, after a restart too.

        Args:
            equity_before_uyen: Equity before it was booked.
        """
        moved = self.equity_uyen - equity_before_uyen
        self.state.day_start += moved
        self.state.moved += moved
        if self._is_valued:
            self._raise_peak()

    def _raise_peak(self) -> None:
        """Let the peak follow what came and went, and then equity; only while everything has a price."""
        state, equity = self.state, self.equity_uyen
        before, state.moved = equity - state.moved, 0
        if before > 0 and equity >= 0:
            state.peak = max(equity, max(state.peak, before) * equity // before)
        else:
            state.peak = max(equity, state.peak + equity - before)

    def pay_leverage_fee(self, fee_uyen: int) -> None:
        """A leverage fee was booked: it is no trading loss of the day, and no drawdown."""
        self.state.peak -= fee_uyen
        self.state.day_start -= fee_uyen

    def accept_loss(self) -> None:
        """An operator has seen the drawdown: measure the next one from here, or the halt would never end.

        From the first moment at which everything has a price, while it has none.
        """
        self.state.peak, self.state.moved = (self.equity_uyen if self._is_valued else 0), 0

    def record(self, symbol: str, *, halted: bool) -> AccountRecord:
        """Return the account as the core sees it when a bar of ``symbol`` closes."""
        shown = self.shown(symbol, halted=halted)
        return np.array([tuple(getattr(shown, name) for name in _NAMES)], ACCOUNT)

    def worst_trade_uyen(self, symbol: str, *, since: int) -> int | None:
        """Return the least that a trade brought of those that closed after the first so many, ``None`` when none has."""
        return min((pnl for number, pnl in self._books.ledger(symbol).trades.items() if number > since), default=None)

    def forget_trades(self, judged: Mapping[str, int]) -> None:
        """Forget what the trades brought that were judged, so many of each symbol."""
        for symbol, number in judged.items():
            self._books.ledger(symbol).forget_trades(number)

    def shown(self, symbol: str, *, halted: bool) -> Any:  # noqa: ANN401  # the fields of an ACCOUNT record
        """Return the same in plain numbers, for the core's functions that run plain."""
        ledger = self._books.ledger(symbol)
        others = self.open_beside(symbol)
        row = numbers(_NOTHING)
        ledger.show(row)
        pending = self.open_lots(symbol)
        if not pending and abs(ledger.position) < self._books.instrument(symbol).min_lots:
            # Dust can be neither sold nor protected: the trade is over, and the next one takes it along.
            row.position = row.cost_uyen = 0
        equity = self.equity_uyen
        row.cash_uyen = self.cash_uyen
        row.equity_uyen = equity
        # What nobody can judge is shown as no loss: at cost, the gain that the peak was saved with would look like one.
        row.peak_equity_uyen = max(self.state.peak, equity) if self.is_known else equity
        row.day_start_equity_uyen = self.state.day_start if self.is_known else equity
        row.wallet_drift_uyen = self.wallet_drift_uyen
        row.other_positions = len(others)
        row.other_gross_uyen = sum(self.worst_gross_uyen(other) for other in others)
        row.pending = pending
        row.halted = int(halted)
        return row
