"""A scripted exchange that also tells balances' histories, and what compares with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.live.bench import BTC, Bench, ScriptedRest

from gmobot.core.instrument import Instrument
from gmobot.errors import VenueError
from gmobot.live.reconcile import Reconciler
from gmobot.live.search import Search
from gmobot.venue.models import CashFlow, Execution, FeeEntry, SymbolRules

YEN = 1_000_000
CAPITAL = 1_000_000 * YEN


class HistorianRest(ScriptedRest):
    """Histories as lists; what is dated outside a question's window is not told."""

    def __init__(self) -> None:
        super().__init__()
        self.flows: dict[str, list[CashFlow]] = {}
        """By kind and asset: ``deposit JPY``."""
        self.fees: list[FeeEntry] | VenueError = []
        self.fee_days: list[tuple[date, date]] = []
        self.asked: Counter[str] = Counter()
        self.windows: list[tuple[str, int, int]] = []
        self.refusing: dict[str, VenueError] = {}
        self.markets: list[str] = []
        self.elsewhere: dict[str, list[Execution]] = {}
        self.stamped_ns = 0

    @property
    def server_stamped_ns(self) -> int:
        return self.stamped_ns

    def _told(self, what: str, from_ns: int, to_ns: int) -> list[CashFlow]:
        self.asked[what] += 1
        self.windows.append((what, from_ns, to_ns))
        if what in self.refusing:
            raise self.refusing[what]
        return [row for row in self.flows.get(what, []) if from_ns <= row.at_ns < to_ns]

    async def fiat_deposits(self, from_ns: int, to_ns: int) -> list[CashFlow]:
        return self._told("deposit JPY", from_ns, to_ns)

    async def fiat_withdrawals(self, from_ns: int, to_ns: int) -> list[CashFlow]:
        return self._told("withdrawal JPY", from_ns, to_ns)

    async def deposits(self, asset: str, from_ns: int, to_ns: int) -> list[CashFlow]:
        return self._told(f"deposit {asset}", from_ns, to_ns)

    async def withdrawals(self, asset: str, from_ns: int, to_ns: int) -> list[CashFlow]:
        return self._told(f"withdrawal {asset}", from_ns, to_ns)

    async def exchange_fees(self, first_day: date, last_day: date) -> list[FeeEntry]:
        self.asked["fees"] += 1
        self.fee_days.append((first_day, last_day))
        if isinstance(self.fees, VenueError):
            raise self.fees
        return self.fees

    async def symbols(self) -> list[SymbolRules]:
        self.asked["symbols"] += 1
        rules: dict[str, Any] = {name: Decimal(1) for name in SymbolRules.__struct_fields__ if name != "symbol"}
        return [SymbolRules(symbol=symbol, **rules) for symbol in self.markets]

    async def latest_executions(self, symbol: str, *, known: Callable[[Execution], bool] = lambda row: False) -> list[Execution]:
        if symbol in self.markets:
            self.asked[symbol] += 1
            if symbol in self.refusing:
                raise self.refusing[symbol]
            return self.elsewhere.get(symbol, [])
        return await super().latest_executions(symbol, known=known)


class Historian(Bench):
    """A bench with a search and a reconciler; the account begins with a million yen and no coins."""

    rest: HistorianRest

    def __init__(self, directory: Path, instrument: Instrument = BTC, **manner: Any) -> None:
        super().__init__(directory, instrument, **manner)
        self.rest = HistorianRest()
        self.max_drift = 100 * YEN

    async def open(self) -> None:
        await super().open()
        markets = {self.symbol: self.market}
        self.search = Search(self.rest, self.rest, self.books, self.account, self.cash, self.store, markets, self.clock)
        desk: Any = SimpleNamespace(trader=self.trader, tracker=self.tracker, market=self.market)
        self.reconciler = Reconciler(
            self.rest,
            self.books,
            self.account,
            self.store,
            {self.symbol: desk},
            self.clock,
            cash=self.cash,
            search=self.search,
            visibility_seconds=3.0,
            max_drift_uyen=self.max_drift,
            alarm=self._alarm,
        )

    async def begin(self) -> None:
        """Open, with a start in the past of the histories."""
        await self.open()
        self.account.start(CAPITAL, {"BTC": Decimal(0)} if self.symbol == "BTC" else {})
        await self.store.save_account(self.account.state.to_dict())

    def flows(self) -> list[tuple[str, str, int]]:
        """Return what is booked: kind, asset and micro-yen."""
        return [tuple(row) for row in self.sql("SELECT kind, asset, yen_uyen FROM cash_flows ORDER BY rowid")]
