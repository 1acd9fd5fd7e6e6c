"""Books against the exchange: nothing is concluded from one look, nothing hidden, and what nothing explains waits for a person."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.live.bench import BTC, PRICE, SECOND, START_NS, STOP, fill
from tests.live.historian import CAPITAL, YEN, Historian

from gmobot.core.instrument import Instrument
from gmobot.errors import Unavailable
from gmobot.live.account import AccountState
from gmobot.live.difference import Difference
from gmobot.live.intents import Purpose
from gmobot.venue.models import CashFlow, Side

CONFIRM = 11.0
"""Twice the visibility delay and what it takes to tell a stranger, and a second."""


async def desk(directory: Path, instrument: Instrument = BTC, **balances: str) -> Historian:
    """Begin with a million yen; the exchange has it too, and what is given."""
    bench = Historian(directory, instrument)
    await bench.begin()
    bench.rest.balances = {"JPY": Decimal(1_000_000), "BTC": Decimal(0)} | {name: Decimal(value) for name, value in balances.items()}
    return bench


async def look(bench: Historian, seconds: float = 0.0) -> str | None:
    """Let time pass and compare, the trader's part included. Returns what could not be made out."""
    bench.clock.advance(seconds)
    trader = bench.trader
    asked = trader.reconcile

    def answered() -> Any:
        future = asked()
        if not future.done():
            future.set_result(None)
        trader._asked = None
        return future

    trader.reconcile = answered  # type: ignore[method-assign]
    try:
        return await bench.reconciler.run()
    finally:
        trader.reconcile = asked  # type: ignore[method-assign]


def impatient(bench: Historian) -> bool:
    return bench.reconciler.impatient


def told(bench: Historian, event: str = "reconciled") -> list[dict[str, Any]]:
    return [found for found in bench.events() if found["event"] == event]


# --- the beginning ------------------------------------------------------------------------------------------


async def test_what_is_there_at_first_is_the_capital_and_the_coins_are_not_ours(tmp_path: Path) -> None:
    bench = Historian(tmp_path)
    await bench.open()
    bench.rest.balances = {"JPY": Decimal("123.456789"), "BTC": Decimal("0.12345678919")}
    bench.rest.stamped_ns = START_NS + 5
    await look(bench)
    state = bench.account.state
    assert (state.base_cash, state.base_coins) == (123_456_789, {"BTC": Decimal("0.1234567891")})
    assert (state.flows_from_ns, state.level_ns) == (START_NS + 5, START_NS + 5)
    (event,) = told(bench)
    assert (event["capital_jpy"], event["foreign_coins"]) == ("123.456789", {"BTC": "0.1234567891"})
    await bench.reopen()
    assert bench.account.state == state
    await bench.close()


async def test_a_beginning_with_coins_of_ours_leaves_them_out(tmp_path: Path) -> None:
    bench = Historian(tmp_path)
    await bench.open()
    await bench.owning(100)
    bench.rest.balances = {"JPY": Decimal(1_000), "BTC": Decimal("0.5")}
    await look(bench)
    assert bench.account.state.base_coins == {"BTC": Decimal("0.499")}
    assert bench.account.cash_uyen == 1_000 * YEN
    await bench.close()


