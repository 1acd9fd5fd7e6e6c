"""What the backtest tests share: instruments, settings, and the simulator's rules stepped bar by bar in Python."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gmobot.backtest import fills as rules
from gmobot.clock import trading_day
from gmobot.core.compiled import PlainRecord, uncompiled
from gmobot.core.instrument import Instrument, Product
from gmobot.core.ledger import LEDGER, apply_leverage_fee
from gmobot.core.margin import carried_lots, leverage_fee, losscut_price
from gmobot.core.records import ACCOUNT, BAR, RISK_ABORT
from gmobot.core.settings import Settings
from gmobot.core.sizing import affordable_lots
from gmobot.history.bars import read_bars
from gmobot.strategies.program import DecisionCore, Desired, Program

BTC = Instrument("BTC", Product.SPOT, Decimal(1), Decimal("0.00001"), Decimal("0.00001"), Decimal(5), Decimal("-0.0001"), Decimal("0.0005"))
BTC_JPY = Instrument("BTC_JPY", Product.LEVERAGE, Decimal(1), Decimal("0.001"), Decimal("0.001"), Decimal(5), Decimal(0), Decimal(0))
PRODUCTS = (BTC, BTC_JPY)
CASH = 10_000_000 * 1_000_000
STRATEGIES = ("gmobot.strategies.ema_momentum:EmaMomentum", "gmobot.strategies.buy_and_hold:BuyAndHold")

_buy, _sell = uncompiled(rules.buy_at), uncompiled(rules.sell_at)
_stop, _target = uncompiled(rules.stop_price), uncompiled(rules.target_price)
_short_stop, _short_target = uncompiled(rules.short_stop_price), uncompiled(rules.short_target_price)
_cut, _cut_first = uncompiled(rules.cut_at), uncompiled(rules.losscut_first)
_affordable, _carried = uncompiled(affordable_lots), uncompiled(carried_lots)
_night, _pay_night, _cut_price = uncompiled(leverage_fee), uncompiled(apply_leverage_fee), uncompiled(losscut_price)


def settings(instrument: Instrument = BTC, **changes: Any) -> Settings:
    plain: dict[str, Any] = {"fixed_size": Decimal("0.01"), "cooldown_bars": 2}
    return Settings(instrument=instrument, **(plain | changes))


def bars(rows: list[tuple[int, int, int, int]], *, seconds: int = 60) -> NDArray[Any]:
    """BAR records from open, high, low, close."""
    return np.array([(i * seconds * 10**9, *row, 1_000, 0) for i, row in enumerate(rows)], BAR)


def real_bars(market_data: Path, count: int, skip: int = 0, instrument: Instrument = BTC) -> NDArray[Any]:
    data = read_bars(market_data / "ohlcv_1m" / "gmo_BTC_JPY_1m_20241205_20250109.parquet", instrument)
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
        self.last_close = self.losscut = 0
        self.fills: list[tuple[int, int, int, int]] = []
        self.equity: list[int] = []
        self.decisions: list[Desired] = []

    def run(self, data: NDArray[Any]) -> Self:
        for i in range(len(data)):
            self.step(i, data[i : i + 1])
        return self

    def step(self, i: int, bar: NDArray[Any]) -> None:
        row: Any = PlainRecord(bar[0])
        self._turn_day(row)
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
        held = int(book.position)
        if held > 0 and want.target < held:
            self._fill(i, rules.EXIT, row.open, max(want.target, 0) - held)
        elif held < 0 and want.target > held:
            self._fill(i, rules.EXIT, row.open, min(want.target, 0) - held)
        if want.target != 0 and book.position == 0:
            side = 1 if want.target > 0 else -1
            price, money = max(1, row.open + side * self.slippage), self.cash + book.cash_uyen
            lots = min(abs(want.target), (_carried if self.settings.leverage else _affordable)(money, self.settings, price))
            if lots >= self.settings.min_lots:
                paid = self._fill(i, rules.ENTRY, row.open, side * lots)
                self.losscut = _cut_price(paid, side, self.settings.leverage) if self.settings.leverage else 0

    def _fill(self, i: int, kind: int, ticks: int, lots: int) -> int:
        price: int = (_buy if lots > 0 else _sell)(self.ledger, self.settings, ticks, abs(lots), self.slippage)
        self.fills.append((i, kind, price, lots))
        return price

    def _inside(self, i: int, row: Any) -> None:
        want, book = self.desired, self.ledger
        if want is None or book.position == 0:
            return
        stop, kind, held = want.stop, rules.STOP, int(book.position)
        if self.settings.leverage and _cut_first(held, stop, self.losscut):
            stop, kind = self.losscut, rules.LOSSCUT
        of_stop, of_target = (_stop, _target) if held > 0 else (_short_stop, _short_target)
        price = of_stop(row, stop, want.take_profit)
        if price > 0 and kind == rules.LOSSCUT:
            self.fills.append((i, kind, _cut(book, self.settings, price, self.slippage), -held))
        elif price > 0:
            self._fill(i, kind, price, -held)
        elif (goal := of_target(row, want.take_profit)) > 0:
            self._fill(i, rules.TARGET, goal, -held)

    def _turn_day(self, row: Any) -> None:
        day = trading_day(int(row.open_time))
        if day == self.day:
            return
        self.account["day_start_equity_uyen"] = self.account["equity_uyen"]
        if self.settings.leverage and self.ledger.position and self.day is not None:
            fee = _night(self.ledger.position, self.last_close, day - self.day, self.settings)
            _pay_night(self.ledger, fee)
            self.account["day_start_equity_uyen"] -= fee
            self.account["peak_equity_uyen"] -= fee
        self.day = day

    def _value(self, row: Any) -> None:
        book = self.ledger
        worth = self.cash + book.cash_uyen + book.position * row.close * self.settings.unit_uyen
        self.last_close = int(row.close)
        self.account["position"], self.account["cost_uyen"] = book.position, book.cost_uyen
        self.account["cash_uyen"] = self.cash + book.cash_uyen + (book.cost_uyen if self.settings.leverage else 0)
        self.account["equity_uyen"] = worth
        self.account["peak_equity_uyen"] = max(int(self.account["peak_equity_uyen"][0]), int(worth))
        self.account["last_trade_pnl_uyen"], self.account["closed_trades"] = book.last_trade_pnl_uyen, book.closed_trades
        self.account["trade_realized_uyen"] = book.trade_realized_uyen - book.trade_fees_uyen
        self.equity.append(int(worth))
