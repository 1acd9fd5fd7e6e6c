"""Short positions and flips in the engine: the mirror of what long ones do, on leverage only."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from tests.core.support import BTC, BTC_JPY, PRICE, YEN, Desk, account, bar, reasons
from tests.core.test_risk import judge

from gmobot.core.compiled import uncompiled
from gmobot.core.decision import Decision, buy, close, sell
from gmobot.core.reasons import EMA_MOMENTUM_LONG, EMA_MOMENTUM_SHORT
from gmobot.core.records import BAR_LATE, RISK_ABORT, RISK_DEGRADED, RISK_OK

_buy, _sell = uncompiled(buy), uncompiled(sell)
BUY: Decision = _buy(0.9, EMA_MOMENTUM_LONG, stop=PRICE - 50_000.0, take_profit=PRICE + 80_000.0)
SELL: Decision = _sell(0.8, EMA_MOMENTUM_SHORT, stop=PRICE + 50_000.0, take_profit=PRICE - 80_000.0, max_holding=3)
CLOSE: Decision = uncompiled(close)(1.0, EMA_MOMENTUM_LONG)
COST = 100 * PRICE * 100
LONG = {"position": 100, "cost_uyen": COST}
SHORT = {"position": -100, "cost_uyen": -COST}


def desk(**changes: Any) -> Desk:
    return Desk(**({"instrument": BTC_JPY} | changes))


def plan(desired: Any) -> tuple[int, int, int]:
    return desired.target, desired.stop, desired.take_profit


def test_a_sell_on_leverage_plans_a_short() -> None:
    desired = desk().step(SELL)
    assert plan(desired) == (-100, PRICE + 50_000, PRICE - 80_000)
    assert (desired.action, desired.confidence, desired.max_holding_bars) == (-1, 0.8, 3)


def test_a_sell_on_spot_plans_nothing() -> None:
    desired = Desk().step(SELL)
    assert plan(desired) == (0, 0, 0)
    assert reasons(desired) == {"ema_momentum_short"}


def test_the_strategy_is_told_where_it_may_go_short() -> None:
    for instrument, told in ((BTC, 0), (BTC_JPY, 1)):
        one = desk(instrument=instrument)
        one.step()
        assert one.shown["can_short"] == told


def test_a_short_s_stop_is_rounded_up_and_its_target_down() -> None:
    desired = desk().step(_sell(0.9, EMA_MOMENTUM_SHORT, stop=PRICE + 0.5, take_profit=PRICE - 0.5))
    assert plan(desired) == (-100, PRICE + 1, PRICE - 1)


@pytest.mark.parametrize(
    ("stop", "take_profit"),
    [
        (PRICE, 0.0),
        (PRICE - 1.0, 0.0),
        (-1.0, 0.0),
        (math.nan, 0.0),
        (math.inf, 0.0),
        (0.0, PRICE),
        (0.0, PRICE + 5.0),
        (0.0, -5.0),
        (0.0, math.nan),
    ],
)
def test_a_short_s_price_on_the_wrong_side_is_no_entry(stop: float, take_profit: float) -> None:
    desired = desk().step(_sell(0.9, EMA_MOMENTUM_SHORT, stop=stop, take_profit=take_profit))
    assert plan(desired) == (0, 0, 0)
    assert "no_setup" in reasons(desired)


@pytest.mark.parametrize(
    ("changes", "at", "reason"),
    [
        ({"min_confidence": 0.81}, bar(), "below_min_confidence"),
        ({"warmup_bars": 1}, bar(), "warming_up"),
        ({}, bar(flags=BAR_LATE), "stale_bar"),
    ],
)
def test_filters_hold_for_shorts(changes: dict[str, Any], at: Any, reason: str) -> None:
    desired = desk(**changes).step(SELL, at=at)
    assert desired.target == 0
    assert reason in reasons(desired)


def test_a_short_is_kept_until_something_ends_it() -> None:
    one = desk()
    one.step(SELL)
    assert plan(one.step(of=account(**SHORT))) == (-100, PRICE + 50_000, PRICE - 80_000)
    assert plan(one.step(SELL, account(**SHORT))) == (-100, PRICE + 50_000, PRICE - 80_000), "asking again changes nothing"
    limit = one.step(of=account(**SHORT))
    assert (limit.target, "max_holding_reached" in reasons(limit)) == (0, True)


@pytest.mark.parametrize(("held", "action"), [(LONG, -1), (SHORT, 1)])
def test_close_closes_either_side_and_says_which_way(held: dict[str, int], action: int) -> None:
    one = desk()
    one.step(BUY if action < 0 else SELL)
    one.step(of=account(**held))
    desired = one.step(CLOSE, account(**held))
    assert (desired.target, desired.action, desired.confidence) == (0, action, 1.0)
    assert one.step(of=account(**held)).target == 0, "an exit stays decided"


def test_close_with_nothing_open_is_a_hold() -> None:
    for instrument in (BTC, BTC_JPY):
        desired = desk(instrument=instrument).step(CLOSE)
        assert (desired.target, desired.action) == (0, 0)


def test_a_short_entry_that_may_still_fill_keeps_its_plan_and_is_not_doubled() -> None:
    one = desk()
    one.step(SELL)
    assert plan(one.step(SELL, account(pending=100))) == (-100, PRICE + 50_000, PRICE - 80_000)
    assert one.step(of=account(position=-40)).target == -40
    two = desk()
    two.step(SELL)
    assert plan(two.step(BUY, account(pending=100))) == (0, PRICE + 50_000, PRICE - 80_000), "what fills is closed, under its stop"


# --- flips --------------------------------------------------------------------------------------------------------


def holding(first: Decision, held: dict[str, int], **changes: Any) -> Desk:
    one = desk(**changes)
    one.step(first)
    one.step(of=account(**held))
    return one


def test_a_decision_for_the_other_side_is_a_target_on_the_other_side() -> None:
    assert plan(holding(BUY, LONG).step(SELL, account(**LONG))) == (-100, PRICE + 50_000, PRICE - 80_000)
    assert plan(holding(SELL, SHORT).step(BUY, account(**SHORT))) == (100, PRICE - 50_000, PRICE + 80_000)


def test_a_flip_that_was_done_is_a_position_like_any_other() -> None:
    one = holding(BUY, LONG)
    one.step(SELL, account(**LONG))
    done = account(**SHORT, closed_trades=1)
    assert [plan(one.step(of=done))[:2] for _ in range(2)] == [(-100, PRICE + 50_000)] * 2
    assert one.step(of=done).target == 0, "its own holding limit counts from its own first bar"


def test_a_flip_that_filled_in_part_is_not_chased_and_may_be_flipped_again() -> None:
    one = holding(SELL, SHORT)
    one.step(BUY, account(**SHORT))
    held = {"cost_uyen": COST, "closed_trades": 1}
    assert [one.step(of=account(position=lots, **held)).target for lots in (60, 50)] == [60, 50]
    assert plan(one.step(SELL, account(position=50, **held))) == (-100, PRICE + 50_000, PRICE - 80_000)


def test_a_flip_whose_second_half_did_not_fill_is_over() -> None:
    one = holding(BUY, LONG)
    one.step(SELL, account(**LONG))
    assert plan(one.step(of=account(closed_trades=1))) == (0, 0, 0)


def test_a_flip_that_could_not_even_close_goes_on_closing_under_the_former_stop() -> None:
    one = holding(BUY, LONG)
    one.step(SELL, account(**LONG))
    assert plan(one.step(SELL, account(**LONG))) == (0, PRICE - 50_000, 0)
    assert plan(one.step(of=account(position=30, cost_uyen=COST))) == (0, PRICE - 50_000, 0)


@pytest.mark.parametrize(
    ("changes", "fields", "at", "reason"),
    [
        ({"min_confidence": 0.85}, {}, bar(), "below_min_confidence"),
        ({"cooldown_bars": 1}, {}, bar(), "cooldown_active"),
        ({}, {}, bar(flags=BAR_LATE), "stale_bar"),
        ({"max_wallet_drift": Decimal(100)}, {"wallet_drift_uyen": 200 * YEN}, bar(), "wallet_drift_exceeded"),
        ({}, {"halted": 1}, bar(), "ema_momentum_short"),
        ({}, {"other_positions": 1}, bar(), "max_positions_reached"),
    ],
)
def test_what_forbids_the_new_side_still_closes_the_old(changes: dict[str, Any], fields: dict[str, int], at: Any, reason: str) -> None:
    desired = holding(BUY, LONG, **changes).step(SELL, account(**LONG, **fields), at=at)
    assert plan(desired) == (0, PRICE - 50_000, PRICE + 80_000)
    assert reason in reasons(desired)


def test_a_flip_whose_new_plan_makes_no_sense_only_closes() -> None:
    wrong = _sell(0.9, EMA_MOMENTUM_SHORT, stop=PRICE - 1.0)
    desired = holding(BUY, LONG).step(wrong, account(**LONG))
    assert plan(desired) == (0, PRICE - 50_000, PRICE + 80_000)
    assert "no_setup" in reasons(desired)


# --- guards -------------------------------------------------------------------------------------------------------


def test_a_short_s_open_loss_is_what_the_price_rose() -> None:
    held = {"position": -500, "cost_uyen": -500 * PRICE * 100}
    limits = {"max_position_size": Decimal(0), "max_leverage": Decimal(0)}
    assert judge(held, price=PRICE + 1_000_000, limits=limits) == (RISK_OK, [])
    assert judge(held, price=PRICE + 1_000_001, limits=limits) == (RISK_ABORT, ["max_trade_loss_exceeded"])
    assert judge(held, price=PRICE // 2, limits=limits) == (RISK_OK, [])


def test_a_short_counts_in_full_for_size_and_leverage() -> None:
    assert judge({"position": -1_001, "cost_uyen": -1_001 * PRICE * 100}) == (RISK_DEGRADED, ["max_position_size_exceeded"])
    worth = 500 * PRICE * 100
    beyond = {"position": -500, "cost_uyen": -worth, "equity_uyen": worth - YEN}
    limits = {"max_drawdown": Decimal(0), "daily_loss_limit": Decimal(0)}
    assert judge(beyond, limits=limits) == (RISK_DEGRADED, ["max_leverage_exceeded"])


def test_degraded_keeps_a_short_and_adds_nothing() -> None:
    one = desk(max_wallet_drift=Decimal(100))
    one.step(SELL)
    assert one.step(of=account(position=-30, pending=70, wallet_drift_uyen=200 * YEN)).target == -30


def test_abort_closes_a_short() -> None:
    one = holding(SELL, SHORT, max_drawdown=Decimal("0.2"))
    desired = one.step(SELL, account(**SHORT, equity_uyen=7_000_000 * YEN))
    assert (desired.target, desired.risk_status) == (0, RISK_ABORT)
