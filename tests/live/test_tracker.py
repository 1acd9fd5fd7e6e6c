"""Each row of the tracker's table of evidence, and everything that comes early, twice, or from somebody else."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.live.bench import PRICE, SECOND, START_NS, STOP, Bench, fill, order

from gmobot.errors import Category, Unavailable
from gmobot.live.intents import IntentState, Purpose
from gmobot.venue.models import OrderStatus, OrderType, OrderUpdate, Settle, Side, TimeInForce


async def unknown(bench: Bench, **changes: object):
    return await bench.books.unknown(await bench.intend(**changes), "reply lost")


def state_of(bench: Bench, intent_id: int = 1) -> str:
    return str(bench.sql(f"SELECT state FROM intents WHERE intent_id = {intent_id}")[0][0])


# --- an unknown intent ------------------------------------------------------------------------------------


async def test_one_stranger_that_looks_exactly_like_it_is_adopted(bench: Bench) -> None:
    await bench.open()
    await unknown(bench)
    bench.rest.orders_there = {1: order(1, created_at_ns=START_NS + SECOND)}
    await bench.tracker.resolve()
    assert bench.books.unresolved() == []
    assert bench.books.is_ours(1)
    assert bench.books.open_intents("BTC")[0].state is IntentState.WORKING
    assert bench.changes == 1
    await bench.close()


async def test_a_stranger_that_has_ended_already_is_found_by_its_fill(bench: Bench) -> None:
    await bench.open()
    await unknown(bench)
    bench.rest.orders_there = {1: order(1, executed=100, status=OrderStatus.FILLED)}
    bench.rest.fills = [fill(11)]
    await bench.tracker.resolve()
    assert state_of(bench) == "filled"
    assert bench.books.position("BTC") == 100
    await bench.close()


async def test_absence_proves_nothing_before_the_visibility_delay_and_all_after_it(bench: Bench) -> None:
    await bench.open()
    await unknown(bench)
    await bench.tracker.resolve()
    bench.clock.advance(3.0)
    await bench.tracker.resolve()
    assert state_of(bench) == "unknown"
    bench.clock.advance(0.001)
    await bench.tracker.resolve()
    assert state_of(bench) == "rejected"
    assert bench.changes == 1
    await bench.close()


async def test_the_delay_counts_from_when_the_reply_was_given_up(bench: Bench) -> None:
    """A request that hung for a minute may have been carried out at its end."""
    await bench.open()
    waiting = await bench.intend()
    bench.clock.advance(60.0)
    await bench.books.unknown(waiting, "no reply in time")
    bench.clock.advance(1.0)
    await bench.tracker.resolve()
    assert state_of(bench) == "unknown"
    await bench.close()


@pytest.mark.parametrize("step", [-3_600.0, 3_600.0])
async def test_a_wall_clock_that_is_set_proves_no_absence_and_hides_nothing(bench: Bench, step: float) -> None:
    await bench.open()
    bench.rest.server_ns = START_NS
    await unknown(bench, server_ns=START_NS)
    await bench.tracker.resolve()
    bench.clock.set_wall(step)
    bench.clock.advance(2.9)
    await bench.tracker.resolve()
    assert state_of(bench) == "unknown"
    bench.rest.orders_there = {1: order(1, created_at_ns=START_NS + SECOND)}
    await bench.tracker.resolve()
    assert state_of(bench) == "working"
    await bench.close()


async def test_the_exchange_s_own_clock_tells_an_older_order_apart(bench: Bench) -> None:
    await bench.open()
    await unknown(bench, server_ns=START_NS)
    bench.rest.orders_there = {1: order(1, created_at_ns=START_NS - 3 * SECOND)}
    await bench.tracker.resolve()
    assert state_of(bench) == "unknown"
    await bench.close()


async def test_two_strangers_that_match_are_a_person_s_business(bench: Bench) -> None:
    await bench.open()
    await unknown(bench)
    bench.rest.orders_there = {1: order(1), 2: order(2)}
    bench.clock.advance(60.0)
    await bench.tracker.resolve()
    assert state_of(bench) == "unknown"
    ((reason, text),) = bench.alarms
    assert reason == "order_outcome_unknown"
    assert "orders 1, 2" in text
    await bench.close()


async def test_two_unknown_intents_never_adopt_the_same_order(bench: Bench) -> None:
    await bench.open()
    await unknown(bench)
    await unknown(bench)
    bench.rest.orders_there = {1: order(1)}
    await bench.tracker.resolve()
    assert [state_of(bench, number) for number in (1, 2)] == ["working", "unknown"]
    await bench.close()


@pytest.mark.parametrize(
    "different",
    [
        {"size": Decimal("0.00101")},
        {"side": Side.SELL},
        {"type": OrderType.LIMIT, "price": Decimal(PRICE)},
        {"time_in_force": TimeInForce.FOK},
        {"symbol": "ETH"},
        {"created_at_ns": START_NS - 63 * SECOND},
    ],
    ids=["size", "side", "type", "time in force", "symbol", "older than the intent"],
)
async def test_a_stranger_that_differs_is_not_adopted(bench: Bench, different: dict[str, Any]) -> None:
    await bench.open()
    await unknown(bench)
    bench.rest.orders_there = {1: order(1, **different)}
    await bench.tracker.resolve()
    assert state_of(bench) == "unknown"
    assert not bench.books.is_ours(1)
    await bench.close()


@pytest.mark.parametrize("word", [{"type": OrderType.UNKNOWN}, {"time_in_force": TimeInForce.UNKNOWN}], ids=["type", "time in force"])
async def test_an_order_told_in_words_nobody_knows_is_ours_if_all_else_fits(bench: Bench, word: dict[str, Any]) -> None:
    await bench.open()
    await unknown(bench)
    bench.rest.orders_there = {1: order(1, **word)}
    await bench.tracker.resolve()
    assert bench.books.is_ours(1), "concluding that it is absent would send it twice"
    await bench.close()


async def test_a_spot_sell_is_ours_whatever_it_is_said_to_settle(bench: Bench) -> None:
    await bench.open()
    await bench.owning(100)
    await unknown(bench, side=Side.SELL, purpose=Purpose.EXIT)
    bench.rest.orders_there = {1: order(1, side=Side.SELL, settle=Settle.CLOSE, executed=100, status=OrderStatus.FILLED)}
    bench.rest.fills.append(fill(11, side=Side.SELL))
    await bench.tracker.resolve()
    bench.clock.advance(3.001)
    await bench.tracker.resolve()
    assert state_of(bench, 2) == "filled", "concluding that it is absent would sell twice"
    assert bench.books.position("BTC") == 0
    await bench.close()


@pytest.mark.parametrize("field", ["fee_jpy", "realized_pnl_jpy"])
async def test_a_fill_whose_money_is_finer_than_a_micro_yen_is_booked_to_the_nearest_and_told(bench: Bench, field: str) -> None:
    await bench.open()
    await bench.acknowledged()
    await bench.tracker.on_execution(msgspec.structs.replace(fill(11), **{field: Decimal("5.00000049")}))
    assert bench.books.position("BTC") == 100, "it happened, and must be protected"
    assert bench.sql("SELECT fee_uyen FROM fills") == [(5_000_000,)]
    assert [reason for reason, _ in bench.alarms] == ["exchange_error"]
    assert "execution 11" in bench.alarms[0][1]
    assert "5.00000049" in bench.alarms[0][1]
    await bench.close()


async def test_a_status_nobody_knows_ends_no_order(bench: Bench) -> None:
    await bench.open()
    await unknown(bench)
    bench.rest.orders_there = {1: order(1, status=OrderStatus.UNKNOWN)}
    await bench.tracker.resolve()
    await bench.tracker.refresh(every=True)
    assert state_of(bench) == "working"
    await bench.close()


async def test_a_stop_at_another_trigger_is_not_adopted(bench: Bench) -> None:
    await bench.open()
    await unknown(bench, **STOP)
    resting: dict[str, Any] = {"side": Side.SELL, "type": OrderType.STOP, "status": OrderStatus.ARMED}
    bench.rest.orders_there = {1: order(1, price=Decimal(PRICE - 101), **resting)}
    await bench.tracker.resolve()
    assert state_of(bench) == "unknown"
    bench.rest.orders_there[2] = order(2, price=Decimal(PRICE - 100), **resting)
    await bench.tracker.resolve()
    assert bench.books.is_ours(2)
    await bench.close()


async def test_a_foreign_order_that_looks_alike_is_never_adopted(bench: Bench) -> None:
    await bench.open()
    await bench.books.note_foreign(1, "BTC", "seen before")
    await unknown(bench)
    bench.rest.orders_there = {1: order(1)}
    await bench.tracker.resolve()
    assert state_of(bench) == "unknown"
    await bench.close()


async def test_without_an_answer_nothing_is_concluded(bench: Bench) -> None:
    await bench.open()
    await unknown(bench)
    bench.clock.advance(60.0)
    bench.rest.trouble = Unavailable("no answer", category=Category.NETWORK)
    with pytest.raises(Unavailable):
        await bench.tracker.resolve()
    assert state_of(bench) == "unknown"
    await bench.close()


# --- events -----------------------------------------------------------------------------------------------


async def test_a_fill_before_the_reply_waits_for_its_owner(bench: Bench) -> None:
    await bench.open()
    sent = await bench.intend()
    await bench.tracker.on_execution(fill(11, lots=40))
    await bench.tracker.on_execution(fill(11, lots=40))
    await bench.tracker.on_update(OrderUpdate(order=order(executed=40, status=OrderStatus.EXPIRED, cancel_reason="EXPIRED_FAK")))
    assert bench.books.position("BTC") == 0
    await bench.books.acknowledge(sent, 1)
    await bench.tracker.claim(1)
    assert bench.books.position("BTC") == 40
    assert state_of(bench) == "expired"
    assert bench.books.counts.fills == 1
    await bench.close()


async def test_a_fill_told_by_stream_and_query_is_booked_once(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged()
    bench.rest.orders_there = {1: order(executed=100, status=OrderStatus.FILLED)}
    bench.rest.fills = [fill(11)]
    await bench.tracker.on_execution(fill(11))
    await bench.tracker.on_execution(fill(11))
    await bench.tracker.refresh(every=True)
    await bench.tracker.sweep_recent()
    assert (bench.books.position("BTC"), bench.books.counts.fills) == (100, 1)
    await bench.close()


async def test_an_end_counts_only_once_every_fill_is_booked(bench: Bench) -> None:
    await bench.open()
    ours = await bench.acknowledged()
    bench.rest.invisible = {1}
    await bench.tracker.on_update(OrderUpdate(order=order(executed=60, status=OrderStatus.CANCELLED)))
    assert state_of(bench) == "acknowledged"
    bench.rest.invisible = set()
    bench.rest.orders_there = {1: order(executed=60, status=OrderStatus.CANCELLED)}
    bench.rest.fills = [fill(11, lots=60)]
    await bench.tracker.refresh()
    assert state_of(bench) == "cancelled"
    assert bench.books.position("BTC") == 60
    assert ours.intent_id == 1
    await bench.close()


async def test_an_old_report_does_not_take_a_fill_back(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged()
    await bench.tracker.on_execution(fill(11, lots=60))
    await bench.tracker.on_update(OrderUpdate(order=order(executed=0, status=OrderStatus.WORKING)))
    await bench.tracker.on_update(OrderUpdate(order=order(executed=0, status=OrderStatus.CANCELLED)))
    assert state_of(bench) == "working", "the end tells of fewer fills than we have: ask again"
    await bench.close()


async def test_a_missed_fill_is_found_by_the_sweep(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged()
    bench.rest.fills = [fill(11, lots=60)]
    await bench.tracker.sweep_recent()
    assert bench.books.position("BTC") == 60
    await bench.close()


async def test_an_order_of_ours_that_vanished_alarms_after_patience(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged()
    await bench.tracker.refresh(every=True)
    bench.clock.advance(8.0)
    await bench.tracker.refresh(every=True)
    assert bench.alarms == []
    bench.clock.advance(0.001)
    await bench.tracker.refresh(every=True)
    assert [reason for reason, _ in bench.alarms] == ["exchange_error"]
    await bench.close()


# --- what is not ours -------------------------------------------------------------------------------------


async def test_a_foreign_order_is_told_once_and_never_touched(bench: Bench) -> None:
    await bench.open()
    bench.rest.orders_there = {5: order(5)}
    bench.rest.fills = [fill(51, 5, 40)]
    for _ in range(5):
        await bench.tracker.sweep_recent()
        await bench.tracker.on_execution(fill(51, 5, 40))
        bench.clock.advance(4.0)
    told = [event for event in bench.events() if event.get("reason") == "foreign_order"]
    assert [event["order_id"] for event in told] == [5]
    assert bench.books.position("BTC") == 0
    assert bench.rest.cancelled == []
    await bench.reopen()
    bench.clock.advance(60.0)
    await bench.tracker.sweep_recent()
    await bench.tracker.sweep_recent()
    assert len([event for event in bench.events() if event.get("reason") == "foreign_order"]) == 1
    await bench.close()


async def test_nothing_is_foreign_while_something_is_unknown(bench: Bench) -> None:
    await bench.open()
    await unknown(bench)
    await bench.tracker.on_execution(fill(11))
    bench.clock.advance(60.0)
    await bench.tracker.sweep_recent()
    assert not bench.books.is_foreign(1)
    await bench.close()
