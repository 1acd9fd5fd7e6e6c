"""What the backtest tests share: instruments, settings, and the simulator's rules stepped bar by bar in Python."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gmobot.backtest import fills as rules
from gmobot.clock import trading_day
from gmobot.core.compiled import PlainRecord, uncompiled
from gmobot.core.instrument import Instrument, Product
from gmobot.core.ledger import LEDGER
from gmobot.core.records import ACCOUNT, BAR, RISK_ABORT
from gmobot.core.settings import Settings
from gmobot.core.sizing import affordable_lots
from gmobot.history.bars import read_bars
from gmobot.strategies.program import DecisionCore, Desired, Program

BTC = Instrument("BTC", Product.SPOT, Decimal(1), Decimal("0.00001"), Decimal("0.00001"), Decimal(5), Decimal("-0.0001"), Decimal("0.0005"))
CASH = 10_000_000 * 1_000_000
STRATEGIES = ("gmobot.strategies.ema_momentum:EmaMomentum", "gmobot.strategies.buy_and_hold:BuyAndHold")

_buy, _sell = uncompiled(rules.buy_at), uncompiled(rules.sell_at)
_stop, _target = uncompiled(rules.stop_price), uncompiled(rules.target_price)
_affordable = uncompiled(affordable_lots)


def settings(instrument: Instrument = BTC, **changes: Any) -> Settings:
    plain: dict[str, Any] = {"fixed_size": Decimal("0.01"), "cooldown_bars": 2}
    return Settings(instrument=instrument, **(plain | changes))


def bars(rows: list[tuple[int, int, int, int]], *, seconds: int = 60) -> NDArray[Any]:
    """BAR records from open, high, low, close."""
    return np.array([(i * seconds * 10**9, *row, 1_000, 0) for i, row in enumerate(rows)], BAR)


def real_bars(market_data: Path, count: int, skip: int = 0) -> NDArray[Any]:
    data = read_bars(market_data / "ohlcv_1m" / "gmo_BTC_JPY_1m_20241205_20250109.parquet", BTC)
    return data.bars[skip : skip + count]


class Stepwise:
    """The simulator's rules, one bar at a time, around the very core that trades live."""

    def __init__(self, program: Program, chosen: Settings, *, slippage: int = 0, cash: int = CASH) -> None:
        self.core = DecisionCore(program, chosen)
        self.settings: Any = PlainRecord(program.settings_record(chosen)[0])
        self.account = np.zeros(1, ACCOUNT)
        for name in ("cash_uyen", "equity_uyen", "peak_equity_uyen", "day_start_equity_uyen"):
            self.account[name] = cash
        self._ledger = np.zeros(1, LEDGER)
        self.ledger: Any = PlainRecord(self._ledger[0])
        self.cash, self.slippage = cash, slippage
        self.desired: Desired | None = None
        self.day: int | None = None
        self.fills: list[tuple[int, int, int, int]] = []
        self.equity: list[int] = []
        self.decisions: list[Desired] = []

    def run(self, data: NDArray[Any]) -> Stepwise:
        for i in range(len(data)):
            self.step(i, data[i : i + 1])
        return self

    def step(self, i: int, bar: NDArray[Any]) -> None:
        row: Any = PlainRecord(bar[0])
        self._at_open(i, row)
        self._inside(i, row)
        self._value(row)
        self.desired = self.core.step(bar, self.account)
        self.decisions.append(self.desired)
        if self.desired.risk_status == RISK_ABORT:
            self.account["halted"] = 1

    def _at_open(self, i: int, row: Any) -> None:
        want, book = self.desired, self.ledger
        if want is None:
            return
        if want.target > 0 and book.position == 0:
            lots = min(want.target, _affordable(self.cash + book.cash_uyen, self.settings, row.open + self.slippage))
            if lots >= self.settings.min_lots:
                price = _buy(book, self.settings, row.open, lots, self.slippage)
                self.fills.append((i, rules.ENTRY, price, lots))
        elif want.target < book.position:
            lots = book.position - want.target
            self.fills.append((i, rules.EXIT, _sell(book, self.settings, row.open, lots, self.slippage), -lots))

    def _inside(self, i: int, row: Any) -> None:
        want, book = self.desired, self.ledger
        if want is None or book.position <= 0:
            return
        for kind, price in ((rules.STOP, _stop(row, want.stop, want.take_profit)), (rules.TARGET, _target(row, want.take_profit))):
            if price > 0:
                lots = int(book.position)
                self.fills.append((i, kind, _sell(book, self.settings, price, lots, self.slippage), -lots))
                return

    def _value(self, row: Any) -> None:
        book = self.ledger
        worth = self.cash + book.cash_uyen + book.position * row.close * self.settings.unit_uyen
        day = trading_day(int(row.open_time))
        if day != self.day:
            self.day = day
            self.account["day_start_equity_uyen"] = self.account["equity_uyen"]
        self.account["position"], self.account["cost_uyen"] = book.position, book.cost_uyen
        self.account["cash_uyen"], self.account["equity_uyen"] = self.cash + book.cash_uyen, worth
        self.account["peak_equity_uyen"] = max(int(self.account["peak_equity_uyen"][0]), int(worth))
        self.account["last_trade_pnl_uyen"], self.account["closed_trades"] = book.last_trade_pnl_uyen, book.closed_trades
        self.account["trade_realized_uyen"] = book.trade_realized_uyen - book.trade_fees_uyen
        self.equity.append(int(worth))