async def test_a_list_without_an_asset_is_no_list(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    del bench.rest.balances["BTC"]
    with pytest.raises(Unavailable, match="no row for BTC"):
        await look(bench)
    await bench.close()


async def test_a_symbol_that_is_new_begins_with_what_is_there_of_it(tmp_path: Path) -> None:
    bench = await desk(tmp_path, BTC="0.7")
    bench.account.state.base_coins = {}
    await look(bench)
    assert bench.account.state.base_coins == {"BTC": Decimal("0.7")}
    assert told(bench)[0]["foreign_coins"] == {"BTC": "0.7000000000"}
    await look(bench)
    assert len(told(bench)) == 1
    await bench.reopen()
    assert bench.account.state.base_coins == {"BTC": Decimal("0.7")}
    await bench.close()


# --- looks that say nothing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("moving", [{}, {"purpose": Purpose.EXIT, "side": Side.SELL}])
async def test_while_a_fill_is_to_be_expected_nobody_looks(tmp_path: Path, moving: dict[str, Any]) -> None:
    bench = await desk(tmp_path, JPY="5")
    await bench.acknowledged(**moving)
    for _ in range(3):
        await look(bench, CONFIRM)
    assert not bench.reconciler.unexplained
    assert not impatient(bench)
    await bench.close()


async def test_a_resting_order_is_no_reason_not_to_look(tmp_path: Path) -> None:
    bench = await desk(tmp_path, JPY="5")
    await bench.owning(100)
    await bench.acknowledged(order_id=1, **STOP)
    await look(bench)
    assert impatient(bench)
    await bench.close()


async def test_a_fill_during_the_question_makes_its_answer_worthless(tmp_path: Path) -> None:
    bench = await desk(tmp_path, JPY="5")
    await bench.acknowledged(order_id=900)
    ours = bench.books.by_order(900)
    assert ours is not None
    await bench.books.end(ours, ours.state.CANCELLED, "")
    ask = bench.rest.assets

    async def meanwhile() -> Any:
        answer = await ask()
        await bench.books.book(fill(9_000, 900, 50))
        return answer

    bench.rest.assets = meanwhile  # type: ignore[method-assign]
    await look(bench)
    assert not impatient(bench)
    await bench.close()


async def test_an_order_sent_during_the_question_makes_its_answer_worthless(tmp_path: Path) -> None:
    bench = await desk(tmp_path, JPY="5")
    ask = bench.rest.assets

    async def meanwhile() -> Any:
        answer = await ask()
        await bench.intend()
        return answer

    bench.rest.assets = meanwhile  # type: ignore[method-assign]
    await look(bench)
    assert not impatient(bench)
    await bench.close()


# --- drift ----------------------------------------------------------------------------------------------------


async def test_a_difference_counts_once_two_looks_far_enough_apart_agree(tmp_path: Path) -> None:
    bench = await desk(tmp_path, JPY="999000")
    assert bench.reconciler.confirm_seconds == CONFIRM
    await look(bench)
    assert impatient(bench)
    await look(bench, CONFIRM - 0.001)
    assert (bench.account.wallet_drift_uyen, bench.alarms) == (0, [])
    await look(bench, 0.001)
    assert bench.account.wallet_drift_uyen == -1_000 * YEN
    assert bench.reconciler.unexplained == Difference(-1_000 * YEN)
    assert not impatient(bench)
    (reason, text) = bench.alarms[0]
    assert reason == "wallet_drift_exceeded"
    assert "-1000 JPY" in text
    assert (told(bench)[-1]["wallet_drift_jpy"], told(bench)[-1]["difference"]) == ("-1000", "-1000 JPY")
    await look(bench, CONFIRM)
    assert len(bench.alarms) == 1, "told once"
    await bench.close()


async def test_a_difference_that_changes_begins_anew(tmp_path: Path) -> None:
    bench = await desk(tmp_path, JPY="999000")
    await look(bench)
    bench.rest.balances["JPY"] = Decimal(998_000)
    await look(bench, CONFIRM)
    assert bench.account.wallet_drift_uyen == 0
    await look(bench, CONFIRM)
    assert bench.account.wallet_drift_uyen == -2_000 * YEN
    await bench.close()


async def test_a_difference_that_is_gone_is_forgotten_and_a_drift_ends_with_it(tmp_path: Path) -> None:
    bench = await desk(tmp_path, JPY="999000")
    await look(bench)
    await look(bench, CONFIRM)
    bench.rest.balances["JPY"] = Decimal(1_000_000)
    await look(bench)
    assert bench.account.wallet_drift_uyen == 0
    assert not bench.reconciler.unexplained
    assert told(bench)[-1]["wallet_drift_jpy"] == "0"
    count = len(told(bench))
    await look(bench)
    assert len(told(bench)) == count
    bench.rest.balances["JPY"] = Decimal(999_000)
    await look(bench)
    await look(bench, CONFIRM - 0.001)
    assert bench.account.wallet_drift_uyen == 0, "it begins anew"
    await bench.close()


@pytest.mark.parametrize(("limit", "alarms"), [(1_000, 0), (999, 1), (0, 0)])
async def test_a_small_drift_is_on_record_and_nobody_is_called(tmp_path: Path, limit: int, alarms: int) -> None:
    bench = Historian(tmp_path)
    bench.max_drift = limit * YEN
    await bench.begin()
    bench.rest.balances = {"JPY": Decimal(1_001_000), "BTC": Decimal(0)}
    await look(bench)
    await look(bench, CONFIRM)
    assert bench.account.wallet_drift_uyen == 1_000 * YEN
    assert len(bench.alarms) == alarms
    await bench.close()


@pytest.mark.parametrize(
    ("yen", "coins", "drift"),
    [
        ("1000000", "0.1", 1_000_000),
        ("1000000", "-0.1", -1_000_000),
        ("900000", "0.02", 300_000),
        ("900000", "0.005", -150_000),
        ("900000", "0.01", 200_000),
    ],
)
async def test_yen_and_coins_do_not_make_up_for_each_other(tmp_path: Path, yen: str, coins: str, drift: int) -> None:
    bench = await desk(tmp_path, JPY=yen, BTC=coins)
    await look(bench)
    await look(bench, CONFIRM)
    assert bench.account.wallet_drift_uyen == drift * YEN
    await bench.close()


async def test_a_drift_of_coins_is_worth_another_sum_at_another_price(tmp_path: Path) -> None:
    bench = await desk(tmp_path, BTC="0.1")
    await look(bench)
    await look(bench, CONFIRM)
    bench.market.last = PRICE // 2
    await look(bench)
    assert bench.account.wallet_drift_uyen == 500_000 * YEN
    await bench.close()


# --- what stands against opening anything ---------------------------------------------------------------------------


async def test_a_run_that_meets_a_difference_opens_nothing_before_it_is_confirmed(tmp_path: Path) -> None:
    bench = await desk(tmp_path, JPY="999000")
    for seconds in (0.0, CONFIRM - 0.001, 0.001):
        assert await look(bench, seconds) == "a difference of -1000 JPY is neither explained nor confirmed"
    assert bench.account.wallet_drift_uyen == -1_000 * YEN
    assert await look(bench) is None, "and judged by the guards"
    bench.rest.balances["JPY"] = Decimal(5)
    assert await look(bench) is None, "what it has confirmed stands, whatever is suspected"
    await bench.reopen()
    assert await look(bench) is not None, "the next run begins anew"
    bench.rest.balances["JPY"] = Decimal(1_000_000)
    assert await look(bench) is None
    await bench.close()


async def test_a_run_that_explains_a_difference_at_once_waits_for_nothing(tmp_path: Path) -> None:
    bench = await desk(tmp_path, JPY="1000500")
    bench.clock.advance(600.0)
    bench.rest.flows = {"deposit JPY": [deposit(bench, "500")]}
    assert await look(bench) is None
    await bench.close()


async def test_balances_that_nobody_compared_stand_against_it(tmp_path: Path) -> None:
    bench = Historian(tmp_path)
    await bench.open()
    await bench.acknowledged(order_id=900)
    assert await look(bench) == "an order is on its way"
    ours = bench.books.by_order(900)
    assert ours is not None
    await bench.books.end(ours, ours.state.CANCELLED, "")
    bench.rest.balances = {"JPY": Decimal(1_000_000), "BTC": Decimal(0)}
    assert await look(bench) is None, "the capital is known"
    await bench.close()


async def test_a_position_without_a_price_stands_against_it(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    await bench.owning(100)
    bench.rest.balances = {"JPY": Decimal(bench.account.cash_uyen) / YEN, "BTC": Decimal("0.001")}
    bench.market.last, bench.market.book = 0, None
    assert await look(bench) == "what we hold has no price"
    bench.market.last = PRICE
    assert await look(bench) is None
    await bench.close()


# --- explaining -------------------------------------------------------------------------------------------------


def deposit(bench: Historian, yen: str) -> CashFlow:
    return CashFlow(asset="JPY", amount=Decimal(yen), status="EXECUTED", at_ns=bench.clock.now_ns() - 60 * SECOND)


async def test_what_is_explained_is_level_at_the_same_look(tmp_path: Path) -> None:
    bench = await desk(tmp_path, JPY="1000500")
    bench.clock.advance(600.0)
    bench.rest.flows = {"deposit JPY": [deposit(bench, "500")]}
    await look(bench)
    assert not impatient(bench)
    assert bench.flows() == [("deposit", "JPY", 500 * YEN)]
    assert bench.account.state.level_ns == bench.clock.now_ns()
    await bench.close()


async def test_what_is_explained_in_part_leaves_the_rest_to_be_seen_again(tmp_path: Path) -> None:
    bench = await desk(tmp_path, JPY="1000700")
    bench.clock.advance(600.0)
    bench.rest.flows = {"deposit JPY": [deposit(bench, "500")]}
    await look(bench)
    assert impatient(bench)
    await look(bench, CONFIRM)
    assert bench.reconciler.unexplained == Difference(200 * YEN)
    await bench.close()


async def test_it_is_looked_for_everywhere_once_it_lasts_and_then_every_half_hour(tmp_path: Path) -> None:
    bench = await desk(tmp_path, JPY="1000700")
    bench.clock.advance(3_600.0)
    asked = bench.rest.asked
    await look(bench)
    assert asked["symbols"] == 0
    await look(bench, CONFIRM)
    assert asked["symbols"] == 1
    await look(bench, 1_799.999)
    assert asked["symbols"] == 1
    await look(bench, 0.001)
    assert asked["symbols"] == 2
    bench.rest.balances["JPY"] = Decimal(1_000_800)
    await look(bench)
    await look(bench, CONFIRM)
    assert asked["symbols"] == 3, "another difference is looked for at once"
    await bench.close()


async def test_while_all_agrees_no_history_is_asked(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    for _ in range(3):
        await look(bench, 60.0)
    assert not bench.rest.asked
    await bench.close()


async def test_when_all_agreed_is_kept_every_five_minutes(tmp_path: Path) -> None:
    bench = await desk(tmp_path)

    def kept() -> int:
        return int(bench.sql("SELECT value FROM account WHERE key = 'level_ns'")[0][0])

    await look(bench, 1.0)
    first = kept()
    assert first == START_NS + SECOND
    await look(bench, 299.999)
    assert kept() == first
    assert bench.account.state.level_ns == bench.clock.now_ns()
    await look(bench, 0.001)
    assert kept() == first + 300 * SECOND
    bench.clock.set_wall(-3_600)
    await look(bench)
    assert bench.account.state.level_ns == first + 300 * SECOND, "a clock that is set back takes nothing back"
    await bench.close()


# --- an operator takes over -------------------------------------------------------------------------------------


async def test_what_nothing_explains_is_taken_over_as_it_is(tmp_path: Path) -> None:
    bench = await desk(tmp_path, JPY="999000", BTC="0.25")
    await look(bench)
    await look(bench, CONFIRM)
    assert bench.reconciler.unexplained
    equity = bench.account.equity_uyen
    await bench.reconciler.acknowledge()
    assert bench.account.wallet_drift_uyen == 0
    assert not bench.reconciler.unexplained
    assert not impatient(bench)
    assert bench.flows() == [("acknowledged", "JPY", -1_000 * YEN), ("acknowledged", "BTC", 0)]
    rows = [tuple(row) for row in bench.sql("SELECT amount, symbol, evidence FROM cash_flows ORDER BY rowid")]
    assert rows == [("-1000", "", "an operator acknowledged it"), ("0.2500000000", "BTC", "an operator acknowledged it")]
    state = bench.account.state
    assert (state.base_cash, state.base_coins) == (CAPITAL - 1_000 * YEN, {"BTC": Decimal("0.25")})
    assert state.flows_from_ns == state.level_ns == bench.clock.now_ns()
    assert bench.account.equity_uyen == equity - 1_000 * YEN
    await look(bench)
    assert not impatient(bench)
    await bench.reopen()
    assert bench.account.state == AccountState.restore(bench.account.state.to_dict())
    assert bench.account.state.base_cash == CAPITAL - 1_000 * YEN
    await bench.close()


async def test_what_the_histories_tell_later_was_in_what_was_acknowledged(tmp_path: Path) -> None:
    bench = await desk(tmp_path, JPY="1000500")
    await look(bench, 600.0)
    await look(bench, CONFIRM)
    late = deposit(bench, "500")
    await bench.reconciler.acknowledge()
    bench.rest.flows = {"deposit JPY": [late]}
    bench.rest.balances["JPY"] = Decimal(1_000_600)
    await look(bench)
    await look(bench, CONFIRM)
    assert bench.reconciler.unexplained == Difference(100 * YEN)
    await bench.close()


async def test_with_nothing_to_explain_an_acknowledgement_changes_nothing(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    before = bench.account.state.to_dict()
    bench.clock.advance(5.0)
    await bench.reconciler.acknowledge()
    assert bench.account.state.to_dict() == before
    await look(bench)
    bench.rest.balances["JPY"] = Decimal(5)
    await look(bench)
    await bench.reconciler.acknowledge()
    assert bench.flows() == [], "what was seen once is not taken over"
    await bench.close()


async def test_only_what_differs_is_taken_over(tmp_path: Path) -> None:
    bench = await desk(tmp_path, BTC="0.25")
    await look(bench)
    await look(bench, CONFIRM)
    await bench.reconciler.acknowledge()
    assert bench.flows() == [("acknowledged", "BTC", 0)]
    await bench.close()
