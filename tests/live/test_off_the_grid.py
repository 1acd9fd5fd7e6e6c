"""Fills in parts of a lot, since the exchange's step became finer than ours: whole lots are booked, all yen, and nothing dies of it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.live.bench import BTC_JPY, PRICE, STOP, Bench, fill, order
from tests.live.desk import Desk, passed
from tests.live.historian import YEN
from tests.live.test_reconcile import desk as compared
from tests.live.test_reconcile import look

from gmobot.errors import FatalError
from gmobot.live.intents import IntentState, Purpose
from gmobot.venue.models import Execution, OrderStatus, OrderType, OrderUpdate, Settle, Side

LOT = Decimal("0.00001")
EXIT: dict[str, Any] = {"purpose": Purpose.EXIT, "side": Side.SELL, "type": OrderType.LIMIT, "price": PRICE - 100}


def part(execution_id: int, lots: str, order_id: int = 1, *, side: Side = Side.SELL, price: int = PRICE, **changes: Any) -> Execution:
    """Return a fill of so many lots, a fraction of one included."""
    values: dict[str, Any] = {"size": Decimal(lots) * LOT}
    return msgspec.structs.replace(fill(execution_id, order_id, side=side, price=price), **(values | changes))


def ended(lots: str, status: OrderStatus = OrderStatus.EXPIRED, **changes: Any) -> OrderUpdate:
    """Return the end of the exit, so many lots filled."""
    values: dict[str, Any] = {"side": Side.SELL, "status": status, "executed_size": Decimal(lots) * LOT}
    return OrderUpdate(order=order(**(values | changes)))


# --- what is booked ---------------------------------------------------------------------------------------


async def test_parts_of_a_lot_are_booked_once_they_make_one(bench: Bench) -> None:
    """Money at once and to the micro-yen, by each fill's own price; over a restart nothing is forgotten."""
    await bench.open()
    await bench.owning(100)
    await bench.acknowledged(**EXIT)
    before = bench.books.ledger("BTC").cash_uyen
    positions, received = [], Decimal(0)
    for number, (lots, price) in enumerate([("0.4", PRICE), ("33.3", PRICE + 7), ("0.3", PRICE + 1), ("66", PRICE)], start=1):
        assert bench.books.fits(part(number, lots, price=price))
        await bench.books.book(part(number, lots, price=price))
        assert await bench.books.book(part(number, lots, price=price)) is None, "once, by its id"
        received += Decimal(lots) * LOT * price - 5
        positions.append(bench.books.position("BTC"))
        assert bench.books.ledger("BTC").cash_uyen - before == int(received * YEN)
        await bench.reopen()
    assert positions == [100, 67, 66, 0]
    assert bench.sql("SELECT lots FROM fills WHERE order_id = 1") == [(0,), (33,), (1,), (66,)]
    assert bench.sql("SELECT state, executed_lots FROM intents WHERE order_id = 1") == [("filled", 100)]
    assert bench.books.beside("BTC") == 0
    assert "rest:" not in bench.sql("SELECT record FROM ledgers")[0][0]
    await bench.close()


