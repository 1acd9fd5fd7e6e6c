"""The compiled simulator on leverage against the bookkeeper of :mod:`leverage_reference`, and its rules one by one."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.backtest.leverage_reference import SCRIPT, Bar, Bookkeeper, Terms

import gmobot.backtest.simulate as simulate_module
from gmobot.backtest import loop
from gmobot.backtest.fills import ENTRY, EXIT, LOSSCUT, STOP, TARGET
from gmobot.backtest.metrics import measure, trade_results
from gmobot.backtest.simulate import Simulation, simulate
from gmobot.core.instrument import FeeRounding, Instrument, Product
from gmobot.core.records import BAR
from gmobot.core.settings import Settings
from gmobot.strategies.loader import load
from gmobot.strategies.program import Program

MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
NOON_JST = 3 * HOUR
KINDS = {ENTRY: "entry", EXIT: "exit", STOP: "stop", TARGET: "goal", LOSSCUT: "cut"}
BUY, SELL, CLOSE = 2, 3, 4
NEAR_STOP, FAR_STOP, GOAL = 6, 18, 24
P = 10_000_000
CALM = (P, P, P, P)


def instrument(taker: str = "0", rounding: FeeRounding = FeeRounding.HALF_UP) -> Instrument:
    step = Decimal("0.001")
    return Instrument("BTC_JPY", Product.LEVERAGE, Decimal(1), step, step, Decimal(5), Decimal(0), Decimal(taker), rounding)


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Program:
    folder = tmp_path_factory.mktemp("script")
    (folder / "script.py").write_text(SCRIPT)
    return load(f"{folder / 'script.py'}:Script", cache_dir=folder)


@st.composite
def paths(draw: st.DrawFn) -> list[Bar]:
    """Draw wild bars with holes between them, from minutes to days, around many 06:00 JST."""
    found, time, price = [], draw(st.integers(0, 48)) * HOUR // 2, P
    for _ in range(draw(st.integers(2, 40))):
        start = max(1_000, price * (1_000 + draw(st.integers(-90, 90) | st.integers(-300, 300))) // 1_000)
        end = max(1_000, start * (1_000 + draw(st.integers(-80, 80))) // 1_000)
        high = max(start, end) * (1_000 + draw(st.integers(0, 60))) // 1_000
        low = max(1, min(start, end) * (1_000 - draw(st.integers(0, 60))) // 1_000)
        found.append(Bar(time, start, high, low, end, draw(st.integers(0, 71))))
        time += draw(st.sampled_from([MINUTE, HOUR, 5 * HOUR, 26 * HOUR, 75 * HOUR]))
        price = end
    return found


TERMS = st.builds(
    Terms,
    yen_per_lot=st.just(Fraction(1, 1_000)),
    taker=st.sampled_from([Fraction(0), Fraction(3, 10_000)]),
    rounded=st.sampled_from(["half_up", "floor", "ceil", "none"]),
    size=st.sampled_from([10, 100]),
    cash=st.sampled_from([40_000, 300_000, 10_000_000]),
    slippage=st.sampled_from([0, 777]),
    cooldown=st.sampled_from([0, 0, 2]),
)


def run(program: Program, bars: list[Bar], terms: Terms) -> Simulation:
    rows = np.array([(b.time, b.open, b.high, b.low, b.close, b.code, 0) for b in bars], BAR)
    chosen = Settings(
        instrument=instrument(str(Decimal(terms.taker.numerator) / terms.taker.denominator), FeeRounding[terms.rounded.upper()]),
        fixed_size=Decimal(terms.size) / 1_000,
        cooldown_bars=terms.cooldown,
    )
    return simulate(program, chosen, rows, initial_uyen=terms.cash * 10**6, slippage_ticks=terms.slippage)


@hypothesis_settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bars=paths(), terms=TERMS)
def test_the_simulator_is_the_bookkeeper_to_the_unit(script: Program, bars: list[Bar], terms: Terms) -> None:
    ours, theirs = run(script, bars, terms), Bookkeeper(terms).run(bars)
    found = [(int(f["bar"]), KINDS[int(f["kind"])], int(f["ticks"]), int(f["lots"])) for f in ours.fills]
    assert found == theirs.fills
    assert [Fraction(int(e), 10**6) for e in ours.equity] == theirs.equity
    assert Fraction(int(ours.ledger["leverage_fees_uyen"][0]), 10**6) == theirs.nights
    assert [Fraction(int(r), 10**6) for r in trade_results(ours)] == theirs.results
    assert ours.losscuts == theirs.cuts
    ledger = ours.ledger[0]
    assert terms.cash + Fraction(int(ledger["cash_uyen"] + ledger["cost_uyen"]), 10**6) == theirs.balance
    assert ledger["cash_uyen"] + ledger["cost_uyen"] == ledger["realized_uyen"] - ledger["fees_uyen"]


def seeded_market(draw: np.random.Generator, count: int = 60) -> list[Bar]:
    bars, price, time = [], P, 0
    for _ in range(count):
        start = int(price * draw.uniform(0.9, 1.1))
        end = int(start * draw.uniform(0.92, 1.08))
        high, low = int(max(start, end) * draw.uniform(1, 1.06)), int(min(start, end) * draw.uniform(0.94, 1))
        bars.append(Bar(time, start, high, low, end, int(draw.integers(0, 72))))
        price, time = end, time + int(draw.choice([MINUTE, HOUR, 26 * HOUR, 75 * HOUR]))
    return bars


SEEDED = Terms(Fraction(1, 1_000), Fraction(3, 10_000), "half_up", 100, 3_000_000, 0, 0)


def differences(program: Program, seeds: int) -> int:
    """Count the seeded markets in which simulator and bookkeeper disagree."""
    draw, found = np.random.default_rng(5), 0
    for _ in range(seeds):
        bars = seeded_market(draw)
        equity = [Fraction(int(e), 10**6) for e in run(program, bars, SEEDED).equity]
        found += equity != Bookkeeper(SEEDED).run(bars).equity
    return found


def test_the_seeded_markets_lead_through_everything() -> None:
    """Every kind of fill, on both sides, flips and nights."""
    draw = np.random.default_rng(5)
    kinds: set[str] = set()
    flips, nights = 0, Fraction(0)
    for _ in range(60):
        theirs = Bookkeeper(SEEDED).run(seeded_market(draw))
        kinds |= {f"{kind} {'+' if lots > 0 else '-'}" for _, kind, _, lots in theirs.fills}
        pairs = zip(theirs.fills, theirs.fills[1:], strict=False)
        flips += sum(first[:2] == (second[0], "exit") and second[1] == "entry" for first, second in pairs)
        nights += theirs.nights
    assert kinds == {f"{kind} {sign}" for kind in KINDS.values() for sign in "+-"}
    assert flips > 50
    assert nights > 1_000


@pytest.mark.parametrize(
    ("rule", "planted"),
    [
        ("apply_leverage_fee(book, fee)", "apply_leverage_fee(book, -fee)"),
        ("leverage_fee(book.position, last_close, day - r.day, s)", "leverage_fee(book.position, last_close, 1, s)"),
        ("losscut_first(book.position, stop, r.losscut)", "True"),
        ("price = cut_at(book, s, price, slippage)", "price = trade_at(book, s, price, lots, slippage)"),
        ("price = short_stop_price(bar, stop, d.take_profit)", "price = 0"),
        ("return min(target, 0) - held", "return target - held"),
    ],
    ids=["fee-sign", "days-missed", "losscut-before-stop", "losscut-without-fee", "short-target-before-stop", "flip-in-one-fill"],
)
def test_a_planted_change_of_a_rule_is_seen(monkeypatch: pytest.MonkeyPatch, script: Program, rule: str, planted: str) -> None:
    text = loop.source(Product.LEVERAGE)
    assert text.count(rule) == 1
    plain = replace(script, compiled=False)
    assert differences(plain, 8) == 0
    monkeypatch.setattr(simulate_module, "source", lambda _: text.replace(rule, planted))
    assert differences(plain, 8) > 0


# --- the rules, one by one ----------------------------------------------------------------------------------------


def walk(program: Program, rows: list[tuple[int, int, int, int]], codes: list[int], *, step: int = MINUTE, **terms: Any) -> Simulation:
    codes = codes + [0] * (len(rows) - len(codes))
    bars = [Bar(NOON_JST + i * step, *row, code) for i, (row, code) in enumerate(zip(rows, codes, strict=True))]
    plain: dict[str, Any] = {"taker": Fraction(0), "rounded": "half_up", "size": 10, "cash": 10_000_000, "slippage": 0, "cooldown": 0}
    return run(program, bars, Terms(yen_per_lot=Fraction(1, 1_000), **(plain | terms)))


def fills(simulation: Simulation) -> list[tuple[int, str, int, int]]:
    return [(int(f["bar"]), KINDS[int(f["kind"])], int(f["ticks"]), int(f["lots"])) for f in simulation.fills]


def test_a_sell_with_no_position_opens_a_short_that_gains_as_the_price_falls(script: Program) -> None:
    result = walk(script, [CALM, CALM, (P, P, 9_000_000, 9_000_000)], [SELL])
    assert fills(result) == [(1, "entry", P, -10)]
    assert int(result.equity[-1]) == (10_000_000 + 10_000) * 10**6
    assert result.exposed_bars == 2


def test_a_flip_closes_and_opens_at_one_open(script: Program) -> None:
    result = walk(script, [CALM, CALM, CALM], [BUY, SELL])
    assert fills(result) == [(1, "entry", P, 10), (2, "exit", P, -10), (2, "entry", P, -10)]
    assert int(result.ledger["position"][0]) == -10


def test_close_opens_nothing(script: Program) -> None:
    assert fills(walk(script, [CALM] * 4, [SELL, CLOSE])) == [(1, "entry", P, -10), (2, "exit", P, 10)]


def test_a_short_s_stop_is_above_and_comes_before_its_target(script: Program) -> None:
    wild = (P, 10_200_000, 9_000_000, P)
    result = walk(script, [CALM, CALM, wild], [SELL + NEAR_STOP + GOAL])
    assert fills(result)[1] == (2, "stop", 10_100_000, 10)


def test_a_short_s_target_is_below(script: Program) -> None:
    result = walk(script, [CALM, CALM, (P, P, 9_700_000, P)], [SELL + NEAR_STOP + GOAL], slippage=0)
    assert fills(result)[1] == (2, "goal", 9_800_000, 10)


@pytest.mark.parametrize(("start", "kind"), [(10_300_000, "stop"), (9_700_000, "goal")])
def test_a_gap_over_a_short_s_price_fills_at_the_open(script: Program, start: int, kind: str) -> None:
    result = walk(script, [CALM, CALM, (start, start + 500_000, start - 500_000, start)], [SELL + NEAR_STOP + GOAL])
    assert fills(result)[1] == (2, kind, start, 10)


@pytest.mark.parametrize(("code", "row", "at"), [(BUY, (P, P, 7_400_000, P), 7_500_000), (SELL, (P, 12_600_000, P, P), 12_500_000)])
@pytest.mark.parametrize("stop", [0, FAR_STOP])
def test_the_exchange_cuts_a_quarter_away_with_its_own_fee(
    script: Program, code: int, row: tuple[int, int, int, int], at: int, stop: int
) -> None:
    result = walk(script, [CALM, CALM, row], [code + stop])
    assert fills(result)[1][1:3] == ("cut", at)
    # 0.01 coins at 10,000,000 yen: a quarter of 100,000 yen is lost, and 0.5 % of it is the fee.
    assert int(result.equity[-1]) == (10_000_000 - 25_000 - 500) * 10**6
    assert result.losscuts == 1


@pytest.mark.parametrize(("code", "row", "at"), [(BUY, (P, P, 7_000_000, P), 9_900_000), (SELL, (P, 13_000_000, P, P), 10_100_000)])
def test_a_stop_that_is_nearer_spares_the_losscut(script: Program, code: int, row: tuple[int, int, int, int], at: int) -> None:
    result = walk(script, [CALM, CALM, row], [code + NEAR_STOP])
    assert fills(result)[1][1:3] == ("stop", at)
    assert int(result.ledger["fees_uyen"][0]) == 0
    assert result.losscuts == 0


def test_holding_over_a_weekend_without_bars_costs_every_day(script: Program) -> None:
    result = walk(script, [CALM, CALM, CALM], [BUY], step=60 * HOUR)
    # Opened at 00:00 JST, held until noon two days later: 06:00 came three times; 0.04 % of 100,000 yen is 40.
    assert int(result.ledger["leverage_fees_uyen"][0]) == 3 * 40 * 10**6


def test_a_short_pays_for_the_night_too_and_not_for_a_day(script: Program) -> None:
    assert int(walk(script, [CALM] * 3, [SELL], step=24 * HOUR).ledger["leverage_fees_uyen"][0]) == 40 * 10**6
    assert int(walk(script, [CALM] * 17, [SELL], step=HOUR).ledger["leverage_fees_uyen"][0]) == 0
    assert int(walk(script, [CALM] * 19, [SELL], step=HOUR).ledger["leverage_fees_uyen"][0]) == 40 * 10**6


def test_the_fee_is_of_the_last_close_before_the_turn(script: Program) -> None:
    rows = [CALM, (P, P, 9_000_000, 9_000_000), (9_500_000,) * 4]
    assert int(walk(script, rows, [SELL], step=24 * HOUR).ledger["leverage_fees_uyen"][0]) == 36 * 10**6


def test_an_exit_at_the_first_open_after_the_turn_has_paid_for_it(script: Program) -> None:
    result = walk(script, [CALM] * 3, [BUY, CLOSE], step=24 * HOUR)
    assert fills(result)[1][:2] == (2, "exit")
    assert trade_results(result).tolist() == [-40 * 10**6]


def test_the_leverage_fee_moves_the_guards_marks_and_trips_nothing(script: Program) -> None:
    rows = np.array([(NOON_JST + i * 24 * HOUR, *CALM, BUY if i == 0 else 0, 0) for i in range(40)], BAR)
    chosen = Settings(instrument=instrument(), fixed_size=Decimal("0.01"), max_drawdown=Decimal("0.0001"), daily_loss_limit=Decimal(1))
    result = simulate(script, chosen, rows, initial_uyen=10**13)
    assert int(result.ledger["leverage_fees_uyen"][0]) == 38 * 40 * 10**6
    assert (result.halted, result.degraded_bars) == (False, 0)


def test_money_that_carries_less_enters_with_less(script: Program) -> None:
    # 30,001 yen carry 60,000 yen of coins at twice leverage: 6 lots of 10,000 yen, one yen kept.
    for code in (BUY, SELL):
        assert abs(fills(walk(script, [CALM, CALM], [code], cash=30_002))[0][3]) == 6
        assert abs(fills(walk(script, [CALM, CALM], [code], cash=30_000))[0][3]) == 5
        assert fills(walk(script, [CALM, CALM], [code], cash=5_000)) == []


def test_a_gap_before_the_fill_cuts_the_entry_again(script: Program) -> None:
    result = walk(script, [CALM, (12_000_000,) * 4], [BUY], cash=30_002)
    assert fills(result) == [(1, "entry", 12_000_000, 5)]


def test_the_key_figures_of_a_short_are_a_short_s(script: Program) -> None:
    rows = [CALM, CALM, (9_800_000,) * 4, (9_800_000,) * 4, (9_900_000,) * 4]
    result = walk(script, rows, [SELL, CLOSE, SELL, CLOSE])
    figures = measure(result, instrument().unit_uyen, trade_results(result))
    assert (figures.trades, figures.win_rate) == (2, 0.5)
    assert figures.expectancy_jpy == pytest.approx((2_000 - 1_000) / 2)
    assert figures.exposure == pytest.approx(2 / 5)
    assert figures.turnover == pytest.approx(0.01 * (10.0 + 9.8 + 9.8 + 9.9) / 10)
    assert figures.realized_pnl_jpy == pytest.approx(1_000)
