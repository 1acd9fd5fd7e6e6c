"""Evidence as it comes in pieces: what is asked, what is kept for later, and what each answer settles."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.live.bench import BTC, PRICE, SECOND, START_NS, STOP, Bench, fill, order

from gmobot.clock import elapsed_ns
from gmobot.errors import Unavailable
from gmobot.live.intents import Intent, IntentState
from gmobot.ops.telemetry import Telemetry
from gmobot.venue.models import Execution, Order, OrderStatus, OrderType, OrderUpdate, Side, TimeInForce

STOPPED: dict[str, Any] = {"side": Side.SELL, "type": OrderType.STOP, "price": Decimal(PRICE - 100)}


def stop_there(number: int = 1, **changes: Any) -> Order:
    return order(number, **(STOPPED | {"status": OrderStatus.ARMED} | changes))


def asked(bench: Bench) -> list[list[int]]:
    """Note every question about single orders from now on."""
    found: list[list[int]] = []
    ask = bench.rest.orders

    async def orders(order_ids: Any) -> list[Order]:
        found.append(list(order_ids))
        return await ask(order_ids)

    bench.rest.orders = orders  # type: ignore[method-assign]
    return found


def now(bench: Bench, order_id: int = 1) -> Intent:
    known = bench.books.by_order(order_id)
    assert known is not None
    return known


def flows(bench: Bench) -> list[Any]:
    return [row[0] for row in bench.sql("SELECT key FROM cash_flows ORDER BY rowid")]


# --- fills ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "fee", "liquidity"),
    [(OrderType.LIMIT, -1, "maker"), (OrderType.LIMIT, 0, "taker"), (OrderType.LIMIT, 1, "taker"), (OrderType.MARKET, -1, "taker")],
)
async def test_a_fill_counts_as_what_its_fee_says_of_it(bench: Bench, kind: OrderType, fee: int, liquidity: str) -> None:
    await bench.open()
    telemetry = bench.tracker._telemetry = Telemetry(version="test", config_hash="0")
    await bench.acknowledged(type=kind, price=PRICE if kind is OrderType.LIMIT else 0)
    bench.clock.advance(3.0)
    bench.changes = 0
    await bench.tracker.on_execution(fill(11, fee=fee))
    lines = telemetry.render("")[0].decode()
    assert f'gmobot_fills_total{{liquidity="{liquidity}",side="BUY"}} 1.0' in lines
    assert bench.tracker.last_fill_ns == elapsed_ns(bench.clock)
    assert bench.changes == 1
    await bench.tracker.on_execution(fill(11, fee=fee))
    assert bench.changes == 1, "no news"
    await bench.close()


async def test_a_fill_of_somebody_else_s_order_is_their_trade(bench: Bench) -> None:
    await bench.open()
    bench.account.start(1_000_000_000_000, {"BTC": Decimal(1)})
    await bench.books.note_foreign(5, "BTC", "seen")
    theirs = msgspec.structs.replace(fill(51, 5), at_ns=START_NS + 1)
    await bench.tracker.on_execution(theirs)
    await bench.tracker.on_execution(theirs)
    assert flows(bench) == ["execution:51"]
    assert bench.books.position("BTC") == 0
    await bench.close()


async def test_what_waited_for_an_owner_that_never_came_is_somebody_else_s_trade(bench: Bench) -> None:
    await bench.open()
    bench.account.start(1_000_000_000_000, {"BTC": Decimal(1)})
    for number in (51, 52, 52):
        await bench.tracker.on_execution(msgspec.structs.replace(fill(number, 5, 40), at_ns=START_NS + 1))
    bench.clock.advance(5.0)
    await bench.tracker.sweep_recent()
    assert flows(bench) == []
    assert not bench.books.is_foreign(5)
    bench.clock.advance(0.001)
    await bench.tracker.sweep_recent()
    assert bench.books.is_foreign(5)
    assert flows(bench) == ["execution:51", "execution:52"]
    await bench.close()


async def test_a_fill_that_was_taken_for_another_s_is_taken_back_when_it_is_ours(bench: Bench) -> None:
    await bench.open()
    bench.account.start(1_000_000_000_000, {"BTC": Decimal(1)})
    ours = await bench.intend()
    theirs = msgspec.structs.replace(fill(51, 5), at_ns=START_NS + 1)
    await bench.cash.foreign_fill(theirs)
    await bench.books.acknowledge(ours, 5)
    await bench.tracker.on_execution(theirs)
    assert flows(bench) == ["execution:51", "execution:51:ours"]
    assert bench.books.position("BTC") == 100
    await bench.close()


# --- what comes before its owner ------------------------------------------------------------------------------


async def test_an_end_that_was_told_before_the_reply_is_taken_with_it(bench: Bench) -> None:
    await bench.open()
    ours = await bench.intend(**STOP)
    await bench.tracker.on_update(OrderUpdate(order=stop_there(status=OrderStatus.EXPIRED, cancel_reason="EXPIRED_X")))
    await bench.books.acknowledge(ours, 1)
    await bench.tracker.claim(1)
    assert (now(bench).state, now(bench).detail) == (IntentState.EXPIRED, "EXPIRED_X")
    await bench.close()


async def test_what_nobody_told_of_has_nothing_to_be_claimed(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged(**STOP)
    await bench.tracker.claim(1)
    assert now(bench).state is IntentState.ACKNOWLEDGED
    await bench.close()


async def test_news_of_somebody_else_s_order_are_none(bench: Bench) -> None:
    await bench.open()
    await bench.books.note_foreign(5, "BTC", "seen")
    await bench.tracker.on_update(OrderUpdate(order=stop_there(5)))
    assert 5 not in bench.tracker._waiting
    await bench.tracker.on_update(OrderUpdate(order=stop_there(6)))
    assert 6 in bench.tracker._waiting
    await bench.close()


# --- questions --------------------------------------------------------------------------------------------------


async def test_no_question_names_more_than_ten_orders(bench: Bench) -> None:
    await bench.open()
    for number in range(1, 12):
        await bench.acknowledged(order_id=number, **STOP)
        bench.rest.orders_there[number] = stop_there(number)
    questions = asked(bench)
    await bench.tracker.refresh(every=True)
    assert questions == [list(range(1, 11)), [11]]
    assert {known.state for known in bench.books.open_intents("BTC")} == {IntentState.WORKING}
    await bench.close()


async def test_only_a_suspect_is_asked_about_and_once(bench: Bench) -> None:
    await bench.open()
    ours = await bench.acknowledged(order_id=1, **STOP)
    await bench.acknowledged(order_id=2, **STOP)
    lost = await bench.intend(**STOP)
    bench.rest.orders_there = {1: stop_there()}
    questions = asked(bench)
    await bench.tracker.refresh()
    bench.tracker.suspect(ours)
    bench.tracker.suspect(lost)
    await bench.tracker.refresh()
    await bench.tracker.refresh()
    assert questions == [[1]], "what has no number cannot be asked about"
    await bench.close()


async def test_a_question_without_an_answer_is_asked_again(bench: Bench) -> None:
    await bench.open()
    ours = await bench.acknowledged(**STOP)
    bench.tracker.suspect(ours)
    bench.rest.trouble = Unavailable("no answer")
    with pytest.raises(Unavailable):
        await bench.tracker.refresh()
    bench.rest.trouble = None
    bench.rest.orders_there = {1: stop_there()}
    await bench.tracker.refresh()
    assert now(bench).state is IntentState.WORKING
    await bench.close()


async def test_an_order_that_was_listed_in_between_did_not_vanish(bench: Bench) -> None:
    await bench.open()
    bench.rest.balances = {"BTC": Decimal(0)}
    await bench.acknowledged(**STOP)
    await bench.tracker.refresh(every=True)
    bench.clock.advance(8.0)
    bench.rest.orders_there = {1: stop_there()}
    await bench.tracker.refresh(every=True)
    bench.rest.orders_there = {}
    bench.clock.advance(1.0)
    await bench.tracker.refresh(every=True)
    assert bench.alarms == []
    bench.clock.advance(8.001)
    await bench.tracker.refresh(every=True)
    assert [reason for reason, _ in bench.alarms] == ["exchange_error"]
    assert "order 1" in bench.alarms[0][1]
    await bench.close()


# --- ends -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "state"),
    [(OrderStatus.CANCELLED, IntentState.CANCELLED), (OrderStatus.EXPIRED, IntentState.EXPIRED)],
)
async def test_an_end_settles_an_order(bench: Bench, status: OrderStatus, state: IntentState) -> None:
    await bench.open()
    await bench.acknowledged(**STOP)
    bench.changes = 0
    await bench.tracker.on_update(OrderUpdate(order=stop_there(status=status)))
    assert (now(bench).state, now(bench).detail, bench.changes) == (state, "", 1)
    await bench.tracker.on_update(OrderUpdate(order=stop_there()))
    assert now(bench).state is state, "an old event opens nothing again"
    await bench.close()


async def test_an_end_waits_for_its_fills_and_asks_again(bench: Bench) -> None:
    await bench.open()
    await bench.owning(100)
    await bench.acknowledged(**STOP)
    bench.rest.orders_there = {1: stop_there(executed=60, status=OrderStatus.CANCELLED)}
    bench.rest.fills = [fill(11, 1, 40, side=Side.SELL)]
    await bench.tracker.on_update(OrderUpdate(order=stop_there(executed=60, status=OrderStatus.CANCELLED)))
    assert (now(bench).state, now(bench).executed_lots) == (IntentState.WORKING, 40)
    bench.rest.fills.append(fill(12, 1, 20, side=Side.SELL))
    await bench.tracker.refresh()
    assert (now(bench).state, now(bench).executed_lots) == (IntentState.CANCELLED, 60)
    assert bench.books.position("BTC") == 40
    await bench.close()


async def test_fills_are_asked_for_only_where_more_executed_than_is_booked(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged()
    asks: list[int] = []
    ask = bench.rest.executions

    async def executions(order_id: int) -> list[Execution]:
        asks.append(order_id)
        return await ask(order_id)

    bench.rest.executions = executions  # type: ignore[method-assign]
    bench.rest.fills = [fill(11, 1, 40)]
    await bench.tracker.on_update(OrderUpdate(order=order()))
    assert asks == []
    await bench.tracker.on_update(OrderUpdate(order=order(executed=40)))
    await bench.tracker.on_update(OrderUpdate(order=order(executed=40)))
    await bench.tracker.on_update(OrderUpdate(order=order(executed=10)))
    assert asks == [1]
    await bench.close()


async def test_a_fill_that_completes_it_is_its_end(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged()
    bench.rest.fills = [fill(11)]
    await bench.tracker.on_update(OrderUpdate(order=order(executed=100, status=OrderStatus.FILLED)))
    assert now(bench).state is IntentState.FILLED
    assert "order_cancelled" not in [event["event"] for event in bench.events()]
    await bench.close()


async def test_an_order_that_filled_stands_nowhere_any_more(bench: Bench) -> None:
    await bench.open()
    await bench.owning(100)
    await bench.acknowledged(**STOP)
    bench.rest.fills = [fill(11, 1, side=Side.SELL)]
    bench.rest.orders_there = {1: stop_there(executed=100, price=Decimal(PRICE - 70))}
    await bench.tracker.refresh(every=True)
    assert (now(bench).state, now(bench).price) == (IntentState.FILLED, PRICE - 100)
    await bench.close()


async def test_an_unknown_order_is_looked_into_at_once_where_one_was_given_up(bench: Bench) -> None:
    await bench.open()
    await bench.tracker.on_update(OrderUpdate(order=order(5)))
    assert bench.changes == 0
    await bench.books.conclude_absent(await bench.intend())
    await bench.tracker.on_update(OrderUpdate(order=order(5)))
    assert bench.changes == 0, "it was there before"
    await bench.tracker.on_update(OrderUpdate(order=order(6)))
    assert bench.changes == 1
    await bench.close()


# --- prices ---------------------------------------------------------------------------------------------------


async def changing(bench: Bench) -> Intent:
    """Have asked for another price of a STOP."""
    await bench.open()
    return await bench.books.amend(await bench.acknowledged(**STOP), PRICE - 50)


async def answered(bench: Bench, **changes: Any) -> Intent:
    bench.rest.orders_there = {1: stop_there(**changes)}
    await bench.tracker.refresh(every=True)
    return now(bench)


async def test_it_stands_where_it_was_asked_to(bench: Bench) -> None:
    await changing(bench)
    bench.changes = 0
    seen = await answered(bench, price=Decimal(PRICE - 50))
    assert (seen.price, seen.amending_to, bench.changes) == (PRICE - 50, 0, 1)
    await bench.close()


@pytest.mark.parametrize("changes", [{"status": OrderStatus.AMENDING, "price": Decimal(PRICE - 50)}, {"price": None}])
async def test_while_it_is_being_changed_nothing_is_known(bench: Bench, changes: dict[str, Any]) -> None:
    await changing(bench)
    seen = await answered(bench, **changes)
    assert (seen.price, seen.amending_to) == (PRICE - 100, PRICE - 50)
    await bench.close()


async def test_it_did_not_move_once_the_visibility_delay_is_over(bench: Bench) -> None:
    await changing(bench)
    await answered(bench)
    bench.clock.advance(3.0)
    assert (await answered(bench)).amending_to == PRICE - 50
    bench.clock.advance(0.001)
    bench.changes = 0
    seen = await answered(bench)
    assert (seen.price, seen.amending_to, bench.changes) == (PRICE - 100, 0, 1)
    assert bench.events()[-1]["detail"] == "it did not move within the visibility delay"
    await bench.close()


async def test_the_next_change_has_its_own_delay(bench: Bench) -> None:
    await changing(bench)
    await answered(bench)
    bench.clock.advance(3.001)
    seen = await answered(bench)
    await bench.books.amend(seen, PRICE - 40)
    bench.clock.advance(10.0)
    await bench.tracker.refresh()
    assert (await answered(bench)).amending_to == PRICE - 40
    await bench.close()


async def test_a_reason_is_as_good_as_the_delay(bench: Bench) -> None:
    await changing(bench)
    seen = await answered(bench, cancel_reason="PRICE_BOUND")
    assert (seen.price, seen.amending_to) == (PRICE - 100, 0)
    assert bench.events()[-1]["detail"] == "PRICE_BOUND"
    await bench.close()


async def test_a_price_by_another_hand_is_taken_as_it_is(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged(**STOP)
    bench.changes = 0
    seen = await answered(bench, price=Decimal(PRICE - 70))
    assert (seen.price, bench.changes) == (PRICE - 70, 1)
    assert bench.events()[-1]["detail"] == "by another hand"
    await answered(bench, price=Decimal(PRICE - 70))
    assert bench.changes == 1
    await bench.close()


async def test_a_price_told_of_a_market_order_is_none_of_its_own(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged()
    bench.rest.orders_there = {1: order(price=Decimal(PRICE))}
    await bench.tracker.refresh(every=True)
    assert now(bench).price == 0
    await bench.close()


async def test_an_event_proves_no_price_and_asks(bench: Bench) -> None:
    await changing(bench)
    bench.changes = 0
    await bench.tracker.on_update(OrderUpdate(order=stop_there(price=Decimal(PRICE - 50))))
    assert (now(bench).amending_to, bench.changes) == (PRICE - 50, 1)
    questions = asked(bench)
    bench.rest.orders_there = {1: stop_there(price=Decimal(PRICE - 50))}
    await bench.tracker.refresh()
    assert questions == [[1]]
    assert now(bench).price == PRICE - 50
    await bench.close()


# --- looking for the lost ---------------------------------------------------------------------------------------


async def lost(bench: Bench, **changes: Any) -> Intent:
    return await bench.books.unknown(await bench.intend(**changes), "reply lost")


async def test_a_resting_order_is_missed_only_once_its_fill_cannot_be_hidden_either(bench: Bench) -> None:
    await bench.open()
    await lost(bench, type=OrderType.LIMIT, price=PRICE, time_in_force=TimeInForce.GTC)
    await bench.tracker.resolve()
    bench.clock.advance(3.001)
    await bench.tracker.resolve()
    bench.clock.advance(1.0)
    await bench.tracker.resolve()
    assert len(bench.books.unresolved()) == 1
    bench.clock.advance(0.001)
    await bench.tracker.resolve()
    assert bench.books.unresolved() == []
    await bench.close()


@pytest.mark.parametrize(
    ("ago", "ours"),
    [(2 * SECOND, True), (2 * SECOND + 1, False)],
)
async def test_an_order_is_as_old_as_the_exchange_s_clock_says(bench: Bench, ago: int, ours: bool) -> None:
    await bench.open()
    await lost(bench, server_ns=START_NS)
    bench.rest.orders_there = {1: order(created_at_ns=START_NS - ago)}
    await bench.tracker.resolve()
    assert bench.books.is_ours(1) is ours
    await bench.close()


@pytest.mark.parametrize(("ago", "ours"), [(62 * SECOND, True), (62 * SECOND + 1, False)])
async def test_before_the_exchange_told_its_time_a_minute_is_allowed(bench: Bench, ago: int, ours: bool) -> None:
    await bench.open()
    await lost(bench)
    bench.rest.orders_there = {1: order(created_at_ns=START_NS - ago)}
    await bench.tracker.resolve()
    assert bench.books.is_ours(1) is ours
    await bench.close()


async def test_two_that_look_alike_are_told_with_their_numbers(bench: Bench) -> None:
    await bench.open()
    await lost(bench)
    bench.rest.orders_there = {1: order(1), 2: order(2)}
    await bench.tracker.resolve()
    assert bench.alarms == [("order_outcome_unknown", "orders 1, 2 all look like intent 1; resolve by hand")]
    assert len(bench.books.unresolved()) == 1
    await bench.close()


async def test_as_many_twins_as_were_lost_are_ours_in_the_order_they_were_made(bench: Bench) -> None:
    await bench.open()
    await lost(bench)
    await lost(bench)
    bench.rest.orders_there = {9: order(9), 4: order(4)}
    await bench.tracker.resolve()
    assert [(known.intent_id, known.order_id) for known in bench.books.open_intents("BTC")] == [(1, 4), (2, 9)]
    assert bench.alarms == []
    await bench.close()


@pytest.mark.parametrize(
    "different",
    [
        {"side": Side.SELL},
        {"type": OrderType.LIMIT, "price": PRICE, "time_in_force": TimeInForce.GTC},
        {"lots": 99},
        {"time_in_force": TimeInForce.GTC},
    ],
)
async def test_lost_orders_that_differ_are_no_twins(bench: Bench, different: dict[str, Any]) -> None:
    await bench.open()
    await lost(bench)
    await lost(bench, **different)
    bench.rest.orders_there = {1: order(1), 2: order(2)}
    await bench.tracker.resolve()
    assert [reason for reason, _ in bench.alarms] == ["order_outcome_unknown"]
    await bench.close()


async def test_a_stranger_is_looked_up_by_number_newest_first_and_ten_at_a_time(bench: Bench) -> None:
    await bench.open()
    await lost(bench)
    bench.rest.fills = [fill(100 + number, number, 1) for number in range(20, 32)]
    questions = asked(bench)
    await bench.tracker.resolve()
    assert questions == [list(range(31, 21, -1)), [21, 20]]
    await bench.close()


async def test_what_is_known_to_be_ours_or_another_s_is_not_looked_up(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged(order_id=20)
    await bench.books.note_foreign(21, "BTC", "seen")
    await lost(bench)
    bench.rest.fills = [fill(120, 20, 1), fill(121, 21, 1)]
    questions = asked(bench)
    await bench.tracker.resolve()
    assert questions == []
    assert bench.books.position("BTC") == 1, "what was found on the way is booked"
    await bench.close()


# --- the sweep ------------------------------------------------------------------------------------------------


async def test_a_sweep_is_let_go_for_something_better(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged()
    bench.rest.fills = [fill(11)]
    assert await bench.tracker.sweep_recent(urgent=lambda: True) is False
    assert bench.books.position("BTC") == 0
    assert await bench.tracker.sweep_recent() is True
    assert bench.books.position("BTC") == 100
    await bench.close()


async def test_a_sweep_settles_what_is_listed(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged(**STOP)
    bench.rest.orders_there = {1: stop_there(price=Decimal(PRICE - 70))}
    await bench.tracker.sweep_recent()
    assert (now(bench).state, now(bench).price) == (IntentState.WORKING, PRICE - 70)
    await bench.close()


async def test_a_sweep_finds_the_owner_of_what_waits(bench: Bench) -> None:
    await bench.open()
    ours = await bench.intend()
    await bench.tracker.on_execution(fill(11, 1))
    await bench.books.acknowledge(ours, 1)
    await bench.tracker.sweep_recent()
    assert bench.books.position("BTC") == 100
    assert BTC.size(100) == Decimal("0.001")
    await bench.close()
