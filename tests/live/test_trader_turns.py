"""Turn by turn: when it looks, when it waits, when it tries again, and when it compares with the exchange."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.live.bench import BTC, PRICE, STOP, book, fill, order
from tests.live.desk import TRIGGER, TROUBLE, Desk, passed, stop_there, types

from gmobot.clock import elapsed_ns
from gmobot.errors import Category, Refused, VenueError
from gmobot.live.intents import IntentState
from gmobot.venue.models import Order, OrderStatus, OrderType, Side


@pytest.fixture
def bench(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# --- comparing ----------------------------------------------------------------------------------------


async def test_a_comparison_books_what_nobody_told(bench: Desk) -> None:
    await bench.open()
    await bench.owning(100)
    await bench.acknowledged(order_id=1, **STOP)
    bench.want(100, stop=PRICE - 100)
    bench.rest.fills = [fill(11, 1, side=Side.SELL)]
    bench.rest.orders_there = {1: stop_there(1, executed=100, status=OrderStatus.FILLED)}
    asked = bench.trader.reconcile()
    assert bench.trader.reconcile() is asked, "two who ask are answered by one"
    assert not asked.done()
    await bench.trader.turn()
    assert asked.result() is None
    assert bench.books.position("BTC") == 0
    assert bench.trader.reconcile() is not asked
    await bench.close()


async def test_a_comparison_asks_about_every_open_order(bench: Desk) -> None:
    await bench.open()
    await bench.owning(100)
    ours = await bench.acknowledged(order_id=1, **STOP)
    bench.want(100, stop=PRICE - 100)
    bench.rest.orders_there = {1: stop_there(1, status=OrderStatus.CANCELLED)}
    bench.trader.reconcile()
    await bench.trader.turn()
    assert ours.intent_id not in [known.intent_id for known in bench.books.open_intents("BTC")]
    await bench.close()


async def test_a_comparison_without_an_answer_says_so_and_the_next_one_is_new(bench: Desk) -> None:
    await bench.open()
    bench.rest.trouble = TROUBLE
    asked = bench.trader.reconcile()
    await bench.trader.turn()
    assert asked.exception() is TROUBLE
    bench.rest.trouble = None
    again = bench.trader.reconcile()
    assert again is not asked
    await bench.trader.turn()
    assert again.result() is None
    await bench.close()


@pytest.mark.parametrize("trouble", [None, TROUBLE])
async def test_who_asked_may_have_gone_meanwhile(bench: Desk, trouble: VenueError | None) -> None:
    await bench.open()
    bench.rest.trouble = trouble
    bench.trader.reconcile().cancel()
    await bench.trader.turn()
    bench.rest.trouble = None
    again = bench.trader.reconcile()
    await bench.trader.turn()
    assert again.result() is None
    await bench.close()


async def test_a_comparison_waits_for_an_order_on_its_way_but_not_forever(bench: Desk) -> None:
    await bench.open()
    bench.want(100)
    await bench.trader.turn()
    bench.rest.orders_there = {1: order(1)}
    asked = bench.trader.reconcile()
    await passed(bench, 0.0)
    await passed(bench, 9.999)
    assert not asked.done()
    await passed(bench, 0.001)
    assert asked.result() is None
    await bench.close()


async def test_what_lies_bare_goes_before_a_comparison(bench: Desk) -> None:
    await bench.open()
    bench.want(100, stop=TRIGGER, may_open=False)
    bought = False

    async def active(symbol: str) -> list[Order]:
        nonlocal bought
        if not bought:
            bought = True
            await bench.owning(100)
            bench.clock.advance(1.0)
        return []

    bench.rest.active_orders = active  # type: ignore[method-assign]
    asked = bench.trader.reconcile()
    await bench.trader.turn()
    assert not asked.done()
    assert types(bench) == [], "the comparison was let go, and nothing else done with it"
    bench.rest.orders_there = {1: stop_there(1, price=Decimal(TRIGGER))}
    await bench.trader.turn()
    assert types(bench) == [OrderType.STOP]
    assert asked.done()
    await bench.close()


async def test_an_entry_is_nothing_to_break_off_a_comparison_for(bench: Desk) -> None:
    await bench.open()

    async def active(symbol: str) -> list[Order]:
        bench.want(100)
        return []

    bench.rest.active_orders = active  # type: ignore[method-assign]
    asked = bench.trader.reconcile()
    await bench.trader.turn()
    assert asked.result() is None
    await bench.close()


async def test_what_was_just_refused_does_not_keep_a_comparison_waiting(bench: Desk) -> None:
    await bench.open()
    await bench.owning(100)
    bench.want(100, stop=TRIGGER)
    bench.refuse("ERR-201")
    asked = bench.trader.reconcile()
    await bench.trader.turn()
    assert types(bench) == [OrderType.STOP]
    assert asked.result() is None
    await bench.close()


# --- trying again -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "category", "seconds", "closings"),
    [
        ("ERR-201", Category.INSUFFICIENT_FUNDS, 1.0, 0),
        ("ERR-254", Category.VALIDATION, 1.0, 0),
        ("ERR-208", Category.VALIDATION, 1.0, 0),
        ("ERR-5201", Category.MAINTENANCE, 2.0, 1),
    ],
)
async def test_what_was_refused_is_tried_again_after_a_while(
    bench: Desk, code: str, category: Category, seconds: float, closings: int
) -> None:
    await bench.open()
    await bench.owning(100)
    bench.want(100, stop=TRIGGER)
    bench.refuse(code, category)
    await bench.trader.turn()
    assert len(bench.rest.placed) == 1
    assert bench.closings == closings
    await passed(bench, seconds - 0.001)
    assert len(bench.rest.placed) == 1
    await passed(bench, 0.001)
    assert len(bench.rest.placed) == 2
    await bench.close()


@pytest.mark.parametrize(("code", "category"), [("ERR-5125", Category.EXCHANGE), ("ERR-5127", Category.AUTH), ("ERR-5010", Category.AUTH)])
async def test_who_is_kept_out_asks_more_seldom_but_every_five_seconds(bench: Desk, code: str, category: Category) -> None:
    await bench.open()
    await bench.owning(100)
    bench.want(100, stop=TRIGGER)
    sent = []
    for seconds in (0.0, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0):
        bench.refuse(code, category)
        if seconds:
            await passed(bench, seconds - 0.001)
        sent.append(len(bench.rest.placed))
        await passed(bench, 0.001)
    assert sent == [0, 1, 2, 3, 4, 5, 6, 7]
    bench.trouble_with.clear()
    await passed(bench, 5.0)
    assert len(bench.rest.placed) == 9, "accepted"
    bench.rest.orders_there = {9: stop_there(9, price=Decimal(TRIGGER))}
    await bench.acknowledged(order_id=901, lots=50)
    await bench.tracker.on_execution(fill(9_001, 901, 50))
    bench.refuse(code, category)
    for seconds in (1.0, 1.0):
        await passed(bench, seconds)
    assert len(bench.rest.placed) == 11, "from the beginning"
    await bench.close()


async def test_a_cancel_that_is_taken_says_that_nobody_is_kept_out(bench: Desk) -> None:
    await bench.open()
    await bench.owning(200)
    await bench.acknowledged(order_id=1, **STOP)
    bench.rest.orders_there = {1: stop_there(1)}
    bench.want(200, stop=PRICE - 100)
    for seconds in (0.1, 1.0, 2.0):
        bench.refuse("ERR-5127", Category.AUTH)
        await passed(bench, seconds)
    assert len(bench.rest.placed) == 3
    bench.want(0)
    await passed(bench, 0.1)
    assert bench.rest.cancelled == [1]
    bench.rest.orders_there = {1: stop_there(1, status=OrderStatus.CANCELLED)}
    bench.refuse("ERR-5127", Category.AUTH)
    await passed(bench, 4.0)
    assert len(bench.rest.placed) == 4
    await passed(bench, 1.0)
    assert len(bench.rest.placed) == 5
    await bench.close()


@pytest.mark.parametrize("code", ["ERR-5114", "ERR-5126"])
async def test_a_size_or_price_the_rules_do_not_allow_has_them_read_again(bench: Desk, code: str) -> None:
    await bench.open()
    await bench.owning(100)
    bench.want(100, stop=TRIGGER)
    doubts = []
    bench.trader._doubts_rules = lambda: doubts.append(bench.clock.monotonic())
    bench.refuse("ERR-201")
    bench.refuse(code)
    for seconds in (0.0, 1.0, 0.999):
        await passed(bench, seconds)
    assert (len(bench.rest.placed), doubts) == (2, [1.0])
    await passed(bench, 0.001)
    assert len(bench.rest.placed) == 3
    await bench.close()


async def test_held_by_another_order_is_said_until_the_next_reply(bench: Desk) -> None:
    await bench.open()
    await bench.owning(100)
    bench.want(100, stop=TRIGGER)
    said = [bench.trader.reserved]
    bench.refuse("ERR-208")
    await bench.trader.turn()
    said.append(bench.trader.reserved)
    await passed(bench, 1.0)
    said.append(bench.trader.reserved)
    assert said == [False, True, False]
    await bench.close()


async def test_held_by_another_order_asks_about_our_own_closes_first(bench: Desk) -> None:
    await bench.open()
    await bench.owning(200)
    await bench.acknowledged(order_id=1, **STOP)
    bench.rest.orders_there = {1: stop_there(1, status=OrderStatus.CANCELLED)}
    bench.want(200, stop=PRICE - 100)
    bench.refuse("ERR-208")
    await bench.trader.turn()
    assert bench.books.by_order(1) in bench.books.open_intents("BTC")
    await passed(bench, 0.1)
    ended = bench.books.by_order(1)
    assert ended is not None
    assert ended.state is IntentState.CANCELLED
    await bench.close()


async def test_held_by_another_order_says_nothing_of_our_entry(bench: Desk) -> None:
    await bench.open()
    await bench.owning(100)
    bench.clock.advance(1.0)
    await bench.acknowledged(order_id=2, type=OrderType.LIMIT, price=PRICE - 5, lots=50)
    numbers = asked(bench)
    bench.want(200, stop=TRIGGER)
    bench.market.on_book(book(), elapsed_ns(bench.clock))
    bench.refuse("ERR-208")
    await bench.trader.turn()
    assert types(bench) == [OrderType.STOP]
    await passed(bench, 0.1)
    assert numbers == []
    await bench.close()


async def test_a_turn_takes_twenty_steps_and_the_next_goes_on(tmp_path: Path) -> None:
    bench = Desk(tmp_path, replace(BTC, max_size=Decimal("0.0001")))
    await bench.open()
    await bench.owning(250)
    bench.want(250, stop=TRIGGER)
    bench.clock.advance(1.0)
    bench.market.on_book(book(), elapsed_ns(bench.clock))
    await bench.trader.turn()
    assert len(bench.rest.placed) == 20
    await bench.trader.turn()
    assert len(bench.rest.placed) == 25
    await bench.close()


@pytest.mark.parametrize(("seconds", "asked_about"), [(0.5, []), (0.501, [1])])
async def test_a_change_is_asked_about_after_half_a_second(bench: Desk, seconds: float, asked_about: list[int]) -> None:
    await bench.open()
    await bench.owning(100)
    ours = await bench.acknowledged(order_id=1, **STOP)
    await bench.books.amend(ours, PRICE - 90)
    bench.want(100, stop=PRICE - 90)
    bench.rest.orders_there = {1: stop_there(1)}
    await bench.trader.turn()
    numbers = asked(bench)
    await passed(bench, seconds)
    assert numbers == asked_about
    await bench.close()


async def test_what_has_gone_another_way_is_compared_with_the_exchange(bench: Desk) -> None:
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
    await bench.open()
    await bench.owning(100)
    bench.want(0)
    comparisons = 0

    async def active(symbol: str) -> list[Order]:
        nonlocal comparisons
        comparisons += 1
        if comparisons == 1:
            raise TROUBLE
        return []

    bench.rest.active_orders = active  # type: ignore[method-assign]
    bench.refuse("ERR-254")
    await bench.trader.turn()
    await passed(bench, 0.5)
    assert comparisons == 1
    bench.refuse("ERR-254")
    await passed(bench, 0.5)
    assert comparisons == 2
    await asyncio.sleep(0)
    gc.collect()
    assert complaints == [], "nobody waited for it"
    await bench.close()


# --- orders that take too long -------------------------------------------------------------------------


def asked(bench: Desk) -> list[int]:
    """Count questions about single orders from now on."""
    numbers: list[int] = []
    ask = bench.rest.orders

    async def orders(order_ids: Any) -> list[Order]:
        numbers.extend(order_ids)
        return await ask(order_ids)

    bench.rest.orders = orders  # type: ignore[method-assign]
    return numbers


async def test_a_market_order_is_asked_about_after_a_second(bench: Desk) -> None:
    await bench.open()
    await passed(bench, 100.0)
    numbers = asked(bench)
    bench.want(100)
    await bench.trader.turn()
    bench.rest.orders_there = {1: order(1)}
    await passed(bench, 0.0)
    await passed(bench, 1.0)
    assert numbers == []
    await passed(bench, 0.001)
    assert numbers == [1]
    await bench.close()


async def test_what_ended_before_its_cancel_is_known_in_the_same_turn(bench: Desk) -> None:
    await bench.open()
    await bench.owning(100)
    await bench.acknowledged(order_id=5, **STOP)
    bench.rest.orders_there = {5: stop_there(5, status=OrderStatus.EXPIRED)}

    async def too_late(order_id: int) -> None:
        raise Refused("it has ended", category=Category.VALIDATION, code="ERR-5122")

    bench.rest.cancel_order = too_late  # type: ignore[method-assign]
    bench.want(0)
    await bench.trader.turn()
    assert types(bench) == [OrderType.MARKET], "and what comes next goes out at once"
    await bench.close()


async def test_a_cancel_that_shows_no_effect_is_asked_about_and_repeated(bench: Desk) -> None:
    await bench.open()
    numbers = asked(bench)
    await bench.owning(100)
    await bench.acknowledged(order_id=1, **STOP)
    bench.rest.orders_there = {1: stop_there(1)}
    bench.want(0)
    await bench.trader.turn()
    await passed(bench, 1.0)
    assert (bench.rest.cancelled, numbers) == ([1], [])
    await passed(bench, 0.001)
    assert (bench.rest.cancelled, numbers) == ([1, 1], [1])
    await bench.close()


async def test_a_limit_exit_that_the_market_left_behind_is_taken_back_once(bench: Desk) -> None:
    await bench.open()
    await bench.owning(100)
    bench.market.on_book(book(spread=1_000_000), elapsed_ns(bench.clock))
    bench.want(0)
    await bench.trader.turn()
    await bench.trader.turn()
    bench.clock.advance(5.0)
    await bench.trader.turn()
    assert bench.rest.cancelled == []
    bench.clock.advance(0.001)
    await bench.trader.turn()
    await bench.trader.turn()
    assert bench.rest.cancelled == [1]
    await bench.close()


# --- waiting ------------------------------------------------------------------------------------------


async def test_idle_is_when_nothing_is_on_its_way(bench: Desk) -> None:
    await bench.open()
    assert not bench.trader.idle.is_set()
    await bench.trader.turn()
    assert bench.trader.idle.is_set()
    bench.want(100)
    assert not bench.trader.idle.is_set()
    bench.trader._wake.clear()
    await bench.trader.turn()
    assert not bench.trader.idle.is_set(), "a MARKET order is on its way to its end"
    await bench.tracker.on_execution(fill(11, 1))
    await bench.trader.turn()
    assert bench.trader.idle.is_set()
    await bench.close()


async def test_it_works_on_through_questions_without_an_answer(bench: Desk) -> None:
    await bench.open()
    lost = await bench.intend()
    bench.rest.trouble = TROUBLE
    at_work = asyncio.create_task(bench.trader.run())
    bench.trader.wake()
    await until(lambda: not bench.trader._wake.is_set())
    assert not at_work.done()
    bench.rest.trouble = None
    bench.rest.orders_there = {4: order(4, executed=100, status=OrderStatus.FILLED)}
    bench.rest.fills = [fill(11, 4)]
    bench.trader.wake()
    await until(lambda: bench.books.position("BTC") == 100)
    assert lost.intent_id not in [ours.intent_id for ours in bench.books.unresolved()]
    at_work.cancel()
    await asyncio.gather(at_work, return_exceptions=True)
    await bench.close()


async def until(holds: Callable[[], bool]) -> None:
    """Let others work until something holds."""
    for _ in range(1_000):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("never")


async def test_while_something_is_unknown_it_looks_again_by_itself(bench: Desk) -> None:
    await bench.open()
    await bench.intend()
    looks = 0
    ask = bench.rest.active_orders

    async def active(symbol: str) -> list[Order]:
        nonlocal looks
        looks += 1
        return await ask(symbol)

    bench.rest.active_orders = active  # type: ignore[method-assign]
    at_work = asyncio.create_task(bench.trader.run())
    async with asyncio.timeout(4.0):
        while looks < 2:
            await asyncio.sleep(0.01)
    at_work.cancel()
    await asyncio.gather(at_work, return_exceptions=True)
    await bench.close()
