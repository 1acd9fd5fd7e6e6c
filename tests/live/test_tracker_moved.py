"""A hand moves our order before anybody here knows its number: it looks like the intent in all but its price."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.live.bench import PRICE, SECOND, START_NS, STOP, Bench, fill, order

from gmobot.live.intents import Intent
from gmobot.venue.models import OrderStatus, OrderType, Side, TimeInForce

RESTING: dict[str, Any] = {"type": OrderType.LIMIT, "price": PRICE, "time_in_force": TimeInForce.GTC, "server_ns": START_NS}
MOVED: dict[str, Any] = {"type": OrderType.LIMIT, "price": Decimal(PRICE + 1_000), "time_in_force": TimeInForce.GTC}
REASON = "order_outcome_unknown"


async def lost(bench: Bench, **changes: Any) -> Intent:
    return await bench.books.unknown(await bench.intend(**(RESTING | changes)), "reply lost")


async def until_concluded(bench: Bench) -> None:
    for _ in range(3):
        await bench.tracker.resolve()
        bench.clock.advance(3.5)
    await bench.tracker.resolve()


async def test_it_is_ours_once_nothing_else_can_be_and_halts(bench: Bench) -> None:
    await bench.open()
    await lost(bench)
    bench.rest.orders_there = {7: order(7, **MOVED)}
    await bench.tracker.resolve()
    assert (len(bench.books.unresolved()), bench.alarms) == (1, [])
    await until_concluded(bench)
    assert bench.alarms == [
        (REASON, "order 7 looks like intent 1 in all but its price: it is taken for ours, moved by another hand"),
    ]
    now = bench.books.by_order(7)
    assert now is not None
    assert (now.intent_id, now.price) == (1, PRICE + 1_000)
    await bench.close()


async def test_what_it_filled_meanwhile_is_booked(bench: Bench) -> None:
    await bench.open()
    await lost(bench)
    bench.rest.orders_there = {7: order(7, **MOVED, executed=100, status=OrderStatus.FILLED)}
    bench.rest.fills = [fill(11, 7)]
    await until_concluded(bench)
    assert (bench.books.position("BTC"), bench.books.unresolved()) == (100, [])
    assert [reason for reason, _ in bench.alarms] == [REASON]
    await bench.close()


async def test_a_moved_stop_is_ours_too(bench: Bench) -> None:
    await bench.open()
    await bench.owning(100)
    await lost(bench, **STOP, time_in_force=order(7).time_in_force)
    bench.rest.orders_there = {7: order(7, side=Side.SELL, type=OrderType.STOP, price=Decimal(STOP["price"] - 1_000))}
    await until_concluded(bench)
    assert bench.books.is_ours(7)
    await bench.close()


@pytest.mark.parametrize(
    "other",
    [
        {"size": Decimal("0.00200")},
        {"side": Side.SELL},
        {"type": OrderType.STOP},
        {"time_in_force": TimeInForce.POST_ONLY},
        {"created_at_ns": START_NS - 2 * SECOND - 1},
        {"created_at_ns": START_NS + 30 * SECOND + 1},
    ],
)
async def test_any_other_difference_makes_it_another_s(bench: Bench, other: dict[str, Any]) -> None:
    await bench.open()
    await lost(bench)
    bench.rest.orders_there = {7: order(7, **(MOVED | other))}
    await until_concluded(bench)
    assert (bench.books.unresolved(), bench.books.is_ours(7), bench.alarms) == ([], False, [])
    await bench.close()


async def test_the_seconds_of_the_sending_are_allowed_to_the_last(bench: Bench) -> None:
    await bench.open()
    await lost(bench)
    bench.rest.orders_there = {7: order(7, **MOVED, created_at_ns=START_NS + 30 * SECOND)}
    await until_concluded(bench)
    assert bench.books.is_ours(7)
    await bench.close()


async def test_several_leave_it_unknown_and_a_person_decides(bench: Bench) -> None:
    await bench.open()
    await lost(bench)
    bench.rest.orders_there = {7: order(7, **MOVED), 8: order(8, **(MOVED | {"price": Decimal(PRICE + 2_000)}))}
    await until_concluded(bench)
    assert bench.alarms[0] == (REASON, "orders 7, 8 look like intent 1 in all but their price; resolve by hand")
    assert (len(bench.books.unresolved()), bench.books.is_ours(7), bench.books.is_ours(8)) == (1, False, False)
    await bench.close()


@pytest.mark.parametrize(("other_price", "owner", "alarms"), [(PRICE + 1_000, 2, 0), (PRICE + 3_000, 1, 1)], ids=["exactly", "moved"])
async def test_one_order_is_one_intent_s_and_an_exact_one_comes_first(bench: Bench, other_price: int, owner: int, alarms: int) -> None:
    await bench.open()
    await lost(bench)
    await lost(bench, price=other_price)
    bench.rest.orders_there = {7: order(7, **MOVED)}
    await until_concluded(bench)
    ours = bench.books.by_order(7)
    assert ours is not None
    assert (ours.intent_id, bench.books.unresolved(), len(bench.alarms)) == (owner, [], alarms)
    await bench.close()


async def test_a_market_order_has_no_price_to_be_moved(bench: Bench) -> None:
    await bench.open()
    await lost(bench, type=OrderType.MARKET, price=0, time_in_force=TimeInForce.IOC)
    bench.rest.orders_there = {7: order(7, **(MOVED | {"type": OrderType.UNKNOWN, "time_in_force": TimeInForce.IOC, "side": Side.SELL}))}
    await until_concluded(bench)
    assert (bench.books.unresolved(), bench.books.is_ours(7)) == ([], False)
    await bench.close()


async def test_one_that_turns_up_after_absence_was_concluded_is_taken_back(bench: Bench) -> None:
    await bench.open()
    await bench.books.conclude_absent(await lost(bench))
    bench.rest.orders_there = {7: order(7, **MOVED)}
    await bench.tracker.sweep_recent()
    await bench.tracker.claim_forced()
    assert bench.books.is_ours(7)
    assert [reason for reason, _ in bench.alarms] == [REASON]
    await bench.close()


async def test_an_exact_one_comes_before_a_moved_one(bench: Bench) -> None:
    await bench.open()
    await bench.books.conclude_absent(await lost(bench, price=PRICE + 2_000))
    exact = await bench.books.conclude_absent(await lost(bench, price=PRICE + 1_000))
    bench.rest.orders_there = {7: order(7, **MOVED)}
    await bench.tracker.sweep_recent()
    await bench.tracker.claim_forced()
    ours = bench.books.by_order(7)
    assert ours is not None
    assert ours.intent_id == exact.intent_id
    await bench.close()
