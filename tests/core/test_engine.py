"""The order of things at one bar: filters, guards, prices."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.core.support import BTC, PRICE, YEN, Desk, account, bar, reasons

from gmobot.core.compiled import uncompiled
from gmobot.core.decision import Decision, buy, hold, sell
from gmobot.core.reasons import EMA_MOMENTUM_LONG, EMA_MOMENTUM_SHORT, NO_SETUP
from gmobot.core.records import BAR_LATE, RISK_ABORT, RISK_DEGRADED
from gmobot.core.settings import Settings

_buy = uncompiled(buy)
SELL = uncompiled(sell)(1.0, EMA_MOMENTUM_SHORT)
BUY: Decision = _buy(0.9, EMA_MOMENTUM_LONG)
HELD = {"position": 100, "cost_uyen": 100 * PRICE * 100}


def warmed(bars: int = 200, **changes: Any) -> Desk:
    desk = Desk(**changes)
    for _ in range(bars):
        desk.step()
    return desk


def blocked(desired: Any, reason: str) -> bool:
    return desired.target == 0 and reason in reasons(desired)


def test_a_buy_with_nothing_in_its_way_is_a_target() -> None:
    desired = Desk().step(BUY)
    assert (desired.target, desired.action, desired.confidence, reasons(desired)) == (100, 1, 0.9, {"ema_momentum_long"})


def test_a_late_bar_updates_state_and_never_opens() -> None:
    desk = Desk()
    assert blocked(desk.step(BUY, at=bar(flags=BAR_LATE)), "stale_bar")
    assert desk.engine["bars"] == 1
    assert desk.step(BUY).target == 100


def test_nothing_opens_before_the_warm_up_has_passed() -> None:
    desk = Desk(warmup_bars=3)
    found = [desk.step(BUY) for _ in range(4)]
    assert [blocked(desired, "warming_up") for desired in found] == [True, True, True, False]
    assert found[3].target == 100


@pytest.mark.parametrize(("confidence", "opens"), [(0.5, True), (0.49, False), (0.0, False), (math.nan, False), (-1.0, False)])
def test_confidence_below_the_minimum_opens_nothing(confidence: float, opens: bool) -> None:
    desired = Desk(min_confidence=0.5).step(_buy(confidence, EMA_MOMENTUM_LONG))
    assert (desired.target == 100, "below_min_confidence" in reasons(desired)) == (opens, not opens)


@pytest.mark.parametrize(("given", "shown"), [(7.0, 1.0), (-3.0, 0.0), (math.nan, 0.0), (math.inf, 1.0), (0.25, 0.25)])
def test_confidence_is_between_none_and_full(given: float, shown: float) -> None:
    assert Desk().step(_buy(given, EMA_MOMENTUM_LONG)).confidence == shown


def test_positions_elsewhere_count_against_the_maximum() -> None:
    desk = Desk(max_positions=2)
    assert desk.step(BUY, account(other_positions=1)).target == 100
    assert blocked(Desk(max_positions=2).step(BUY, account(other_positions=2)), "max_positions_reached")


def test_a_volatility_spike_opens_nothing() -> None:
    wild = bar(width=20_000)
    assert blocked(warmed(volatility_spike_ratio=3.0).step(BUY, at=wild), "volatility_spike")
    assert warmed(volatility_spike_ratio=30.0).step(BUY, at=wild).target == 100
    assert warmed().step(BUY, at=wild).target == 100


def test_a_gap_against_the_last_close_is_part_of_the_range() -> None:
    assert blocked(warmed(volatility_spike_ratio=3.0).step(BUY, at=bar(PRICE + 50_000)), "volatility_spike")


def test_thin_liquidity_opens_nothing() -> None:
    assert blocked(warmed(thin_volume_ratio=0.5).step(BUY, at=bar(volume=49)), "thin_liquidity")
    assert warmed(thin_volume_ratio=0.5).step(BUY, at=bar(volume=51)).target == 100
    assert warmed().step(BUY, at=bar(volume=0)).target == 100


def test_the_regime_is_unknown_at_first_and_blocks_nothing() -> None:
    desk = warmed(50, volatility_spike_ratio=3.0, thin_volume_ratio=0.5)
    assert desk.step(BUY, at=bar(width=20_000, volume=1)).target == 100


def test_filters_never_keep_a_position_from_closing() -> None:
    desk = Desk(min_confidence=1.0, warmup_bars=9, cooldown_bars=9, max_positions=1)
    desired = desk.step(SELL, account(**HELD, other_positions=5), at=bar(flags=BAR_LATE))
    assert desired.target == 0


def test_a_latched_halt_opens_nothing_and_keeps_what_is_there() -> None:
    desired = Desk().step(_buy(0.9, EMA_MOMENTUM_LONG, stop=PRICE - 50_000.0), account(halted=1))
    assert (desired.target, desired.stop) == (0, 0)
    assert Desk().step(of=account(halted=1, **HELD)).target == 100
    assert Desk().step(SELL, account(halted=1, **HELD)).target == 0


def test_degraded_opens_nothing_and_stops_what_would_still_fill() -> None:
    drifted = {"wallet_drift_uyen": 200 * YEN}
    desk = Desk(max_wallet_drift=Decimal(100))
    desired = desk.step(BUY, account(**drifted))
    assert (desired.target, desired.risk_status) == (0, RISK_DEGRADED)
    assert reasons(desired) == {"ema_momentum_long", "wallet_drift_exceeded"}

    desk = Desk(max_wallet_drift=Decimal(100))
    desk.step(BUY)
    assert desk.step(of=account(pending=100, position=0)).target == 100
    assert desk.step(of=account(pending=70, position=30, **drifted)).target == 30
    assert desk.step(of=account(position=30, **drifted)).target == 30


def test_abort_closes_and_says_so() -> None:
    ruined = {"equity_uyen": 7_000_000 * YEN}
    desk = Desk(max_drawdown=Decimal("0.2"))
    desired = desk.step(BUY, account(**HELD, **ruined))
    assert (desired.target, desired.risk_status) == (0, RISK_ABORT)
    assert "max_drawdown_exceeded" in reasons(desired)
    assert desk.step(of=account(**HELD)).target == 0, "an abort's exit is not forgotten when the price comes back"


def test_abort_may_leave_the_position_under_its_stop() -> None:
    desk = Desk(max_drawdown=Decimal("0.2"), close_on_abort=False)
    desk.step(_buy(0.9, EMA_MOMENTUM_LONG, stop=PRICE - 50_000.0))
    desired = desk.step(BUY, account(**HELD, equity_uyen=7_000_000 * YEN))
    assert (desired.target, desired.stop, desired.risk_status) == (100, PRICE - 50_000, RISK_ABORT)


def test_a_loss_that_closed_since_the_last_bar_aborts_once() -> None:
    desk = Desk(max_trade_loss=Decimal(50_000))
    desk.step(BUY)
    lost = account(closed_trades=1, last_trade_pnl_uyen=-60_000 * YEN)
    assert [desk.step(of=lost).risk_status for _ in range(2)] == [RISK_ABORT, 0]


def test_stop_and_target_are_rounded_away_from_the_market() -> None:
    desired = Desk().step(_buy(0.9, EMA_MOMENTUM_LONG, stop=PRICE - 0.5, take_profit=PRICE + 0.5))
    assert (desired.stop, desired.take_profit) == (PRICE - 1, PRICE + 1)


@pytest.mark.parametrize(
    ("stop", "take_profit"),
    [(PRICE, 0.0), (PRICE + 1.0, 0.0), (-1.0, 0.0), (math.nan, 0.0), (math.inf, 0.0), (0.0, PRICE), (0.0, PRICE - 5.0), (0.0, math.nan)],
)
def test_a_stop_or_target_on_the_wrong_side_is_no_entry(stop: float, take_profit: float) -> None:
    desired = Desk().step(_buy(0.9, EMA_MOMENTUM_LONG, stop=stop, take_profit=take_profit))
    assert (desired.target, desired.stop, desired.take_profit) == (0, 0, 0)
    assert "no_setup" in reasons(desired)


def test_the_strategy_sees_yen_and_coins_and_answers_in_yen() -> None:
    fine = replace(BTC, symbol="XRP", tick_size=Decimal("0.001"), size_step=Decimal("0.1"), min_size=Decimal("0.1"), max_size=Decimal(9))
    desk = Desk()
    desk.settings = Settings(instrument=fine, fixed_size=Decimal(1)).record()
    decision = _buy(1.0, EMA_MOMENTUM_LONG, stop=99.9994, take_profit=100.5001)
    desired = desk.step(decision, at=bar(100_001, width=3, volume=25, time=7))
    assert desk.shown[0].item() == (7, 100.001, 100.004, 99.998, 100.001, 2.5, 0)
    assert (desired.stop, desired.take_profit) == (99_999, 100_501)


def test_holding_says_why() -> None:
    assert reasons(Desk().step(uncompiled(hold)(NO_SETUP))) == {"no_setup"}
