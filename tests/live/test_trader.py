"""Converging on a desire: one order at a time, written down before it leaves, never repeated on a guess."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.live.bench import PRICE, Bench, book, fill, order

from gmobot.clock import elapsed_ns
from gmobot.errors import Category, NotSent, OutcomeUnknown, Refused
from gmobot.live.entry import EntryStyle
from gmobot.live.intents import IntentState
from gmobot.venue.models import OrderRequest, OrderStatus, OrderType, OrderUpdate, Side

Answer = Callable[[OrderRequest], Awaitable[int]]
STOP = PRICE - 1_000


def accepting(bench: Bench) -> Answer:
    async def accept(_: OrderRequest) -> int:
        return len(bench.rest.placed)

    return accept


def failing(error: Exception) -> Answer:
    async def fail(_: OrderRequest) -> int:
        raise error

    return fail


LOST = OutcomeUnknown("reply lost")


async def opened(bench: Bench, answer: Answer | None = None) -> None:
    await bench.open()
    bench.rest.answer = answer or accepting(bench)


def kinds(bench: Bench) -> list[tuple[str, str]]:
    return [(request.side.value, request.type.value) for request in bench.rest.placed]


def states(bench: Bench) -> list[str]:
    return [row[0] for row in bench.sql("SELECT state FROM intents ORDER BY intent_id")]


async def test_the_intent_is_on_disk_before_the_request_leaves(bench: Bench) -> None:
    seen: list[list[str]] = []

    async def look(_: OrderRequest) -> int:
        seen.append(states(bench))
        return 1

    await opened(bench, look)
    bench.want(100)
    await bench.trader.turn()
    assert seen == [["intent"]]
    assert states(bench) == ["acknowledged"]
    await bench.close()


async def test_a_lost_reply_never_places_a_second_order(bench: Bench) -> None:
    await opened(bench, failing(LOST))
    bench.want(100)
    for _ in range(4):
        await bench.trader.turn()
        bench.clock.advance(0.5)
    assert states(bench) == ["unknown"]
    assert len(bench.rest.placed) == 1
    await bench.close()


async def test_an_entry_that_turned_out_absent_is_not_tried_again_for_the_same_decision(bench: Bench) -> None:
    await opened(bench, failing(LOST))
    bench.want(100)
    for _ in range(4):
        await bench.trader.turn()
        bench.clock.advance(2.0)
    assert states(bench) == ["rejected"]
    assert len(bench.rest.placed) == 1
    bench.rest.answer = accepting(bench)
    bench.want(100)
    await bench.trader.turn()
    assert len(bench.rest.placed) == 2
    await bench.close()


async def test_a_refusal_and_a_request_that_never_left_are_rejected(bench: Bench) -> None:
    await opened(bench, failing(Refused("no", category=Category.INSUFFICIENT_FUNDS, code="ERR-201")))
    bench.want(100)
    await bench.trader.turn()
    bench.clock.advance(2.0)
    bench.rest.answer = failing(NotSent("no connection"))
    bench.want(100)
    await bench.trader.turn()
    assert states(bench) == ["rejected", "rejected"]
    told = [event["detail"] for event in bench.events() if event["event"] == "order_rejected"]
    assert told == [
        "ERR-201: no",
        "never sent: no connection",
    ]
    await bench.close()


async def test_a_fill_is_protected_by_a_stop_at_the_exchange(bench: Bench) -> None:
    await opened(bench)
    bench.want(100, stop=STOP)
    await bench.trader.turn()
    await bench.tracker.on_execution(fill(11, 1))
    await bench.trader.turn()
    assert kinds(bench) == [("BUY", "MARKET"), ("SELL", "STOP")]
    assert (bench.rest.placed[1].price, bench.rest.placed[1].size) == (Decimal(STOP), Decimal("0.00100"))
    assert bench.trader.uncovered_lots() == 0
    await bench.close()


async def test_an_entry_that_fills_in_pieces_gets_its_stop_when_it_pauses(bench: Bench) -> None:
    await opened(bench)
    bench.want(100, stop=STOP)
    await bench.trader.turn()
    await bench.tracker.on_execution(fill(11, 1, 40))
    await bench.trader.turn()
    assert len(bench.rest.placed) == 1
    bench.clock.advance(1.0)
    await bench.trader.turn()
    assert bench.rest.placed[1].size == Decimal("0.00040")
    await bench.tracker.on_execution(fill(12, 1, 60))
    await bench.trader.turn()
    assert [request.size for request in bench.rest.placed[1:]] == [Decimal("0.00040"), Decimal("0.00060")]
    await bench.close()


async def test_a_stop_that_would_fire_at_once_becomes_an_exit(bench: Bench) -> None:
    await opened(bench)
    await bench.owning(100)
    bench.want(100, stop=STOP)

    async def too_late(request: OrderRequest) -> int:
        if request.type is OrderType.STOP:
            raise Refused("fires at once", category=Category.VALIDATION, code="ERR-5129")
        return 5

    bench.rest.answer = too_late
    await bench.trader.turn()
    await bench.trader.turn()
    assert kinds(bench) == [("SELL", "STOP"), ("SELL", "MARKET")]
    await bench.close()


async def test_a_target_that_trades_takes_the_stop_away_and_sells(bench: Bench) -> None:
    await opened(bench)
    await bench.owning(100)
    bench.want(100, stop=STOP, take_profit=PRICE + 50)
    await bench.trader.turn()
    bench.market.printed = bench.market.last = PRICE + 50
    bench.trader.on_price()
    await bench.trader.turn()
    assert bench.rest.cancelled == [1]
    assert len(bench.rest.placed) == 1, "not before the STOP is gone: they compete for the same coins"
    gone = order(1, side=Side.SELL, type=OrderType.STOP, price=Decimal(STOP), status=OrderStatus.CANCELLED)
    await bench.tracker.on_update(OrderUpdate(order=gone))
    await bench.trader.turn()
    assert kinds(bench)[1:] == [("SELL", "MARKET")]
    await bench.close()


async def test_a_price_through_the_stop_of_uncovered_coins_sells_them(bench: Bench) -> None:
    await opened(bench)
    await bench.owning(100)
    bench.want(100, stop=STOP)
    bench.market.printed = bench.market.last = STOP
    bench.trader.on_price()
    await bench.trader.turn()
    assert kinds(bench) == [("SELL", "MARKET")]
    await bench.close()


async def test_an_exit_outside_the_collar_is_a_limit_at_its_edge(bench: Bench) -> None:
    await opened(bench)
    await bench.owning(100)
    bench.market.on_book(book(spread=1_000_000), elapsed_ns(bench.clock))
    bench.want(0)
    await bench.trader.turn()
    (request,) = bench.rest.placed
    assert (request.type, request.price) == (OrderType.LIMIT, Decimal(9_800_000))
    await bench.trader.turn()
    bench.clock.advance(6.0)
    await bench.trader.turn()
    assert bench.rest.cancelled == [1], "the market left it behind: ask again at today's price"
    await bench.close()


async def test_nothing_is_sent_while_only_watching_and_it_is_said_once(bench: Bench) -> None:
    await opened(bench)
    bench.standing = replace(bench.standing, watch_reason="not_armed")
    bench.want(100)
    for _ in range(3):
        await bench.trader.turn()
    assert bench.rest.placed == []
    (told,) = bench.events()
    assert (told["event"], told["sent"], told["reason"]) == ("order_intent", False, "not_armed")
    assert states(bench) == []
    await bench.close()


@pytest.mark.parametrize("why", ["old", "late", "barred", "stopping", "closed", "already"])
async def test_no_entry(bench: Bench, why: str) -> None:
    await opened(bench)
    bench.want(100, may_open=why != "late")
    if why == "old":
        bench.clock.advance(10.1)
        bench.market.on_book(book(), elapsed_ns(bench.clock))
    elif why == "already":
        await bench.owning(100)
    changes: dict[str, dict[str, Any]] = {
        "barred": {"entry_bar": "operator_pause"},
        "stopping": {"stopping": True},
        "closed": {"exchange_open": False},
    }
    bench.standing = replace(bench.standing, **changes.get(why, {}))
    await bench.trader.turn()
    assert bench.rest.placed == []
    await bench.close()


async def test_a_symbol_that_is_barred_is_not_even_worded(tmp_path: Path) -> None:
    """Its book may say nothing in our grid; why nothing goes is on record, and what we hold is closed all the same."""
    bench = Bench(tmp_path, style=EntryStyle(limit=True))
    await opened(bench)
    bench.market.barred = "rules_changed"
    bench.market.book = None
    bench.want(100)
    await bench.trader.turn()
    assert [(row["event"], row["sent"], row["reason"]) for row in bench.events()] == [("order_intent", False, "rules_changed")]
    bench.market.on_book(book(), elapsed_ns(bench.clock))
    await bench.owning(100)
    bench.want(0)
    await bench.trader.turn()
    assert [request.side for request in bench.rest.placed] == [Side.SELL]
    await bench.close()


async def test_closing_sells_what_is_ours_and_nothing_else(bench: Bench) -> None:
    await opened(bench)
    await bench.owning(100)
    bench.want(100, stop=STOP)
    bench.standing = replace(bench.standing, close=True, entry_bar="operator_halt")
    await bench.trader.turn()
    assert [(request.side, request.size) for request in bench.rest.placed] == [(Side.SELL, Decimal("0.00100"))]
    await bench.close()


async def test_an_unknown_exit_is_not_sent_again(bench: Bench) -> None:
    await opened(bench, failing(LOST))
    await bench.owning(100)
    bench.want(0)
    for _ in range(3):
        await bench.trader.turn()
        bench.clock.advance(0.9)
    assert len(bench.rest.placed) == 1
    bench.rest.orders_there = {7: order(7, side=Side.SELL, executed=100, status=OrderStatus.FILLED, created_at_ns=bench.clock.now_ns())}
    bench.rest.fills = [fill(71, 7, side=Side.SELL)]
    await bench.trader.turn()
    assert bench.books.position("BTC") == 0
    assert states(bench)[-1] == "filled"
    await bench.close()


async def test_a_restart_finds_what_became_of_an_order_sent_before_the_crash(bench: Bench) -> None:
    async def crash(_: OrderRequest) -> int:
        raise KeyboardInterrupt

    await opened(bench, crash)
    bench.want(100)
    with pytest.raises(KeyboardInterrupt):
        await bench.trader.turn()
    await bench.reopen()
    (left,) = bench.books.unresolved()
    assert left.state is IntentState.INTENT
    await bench.books.unknown(left, "the last run ended before a reply")
    bench.rest.orders_there = {1: order(1, executed=100, status=OrderStatus.FILLED)}
    bench.rest.fills = [fill(11)]
    await bench.trader.turn()
    assert (states(bench), bench.books.position("BTC")) == (["filled"], 100)
    await bench.close()
