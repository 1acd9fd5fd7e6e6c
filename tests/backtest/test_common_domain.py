"""The bar simulator and the emulator are one exchange on their common domain: same fills, same equity, to the unit.

The domain: each bar is a path open, low, high, close (for a long position the adverse extreme comes first),
there is no latency, every order fills in one execution at the price of the moment, fees round the same way.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.backtest.support import BTC, CASH, STRATEGIES, Stepwise, real_bars, settings

from gmobot.backtest.simulate import simulate
from gmobot.clock import NS_PER_SECOND
from gmobot.core.compiled import uncompiled
from gmobot.core.ledger import apply_buy, apply_sell
from gmobot.emulator.engine.exchange import Exchange, NewOrder, account
from gmobot.emulator.engine.records import Order
from gmobot.emulator.market import QuietMarket
from gmobot.history.synthetic import synthetic_bars
from gmobot.strategies.loader import load
from gmobot.strategies.program import DecisionCore, Desired, Program
from gmobot.venue.models import Book, PriceLevel, Print, Side

_BUY, _SELL = uncompiled(apply_buy), uncompiled(apply_sell)


class StepClock:
    """A clock that moves when it is told."""

    def __init__(self) -> None:
        self.at = 0

    def now_ns(self) -> int:
        return self.at

    def monotonic(self) -> float:
        return self.at / NS_PER_SECOND


class OnTheEmulator(Stepwise):
    """The same run with every fill made by the emulator."""

    def __init__(self, program: Program, chosen: Any) -> None:
        super().__init__(program, chosen)
        self.core = DecisionCore(program, chosen)
        self.clock = StepClock()
        self.customer = account("key", "secret", {"JPY": Decimal(CASH) / 1_000_000}, {"BTC": BTC})
        self.exchange = Exchange(self.clock, {"BTC": (BTC, QuietMarket())}, {"key": self.customer})
        self.resting: Order | None = None
        self.booked = 0

    def move(self, ticks: int) -> None:
        """The market trades at a price, with the whole book standing there."""
        self.clock.at += 1_000_000
        price = BTC.price(ticks)
        level = (PriceLevel(price, Decimal(5)),)
        self.exchange.feed_book(Book(symbol="BTC", asks=level, bids=level, at_ns=self.clock.at))
        self.exchange.feed_print(Print(symbol="BTC", side=Side.SELL, size=BTC.min_size, price=price, at_ns=self.clock.at))

    def send(self, side: str, lots: int, *, stop: int = 0) -> Order:
        kind, price = ("STOP", BTC.price(stop)) if stop else ("MARKET", None)
        return self.exchange.place(self.customer, NewOrder("BTC", side, kind, "FAK", BTC.size(lots), price))

    def _at_open(self, i: int, row: Any) -> None:
        self.clock.at = max(self.clock.at, int(row.open_time))
        want, was_flat = self.desired, self.ledger.position == 0
        self.move(int(row.open))
        self.book(i)
        held = int(self.ledger.position)
        if want is None:
            return
        if want.target > 0 and was_flat:
            # One entry per decision: what the open itself stopped out is not bought again.
            self.send("BUY", want.target)
        elif want.target < held:
            self.unprotect()
            self.send("SELL", held - want.target)
        self.book(i)

    def _inside(self, i: int, row: Any) -> None:
        want = self.desired
        if want is not None and self.ledger.position > 0:
            self.protect(want, int(row.open))
            self.book(i)
        for ticks in self.path(row, want):
            self.move(ticks)
            self.book(i)
            if want is not None and want.take_profit and ticks >= want.take_profit and self.ledger.position > 0:
                self.unprotect()
                self.send("SELL", int(self.ledger.position))
                self.book(i)

    def protect(self, want: Desired, price: int) -> None:
        if self.resting is None and want.stop:
            if price <= want.stop:
                self.send("SELL", int(self.ledger.position))
            else:
                self.resting = self.send("SELL", int(self.ledger.position), stop=want.stop)

    def unprotect(self) -> None:
        if self.resting is not None and self.resting.active:
            self.exchange.cancel(self.customer, self.resting.order_id)
        self.resting = None

    @staticmethod
    def path(row: Any, want: Desired | None) -> list[int]:
        """Open to low to high to close, passing through the triggers on the way."""
        way = [int(row.open)]
        if want is not None and want.stop and int(row.low) <= want.stop < way[-1]:
            way.append(want.stop)
        way.append(int(row.low))
        if want is not None and want.take_profit and way[0] < want.take_profit <= int(row.high):
            way.append(want.take_profit)
        return [*way, int(row.high), int(row.close)]

    def book(self, i: int) -> None:
        """Take the emulator's executions into the ledger, with the fee it reports."""
        for execution in self.customer.executions[self.booked :]:
            order = execution.order
            assert order.executed == order.lots, "one execution per order"
            apply = _BUY if order.side == "BUY" else _SELL
            apply(self.ledger, BTC.unit_uyen, execution.ticks, execution.lots, execution.fee_uyen)
            self.fills.append((i, 0, execution.ticks, execution.lots if order.side == "BUY" else -execution.lots))
            self.booked += 1
        if self.resting is not None and not self.resting.active:
            self.resting = None


def compare(program: Program, data: NDArray[Any]) -> int:
    chosen = settings(cooldown_bars=1)
    bars_run = simulate(program, chosen, data, initial_uyen=CASH)
    emulated = OnTheEmulator(program, chosen)
    emulated.run(data)
    assert [(int(f["bar"]), int(f["ticks"]), int(f["lots"])) for f in bars_run.fills] == [(i, t, q) for i, _, t, q in emulated.fills]
    assert bars_run.equity.tolist() == emulated.equity
    emulated.exchange.check()
    assert emulated.customer.jpy_uyen == CASH + int(bars_run.ledger["cash_uyen"][0])
    return len(bars_run.fills)


@pytest.mark.parametrize("ref", STRATEGIES)
def test_same_fills_and_equity_on_real_bars(ref: str, market_data: Path) -> None:
    fills = compare(load(ref), real_bars(market_data, 3_000))
    assert fills > (60 if "Ema" in ref else 0)


@pytest.mark.parametrize("seed", range(8))
def test_same_fills_and_equity_on_wild_bars(seed: int) -> None:
    program = load(STRATEGIES[0], {"fast": 3, "slow": 8, "rsi_period": 4, "rsi_overbought": 100.0, "stop_atr": 0.6, "take_profit_atr": 0.9})
    data = synthetic_bars(BTC, count=800, bar_seconds=3_600, seed=seed)
    jumps = np.random.default_rng(seed).integers(-80_000, 80_000, len(data))
    for name in ("open", "high", "low", "close"):
        data[name] += jumps
    assert compare(program, data) > 60
