"""A lost reply to an order that the exchange has forgotten while it still tells of its fills: they are the evidence."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.live.bench import BTC, PRICE, SECOND, START_NS, STOP, Bench, fill, order

from gmobot.live.intents import IntentState, Purpose
from gmobot.venue.models import Execution, OrderType, OrderUpdate, Side

PATIENCE = 8.0
"""Twice the visibility delay, and what clocks may differ by."""


async def lost(bench: Bench, **changes: Any) -> None:
    await bench.books.unknown(await bench.intend(server_ns=START_NS, **changes), "reply lost")


async def looked(bench: Bench, seconds: float = 0.0) -> None:
    bench.clock.advance(seconds)
    await bench.tracker.resolve()


async def patient(bench: Bench) -> None:
    """Look in vain until fills are evidence enough."""
    await looked(bench)
    await looked(bench, PATIENCE)


def made(execution: Execution, seconds: float) -> Execution:
    return msgspec.structs.replace(execution, at_ns=START_NS + int(seconds * SECOND))


async def test_its_fills_are_ours_after_patience_and_a_person_is_told(bench: Bench) -> None:
    await bench.open()
    await lost(bench)
    bench.rest.fills = [fill(11, 7, 40), fill(12, 7, 60)]
    await patient(bench)
    assert (len(bench.books.unresolved()), bench.books.position("BTC"), bench.alarms) == (1, 0, [])
    bench.changes = 0
    await looked(bench, 0.001)
    assert (bench.books.unresolved(), bench.books.position("BTC")) == ([], 100)
    assert bench.sql("SELECT state, order_id FROM intents") == [("filled", 7)]
    assert bench.alarms == [("order_outcome_unknown", "only fills tell of order 7: it is taken for intent 1")]
    assert bench.changes > 0
    await bench.close()


async def test_what_did_not_fill_of_it_ends_as_any_order_that_is_listed_no_more(bench: Bench) -> None:
    await bench.open()
    await lost(bench)
    bench.rest.fills = [fill(11, 7, 40)]
    await patient(bench)
    await looked(bench, 0.001)
    assert bench.books.by_order(7) is not None
    await bench.tracker.refresh(every=True)
    bench.clock.advance(8.001)
    await bench.tracker.refresh()
    assert bench.sql("SELECT state, executed_lots FROM intents") == [("expired", 40)]
    await bench.close()


@pytest.mark.parametrize(
    "other",
    [
        [fill(11, 7, side=Side.SELL)],
        [fill(11, 7, 101)],
        [fill(11, 7, 60), fill(12, 7, 41)],
        [made(fill(11, 7), -2.001)],
        [made(fill(11, 7, 50), -2.001), fill(12, 7, 50)],
    ],
)
async def test_fills_that_cannot_be_its_own_are_another_s(bench: Bench, other: list[Execution]) -> None:
    await bench.open()
    bench.account.start(0, {"BTC": BTC.size(500)})
    await lost(bench)
    bench.rest.fills = other
    await looked(bench)
    await looked(bench, 3.001)
    assert (bench.books.unresolved(), bench.books.position("BTC"), bench.alarms) == ([], 0, [])
    await bench.close()


async def test_a_clock_may_differ_a_little(bench: Bench) -> None:
    await bench.open()
    await lost(bench)
    bench.rest.fills = [made(fill(11, 7), -2.0)]
    await patient(bench)
    await looked(bench, 0.001)
    assert bench.books.position("BTC") == 100
    await bench.close()


async def test_of_two_such_orders_a_person_must_choose(bench: Bench) -> None:
    await bench.open()
    await lost(bench)
    bench.rest.fills = [fill(11, 7), fill(12, 8)]
    await patient(bench)
    await looked(bench, 0.001)
    assert (len(bench.books.unresolved()), bench.books.position("BTC")) == (1, 0)
    assert bench.alarms == [("order_outcome_unknown", "fills of orders 7, 8 may be intent 1; resolve by hand")]
    await bench.close()


async def test_an_order_of_which_only_events_tell_is_no_evidence_without_fills(bench: Bench) -> None:
    await bench.open()
    await lost(bench)
    await bench.tracker.on_update(OrderUpdate(order=order(7)))
    await looked(bench)
    await looked(bench, 3.001)
    assert bench.sql("SELECT state FROM intents") == [(IntentState.REJECTED,)]
    await bench.close()


async def test_one_that_shows_after_all_is_taken_as_ever(bench: Bench) -> None:
    await bench.open()
    bench.account.start(0, {"BTC": BTC.size(500)})
    await bench.owning(100)
    await lost(bench, **STOP)
    bench.rest.fills = [fill(11, 7, side=Side.SELL)]
    await looked(bench)
    await looked(bench, 7.0)
    bench.rest.fills, bench.rest.orders_there = [], {7: order(7, side=Side.SELL, size=BTC.size(200))}
    await looked(bench, 1.5)
    assert (bench.books.unresolved(), bench.books.position("BTC"), bench.alarms) == ([], 100, []), "it is another's: its size is not ours"
    await bench.close()


# --- after its absence was concluded ------------------------------------------------------------------


async def given_up(bench: Bench, *, owning: int = 0, **changes: Any) -> None:
    """Let an intent be given up for absent."""
    await bench.open()
    bench.account.start(0, {"BTC": BTC.size(500)})
    if owning:
        await bench.owning(owning)
    await lost(bench, **changes)
    for _ in range(4):
        await looked(bench, 3.001)
    assert bench.books.unresolved() == []


async def swept(bench: Bench, seconds: float = 0.0) -> None:
    bench.clock.advance(seconds)
    await bench.tracker.sweep_recent()
    await bench.tracker.claim_forced()


async def test_fills_that_may_be_of_what_was_given_up_stay_open_for_a_person(bench: Bench) -> None:
    await given_up(bench)
    bench.rest.fills = [fill(11, 7)]
    for seconds in (0.0, PATIENCE, 0.001, 60.0):
        await swept(bench, seconds)
    assert not bench.books.is_foreign(7), "the difference of balances tells"
    assert (bench.books.position("BTC"), bench.alarms) == (0, [])
    assert bench.sql("SELECT state, order_id FROM intents") == [("rejected", None)]
    await bench.close()


LIMIT = {"type": OrderType.LIMIT, "price": PRICE - 1}


@pytest.mark.parametrize(
    ("wanted", "other"),
    [
        ({}, fill(11, 7, side=Side.SELL)),
        ({}, fill(11, 7, 101)),
        ({}, made(fill(11, 7), -2.001)),
        ({}, made(fill(11, 7), 30.001)),
        (LIMIT, fill(11, 7)),
    ],
)
async def test_fills_that_cannot_be_of_what_was_given_up_are_told_as_another_s(
    bench: Bench, wanted: dict[str, Any], other: Execution
) -> None:
    await given_up(bench, **wanted)
    bench.rest.fills = [other]
    await swept(bench)
    await swept(bench, PATIENCE)
    assert not bench.books.is_foreign(7), "a question may show it yet"
    await swept(bench, 0.001)
    await swept(bench)
    assert bench.books.is_foreign(7)
    assert (bench.books.position("BTC"), bench.alarms) == (0, [])
    await bench.close()


@pytest.mark.parametrize(
    ("side", "worse", "may_be_ours"), [(Side.BUY, 1, False), (Side.BUY, 0, True), (Side.SELL, -1, False), (Side.SELL, 0, True)]
)
async def test_a_limit_fills_at_its_price_or_better(bench: Bench, side: Side, worse: int, may_be_ours: bool) -> None:  # parametrised
    purpose = Purpose.ENTRY if side is Side.BUY else Purpose.EXIT
    await given_up(bench, owning=100, side=side, purpose=purpose, type=OrderType.LIMIT, price=PRICE - worse)
    bench.rest.fills = [fill(11, 70, side=side)]
    for seconds in (0.0, PATIENCE, 0.001, 0.0):
        await swept(bench, seconds)
    assert bench.books.is_foreign(70) is not may_be_ours
    await bench.close()


async def test_nothing_is_judged_by_its_fills_that_was_not_asked_about(bench: Bench) -> None:
    """One question names ten orders."""
    await given_up(bench)
    bench.rest.fills = [fill(11 + number, 7 + number, 1, side=Side.SELL) for number in range(11)]
    told = []
    for seconds in (0.0, PATIENCE, 0.001, 0.0, 0.0):
        await swept(bench, seconds)
        told.append(sum(bench.books.is_foreign(7 + number) for number in range(11)))
    assert told == [0, 0, 0, 10, 11]
    await bench.close()
