"""On leverage too the bar simulator and the emulator are one exchange on their common domain, to the unit.

The domain is that of :mod:`tests.backtest.test_common_domain`, mirrored for shorts (a bar's path is open, high,
low, close while one is held), with fees over night booked at 06:00 JST sharp, gains booked exactly, and the
account's own losscut ratio and margin calls off: the simulator does not know them. No bar opens beyond a losscut price
that a nearer stop or an exit at that very open would have spared: which of them the exchange carries out first is not known.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.backtest.leverage_reference import SCRIPT
from tests.backtest.support import BTC_JPY, CASH, STRATEGIES, Stepwise, real_bars, settings
from tests.backtest.test_common_domain import StepClock

from gmobot.backtest.simulate import simulate
from gmobot.clock import trading_day
from gmobot.core.compiled import uncompiled
from gmobot.core.instrument import FeeRounding
from gmobot.core.ledger import apply_buy, apply_leverage_fee, apply_sell
from gmobot.core.margin import losscut_price
from gmobot.core.records import BAR
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.engine.exchange import Exchange, NewOrder, account
from gmobot.emulator.market import QuietMarket
from gmobot.strategies.loader import load
from gmobot.strategies.program import Desired, Program
from gmobot.venue.models import Book, PriceLevel, Print, Side

pytestmark = pytest.mark.skipif(not hasattr(Exchange, "close"), reason="the emulator does not trade leverage yet")

_BUY, _SELL, _NIGHT = uncompiled(apply_buy), uncompiled(apply_sell), uncompiled(apply_leverage_fee)
_CUT = uncompiled(losscut_price)
SYMBOL = BTC_JPY.symbol
TERMS: dict[str, Any] = {
    "loss_gain_rounding": FeeRounding.NONE,
    "account_losscut_ratio": Decimal(0),
    "margin_call_ratio": Decimal(0),
    "leverage_fee_delay_seconds": 0.0,
}


class OnTheEmulator(Stepwise):
    """A run with every fill, losscut and fee over night made by the emulator."""

    def __init__(self, program: Program, chosen: Any) -> None:
        super().__init__(program, chosen)
        self.clock = StepClock()
        self.customer: Any = account("key", "secret", {"JPY": Decimal(CASH) / 1_000_000}, {SYMBOL: BTC_JPY})
        self.exchange: Any = Exchange(
            self.clock, {SYMBOL: (BTC_JPY, QuietMarket())}, {"key": self.customer}, assumptions=Assumptions(**TERMS)
        )
        self.resting: Any = None
        self.booked = self.paid = 0

    def move(self, ticks: int) -> None:
        """The market trades at a price, with the whole book standing there."""
        self.clock.at += 1_000_000
        price = BTC_JPY.price(ticks)
        level = (PriceLevel(price, Decimal(5)),)
        self.exchange.feed_book(Book(symbol=SYMBOL, asks=level, bids=level, at_ns=self.clock.at))
        self.exchange.feed_print(Print(symbol=SYMBOL, side=Side.SELL, size=BTC_JPY.min_size, price=price, at_ns=self.clock.at))

    def open(self, lots: int) -> None:
        side = "BUY" if lots > 0 else "SELL"
        self.exchange.place(self.customer, NewOrder(SYMBOL, side, "MARKET", "FAK", BTC_JPY.size(abs(lots)), None))

    def close(self, *, stop: int = 0) -> Any:
        held = int(self.ledger.position)
        kind, price = ("STOP", BTC_JPY.price(stop)) if stop else ("MARKET", None)
        order = NewOrder(SYMBOL, "SELL" if held > 0 else "BUY", kind, "FAK", BTC_JPY.size(abs(held)), price)
        return self.exchange.close(self.customer, order)

    def _turn_day(self, row: Any) -> None:
        if self.day is None:
            self.clock.at = int(row.open_time)
            self.exchange.start()
        self.clock.at = max(self.clock.at, int(row.open_time))
        day = trading_day(int(row.open_time))
        if day == self.day:
            return
        self.day = day
        self.account["day_start_equity_uyen"] = self.account["equity_uyen"]
        self.exchange.rollover.turn()
        for flow in self.customer.flows[self.paid :]:
            assert flow.kind == "leverage_fee"
            _NIGHT(self.ledger, -flow.amount)
            self.account["day_start_equity_uyen"] += flow.amount
            self.account["peak_equity_uyen"] += flow.amount
            self.paid += 1

    def _at_open(self, i: int, row: Any) -> None:
        want, was = self.desired, int(self.ledger.position)
        self.move(int(row.open))
        self.book(i)
        held = int(self.ledger.position)
        if want is None:
            return
        leaves = held * want.target <= 0
        if held and leaves:
            self.unprotect()
            self.close()
            self.book(i)
        if want.target and ((was == 0) or (held and leaves)):
            self.open(want.target)
            self.book(i)

    def _inside(self, i: int, row: Any) -> None:
        want, held = self.desired, int(self.ledger.position)
        side = 1 if held > 0 else -1
        if want is not None and held:
            self.protect(want, int(row.open), side)
            self.book(i)
        for ticks in self.path(row, want, side if self.ledger.position else 0):
            self.move(ticks)
            self.book(i)
            if want is not None and want.take_profit and self.ledger.position and side * (ticks - want.take_profit) >= 0:
                self.unprotect()
                self.close()
                self.book(i)

    def protect(self, want: Desired, price: int, side: int) -> None:
        if self.resting is None and want.stop:
            if side * (price - want.stop) <= 0:
                self.close()
            else:
                self.resting = self.close(stop=want.stop)

    def unprotect(self) -> None:
        if self.resting is not None and self.resting.active:
            self.exchange.cancel(self.customer, self.resting.order_id)
        self.resting = None

    def path(self, row: Any, want: Desired | None, side: int) -> list[int]:
        """Open, the adverse extreme, the favourable one, close, passing through every trigger on the way."""
        start, adverse, kindly = int(row.open), int(row.low), int(row.high)
        if side < 0:
            adverse, kindly = kindly, adverse
        if want is None or not side:
            return [start, adverse, kindly, int(row.close)]
        entry = int(self.ledger.cost_uyen) // (int(self.ledger.position) * BTC_JPY.unit_uyen)
        levels = {want.stop, _CUT(entry, side, BTC_JPY.leverage)} - {0}
        met = sorted((level for level in levels if side * (start - level) > 0 and side * (adverse - level) <= 0), reverse=side > 0)
        goal = [want.take_profit] if want.take_profit and side * (want.take_profit - start) > 0 else []
        return [start, *met, adverse, *(level for level in goal if side * (kindly - level) >= 0), kindly, int(row.close)]

    def book(self, i: int) -> None:
        """Take the emulator's executions into the ledger, with the fee it reports."""
        for execution in self.customer.executions[self.booked :]:
            bought = execution.order.side == "BUY"
            (_BUY if bought else _SELL)(self.ledger, BTC_JPY.unit_uyen, execution.ticks, execution.lots, execution.fee_uyen)
            self.fills.append((i, 0, execution.ticks, execution.lots if bought else -execution.lots))
            self.booked += 1
        if self.resting is not None and not self.resting.active:
            self.resting = None


