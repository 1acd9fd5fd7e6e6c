"""Books against the exchange: nothing is concluded from one look, nothing hidden, and what nothing explains waits for a person."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.live.bench import BTC, BTC_JPY, PRICE, SECOND, START_NS, STOP, fill
from tests.live.historian import CAPITAL, YEN, Historian

from gmobot.core.instrument import Instrument
from gmobot.errors import Category, Refused, Unavailable
from gmobot.live.account import AccountState
from gmobot.live.difference import Difference
from gmobot.live.intents import Purpose
from gmobot.venue.models import CashFlow, Position, Settle, Side

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


# --- leverage positions -------------------------------------------------------------------------------------------


def position(position_id: int = 70, size: str = "0.1", side: Side = Side.BUY) -> Position:
    return Position(
        position_id=position_id,
        symbol="BTC_JPY",
        side=side,
        size=Decimal(size),
        reserved_size=Decimal(0),
        price=Decimal(PRICE),
        unrealized_pnl_jpy=Decimal(0),
        leverage=Decimal(2),
        losscut_price=None,
        opened_at_ns=START_NS,
    )


async def holder(directory: Path) -> Historian:
    bench = await desk(directory, BTC_JPY)
    await bench.acknowledged(order_id=900)
    bought = msgspec.structs.replace(fill(9_000, 900, fee=0), symbol="BTC_JPY", size=BTC_JPY.size(100), position_id=70)
    await bench.books.book(bought)
    bench.rest.positions = [position()]
    return bench


async def test_a_position_that_is_there_is_there(tmp_path: Path) -> None:
    bench = await holder(tmp_path)
    for _ in range(3):
        await look(bench, CONFIRM)
    assert bench.books.position("BTC_JPY") == 100
    assert bench.books.pieces("BTC_JPY").looked
    assert bench.alarms == []
    assert not impatient(bench)
    await bench.close()


@pytest.mark.parametrize(("listed", "left"), [([], 0), ([position(size="0.03")], 30)])
async def test_what_is_gone_at_two_looks_is_written_off(tmp_path: Path, listed: list[Position], left: int) -> None:
    bench = await holder(tmp_path)
    bench.rest.positions = listed
    await look(bench)
    assert impatient(bench)
    await look(bench, CONFIRM - 0.001)
    assert bench.books.position("BTC_JPY") == 100
    woken = bench.trader._wake
    woken.clear()
    await look(bench, 0.001)
    assert bench.books.position("BTC_JPY") == left
    assert woken.is_set(), "what is left is planned anew"
    assert [reason for reason, _ in bench.alarms] == ["exchange_error"]
    assert not impatient(bench)
    await look(bench, CONFIRM)
    assert len(bench.alarms) == 1
    await bench.close()


async def test_what_is_missing_otherwise_is_waited_for_anew(tmp_path: Path) -> None:
    bench = await holder(tmp_path)
    bench.rest.positions = []
    await look(bench)
    bench.rest.positions = [position(size="0.03")]
    await look(bench, CONFIRM)
    assert bench.books.position("BTC_JPY") == 100
    bench.rest.positions = [position()]
    await look(bench)
    bench.rest.positions = [position(size="0.03")]
    await look(bench, CONFIRM)
    assert bench.books.position("BTC_JPY") == 100, "it was there in between"
    await look(bench, CONFIRM)
    assert bench.books.position("BTC_JPY") == 30
    await bench.close()


async def test_more_than_we_know_of_is_not_ours(tmp_path: Path) -> None:
    bench = await holder(tmp_path)
    bench.rest.positions = [position(size="0.5")]
    await look(bench)
    await look(bench, CONFIRM)
    assert bench.books.position("BTC_JPY") == 100
    assert bench.alarms == []
    await bench.close()


async def test_somebody_else_s_positions_are_told_once(tmp_path: Path) -> None:
    bench = await holder(tmp_path)
    bench.rest.positions = [position(), position(8), position(9, side=Side.SELL)]
    await look(bench)
    await look(bench)
    bench.rest.positions.append(position(10))
    await look(bench)
    strangers = [(event["reason"], event["symbol"], event["positions"]) for event in told(bench, "error")]
    assert strangers == [("foreign_order", "BTC_JPY", [8, 9]), ("foreign_order", "BTC_JPY", [10])]
    assert set(bench.books.pieces("BTC_JPY").foreign()) == {8, 9, 10}
    await bench.close()


@pytest.mark.parametrize("fills", [True, False])
async def test_a_close_during_the_question_makes_its_answer_worthless_but_for_strangers(tmp_path: Path, fills: bool) -> None:
    bench = await holder(tmp_path)
    bench.rest.positions = [position(8)]
    ask = bench.rest.open_positions
    await bench.acknowledged(order_id=901, settle=Settle.CLOSE, **STOP)

    async def meanwhile(symbol: str) -> list[Position]:
        answer = await ask(symbol)
        if fills:
            sold = msgspec.structs.replace(fill(9_001, 901, side=Side.SELL), symbol="BTC_JPY", size=BTC_JPY.size(10), position_id=70)
            await bench.books.book(sold)
        else:
            await bench.intend()
        return answer

    bench.rest.open_positions = meanwhile  # type: ignore[method-assign]
    await look(bench)
    assert list(bench.books.pieces("BTC_JPY").foreign()) == [8], "closes must name our own from now on"
    assert (bench.books.position("BTC_JPY"), told(bench, "error")) == (90 if fills else 100, [])
    await bench.close()


async def test_spot_has_no_positions_to_ask_for(tmp_path: Path) -> None:
    bench = await desk(tmp_path)

    async def never(symbol: str) -> list[Position]:
        raise Refused("no", category=Category.VALIDATION)

    bench.rest.open_positions = never  # type: ignore[method-assign]
    await look(bench)
    await bench.close()


async def test_the_traders_look_first_and_their_trouble_ends_it(tmp_path: Path) -> None:
    bench = await desk(tmp_path, JPY="5")

    def broken() -> Any:
        future = asyncio.get_running_loop().create_future()
        future.set_exception(Unavailable("no answer"))
        return future

    bench.trader.reconcile = broken  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await bench.reconciler.run()
    assert not impatient(bench)
    await bench.close()


async def test_a_stranger_s_position_on_no_grid_of_ours_is_known_like_any_other(tmp_path: Path) -> None:
    bench = await holder(tmp_path)
    bench.rest.positions = [position(), position(8, size="0.0103")]
    await look(bench)
    bench.tracker.on_position(position(9, size="0.0001"), gone=False)
    assert {number: seen.lots for number, seen in bench.books.pieces("BTC_JPY").foreign().items()} == {8: 11, 9: 1}
    await bench.close()


async def two_pieces(directory: Path) -> Historian:
    """Long in positions 70, of 70 lots, and 71, of 30; order 901 is about to close some of them."""
    bench = await desk(directory, BTC_JPY)
    await bench.acknowledged(order_id=900)
    for number, lots in ((70, 70), (71, 30)):
        opened = msgspec.structs.replace(fill(9_000 + number, 900, fee=0), symbol="BTC_JPY", size=BTC_JPY.size(lots), position_id=number)
        await bench.books.book(opened)
    bench.rest.positions = [position(70, "0.07"), position(71, "0.03")]
    await look(bench)
    await bench.acknowledged(order_id=901, settle=Settle.CLOSE, **STOP)
    return bench


async def closed(bench: Historian, lots: int, position_id: int | None = None) -> None:
    told = msgspec.structs.replace(
        fill(9_900 + lots, 901, side=Side.SELL, fee=0), symbol="BTC_JPY", size=BTC_JPY.size(lots), position_id=position_id
    )
    await bench.books.book(told)


def sizes(bench: Historian) -> list[tuple[int, int]]:
    return [(piece.position_id, piece.lots) for piece in bench.books.pieces("BTC_JPY").ours]


@pytest.mark.parametrize("position_id", [None, 70])
async def test_a_bulk_close_told_with_one_fill_leaves_nothing_to_write_off_however_often_it_starts(
    tmp_path: Path, position_id: int | None
) -> None:
    bench = await two_pieces(tmp_path)
    await closed(bench, 100, position_id)
    bench.rest.positions = []
    for _ in range(2):
        for _ in range(3):
            await look(bench, CONFIRM)
        assert (bench.books.position("BTC_JPY"), sizes(bench), bench.alarms, impatient(bench)) == (0, [], [], False)
        await bench.reopen()
    await bench.close()


async def test_which_piece_an_unnamed_close_took_the_list_tells(tmp_path: Path) -> None:
    bench = await two_pieces(tmp_path)
    await closed(bench, 70)
    assert sizes(bench) == [(71, 30)]
    bench.rest.positions = [position(70, "0.03")]
    for _ in range(2):
        await look(bench)
        assert impatient(bench)
        await look(bench, CONFIRM)
        assert (bench.books.position("BTC_JPY"), sizes(bench), bench.books.pieces("BTC_JPY").foreign()) == (30, [(70, 30)], {})
        await look(bench, CONFIRM)
        assert (bench.alarms, told(bench, "error"), impatient(bench)) == ([], [], False)
        await bench.reopen()
        assert sizes(bench) == [(71, 30)], "it is guessed anew, and the list tells again"
    await bench.close()


async def test_what_a_wrong_guess_does_not_explain_is_written_off(tmp_path: Path) -> None:
    bench = await two_pieces(tmp_path)
    await closed(bench, 40)
    assert sizes(bench) == [(70, 30), (71, 30)]
    bench.rest.positions = [position(70, "0.05")]
    await look(bench)
    await look(bench, CONFIRM)
    assert (bench.books.position("BTC_JPY"), sizes(bench)) == (50, [(70, 50)])
    assert ["10 lots of our position 71" in text for _, text in bench.alarms] == [True]
    await bench.close()


@pytest.mark.parametrize(("lots", "left"), [(70, [(71, 30)]), (60, [(70, 10), (71, 30)])])
async def test_a_piece_that_is_larger_than_booked_is_told_once_and_what_nobody_booked_is_not_ours(
    tmp_path: Path, lots: int, left: list[tuple[int, int]]
) -> None:
    bench = await two_pieces(tmp_path)
    await closed(bench, lots)
    await look(bench)
    assert (sizes(bench), bench.alarms) == (left, []), "the list may be an old one"
    for _ in range(3):
        await look(bench, CONFIRM)
    assert [reason for reason, _ in bench.alarms] == ["exchange_error"]
    assert f"position 70 of BTC_JPY is ours and {lots} lots larger than booked" in bench.alarms[0][1]
    assert (bench.books.position("BTC_JPY"), sizes(bench), impatient(bench)) == (100 - lots, left, False)
    assert list(bench.books.pieces("BTC_JPY").foreign()) == ([70] if lots == 70 else [])
    await bench.close()


async def test_a_piece_of_which_nothing_is_booked_is_forgotten_and_nothing_written_off(tmp_path: Path) -> None:
    bench = await two_pieces(tmp_path)
    bench.books.pieces("BTC_JPY").opened(72, Side.BUY, 7, 0)
    for _ in range(2):
        await look(bench, CONFIRM)
    assert (bench.books.position("BTC_JPY"), sizes(bench), bench.alarms) == (100, [(70, 70), (71, 30)], [])
    await bench.close()


async def test_a_piece_is_written_off_as_far_as_it_is_booked(tmp_path: Path) -> None:
    bench = await two_pieces(tmp_path)
    bench.books.pieces("BTC_JPY").opened(71, Side.BUY, 7, 0)
    bench.rest.positions = bench.rest.positions[:1]
    for _ in range(2):
        await look(bench, CONFIRM)
    assert (bench.books.position("BTC_JPY"), sizes(bench)) == (70, [(70, 70), (71, 7)])
    for _ in range(2):
        await look(bench, CONFIRM)
    assert (bench.books.position("BTC_JPY"), sizes(bench), len(bench.alarms)) == (70, [(70, 70)], 1)
    await bench.close()
