"""What the account is worth, and what moves beside trading: equity on both products, peak and day through flows and restarts."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.live.bench import BTC_JPY, PRICE, Bench, fill

from gmobot.live.account import Account, AccountState
from gmobot.live.cash import FlowKind
from gmobot.live.flows import Flow
from gmobot.venue.models import Side

YEN = 1_000_000


def flow(key: str, yen: int, *, kind: FlowKind = FlowKind.DEPOSIT, **more: Any) -> Flow:
    values: dict[str, Any] = {"asset": "JPY", "amount": Decimal(yen), "yen_uyen": yen * YEN, "at_ns": 1, "evidence": "test"}
    return Flow(key=key, kind=kind, **(values | more))


async def short(directory: Path) -> Bench:
    """A bench that is short of a tenth of a coin on leverage, with a million yen."""
    bench = Bench(directory, BTC_JPY)
    await bench.open()
    bench.account.start(1_000_000 * YEN, {})
    await bench.acknowledged(order_id=1, symbol="BTC_JPY", side=Side.SELL)
    step: dict[str, Any] = {"symbol": "BTC_JPY", "size": BTC_JPY.size(100), "fee_jpy": Decimal(0), "position_id": 70}
    await bench.books.book(msgspec.structs.replace(fill(11, 1, side=Side.SELL), **step))
    return bench


async def test_on_leverage_equity_is_yen_and_open_gains_and_no_notional(tmp_path: Path) -> None:
    bench = await short(tmp_path)
    account = bench.account
    assert account.cash_uyen == 1_000_000 * YEN, "no yen moved"
    assert account.equity_uyen == 1_000_000 * YEN
    bench.market.last = PRICE - 100_000
    assert account.equity_uyen == 1_010_000 * YEN, "a short gains when the price falls"
    assert account.leverage == pytest.approx(990_000 / 1_010_000)
    record = account.record("BTC_JPY", halted=False)[0]
    assert (int(record["cash_uyen"]), int(record["equity_uyen"])) == (1_000_000 * YEN, 1_010_000 * YEN)
    await bench.close()


async def test_a_leverage_fee_is_the_trade_s_cost_and_no_loss_of_the_day(tmp_path: Path) -> None:
    bench = await short(tmp_path)
    fee = flow("fee", -400, kind=FlowKind.LEVERAGE_FEE, symbol="BTC_JPY")
    assert await bench.cash.take(fee)
    assert not await bench.cash.take(fee), "once"
    account = bench.account
    assert account.cash_uyen == account.equity_uyen == 999_600 * YEN
    assert (account.daily_pnl_uyen, account.drawdown) == (0, 0.0)
    assert bench.books.ledger("BTC_JPY").fees_uyen == 400 * YEN
    await bench.reopen()
    assert not await bench.cash.take(fee), "once, also across a restart"
    assert bench.account.cash_uyen == 999_600 * YEN
    assert bench.account.daily_pnl_uyen == 0
    await bench.close()


async def test_peak_base_and_the_day_s_start_are_the_same_after_a_restart(bench: Bench) -> None:
    await bench.open()
    account = bench.account
    account.start(1_000_000 * YEN, {"BTC": Decimal("0.123456789")})
    await bench.owning(100)
    bench.market.last = PRICE * 2
    account.observe()
    bench.market.last = PRICE
    await bench.cash.take(flow("deposit", 500_000))
    await bench.cash.take(flow("coins", 0, asset="BTC", amount=Decimal("-0.003456789"), symbol="BTC"))
    kept, drawdown, day = account.state, account.drawdown, account.daily_pnl_uyen
    assert 0 < drawdown < 0.01
    await bench.reopen()
    assert bench.account.state == kept
    assert bench.account.state.base_coins == {"BTC": Decimal("0.12")}
    assert (bench.account.drawdown, bench.account.daily_pnl_uyen) == (drawdown, day)
    await bench.close()


class Told(Account):
    """An account that is worth what it is told."""

    equity_uyen = 0
    _is_valued = True

    def __init__(self, equity: int, peak: int) -> None:
        self.equity_uyen = equity
        self.state = AccountState(0, peak, 0, equity + 7)


@given(peak=st.integers(1, 10**15), lost=st.floats(0.0, 0.99), moved=st.integers(-(10**15), 10**15))
def test_no_flow_changes_the_drawdown_or_the_day_s_gain(peak: int, lost: float, moved: int) -> None:
    equity = max(1, int(peak * (1 - lost)))
    if equity + moved <= 10**6:
        moved = 10**6 - equity
    account = Told(equity, peak)
    before, day = (peak - equity) / peak, account.daily_pnl_uyen
    account.equity_uyen += moved
    account.adjust(equity)
    assert account.drawdown == pytest.approx(max(0.0, before), abs=2e-6)
    assert account.daily_pnl_uyen == day


async def test_everything_withdrawn_leaves_no_drawdown(bench: Bench) -> None:
    await bench.open()
    bench.account.start(900_000 * YEN, {})
    bench.account.state.peak = 1_000_000 * YEN
    await bench.cash.take(flow("out", -900_000, kind=FlowKind.WITHDRAWAL))
    assert (bench.account.equity_uyen, bench.account.state.peak, bench.account.drawdown) == (0, 0, 0.0)
    await bench.cash.take(flow("in", 300_000))
    assert (bench.account.state.peak, bench.account.drawdown) == (300_000 * YEN, 0.0)
    await bench.close()


async def test_before_the_start_nothing_is_booked(bench: Bench) -> None:
    await bench.open()
    assert not await bench.cash.take(flow("early", 1))
    bench.account.start(5 * YEN, {})
    assert await bench.cash.take(flow("early", 1))
    await bench.close()


async def killed(bench: Bench) -> Account:
    """Die, and begin again without a price."""
    await bench.reopen()
    bench.market.last, bench.market.book = 0, None
    return bench.account


@pytest.mark.parametrize(("yen", "peak"), [(2_000_000, 6_000_000), (-500_000, 1_000_000)])
async def test_what_came_and_went_before_there_is_a_price_moves_the_peak_once_there_is_one(bench: Bench, yen: int, peak: int) -> None:
    await bench.open()
    bench.account.start(1_000_000 * YEN, {})
    await bench.acknowledged(order_id=900, lots=10_000)
    await bench.books.book(fill(9_000, 900, 10_000, fee=0))
    bench.market.last, bench.market.book = 2 * PRICE, None
    bench.account.observe()
    await bench.store.save_account(bench.account.state.to_dict())
    account = await killed(bench)
    assert await bench.cash.take(flow("while it was down", yen))
    assert (account.state.peak, account.state.day_start) == (2_000_000 * YEN, (1_000_000 + yen) * YEN), "half its worth would be the whole"
    account = await killed(bench)
    bench.market.last = PRICE
    assert not account.is_known
    row = account.record("BTC", halted=False)[0]
    assert row["peak_equity_uyen"] == row["day_start_equity_uyen"] == account.equity_uyen, "the peak has yet to follow"
    assert account.observe()
    assert (account.is_known, account.state.peak, account.drawdown) == (True, peak * YEN, 0.5)
    assert account.daily_pnl_uyen == 0
    await bench.store.save_account(account.state.to_dict())
    account = await killed(bench)
    bench.market.last = PRICE
    assert not account.observe()
    assert account.state.peak == peak * YEN, "once"
    await bench.close()


async def test_a_day_does_not_turn_before_the_peak_has_followed(bench: Bench) -> None:
    await bench.open()
    bench.account.start(1_000_000 * YEN, {})
    await bench.owning(100)
    bench.market.last, bench.market.book = 0, None
    await bench.cash.take(flow("deposit", 500_000))
    day = bench.account.state.day
    bench.clock.advance(21 * 3_600)
    bench.market.last = PRICE
    assert bench.account.new_day() is None, "what the last one came to is not known yet"
    assert bench.account.observe()
    assert bench.account.new_day() == day + 1
    assert bench.account.observe()
    assert bench.account.state.day == day + 1
    await bench.close()
