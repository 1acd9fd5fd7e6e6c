"""The simulator's rules, one by one, on bars made for each."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.backtest.support import BTC, CASH, bars, settings

from gmobot.backtest.fills import ENTRY, EXIT, STOP, TARGET
from gmobot.backtest.simulate import Simulation, simulate
from gmobot.core.instrument import FeeRounding, Instrument, Product
from gmobot.strategies.loader import load

ONCE = '''
from gmobot.core.decision import buy, hold, sell
from gmobot.core.reasons import NO_SETUP
from gmobot.strategies.declaration import Strategy, param


class Once(Strategy):
    """Buys at its first bar, sells at bar `leave`."""

    class Params:
        stop: float = param(0.0)
        target: float = param(0.0)
        leave: int = param(0)
        holding: int = param(0)

    class State:
        bars: int

    @staticmethod
    def decide(state, bar, params, position):
        state.bars += 1
        if state.bars == 1:
            return buy(1.0, NO_SETUP, stop=params.stop, take_profit=params.target, max_holding=params.holding)
        if state.bars == params.leave:
            return sell(1.0, NO_SETUP)
        return hold()
'''
CALM = (10_000_000, 10_000_000, 10_000_000, 10_000_000)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("strategy")
    (folder / "once.py").write_text(ONCE)
    once = load(f"{folder / 'once.py'}:Once", cache_dir=folder)

    def go(
        rows: list[tuple[int, int, int, int]],
        *,
        slippage: int = 0,
        cash: int = CASH,
        instrument: Instrument = BTC,
        limits: dict[str, Any] | None = None,
        **params: float,
    ) -> Simulation:
        chosen = settings(instrument, **({"cooldown_bars": 0} | (limits or {})))
        return simulate(once.bind(params), chosen, bars(rows), initial_uyen=cash, slippage_ticks=slippage)

    return go


def fill(simulation: Simulation, position: int) -> tuple[int, int, int, int]:
    row = simulation.fills[position]
    return int(row["bar"]), int(row["kind"]), int(row["ticks"]), int(row["lots"])


def test_a_decision_fills_at_the_next_open_plus_slippage(run: Any) -> None:
    result = run([CALM, (10_000_500, 10_001_000, 10_000_000, 10_000_700)], slippage=25)
    assert fill(result, 0) == (1, ENTRY, 10_000_525, 1_000)


def test_a_decision_on_the_last_bar_fills_nothing(run: Any) -> None:
    assert len(run([CALM]).fills) == 0


def test_a_stop_inside_the_bar_fills_at_its_trigger_minus_slippage(run: Any) -> None:
    result = run([CALM, CALM, (10_000_000, 10_000_000, 9_899_999, 9_950_000)], stop=9_900_000.0, slippage=10)
    assert fill(result, 1) == (2, STOP, 9_899_990, -1_000)


def test_a_gap_through_the_stop_fills_at_the_open(run: Any) -> None:
    result = run([CALM, CALM, (9_800_000, 9_850_000, 9_790_000, 9_840_000)], stop=9_900_000.0)
    assert fill(result, 1) == (2, STOP, 9_800_000, -1_000)


def test_a_gap_over_the_target_fills_at_the_open(run: Any) -> None:
    result = run([CALM, CALM, (10_300_000, 10_310_000, 10_290_000, 10_300_000)], target=10_200_000.0)
    assert fill(result, 1) == (2, TARGET, 10_300_000, -1_000)


def test_a_gap_over_the_target_comes_before_the_stop_of_the_same_bar(run: Any) -> None:
    result = run([CALM, CALM, (10_300_000, 10_310_000, 9_800_000, 9_900_000)], stop=9_900_000.0, target=10_200_000.0)
    assert fill(result, 1) == (2, TARGET, 10_300_000, -1_000)


def test_when_stop_and_target_are_both_reached_the_stop_comes_first(run: Any) -> None:
    result = run([CALM, CALM, (10_000_000, 10_500_000, 9_500_000, 10_400_000)], stop=9_900_000.0, target=10_200_000.0)
    assert fill(result, 1) == (2, STOP, 9_900_000, -1_000)
    assert len(result.fills) == 2


def test_an_entry_can_be_stopped_in_its_own_bar(run: Any) -> None:
    result = run([CALM, (10_000_000, 10_050_000, 9_890_000, 10_000_000)], stop=9_900_000.0)
    assert [fill(result, 0)[:2], fill(result, 1)] == [(1, ENTRY), (1, STOP, 9_900_000, -1_000)]


def test_a_sell_decision_leaves_at_the_next_open(run: Any) -> None:
    result = run([CALM, CALM, CALM, (10_100_000, 10_100_000, 10_100_000, 10_100_000)], leave=3)
    assert fill(result, 1) == (3, EXIT, 10_100_000, -1_000)


def test_the_holding_limit_leaves_by_itself(run: Any) -> None:
    result = run([CALM] * 8, holding=3)
    assert fill(result, 1)[:2] == (4, EXIT)


def test_fees_are_the_takers_in_whole_yen_and_move_cash(run: Any) -> None:
    result = run([CALM, CALM, CALM, CALM], leave=2)
    # 0.01 BTC at 10,000,000 yen is 100,000 yen; 0.05 % of it is 50 yen, each way.
    assert int(result.ledger["fees_uyen"][0]) == 100 * 1_000_000
    assert int(result.equity[-1]) == CASH - 100 * 1_000_000


def test_a_rebate_raises_equity(run: Any) -> None:
    rebate = Instrument("BTC", Product.SPOT, Decimal(1), Decimal("0.00001"), Decimal("0.00001"), Decimal(5), Decimal(0), Decimal("-0.0001"))
    result = run([CALM, CALM, CALM, CALM], leave=2, instrument=rebate)
    assert int(result.equity[-1]) == CASH + 20 * 1_000_000


@pytest.mark.parametrize(("rounding", "fee"), [(FeeRounding.HALF_UP, 5), (FeeRounding.FLOOR, 4), (FeeRounding.CEIL, 5)])
def test_fees_round_as_the_instrument_says(run: Any, rounding: FeeRounding, fee: int) -> None:
    rounded = Instrument(
        "BTC", Product.SPOT, Decimal(1), Decimal("0.00001"), Decimal("0.00001"), Decimal(5), Decimal(0), Decimal("0.0005"), rounding
    )
    # 0.00095 BTC at 10,000,000 yen is 9,500 yen: a fee of 4.75 yen.
    result = run([CALM, CALM], instrument=rounded, limits={"fixed_size": Decimal("0.00095")})
    assert int(result.ledger["fees_uyen"][0]) == fee * 1_000_000


def test_cash_that_is_short_buys_less_and_never_goes_below_zero(run: Any) -> None:
    result = run([CALM, (11_000_000, 11_000_000, 11_000_000, 11_000_000)], cash=100_100 * 1_000_000)
    assert fill(result, 0)[3] < 1_000
    assert CASH > 100_100 * 1_000_000 + int(result.ledger["cash_uyen"][0]) >= 0


def test_an_entry_below_the_minimum_is_not_made(run: Any) -> None:
    coarse = Instrument("BTC", Product.SPOT, Decimal(1), Decimal("0.00001"), Decimal("0.1"), Decimal(5), Decimal(0), Decimal("0.0005"))
    assert len(run([CALM, CALM, CALM], instrument=coarse, limits={"fixed_size": Decimal("0.2")}, cash=900_000 * 1_000_000).fills) == 0


def test_an_abort_closes_and_stays_halted(run: Any) -> None:
    rows = [CALM, CALM, (10_000_000, 10_000_000, 9_000_000, 9_000_000), *[(9_000_000,) * 4] * 3]
    result = run(rows, limits={"max_trade_loss": Decimal(5_000)})
    assert fill(result, 1)[:2] == (3, EXIT)
    assert result.halted


@pytest.mark.parametrize(("low", "aborts"), [(9_505_000, False), (9_504_999, True)])
def test_the_trade_loss_guard_counts_the_fee_of_the_entry(run: Any, low: int, aborts: bool) -> None:
    # 0.01 BTC bought at 10,000,000 yen costs a fee of 50 yen: a limit of 5,000 yen leaves 4,950 for the price.
    result = run([CALM, CALM, (10_000_000, 10_000_000, low, low), (low,) * 4], limits={"max_trade_loss": Decimal(5_000)})
    assert result.halted is aborts
