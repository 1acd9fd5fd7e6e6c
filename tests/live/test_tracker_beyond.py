"""Two closes that filled where one was enough: what does not fit is another hand's, to the unit, and a person is called."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.live.bench import BTC_JPY, STOP, Bench, fill, order

from gmobot.live.intents import BEYOND_OURS, Purpose
from gmobot.venue.models import Execution, OrderStatus, OrderType, Settle, Side

SALE: dict[str, Any] = {"purpose": Purpose.EXIT, "side": Side.SELL}

BASE = {"BTC": Decimal("0.5")}
"""Coins that are not ours."""


async def two_closes_of_one_position(bench: Bench) -> None:
    """100 are ours; a STOP rests for them, and a late exit of as many has been taken back."""
    await bench.open()
    bench.account.start(10_000_000_000_000, BASE)
    await bench.store.save_account(bench.account.state.to_dict(), [])
    bench.clock.advance(1.0)
    await bench.owning(100)
    await bench.acknowledged(order_id=8, **STOP)
    await bench.acknowledged(order_id=7, **SALE)


def now(bench: Bench, execution: Execution) -> Execution:
    return Execution(**{name: getattr(execution, name) for name in Execution.__struct_fields__} | {"at_ns": bench.clock.now_ns()})


async def test_the_second_of_two_closes_that_both_filled_was_another_hand_s(bench: Bench) -> None:
    await two_closes_of_one_position(bench)
    await bench.tracker.on_execution(now(bench, fill(81, 8, side=Side.SELL)))
    second = now(bench, fill(71, 7, side=Side.SELL))
    bench.rest.orders_there, bench.rest.fills = {7: order(7, executed=100, status=OrderStatus.FILLED, side=Side.SELL)}, [second]
    await bench.tracker.on_execution(second)
    await bench.tracker.on_execution(second)
    assert (bench.books.position("BTC"), bench.account.state.base_coins["BTC"]) == (0, Decimal("0.499"))
    assert [(reason, "order 7" in text) for reason, text in bench.alarms] == [("order_outcome_unknown", True)]
    await bench.tracker.refresh()
    assert bench.books.open_intents("BTC") == (), "its end is not waited for"
    assert bench.sql("SELECT state, executed_lots, detail FROM intents WHERE order_id = 7") == [("filled", 0, BEYOND_OURS)]
    await bench.close()


async def test_what_was_beyond_ours_stays_so_over_a_restart(bench: Bench) -> None:
    await two_closes_of_one_position(bench)
    await bench.tracker.on_execution(now(bench, fill(71, 7, lots=60, side=Side.SELL)))
    whole = now(bench, fill(81, 8, side=Side.SELL))
    await bench.tracker.on_execution(whole)
    assert (bench.books.position("BTC"), bench.account.state.base_coins["BTC"]) == (40, Decimal("0.499"))
    await bench.reopen()
    await bench.acknowledged(order_id=901)
    await bench.tracker.on_execution(fill(9_001, 901))
    bench.rest.orders_there = {8: order(8, executed=100, status=OrderStatus.FILLED, side=Side.SELL, type=OrderType.STOP)}
    bench.rest.fills = [whole]
    await bench.tracker.refresh(every=True)
    await bench.reopen()
    await bench.tracker.sweep_recent()
    bench.clock.advance(30.0)
    await bench.tracker.sweep_recent()
    assert (bench.books.position("BTC"), bench.account.state.base_coins["BTC"]) == (140, Decimal("0.499")), "it fits now, and is not ours"
    assert (len(bench.alarms), bench.books.is_foreign(8)) == (1, False)
    await bench.close()


async def test_killed_before_what_was_beyond_ours_is_a_flow_it_becomes_one(bench: Bench) -> None:
    await two_closes_of_one_position(bench)
    await bench.tracker.on_execution(now(bench, fill(81, 8, side=Side.SELL)))
    late = bench.books.by_order(7)
    assert late is not None
    await bench.books.beyond_ours(late, "as before the kill")
    await bench.reopen()
    second = now(bench, fill(71, 7, side=Side.SELL))
    bench.rest.orders_there, bench.rest.fills = {7: order(7, executed=100, status=OrderStatus.FILLED, side=Side.SELL)}, [second]
    await bench.tracker.refresh(every=True)
    assert (bench.books.position("BTC"), bench.account.state.base_coins["BTC"]) == (0, Decimal("0.499"))
    assert bench.alarms == []
    await bench.close()


async def test_a_fill_that_opens_a_second_side_is_not_ours(tmp_path: Path) -> None:
    bench = Bench(tmp_path, BTC_JPY)
    await bench.open()
    bench.account.start(10_000_000_000_000, {})
    bench.clock.advance(1.0)
    for number, side in ((1, Side.BUY), (2, Side.SELL)):
        await bench.acknowledged(order_id=number, lots=5, side=side, settle=Settle.OPEN)
        there = {"symbol": "BTC_JPY", "size": BTC_JPY.size(5), "position_id": number}
        plain = fill(10 + number, number, side=side)
        told = Execution(**{name: getattr(plain, name) for name in Execution.__struct_fields__} | there)
        await bench.tracker.on_execution(now(bench, told))
    assert bench.books.position("BTC_JPY") == 5
    assert [piece.position_id for piece in bench.books.pieces("BTC_JPY").ours] == [1]
    assert [reason for reason, _ in bench.alarms] == ["order_outcome_unknown"]
    await bench.close()


def on_leverage(bench: Bench, execution_id: int, order_id: int, side: Side, *, position_id: int, lots: int = 5) -> Execution:
    values = {"symbol": "BTC_JPY", "size": BTC_JPY.size(lots), "position_id": position_id, "realized_pnl_jpy": Decimal(7)}
    plain = fill(execution_id, order_id, side=side)
    return now(bench, Execution(**{name: getattr(plain, name) for name in Execution.__struct_fields__} | values))


async def two_pieces_and_a_bulk_close(tmp_path: Path) -> Bench:
    """Long 10 lots in positions 1 and 2; order 8 closes whatever is there."""
    bench = Bench(tmp_path, BTC_JPY)
    await bench.open()
    bench.account.start(10_000_000_000_000, {})
    bench.clock.advance(1.0)
    for number in (1, 2):
        await bench.acknowledged(order_id=number, lots=5)
        await bench.tracker.on_execution(on_leverage(bench, 10 + number, number, Side.BUY, position_id=number))
    await bench.acknowledged(order_id=8, lots=10, settle=Settle.CLOSE, **SALE)
    return bench


async def test_a_bulk_close_that_met_a_stranger_s_position_leaves_ours_where_they_are(tmp_path: Path) -> None:
    bench = await two_pieces_and_a_bulk_close(tmp_path)
    yen = bench.account.cash_uyen
    met = on_leverage(bench, 81, 8, Side.SELL, position_id=99)
    own = on_leverage(bench, 82, 8, Side.SELL, position_id=2)
    for execution in (met, own, met, own):
        await bench.tracker.on_execution(execution)
    assert (bench.books.position("BTC_JPY"), [piece.position_id for piece in bench.books.pieces("BTC_JPY").ours]) == (5, [1])
    assert list(bench.books.pieces("BTC_JPY").foreign(Side.BUY)) == [99], "from now on closes name our own"
    fees = met.fee_jpy + own.fee_jpy
    assert bench.account.cash_uyen - yen == (14 - fees) * 1_000_000, "what both brought is on the account"
    assert [event["evidence"] for event in bench.events() if event["event"] == "error"] == [
        "it closed 0.005 of position 99, which is not ours"
    ]
    size = BTC_JPY.size(10)
    bench.rest.orders_there = {
        8: order(8, symbol="BTC_JPY", side=Side.SELL, settle=Settle.CLOSE, size=size, executed_size=size, status=OrderStatus.FILLED)
    }
    await bench.tracker.refresh(every=True)
    assert bench.books.open_intents("BTC_JPY") == ()
    assert bench.alarms == []
    await bench.close()


async def test_a_close_of_what_an_entry_has_not_told_yet_is_asked_again(tmp_path: Path) -> None:
    bench = await two_pieces_and_a_bulk_close(tmp_path)
    await bench.acknowledged(order_id=3, lots=5)
    closed, opened = (on_leverage(bench, number, by, side, position_id=3) for number, by, side in ((83, 8, Side.SELL), (13, 3, Side.BUY)))
    await bench.tracker.on_execution(closed)
    assert (bench.books.is_booked(83), bench.books.position("BTC_JPY")) == (False, 10), "it may be ours or a stranger's"
    await bench.tracker.on_execution(opened)
    await bench.tracker.on_execution(closed)
    assert (bench.books.is_booked(83), bench.books.position("BTC_JPY")) == (True, 10)
    assert [piece.position_id for piece in bench.books.pieces("BTC_JPY").ours] == [1, 2]
    assert (bench.alarms, [event for event in bench.events() if event["event"] in ("error", "cash_flow")]) == ([], [])
    await bench.close()


@pytest.mark.parametrize("stranger", [False, True])
async def test_a_close_by_hand_larger_than_the_piece_it_names_is_ours_where_nobody_else_stands(tmp_path: Path, stranger: bool) -> None:
    bench = await two_pieces_and_a_bulk_close(tmp_path)
    pieces = bench.books.pieces("BTC_JPY")
    pieces.look([], as_of_ns=0)
    if stranger:
        pieces.meet(99, Side.BUY, 5, 0)
    by_hand = order(9, symbol="BTC_JPY", side=Side.SELL, settle=Settle.CLOSE, size=BTC_JPY.size(8))
    bench.rest.orders_there = {9: by_hand}
    yen = bench.account.cash_uyen
    took = on_leverage(bench, 91, 9, Side.SELL, position_id=1, lots=8)
    await bench.tracker.on_execution(took)
    await bench.tracker.claim_forced()
    assert bench.account.cash_uyen - yen == (7 - took.fee_jpy) * 1_000_000
    assert bench.books.position("BTC_JPY") == (10 if stranger else 2)
    assert [(piece.position_id, piece.lots) for piece in pieces.ours] == ([(1, 5), (2, 5)] if stranger else [(2, 2)])
    assert [reason for reason, _ in bench.alarms] == (["order_outcome_unknown"] if stranger else [])
    await bench.close()


@pytest.mark.parametrize("looked", [False, True])
async def test_fills_of_our_bulk_close_are_ours_in_whatever_order_they_are_told(tmp_path: Path, *, looked: bool) -> None:
    bench = await two_pieces_and_a_bulk_close(tmp_path)
    await bench.tracker.on_execution(on_leverage(bench, 82, 8, Side.SELL, position_id=1, lots=9))
    if looked:
        bench.books.pieces("BTC_JPY").look([], as_of_ns=0)
    await bench.tracker.on_execution(on_leverage(bench, 81, 8, Side.SELL, position_id=1, lots=1))
    assert (bench.books.position("BTC_JPY"), bench.books.pieces("BTC_JPY").ours, bench.alarms) == (0, (), [])
    assert bench.sql("SELECT state FROM intents WHERE order_id = 8") == [("filled",)]
    await bench.close()


async def test_our_bulk_close_told_with_one_fill_is_ours_beside_a_stranger_who_came_later(tmp_path: Path) -> None:
    bench = await two_pieces_and_a_bulk_close(tmp_path)
    pieces = bench.books.pieces("BTC_JPY")
    pieces.look([], as_of_ns=0)
    pieces.meet(99, Side.BUY, 5, 0)
    await bench.tracker.on_execution(on_leverage(bench, 81, 8, Side.SELL, position_id=1, lots=10))
    assert (bench.books.position("BTC_JPY"), pieces.ours, bench.alarms) == (0, (), [])
    await bench.close()
