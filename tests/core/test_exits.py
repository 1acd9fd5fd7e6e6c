"""The plan: when it begins, what it survives, when it ends."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from tests.core.support import PRICE, Desk, account, bar, reasons

from gmobot.core.compiled import uncompiled
from gmobot.core.decision import Decision, buy, close, sell
from gmobot.core.reasons import EMA_MOMENTUM_LONG, EMA_MOMENTUM_SHORT
from gmobot.core.records import BAR_LATE, BAR_PAST

BUY = uncompiled(buy)(0.9, EMA_MOMENTUM_LONG, stop=PRICE - 50_000.0, take_profit=PRICE + 80_000.0, max_holding=3)
SELL = uncompiled(sell)(1.0, EMA_MOMENTUM_SHORT)
CLOSE = uncompiled(close)(1.0, EMA_MOMENTUM_LONG)
PAST = bar(flags=BAR_LATE | BAR_PAST)
HELD = {"position": 100, "cost_uyen": 100 * PRICE * 100}


def test_a_plan_carries_size_stop_target_and_time() -> None:
    desired = Desk().step(BUY)
    assert (desired.target, desired.stop, desired.take_profit, desired.max_holding_bars) == (100, PRICE - 50_000, PRICE + 80_000, 3)


def test_an_entry_that_did_not_fill_by_the_next_bar_is_dropped() -> None:
    desk = Desk()
    desk.step(BUY)
    desired = desk.step()
    assert (desired.target, desired.stop, desired.take_profit) == (0, 0, 0)


def test_unless_the_strategy_asks_again() -> None:
    desk = Desk()
    desk.step(BUY)
    assert desk.step(BUY).target == 100


def test_a_partly_filled_entry_keeps_its_stop_and_is_not_chased() -> None:
    desk = Desk()
    desk.step(BUY)
    desired = desk.step(BUY, account(position=30))
    assert (desired.target, desired.stop) == (30, PRICE - 50_000)


def test_while_an_entry_may_still_fill_its_plan_is_kept() -> None:
    desk = Desk()
    desk.step(BUY)
    desired = desk.step(of=account(pending=100))
    assert (desired.target, desired.stop) == (100, PRICE - 50_000)
    assert desk.step(of=account(position=40)).target == 40


def test_a_sale_asked_for_while_the_entry_may_still_fill_closes_what_fills() -> None:
    desk = Desk()
    desk.step(BUY)
    desired = desk.step(SELL, account(pending=100))
    assert (desired.target, desired.stop) == (0, PRICE - 50_000)
    assert desk.step(of=account(position=40)).target == 0


def test_sell_means_none_and_keeps_the_stop_until_it_is_done() -> None:
    desk = Desk()
    desk.step(BUY)
    desk.step(of=account(**HELD))
    desired = desk.step(SELL, account(**HELD))
    assert (desired.target, desired.stop) == (0, PRICE - 50_000)


def test_an_exit_stays_decided_until_the_position_is_gone() -> None:
    desk = Desk()
    desk.step(BUY)
    desk.step(of=account(**HELD))
    desk.step(SELL, account(**HELD))
    assert desk.step(BUY, account(position=60)).target == 0
    assert desk.step(BUY, account(closed_trades=1)).target == 100


def test_an_exit_decided_on_a_late_bar_lasts_for_that_bar_only() -> None:
    desk = Desk()
    desk.step(BUY)
    late = bar(flags=BAR_LATE)
    assert desk.step(SELL, account(**HELD), at=late).target == 0
    assert desk.step(of=account(**HELD)).target == 100


def test_selling_nothing_is_nothing() -> None:
    desk = Desk()
    assert desk.step(SELL).target == 0
    assert desk.step(BUY).target == 100


def test_the_holding_limit_counts_bars_with_a_position() -> None:
    desk = Desk()
    desk.step(BUY)
    found = [desk.step(of=account(**HELD)) for _ in range(3)]
    assert [desired.target for desired in found] == [100, 100, 0]
    assert [("max_holding_reached" in reasons(desired)) for desired in found] == [False, False, True]


def test_a_position_that_nobody_planned_is_kept() -> None:
    desired = Desk().step(of=account(**HELD))
    assert (desired.target, desired.stop) == (100, 0)


@pytest.mark.parametrize("counted", [True, False], ids=["counted", "position-gone"])
def test_a_trade_that_ended_ends_the_plan_and_starts_the_cool_down(*, counted: bool) -> None:
    desk = Desk(cooldown_bars=2)
    desk.step(BUY)
    desk.step(of=account(**HELD))
    after = account(closed_trades=int(counted))
    found = [desk.step(BUY, after) for _ in range(3)]
    assert [desired.target for desired in found] == [0, 0, 100]
    assert [("cooldown_active" in reasons(desired)) for desired in found] == [True, True, False]


def test_a_trade_that_opened_and_closed_between_two_bars_counts() -> None:
    desk = Desk(cooldown_bars=1)
    desk.step(BUY)
    assert desk.step(BUY, account(closed_trades=1)).target == 0


def test_a_new_engine_takes_no_notice_of_trades_before_its_time() -> None:
    desk = Desk(cooldown_bars=5, max_trade_loss=Decimal(1))
    desired = desk.step(BUY, account(closed_trades=7, last_trade_pnl_uyen=-9_000_000))
    assert (desired.target, desired.risk_status) == (100, 0)


def test_every_field_of_the_engine_is_an_integer_or_a_mean() -> None:
    engine = Desk().engine
    assert {name for name in engine.dtype.names or () if engine.dtype[name] != np.int64} == {"fast_range", "slow_range", "mean_volume"}


def test_bars_from_before_the_plan_are_no_holding_time() -> None:
    desk = Desk()
    desk.step(BUY)
    found = [desk.step(of=account(**HELD))] + [desk.step(of=account(**HELD), at=PAST) for _ in range(30)]
    assert {(desired.target, desired.stop, desired.take_profit) for desired in found} == {(100, PRICE - 50_000, PRICE + 80_000)}
    assert [desk.step(of=account(**HELD)).target for _ in range(2)] == [100, 0]


@pytest.mark.parametrize("decision", [SELL, CLOSE, BUY])
def test_what_the_strategy_says_on_them_is_of_another_time(decision: Decision) -> None:
    desk = Desk()
    desk.step(BUY)
    desk.step(of=account(**HELD))
    desired = desk.step(decision, account(**HELD), at=PAST)
    assert (desired.target, desired.action, desired.stop) == (100, 0, PRICE - 50_000)
    assert desk.step(decision, at=PAST).target == 0, "nothing is held, and nothing is opened"


def test_an_exit_that_was_decided_stays_decided_on_them() -> None:
    desk = Desk()
    desk.step(BUY)
    desk.step(SELL, account(**HELD))
    assert desk.step(of=account(**HELD), at=PAST).target == 0


def test_they_neither_start_the_cool_down_nor_run_it_off() -> None:
    desk = Desk(cooldown_bars=2)
    desk.step(BUY)
    desk.step(of=account(**HELD))
    over = account(closed_trades=1)
    for _ in range(9):
        desk.step(of=over, at=PAST)
    assert "cooldown_active" in reasons(desk.step(BUY, over))
    for _ in range(9):
        desk.step(of=over, at=PAST)
    assert [desk.step(BUY, over).target for _ in range(2)] == [0, 100]


def test_an_old_price_aborts_nothing_now() -> None:
    desk = Desk(max_drawdown=Decimal("0.01"), close_on_abort=True)
    desk.step(BUY)
    poor = account(**HELD, equity_uyen=PRICE * 10**6 // 2)
    assert (desk.step(of=poor, at=PAST).target, desk.step(of=poor).target) == (100, 0)