def compare(program: Program, data: NDArray[Any], **changes: Any) -> Any:
    chosen = settings(BTC_JPY, **({"cooldown_bars": 0} | changes))
    ours = simulate(program, chosen, data, initial_uyen=CASH)
    emulated = OnTheEmulator(program, chosen).run(data)
    assert [(int(f["bar"]), int(f["ticks"]), int(f["lots"])) for f in ours.fills] == [(i, t, q) for i, _, t, q in emulated.fills]
    assert ours.equity.tolist() == emulated.equity
    assert int(ours.ledger["leverage_fees_uyen"][0]) == emulated.ledger.leverage_fees_uyen
    emulated.exchange.check()
    assert emulated.customer.jpy_uyen == CASH + int(ours.ledger["cash_uyen"][0] + ours.ledger["cost_uyen"][0])
    return ours


@pytest.mark.parametrize("ref", STRATEGIES)
def test_same_fills_fees_and_equity_on_real_bars(ref: str, market_data: Path) -> None:
    ours = compare(load(ref), real_bars(market_data, 3_000, instrument=BTC_JPY))
    assert len(ours.fills) > (60 if "Ema" in ref else 0)
    assert int(ours.ledger["leverage_fees_uyen"][0]) > 0


def test_same_flips_stops_losscuts_and_nights_on_wild_bars(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    program = load(f"{tmp_path / 'script.py'}:Script", cache_dir=tmp_path)
    cuts, nights = 0, Fraction(0)
    for seed in range(30):
        ours = compare(program, wild_bars(np.random.default_rng(seed)), fixed_size=Decimal("0.01"))
        cuts += ours.losscuts
        nights += Fraction(int(ours.ledger["leverage_fees_uyen"][0]), 10**6)
    assert cuts > 10
    assert nights > 100


def wild_bars(draw: np.random.Generator, count: int = 200) -> NDArray[Any]:
    """Bars that open where the last one closed, and move by several per cent."""
    rows, price, time = [], 10_000_000, 0
    for _ in range(count):
        end = int(price * draw.uniform(0.9, 1.1))
        high, low = int(max(price, end) * draw.uniform(1, 1.05)), int(min(price, end) * draw.uniform(0.95, 1))
        rows.append((time, price, high, low, end, draw.choice([0, 0, 0, 0, int(draw.integers(0, 72))]), 0))
        price, time = end, time + int(draw.choice([60, 3_600, 26 * 3_600, 75 * 3_600])) * 10**9
    return np.array(rows, BAR)
