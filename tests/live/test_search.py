"""What explains a difference: each history asked for no more than is missing, each row booked once, nothing made up."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.live.bench import BTC, BTC_JPY, SECOND, START_NS, fill, position
from tests.live.historian import CAPITAL, YEN, Historian

from gmobot.clock import trading_day_start_ns
from gmobot.core.instrument import Instrument
from gmobot.errors import Category, Refused, Unavailable
from gmobot.live.difference import Difference
from gmobot.venue.models import CashFlow, FeeEntry, Position, Side

HOUR = 3_600
MINUTE_NS = 60 * SECOND
MISSING = Refused("no permission", category=Category.AUTH, code="ERR-5012")


async def desk(directory: Path, instrument: Instrument = BTC) -> Historian:
    """Begin, and let two hours pass."""
    made = Historian(directory, instrument)
    await made.begin()
    made.clock.advance(2 * HOUR)
    return made


def row(amount: str, minutes_ago: float, bench: Historian, **changes: Any) -> CashFlow:
    at_ns = bench.clock.now_ns() - int(minutes_ago * MINUTE_NS)
    values: dict[str, Any] = {"asset": "JPY", "amount": Decimal(amount), "status": "EXECUTED", "at_ns": at_ns}
    return CashFlow(**(values | changes))


async def explain(bench: Historian, yen: int = 0, *, lasting: bool = False, everywhere: bool = False, **coins: str) -> Difference:
    rest = Difference(yen * YEN, {symbol: Decimal(amount) for symbol, amount in coins.items()})
    return await bench.search.explain(rest, lasting=lasting, everywhere=everywhere)


# --- deposits and withdrawals -----------------------------------------------------------------------------


@pytest.mark.parametrize(("what", "amount", "yen"), [("deposit", "500", 500), ("withdrawal", "500", -500)])
async def test_yen_that_came_or_went_are_found_and_booked_once(tmp_path: Path, what: str, amount: str, yen: int) -> None:
    bench = await desk(tmp_path)
    bench.rest.flows = {f"{what} JPY": [row(amount, 5, bench)]}
    assert not await explain(bench, yen)
    assert bench.flows() == [(what, "JPY", yen * YEN)]
    assert bench.account.state.base_cash == CAPITAL + yen * YEN
    assert await explain(bench, yen) == Difference(yen * YEN), "what is booked explains nothing again"
    assert bench.flows() == [(what, "JPY", yen * YEN)]
    await bench.close()


async def test_coins_that_came_and_went_are_found(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    bench.rest.flows = {
        "deposit BTC": [row("0.5", 5, bench, asset="BTC")],
        "withdrawal BTC": [row("0.2", 6, bench, asset="BTC")],
    }
    assert not await explain(bench, BTC="0.3")
    assert bench.account.state.base_coins == {"BTC": Decimal("0.3")}
    assert bench.rest.asked["deposit JPY"] == 0, "no yen are missing"
    await bench.close()


async def test_what_did_not_happen_or_was_there_before_explains_nothing(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    bench.rest.flows = {"deposit JPY": [row("500", 5, bench, status="REQUESTED"), row("500", 0, bench, at_ns=START_NS)]}
    bench.account.state.level_ns = START_NS
    assert (await explain(bench, 500, everywhere=True)).yen_uyen == 500 * YEN
    bench.rest.flows = {"deposit JPY": [row("500", 0, bench, at_ns=START_NS + 1)]}
    assert not await explain(bench, 500, everywhere=True)
    await bench.close()


async def test_rows_that_are_alike_are_as_many_flows(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    twin = row("500", 5, bench)
    bench.rest.flows = {"deposit JPY": [twin, twin]}
    assert not await explain(bench, 1_000)
    assert bench.flows() == [("deposit", "JPY", 500 * YEN)] * 2
    assert await explain(bench, 1_000) == Difference(1_000 * YEN)
    await bench.close()


async def test_two_that_differ_in_their_transaction_only_are_two(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    bench.rest.flows = {"deposit BTC": [row("1", 5, bench, transaction="a"), row("1", 5, bench, transaction="b")]}
    assert not await explain(bench, BTC="2")
    keys = [key for (key,) in bench.sql("SELECT key FROM cash_flows")]
    assert [key.split(":")[-1] for key in keys] == ["a#1", "b#1"]
    await bench.close()


async def test_the_newest_half_hours_are_asked_for_and_no_more_than_is_needed(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    now = bench.clock.now_ns()
    bench.rest.flows = {"deposit JPY": [row("500", 5, bench)]}
    assert not await explain(bench, 500)
    assert bench.rest.windows == [
        ("deposit JPY", now - 30 * MINUTE_NS, now),
        ("withdrawal JPY", now - 30 * MINUTE_NS, now),
    ]
    bench.rest.windows.clear()
    assert await explain(bench, 7)
    assert [(start, end) for what, start, end in bench.rest.windows if what == "deposit JPY"] == [
        (now - 30 * MINUTE_NS, now),
        (now - 60 * MINUTE_NS, now - 30 * MINUTE_NS),
    ]
    await bench.close()


async def test_looked_for_everywhere_it_goes_back_to_three_days_before_all_agreed(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    bench.clock.advance(100 * HOUR)
    now = bench.clock.now_ns()
    bench.account.state.level_ns = now - HOUR * SECOND
    assert await explain(bench, 7, everywhere=True)
    starts = [start for what, start, _ in bench.rest.windows if what == "deposit JPY"]
    assert min(starts) == now - 73 * HOUR * SECOND
    assert len(starts) == 146
    bench.rest.windows.clear()
    bench.account.state.flows_from_ns = now - 45 * MINUTE_NS
    assert await explain(bench, 7, everywhere=True)
    windows = [(start, end) for what, start, end in bench.rest.windows if what == "deposit JPY"]
    assert windows == [(now - 30 * MINUTE_NS, now), (now - 45 * MINUTE_NS, now - 30 * MINUTE_NS)], "not before the beginning"
    await bench.close()


async def test_the_exchange_s_own_time_is_asked_for(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    assert bench.search.now_ns() == bench.clock.now_ns()
    bench.rest.server_ns = START_NS + 5
    assert bench.search.now_ns() == START_NS + 5
    await bench.close()


async def test_a_history_that_may_not_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    bench.rest.refusing = {"deposit JPY": MISSING}
    bench.rest.flows = {"withdrawal JPY": [row("500", 5, bench)]}
    assert not await explain(bench, -500)
    bench.rest.refusing = {"deposit JPY": Unavailable("no answer")}
    with pytest.raises(Unavailable):
        await explain(bench, -500)
    await bench.close()


@pytest.mark.parametrize(("missing", "kinds"), [(-500, ["withdrawal"]), (-510, ["withdrawal", "withdrawal_fee"]), (-505, ["withdrawal"])])
async def test_the_balance_tells_whether_a_withdrawal_s_fee_came_on_top(tmp_path: Path, missing: int, kinds: list[str]) -> None:
    bench = await desk(tmp_path)
    bench.rest.flows = {"withdrawal JPY": [row("500", 5, bench, fee=Decimal(10))]}
    rest = await explain(bench, missing)
    assert rest.yen_uyen == (-5 * YEN if missing == -505 else 0)
    assert [kind for kind, _, _ in bench.flows()] == kinds
    await bench.close()


async def test_a_deposit_s_fee_is_part_of_it(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    bench.rest.flows = {"deposit JPY": [row("500", 5, bench, fee=Decimal(10))]}
    assert (await explain(bench, 490)).yen_uyen == -10 * YEN
    assert bench.flows() == [("deposit", "JPY", 500 * YEN)]
    await bench.close()


async def test_fees_of_withdrawals_that_are_booked_already_are_not_taken_again(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    bench.rest.flows = {"withdrawal JPY": [row("500", 5, bench, fee=Decimal(10))]}
    assert not await explain(bench, -500)
    assert (await explain(bench, -10)).yen_uyen == -10 * YEN
    await bench.close()


# --- the fee history --------------------------------------------------------------------------------------


def fee(bench: Historian, amount: str | None = "-30", **changes: Any) -> FeeEntry:
    values: dict[str, Any] = {
        "kind": "LEVERAGE_FEE",
        "at_ns": bench.clock.now_ns() - 5 * MINUTE_NS,
        "symbol": "BTC/JPY",
        "amount_jpy": None if amount is None else Decimal(amount),
        "fields": {},
    }
    return FeeEntry(**(values | changes))


async def holder(directory: Path) -> Historian:
    """Have sold a tenth of a coin short on leverage, as position 70."""
    bench = await desk(directory, BTC_JPY)
    await bench.acknowledged(order_id=900, side=Side.SELL)
    sold = fill(9_000, 900, side=Side.SELL, fee=0)
    at_ns = bench.clock.now_ns()
    await bench.books.book(msgspec.structs.replace(sold, symbol="BTC_JPY", size=BTC_JPY.size(100), position_id=70, at_ns=at_ns))
    return bench


def foreign(position_id: int = 9) -> Position:
    return position(position_id, "0.5")


def booked_for(bench: Historian) -> list[tuple[str, str, int]]:
    return [tuple(found) for found in bench.sql("SELECT kind, symbol, yen_uyen FROM cash_flows ORDER BY rowid")]


@pytest.mark.parametrize("amount", ["30", "-30"])
async def test_a_fee_for_our_position_is_its_ledger_s(tmp_path: Path, amount: str) -> None:
    bench = await holder(tmp_path)
    bench.rest.fees = [fee(bench, amount)]
    assert not await explain(bench, -30)
    assert booked_for(bench) == [("leverage_fee", "BTC_JPY", -30 * YEN)]
    assert bench.books.ledger("BTC_JPY").yen_uyen == -30 * YEN
    assert bench.account.state.base_cash == CAPITAL
    assert (await explain(bench, -30)).yen_uyen == -30 * YEN, "booked once"
    await bench.close()


async def test_a_fee_history_is_asked_for_losses_only_and_for_the_days_since_all_agreed(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    await explain(bench, 30)
    assert bench.rest.asked["fees"] == 0
    await explain(bench, -30)
    assert bench.rest.fee_days == [(date(2026, 1, 1), date(2026, 1, 1))]
    bench.clock.advance(10 * 24 * HOUR)
    bench.account.state.level_ns = bench.clock.now_ns()
    await explain(bench, -30)
    assert bench.rest.fee_days[-1] == (date(2026, 1, 10), date(2026, 1, 11))
    await bench.close()


@pytest.mark.parametrize("trouble", [MISSING, Unavailable("no answer")])
async def test_a_fee_history_that_tells_nothing_hides_nothing(tmp_path: Path, trouble: Any) -> None:
    bench = await desk(tmp_path)
    bench.rest.fees = trouble
    bench.rest.flows = {"withdrawal JPY": [row("30", 5, bench)]}
    assert not await explain(bench, -30)
    await bench.close()


@pytest.mark.parametrize(
    ("changes", "kind", "symbol"),
    [
        ({}, "leverage_fee", "BTC_JPY"),
        ({"symbol": None}, "leverage_fee", "BTC_JPY"),
        ({"symbol": "BTC_JPY"}, "leverage_fee", "BTC_JPY"),
        ({"symbol": "ETH/JPY"}, "leverage_fee", ""),
        ({"fields": {"positionId": "70"}}, "leverage_fee", "BTC_JPY"),
        ({"fields": {"positionId": "70"}, "symbol": "ETH/JPY"}, "leverage_fee", "BTC_JPY"),
        ({"fields": {"positionId": "71"}}, "leverage_fee", ""),
        ({"fields": {"positionId": "what"}}, "leverage_fee", "BTC_JPY"),
        ({"kind": "API_FEE", "amount_jpy": Decimal(30)}, "exchange_fee", ""),
    ],
)
async def test_whose_fee_it_is(tmp_path: Path, changes: dict[str, Any], kind: str, symbol: str) -> None:
    bench = await holder(tmp_path)
    bench.rest.fees = [msgspec.structs.replace(fee(bench), **changes)]
    assert not await explain(bench, -30)
    assert booked_for(bench) == [(kind, symbol, -30 * YEN)]
    await bench.close()


async def test_beside_somebody_else_s_position_a_fee_without_a_number_is_nobody_s(tmp_path: Path) -> None:
    bench = await holder(tmp_path)
    bench.tracker.on_position(foreign(), gone=False)
    bench.rest.fees = [fee(bench), fee(bench, "-7", fields={"positionId": "70"})]
    assert not await explain(bench, -37)
    assert booked_for(bench) == [("leverage_fee", "", -30 * YEN), ("leverage_fee", "BTC_JPY", -7 * YEN)]
    await bench.close()


async def test_a_fee_where_we_never_held_anything_is_nobody_s(tmp_path: Path) -> None:
    bench = await desk(tmp_path, BTC_JPY)
    bench.rest.fees = [fee(bench)]
    assert not await explain(bench, -30)
    assert booked_for(bench) == [("leverage_fee", "", -30 * YEN)]
    await bench.close()


@pytest.mark.parametrize(
    ("changes", "missing", "explained"),
    [
        ({"at_ns": None}, -30, True),
        ({"at_ns": None}, -31, False),
        ({"amount_jpy": None}, -30, False),
        ({"amount_jpy": Decimal(0)}, -30, False),
        ({"at_ns": START_NS}, -30, False),
        ({"at_ns": START_NS + 1}, -30, True),
    ],
)
async def test_a_fee_row_counts_if_it_can_be_what_is_missing(
    tmp_path: Path, changes: dict[str, Any], missing: int, explained: bool
) -> None:
    bench = await holder(tmp_path)
    bench.rest.fees = [fee(bench, **changes)] if "amount_jpy" not in changes else [msgspec.structs.replace(fee(bench), **changes)]
    assert bool(await explain(bench, missing)) is not explained
    assert len(bench.flows()) == int(explained)
    await bench.close()


@pytest.mark.parametrize(
    ("amounts", "missing", "booked"),
    [
        (["30"], -30, [-30]),
        (["30"], -31, []),
        (["30"], -60, []),
        (["12", "30", "7"], -30, [-30]),
        (["30", "30"], -30, [-30]),
        (["12", "30"], -42, [-12, -30]),
        (["12", "30", "7"], -42, []),
        (["-30"], -30, []),
        (["12", "-30", "60"], -42, [-12, 30, -60]),
    ],
)
async def test_any_other_fee_counts_only_if_it_is_exactly_what_is_missing(
    tmp_path: Path, amounts: list[str], missing: int, booked: list[int]
) -> None:
    """Fees of trades may be among them, and those are in our fills already."""
    bench = await holder(tmp_path)
    bench.rest.fees = [fee(bench, amount, kind="TRADE_FEE") for amount in amounts]
    assert (await explain(bench, missing)).yen_uyen == (0 if booked else missing * YEN)
    assert booked_for(bench) == [("exchange_fee", "", yen * YEN) for yen in booked]
    await bench.close()


@pytest.mark.parametrize(("leverage", "others"), [(["30"], ["7", "-2"]), (["-30"], ["-7", "2"]), (["-30", "10"], ["7", "-2"])])
async def test_leverage_fees_tell_which_sign_a_payment_has(tmp_path: Path, leverage: list[str], others: list[str]) -> None:
    bench = await holder(tmp_path)
    bench.rest.fees = [fee(bench, amount) for amount in leverage] + [fee(bench, amount, kind="TRADE_FEE") for amount in others]
    paid = sum(abs(int(amount)) for amount in leverage)
    assert not await explain(bench, -paid - 5)
    assert [yen for kind, _, yen in booked_for(bench) if kind == "exchange_fee"] == [-7 * YEN, 2 * YEN]
    assert await explain(bench, -7), "what is booked is not new"
    await bench.close()


async def test_once_nothing_is_missing_no_other_fee_is_booked(tmp_path: Path) -> None:
    bench = await holder(tmp_path)
    bench.rest.fees = [fee(bench, "30"), fee(bench, "7", kind="TRADE_FEE"), fee(bench, "-7", kind="TRADE_FEE")]
    assert not await explain(bench, -30)
    assert booked_for(bench) == [("leverage_fee", "BTC_JPY", -30 * YEN)]
    await bench.close()


async def test_another_fee_from_before_the_beginning_is_not_missing(tmp_path: Path) -> None:
    bench = await holder(tmp_path)
    bench.rest.fees = [fee(bench, "30", kind="TRADE_FEE", at_ns=START_NS)]
    assert await explain(bench, -30)
    bench.rest.fees = [fee(bench, "30", kind="TRADE_FEE", at_ns=None)]
    assert not await explain(bench, -30)
    await bench.close()


async def test_two_fee_rows_alike_are_two(tmp_path: Path) -> None:
    bench = await holder(tmp_path)
    bench.rest.fees = [fee(bench), fee(bench)]
    assert not await explain(bench, -60)
    assert len(bench.flows()) == 2
    await bench.close()


async def test_fee_rows_are_known_by_all_they_say(tmp_path: Path) -> None:
    bench = await holder(tmp_path)
    at = bench.clock.now_ns()
    rows = [
        fee(bench),
        fee(bench, "-31"),
        fee(bench, kind="OTHER"),
        fee(bench, at_ns=at),
        fee(bench, symbol=None),
        fee(bench, fields={"positionId": "70"}),
    ]
    bench.rest.fees = rows
    total = -(30 * 5 + 31)
    assert not await explain(bench, total)
    assert len(bench.flows()) == len(rows)
    keys = [key for (key,) in bench.sql("SELECT key FROM cash_flows")]
    assert {key.split("#")[1] for key in keys} == {"1"}
    bench.rest.fees = [fee(bench, at_ns=None, fields={"b": "2", "a": "1"})]
    assert not await explain(bench, -30)
    bench.rest.fees = [fee(bench, at_ns=None, fields={"a": "1", "b": "2"})]
    assert await explain(bench, -30), "the same row in another order"
    await bench.close()


# --- a fee that no history tells of -------------------------------------------------------------------------

NIGHTLY = 400
"""Yen a night: 0.04 % of a million."""


async def over_night(directory: Path, hours: float = 1.0) -> Historian:
    """Hold a tenth of a coin over 06:00 JST, and look some hours later."""
    bench = await holder(directory)
    turn_ns = trading_day_start_ns(20_455)
    assert turn_ns > bench.clock.now_ns()
    bench.clock.at_ns = turn_ns + int(hours * HOUR * SECOND)
    return bench


@pytest.mark.parametrize(("lost", "taken"), [(400, True), (480, True), (320, True), (481, False), (319, False)])
async def test_a_loss_of_about_a_night_s_fee_is_taken_for_it(tmp_path: Path, lost: int, taken: bool) -> None:
    bench = await over_night(tmp_path)
    rest = await explain(bench, -lost, lasting=True)
    assert rest.yen_uyen == (0 if taken else -lost * YEN)
    assert booked_for(bench) == ([("leverage_fee", "BTC_JPY", -lost * YEN)] if taken else [])
    if taken:
        assert (await explain(bench, -lost, lasting=True)).yen_uyen == -lost * YEN, "once a day"
        (evidence, amount) = bench.sql("SELECT evidence, amount FROM cash_flows")[0]
        assert evidence.startswith("inferred")
        assert Decimal(amount) == -lost
    await bench.close()


async def test_a_fee_is_not_inferred_from_one_look(tmp_path: Path) -> None:
    bench = await over_night(tmp_path)
    assert await explain(bench, -NIGHTLY)
    await bench.close()


@pytest.mark.parametrize(("hours", "taken"), [(0.0, True), (3.0, True), (3.001, False)])
async def test_a_fee_is_inferred_in_the_first_hours_of_the_day(tmp_path: Path, hours: float, taken: bool) -> None:
    bench = await over_night(tmp_path, hours)
    assert bool(await explain(bench, -NIGHTLY, lasting=True)) is not taken
    await bench.close()


async def test_no_fee_is_inferred_where_another_s_position_costs_one_too(tmp_path: Path) -> None:
    bench = await over_night(tmp_path)
    bench.tracker.on_position(foreign(), gone=False)
    assert await explain(bench, -NIGHTLY, lasting=True)
    await bench.close()


async def test_no_fee_is_inferred_for_a_night_before_the_beginning(tmp_path: Path) -> None:
    bench = await over_night(tmp_path)
    bench.account.state.flows_from_ns = trading_day_start_ns(20_455)
    assert await explain(bench, -NIGHTLY, lasting=True)
    bench.account.state.flows_from_ns -= 1
    assert not await explain(bench, -NIGHTLY, lasting=True)
    await bench.close()


async def test_no_fee_is_inferred_for_what_was_not_held_over_the_turn(tmp_path: Path) -> None:
    bench = await desk(tmp_path, BTC_JPY)
    bench.clock.at_ns = trading_day_start_ns(20_455) + HOUR * SECOND
    await bench.acknowledged(order_id=900)
    late = {"symbol": "BTC_JPY", "size": BTC_JPY.size(100), "position_id": 70, "at_ns": bench.clock.now_ns()}
    await bench.books.book(msgspec.structs.replace(fill(9_000, 900), **late))
    assert await explain(bench, -NIGHTLY, lasting=True)
    assert bench.flows() == []
    await bench.close()


async def test_an_inferred_fee_is_not_booked_again_when_the_history_tells_it_late(tmp_path: Path) -> None:
    bench = await over_night(tmp_path)
    assert not await explain(bench, -NIGHTLY, lasting=True)
    bench.rest.fees = [fee(bench, "-400")]
    assert await explain(bench, -NIGHTLY)
    assert len(bench.flows()) == 1
    await bench.close()


# --- other markets ------------------------------------------------------------------------------------------


async def test_what_was_traded_elsewhere_is_looked_for_last(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    bench.rest.markets = ["BTC", "XRP", "ETH", "LTC"]
    at_ns = bench.clock.now_ns()
    sold = msgspec.structs.replace(fill(51, 5, side=Side.SELL, fee=0), symbol="ETH", size=Decimal(2), price=Decimal(300), at_ns=at_ns)
    old = msgspec.structs.replace(sold, execution_id=50, at_ns=START_NS)
    bench.rest.elsewhere = {"ETH": [old, sold]}
    bench.rest.refusing = {"XRP": MISSING}
    assert (await explain(bench, 600)).yen_uyen == 600 * YEN
    assert bench.rest.asked["symbols"] == 0, "only when it is looked for everywhere"
    assert not await explain(bench, 600, everywhere=True)
    assert bench.flows() == [("foreign_trade", "ETH", 600 * YEN)]
    assert (bench.rest.asked["BTC"], bench.rest.asked["XRP"], bench.rest.asked["LTC"]) == (0, 1, 0)
    await bench.close()


async def test_coins_are_not_looked_for_in_other_markets(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    assert await explain(bench, BTC="1", everywhere=True)
    assert bench.rest.asked["symbols"] == 0
    await bench.close()


def test_a_difference_says_what_it_is() -> None:
    assert str(Difference(-500 * YEN, {"BTC": Decimal("0.1")})) == "-500 JPY, +0.1 BTC"
    assert str(Difference(0, {"BTC": Decimal("0.1")})) == "+0.1 BTC"
    assert (str(Difference()), bool(Difference())) == ("none", False)
    assert bool(Difference(1))
    assert bool(Difference(0, {"BTC": Decimal(1)}))