async def test_an_entry_s_parts_too(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged()
    await bench.books.book(part(1, "0.5", side=Side.BUY))
    assert (bench.books.position("BTC"), bench.books.beside("BTC")) == (0, LOT / 2)
    await bench.books.book(part(2, "99.5", side=Side.BUY))
    assert (bench.books.position("BTC"), bench.books.beside("BTC")) == (100, Decimal(0))
    assert bench.books.ledger("BTC").cash_uyen == -int((PRICE * 100 * LOT + 10) * YEN)
    await bench.close()


async def test_a_part_that_nothing_of_ours_answers_for_is_none_of_ours(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged(**EXIT)
    assert not bench.books.fits(part(1, "0.5"))
    with pytest.raises(FatalError, match="does not fit 0"):
        await bench.books.book(part(1, "0.5"))
    await bench.close()


async def test_a_part_more_than_ordered_is_fatal(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged()
    with pytest.raises(FatalError, match="101 lots of 100"):
        await bench.books.book(part(1, "100.1", side=Side.BUY))
    await bench.close()


async def test_a_size_that_is_no_number_cannot_be_booked(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged()
    with pytest.raises(FatalError, match="cannot be booked"):
        await bench.books.book(msgspec.structs.replace(fill(11), size=Decimal("NaN")))
    await bench.close()


async def test_a_leverage_close_in_parts_brings_what_the_exchange_reports(tmp_path: Path) -> None:
    bench = Bench(tmp_path, BTC_JPY)
    await bench.open()
    await holding(bench)
    await bench.acknowledged(order_id=2, symbol="BTC_JPY", side=Side.SELL, lots=2, purpose=Purpose.EXIT, settle=Settle.CLOSE)
    for number, (size, gain) in enumerate([("0.0013", "3"), ("0.0004", "1"), ("0.0003", "0.5")], start=1):
        assert bench.books.fits(leverage(number, size, gain=gain))
        await bench.books.book(leverage(number, size, gain=gain))
        await bench.reopen()
        assert [(piece.position_id, piece.lots) for piece in bench.books.pieces("BTC_JPY").ours] == ([] if number == 3 else [(70, 1)])
    assert (bench.books.position("BTC_JPY"), bench.books.ledger("BTC_JPY").yen_uyen) == (0, 4_500_000)
    await bench.close()


# --- how an order ends ------------------------------------------------------------------------------------


async def test_an_order_that_fills_in_parts_ends_without_a_word(bench: Bench) -> None:
    await bench.open()
    await bench.owning(100)
    await bench.acknowledged(**EXIT)
    for number, lots in enumerate(("33.3", "0.7", "66"), start=1):
        await bench.tracker.on_execution(part(number, lots))
    await bench.tracker.on_update(ended("100", OrderStatus.FILLED))
    assert (bench.books.position("BTC"), bench.books.open_intents("BTC"), bench.alarms) == (0, (), [])
    await bench.close()


async def test_an_end_waits_for_a_part_that_was_not_told_yet(bench: Bench) -> None:
    """Less than a lot is missing: its money is, too."""
    await bench.open()
    await bench.owning(100)
    await bench.acknowledged(**EXIT)
    await bench.tracker.on_execution(part(1, "33"))
    await bench.tracker.on_update(ended("33.4"))
    assert [intent.state for intent in bench.books.open_intents("BTC")] == [IntentState.WORKING]
    bench.rest.orders_there = {1: ended("33.4").order}
    bench.rest.fills = [part(1, "33"), part(2, "0.4")]
    await bench.tracker.refresh()
    assert bench.books.open_intents("BTC") == ()
    assert bench.books.counts.fills == 3
    await bench.close()


@pytest.mark.parametrize(
    ("coins", "left", "not_ours"), [("0.001", 67, Decimal("0.000997")), ("0", 66, Decimal("0.000007"))], ids=["theirs pay", "ours pay"]
)
async def test_an_exit_that_ends_within_a_lot_halts_and_what_is_left_can_be_sold(
    tmp_path: Path, coins: str, left: int, not_ours: Decimal
) -> None:
    bench = await compared(tmp_path, BTC=coins)
    bench.account.state.base_coins["BTC"] = Decimal(coins)
    await bench.owning(100)
    await bench.acknowledged(**EXIT)
    await bench.tracker.on_execution(part(1, "33.3"))
    there = {"BTC": Decimal(coins) + Decimal("66.7") * LOT, "JPY": Decimal(1_000_000) - PRICE * Decimal("66.7") * LOT - 10}
    bench.rest.balances = there
    await look(bench)
    assert not bench.reconciler.impatient, "while it rests, coins and yen are what the books say"
    await bench.tracker.on_update(ended("33.3"))
    assert bench.books.open_intents("BTC") == ()
    assert bench.alarms[0][0] == "rules_changed"
    assert (bench.books.position("BTC"), bench.account.state.base_coins["BTC"]) == (left, not_ours)
    await look(bench)
    assert not bench.reconciler.impatient, "to the unit"
    assert ("fraction", "BTC", 0) in bench.flows()
    alarms = list(bench.alarms)
    await bench.reopen()
    bench.rest.balances = there
    await look(bench)
    assert (bench.alarms, bench.books.beside("BTC")) == (alarms, Decimal(0)), "once"
    await bench.close()


async def test_an_entry_that_ends_within_a_lot_gives_the_part_away(tmp_path: Path) -> None:
    bench = await compared(tmp_path)
    await bench.acknowledged()
    await bench.tracker.on_execution(part(1, "33.3", side=Side.BUY))
    await bench.tracker.on_update(ended("33.3", side=Side.BUY))
    assert (bench.books.position("BTC"), bench.account.state.base_coins["BTC"]) == (33, Decimal("0.3") * LOT)
    assert [reason for reason, _ in bench.alarms] == ["rules_changed"]
    await bench.close()


async def test_what_a_crash_left_beside_an_order_that_had_ended_is_given_away_at_the_next_comparison(tmp_path: Path) -> None:
    bench = await compared(tmp_path)
    await bench.owning(100)
    await bench.acknowledged(**EXIT)
    await bench.books.book(part(1, "33.3"))
    open_one = bench.books.by_order(1)
    assert open_one is not None
    await bench.books.end(open_one, IntentState.EXPIRED, "EXPIRED_FAK")
    await bench.reopen()
    assert bench.books.beside("BTC") == -Decimal("0.3") * LOT
    bench.rest.balances = {"BTC": Decimal("66.7") * LOT, "JPY": Decimal(1_000_000) - PRICE * Decimal("66.7") * LOT - 10}
    await look(bench)
    assert bench.books.beside("BTC") == 0
    assert bench.alarms[0][0] == "rules_changed"
    await bench.close()


@pytest.mark.parametrize(("bought", "left"), [(2, 0), (5, 3)], ids=["all but a part", "some of it"])
async def test_a_leverage_close_that_ends_within_a_lot_leaves_what_can_be_closed(tmp_path: Path, bought: int, left: int) -> None:
    bench = await compared(tmp_path, BTC_JPY)
    await holding(bench, bought)
    await bench.acknowledged(order_id=2, symbol="BTC_JPY", side=Side.SELL, lots=bought, purpose=Purpose.EXIT, settle=Settle.CLOSE)
    await bench.tracker.on_execution(leverage(1, "0.0013", gain="3"))
    await bench.tracker.on_update(leverage_end("0.0013"))
    assert bench.books.open_intents("BTC_JPY") == ()
    assert bench.books.position("BTC_JPY") == sum(piece.lots for piece in bench.books.pieces("BTC_JPY").ours) == left
    assert bench.books.ledger("BTC_JPY").yen_uyen == 3_000_000, "as reported"
    assert (bench.alarms[0][0], bench.flows()[-1][0]) == ("rules_changed", "position_gone")
    await bench.close()


async def test_a_leverage_entry_that_ends_within_a_lot_is_told(tmp_path: Path) -> None:
    """Two positions, one of them of less than a lot: both are ours to close."""
    bench = await compared(tmp_path, BTC_JPY)
    await bench.acknowledged(order_id=2, symbol="BTC_JPY", lots=5)
    for number, size in enumerate(("0.0004", "0.0019"), start=1):
        entered = leverage(number, size, side=Side.BUY, settle=Settle.OPEN, position_id=70 + number)
        await bench.tracker.on_execution(entered)
    await bench.tracker.on_update(leverage_end("0.0023", side=Side.BUY, settle=Settle.OPEN))
    assert [(piece.position_id, piece.lots) for piece in bench.books.pieces("BTC_JPY").known] == [(71, 0), (72, 2)]
    assert bench.books.position("BTC_JPY") == 2
    assert [reason for reason, _ in bench.alarms] == ["rules_changed"]
    assert bench.flows() == [("fraction", "BTC_JPY", 0)]
    await bench.close()


async def test_a_part_of_a_position_whose_lots_are_closed_already_writes_nothing_off(tmp_path: Path) -> None:
    bench = await compared(tmp_path, BTC_JPY)
    await bench.acknowledged(order_id=1, symbol="BTC_JPY", lots=3)
    for number, size in enumerate(("0.0004", "0.0026"), start=1):
        await bench.tracker.on_execution(leverage(number, size, 1, side=Side.BUY, settle=Settle.OPEN, position_id=70 + number))
    await bench.acknowledged(order_id=2, symbol="BTC_JPY", side=Side.SELL, lots=3, purpose=Purpose.EXIT, settle=Settle.CLOSE)
    await bench.tracker.on_execution(leverage(3, "0.0003", position_id=71))
    await bench.tracker.on_update(leverage_end("0.0003"))
    assert bench.books.position("BTC_JPY") == 3
    assert [row[0] for row in bench.flows()] == ["fraction"]
    await bench.close()


# --- and the order manager ---------------------------------------------------------------------------------


async def test_the_rest_of_an_exit_goes_on(tmp_path: Path) -> None:
    bench = Desk(tmp_path)
    await bench.open()
    bench.account.start(0, {"BTC": Decimal(1)})
    await bench.owning(100)
    bench.want(0)
    await passed(bench, 1.0)
    assert [request.size for request in bench.rest.placed] == [100 * LOT]
    bench.rest.orders_there = {1: ended("33.3").order}
    bench.rest.fills = [part(1, "33.3")]
    for _ in range(2):
        await passed(bench, 1.5)
    assert [request.size for request in bench.rest.placed] == [100 * LOT, 67 * LOT]
    await bench.close()


async def test_a_late_order_of_a_finer_size_is_judged_by_whole_lots(bench: Bench) -> None:
    """A stop that turned up too late, and had sold a part more than a lot."""
    await bench.open()
    await bench.owning(100)
    stop = await bench.intend(**STOP)
    await bench.books.unknown(stop, "lost")
    late = order(2, side=Side.SELL, type=OrderType.STOP, price=Decimal(PRICE - 100), status=OrderStatus.CANCELLED)
    fits = bench.tracker._fits
    assert fits(msgspec.structs.replace(late, executed_size=Decimal("99.5") * LOT), stop)
    assert not fits(msgspec.structs.replace(late, executed_size=Decimal("100.5") * LOT), stop)
    await bench.close()


async def holding(bench: Bench, lots: int = 2) -> None:
    """Hold a leverage position, number 70."""
    await bench.acknowledged(order_id=1, symbol="BTC_JPY", lots=lots)
    entered = leverage(900, str(BTC_JPY.size(lots)), 1, side=Side.BUY, settle=Settle.OPEN)
    await bench.books.book(entered)


def leverage(execution_id: int, size: str, order_id: int = 2, *, gain: str = "0", **changes: Any) -> Execution:
    values: dict[str, Any] = {"symbol": "BTC_JPY", "size": Decimal(size), "fee_jpy": Decimal(0), "realized_pnl_jpy": Decimal(gain)}
    values |= {"position_id": 70, "settle": Settle.CLOSE}
    return msgspec.structs.replace(fill(execution_id, order_id, side=Side.SELL), **(values | changes))


def leverage_end(size: str, **changes: Any) -> OrderUpdate:
    values: dict[str, Any] = {"symbol": "BTC_JPY", "side": Side.SELL, "settle": Settle.CLOSE, "executed_size": Decimal(size)}
    return OrderUpdate(order=order(2, status=OrderStatus.EXPIRED, **(values | changes)))
