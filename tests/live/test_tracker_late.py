"""An order whose absence was concluded, and that turns up all the same: taken back where that can be, and always told."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.emulator.support import virtual
from tests.live.bench import BTC_JPY, PRICE, SECOND, START_NS, STOP, Bench, fill, order

from gmobot.errors import OutcomeUnknown
from gmobot.live.intents import Intent, IntentState, Purpose
from gmobot.venue.models import Execution, Order, OrderRequest, OrderStatus, OrderType, OrderUpdate, Settle, Side

SALE: dict[str, Any] = {"purpose": Purpose.EXIT, "side": Side.SELL}


async def concluded_absent(bench: Bench, **changes: Any) -> Intent:
    unknown = await bench.books.unknown(await bench.intend(**changes), "reply lost")
    return await bench.books.conclude_absent(unknown)


async def state_of(bench: Bench, intent: Intent) -> str:
    return str(bench.sql(f"SELECT state FROM intents WHERE intent_id = {intent.intent_id}")[0][0])


def sold(order_id: int = 7, **changes: Any) -> Order:
    wanted: dict[str, Any] = {"executed": 100, "status": OrderStatus.FILLED, "side": Side.SELL}
    return order(order_id, **(wanted | changes))


async def test_what_turns_up_is_taken_back_and_halts(bench: Bench) -> None:
    await bench.open()
    await bench.owning(100)
    intent = await concluded_absent(bench, **STOP)
    bench.rest.orders_there = {7: order(7, side=Side.SELL, type=OrderType.STOP, price=Decimal(STOP["price"]))}
    await bench.tracker.sweep_recent()
    await bench.tracker.claim_forced()
    assert bench.books.by_order(7) is not None
    assert await state_of(bench, intent) == "working"
    assert [(reason, f"order 7 of intent {intent.intent_id}" in text) for reason, text in bench.alarms] == [("order_outcome_unknown", True)]
    await bench.close()


async def test_it_is_taken_back_after_a_restart_too(bench: Bench) -> None:
    await bench.open()
    await concluded_absent(bench)
    await bench.reopen()
    bench.rest.orders_there, bench.rest.fills = {7: order(7, executed=100, status=OrderStatus.FILLED)}, [fill(11, 7)]
    await bench.tracker.sweep_recent()
    await bench.tracker.claim_forced()
    assert bench.books.position("BTC") == 100
    assert len(bench.alarms) == 1
    await bench.close()


async def test_another_order_is_nobody_s_that_was_given_up(bench: Bench) -> None:
    await bench.open()
    await concluded_absent(bench)
    longest_after = START_NS + 30 * SECOND
    bench.rest.orders_there = {7: order(7, size=Decimal("0.00200")), 8: order(8, created_at_ns=longest_after + 1)}
    await bench.tracker.sweep_recent()
    await bench.tracker.claim_forced()
    bench.clock.advance(6.0)
    await bench.tracker.sweep_recent()
    assert (bench.books.is_foreign(7), bench.books.is_foreign(8), bench.alarms) == (True, True, [])
    await bench.close()


async def test_what_events_tell_of_and_no_question_has_shown_is_not_foreign_yet(bench: Bench) -> None:
    await bench.open()
    await concluded_absent(bench)
    there = order(7)
    await bench.tracker.on_update(OrderUpdate(order=there))
    bench.rest.orders_there, bench.rest.invisible = {7: there}, {7}
    for _ in range(3):
        bench.clock.advance(6.0)
        await bench.tracker.claim_forced()
        await bench.tracker.sweep_recent()
    assert not bench.books.is_foreign(7)
    bench.rest.invisible.clear()
    await bench.tracker.claim_forced()
    assert bench.books.is_ours(7)
    assert len(bench.alarms) == 1
    await bench.close()


async def test_coins_that_were_sold_again_meanwhile_were_another_s(bench: Bench) -> None:
    await bench.open()
    bench.account.start(10_000_000_000_000, {"BTC": Decimal("0.5")})
    await bench.owning(100)
    late = await concluded_absent(bench, **SALE)
    await bench.acknowledged(order_id=8, **SALE)
    await bench.tracker.on_execution(fill(81, 8, side=Side.SELL))
    bench.clock.advance(1.0)
    again = Execution(
        **{name: getattr(fill(71, 7, side=Side.SELL), name) for name in Execution.__struct_fields__} | {"at_ns": START_NS + SECOND}
    )
    bench.rest.orders_there, bench.rest.fills = {7: sold()}, [again]
    await bench.tracker.sweep_recent()
    await bench.tracker.claim_forced()
    assert await state_of(bench, late) == "rejected"
    assert (bench.books.position("BTC"), bench.books.is_foreign(7)) == (0, True)
    assert bench.account.state.base_coins["BTC"] == Decimal("0.499")
    assert [reason for reason, _ in bench.alarms] == ["order_outcome_unknown"]
    assert bench.rest.cancelled == []
    await bench.close()


async def test_a_second_sale_that_is_on_its_way_leaves_no_room_for_a_late_one(bench: Bench) -> None:
    await bench.open()
    await bench.owning(100)
    await concluded_absent(bench, **SALE)
    await bench.acknowledged(order_id=8, **SALE)
    bench.rest.orders_there, bench.rest.fills = {7: sold(executed=40, status=OrderStatus.WORKING), 8: sold(8, executed=0)}, []
    await bench.tracker.on_update(OrderUpdate(order=bench.rest.orders_there[7]))
    await bench.tracker.claim_forced()
    assert bench.rest.cancelled == [7], "what is left of it would sell what is not ours"
    assert not bench.books.is_foreign(7), "it may have filled more before it was cancelled"
    bench.rest.orders_there[7] = sold(executed=60, status=OrderStatus.CANCELLED)
    await bench.tracker.claim_forced()
    assert bench.books.is_foreign(7)
    assert bench.rest.cancelled == [7]
    await bench.tracker.on_execution(fill(81, 8, side=Side.SELL))
    assert bench.books.position("BTC") == 0
    await bench.close()


async def test_a_late_sale_that_was_stopped_before_it_sold_too_much_is_ours(bench: Bench) -> None:
    await bench.open()
    await bench.owning(100)
    late = await concluded_absent(bench, **SALE)
    await bench.acknowledged(order_id=8, **(SALE | {"lots": 70}))
    bench.rest.orders_there = {7: sold(executed=0, status=OrderStatus.WORKING)}
    await bench.tracker.on_update(OrderUpdate(order=bench.rest.orders_there[7]))
    await bench.tracker.claim_forced()
    assert (bench.rest.cancelled, bench.books.is_ours(7)) == ([7], False)
    bench.rest.orders_there = {7: sold(executed=30, status=OrderStatus.CANCELLED)}
    bench.rest.fills = [fill(71, 7, lots=30, side=Side.SELL)]
    await bench.tracker.claim_forced()
    assert (bench.books.position("BTC"), await state_of(bench, late)) == (70, "cancelled")
    await bench.close()


async def test_a_late_sale_of_what_is_still_held_is_booked(bench: Bench) -> None:
    await bench.open()
    await bench.owning(100)
    late = await concluded_absent(bench, **SALE)
    bench.rest.orders_there, bench.rest.fills = {7: sold()}, [fill(71, 7, side=Side.SELL)]
    await bench.tracker.sweep_recent()
    await bench.tracker.claim_forced()
    assert (bench.books.position("BTC"), await state_of(bench, late)) == (0, "filled")
    await bench.close()


async def test_a_late_entry_beside_the_other_side_is_not_booked(tmp_path: Path) -> None:
    bench = Bench(tmp_path, BTC_JPY)
    await bench.open()
    await concluded_absent(bench, lots=5)
    await bench.acknowledged(order_id=8, lots=5, side=Side.SELL)
    short = Execution(
        execution_id=81,
        order_id=8,
        symbol="BTC_JPY",
        side=Side.SELL,
        size=BTC_JPY.size(5),
        price=Decimal(PRICE),
        fee_jpy=Decimal(0),
        realized_pnl_jpy=Decimal(0),
        at_ns=START_NS,
        position_id=1,
    )
    await bench.tracker.on_execution(short)
    late = order(7, symbol="BTC_JPY", size=BTC_JPY.size(5), executed_size=BTC_JPY.size(5), status=OrderStatus.FILLED, settle=Settle.OPEN)
    bench.rest.orders_there = {7: late}
    await bench.tracker.on_update(OrderUpdate(order=late))
    await bench.tracker.claim_forced()
    assert (bench.books.position("BTC_JPY"), bench.books.is_foreign(7)) == (-5, True)
    assert (len(bench.alarms), bench.rest.cancelled) == (1, [])
    await bench.close()


async def test_a_late_entry_that_may_still_fill_beside_the_other_side_is_stopped_first(tmp_path: Path) -> None:
    bench = Bench(tmp_path, BTC_JPY)
    await bench.open()
    intent = await concluded_absent(bench, lots=5)
    await bench.acknowledged(order_id=8, lots=5, side=Side.SELL)
    short = {"execution_id": 81, "order_id": 8, "symbol": "BTC_JPY", "side": Side.SELL, "size": BTC_JPY.size(5), "price": Decimal(PRICE)}
    rest = {"fee_jpy": Decimal(0), "realized_pnl_jpy": Decimal(0), "at_ns": START_NS, "position_id": 1}
    await bench.tracker.on_execution(Execution(**short, **rest))  # type: ignore[arg-type]
    late = order(7, symbol="BTC_JPY", size=BTC_JPY.size(5), settle=Settle.OPEN)
    bench.rest.orders_there = {7: late}
    await bench.tracker.on_update(OrderUpdate(order=late))
    await bench.tracker.claim_forced()
    assert (bench.rest.cancelled, bench.books.is_ours(7)) == ([7], False)
    bench.rest.orders_there = {7: order(7, symbol="BTC_JPY", size=BTC_JPY.size(5), settle=Settle.OPEN, status=OrderStatus.CANCELLED)}
    await bench.tracker.claim_forced()
    assert (bench.books.position("BTC_JPY"), await state_of(bench, intent)) == (-5, "cancelled")
    await bench.close()


def test_the_first_question_follows_a_lost_reply_at_once(tmp_path: Path) -> None:
    async def asked_at() -> float:
        bench, loop = Bench(tmp_path), asyncio.get_running_loop()
        await bench.open()
        first: asyncio.Future[float] = loop.create_future()

        async def lost(_: OrderRequest) -> int:
            raise OutcomeUnknown("reply lost")

        async def look(symbol: str) -> list[Order]:
            if not first.done() and bench.books.unresolved():
                first.set_result(loop.time())
            return []

        bench.rest.answer, bench.rest.active_orders = lost, look  # type: ignore[method-assign]
        bench.want(100)
        running = asyncio.create_task(bench.trader.run())
        found = await first
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert [intent.state for intent in bench.books.unresolved()] == [IntentState.UNKNOWN]
        await bench.close()
        return found

    assert virtual(asked_at) == 0.0


async def held_in_two_positions(bench: Bench) -> None:
    """Ours: positions 1 and 2 of five lots each. A close of the first was given up as absent."""
    await bench.open()
    for number in (1, 2):
        await bench.acknowledged(order_id=number, lots=5)
        await bench.tracker.on_execution(on_leverage(10 + number, number, Side.BUY, position_id=number))
    await concluded_absent(bench, lots=5, position_id=1, settle=Settle.CLOSE, **SALE)


def on_leverage(execution_id: int, order_id: int, side: Side, *, position_id: int) -> Execution:
    values = {
        "symbol": "BTC_JPY",
        "size": BTC_JPY.size(5),
        "position_id": position_id,
        "fee_jpy": Decimal(0),
        "realized_pnl_jpy": Decimal(0),
    }
    plain = fill(execution_id, order_id, side=side)
    return Execution(**{name: getattr(plain, name) for name in Execution.__struct_fields__} | values)


def closing(order_id: int) -> Order:
    size: dict[str, Any] = {"size": BTC_JPY.size(5), "executed_size": BTC_JPY.size(5)}
    return order(order_id, symbol="BTC_JPY", side=Side.SELL, settle=Settle.CLOSE, status=OrderStatus.FILLED, **size)


@pytest.mark.parametrize("told", ["by the stream", "by a question"])
@pytest.mark.parametrize(("position_id", "alarms"), [(1, 1), (2, 0)])
async def test_what_closed_another_position_than_the_one_given_up_was_another_hand(
    tmp_path: Path, told: str, position_id: int, alarms: int
) -> None:
    bench = Bench(tmp_path, BTC_JPY)
    await held_in_two_positions(bench)
    closed = on_leverage(71, 7, Side.SELL, position_id=position_id)
    bench.rest.orders_there, bench.rest.fills = {7: closing(7)}, [closed]
    if told == "by the stream":
        await bench.tracker.on_execution(closed)
    else:
        await bench.tracker.on_update(OrderUpdate(order=closing(7)))
    await bench.tracker.claim_forced()
    await bench.tracker.claim_forced()
    purpose = bench.sql("SELECT purpose FROM intents WHERE order_id = 7")[0][0]
    assert (purpose, len(bench.alarms)) == (("exit", 1) if alarms else ("forced", 0))
    assert [piece.position_id for piece in bench.books.pieces("BTC_JPY").ours] == [3 - position_id]
    await bench.close()


@pytest.mark.parametrize("order_size", [None, BTC_JPY.size(5)])
async def test_a_forced_close_of_an_order_that_nobody_lists_any_more_is_booked_by_its_fills(
    tmp_path: Path, order_size: Decimal | None
) -> None:
    bench = Bench(tmp_path, BTC_JPY)
    await held_in_two_positions(bench)
    whole = on_leverage(71, 7, Side.SELL, position_id=2)
    first, later = (
        msgspec.structs.replace(whole, execution_id=number, size=BTC_JPY.size(lots), order_size=order_size, settle=Settle.CLOSE)
        for number, lots in ((71, 2), (72, 3))
    )
    await bench.tracker.on_execution(first)
    bench.clock.advance(8.0)
    await bench.tracker.claim_forced()
    assert bench.books.position("BTC_JPY") == 10, "it may be listed later"
    bench.clock.advance(0.001)
    await bench.tracker.claim_forced()
    assert bench.books.position("BTC_JPY") == 8
    assert bench.sql("SELECT purpose, state FROM intents WHERE order_id = 7") == [("forced", "cancelled")]
    await bench.tracker.on_execution(later)
    assert bench.books.position("BTC_JPY") == 5, "what is told of it later has its owner"
    assert [piece.position_id for piece in bench.books.pieces("BTC_JPY").ours] == [1]
    assert bench.alarms == []
    await bench.close()


@pytest.mark.parametrize(
    ("position_id", "settle", "purpose", "alarms"),
    [(1, Settle.CLOSE, "exit", 1), (2, Settle.CLOSE, "forced", 0), (1, Settle.LOSSCUT, "forced", 0)],
)
async def test_an_order_that_was_given_up_turns_up_by_its_fills_alone(
    tmp_path: Path, position_id: int, settle: Settle, purpose: str, alarms: int
) -> None:
    bench = Bench(tmp_path, BTC_JPY)
    await held_in_two_positions(bench)
    closed = on_leverage(71, 7, Side.SELL, position_id=position_id)
    await bench.tracker.on_execution(msgspec.structs.replace(closed, settle=settle))
    bench.clock.advance(8.001)
    await bench.tracker.claim_forced()
    assert bench.sql("SELECT purpose FROM intents WHERE order_id = 7") == [(purpose,)]
    assert (bench.books.position("BTC_JPY"), len(bench.alarms)) == (5, alarms)
    await bench.close()
