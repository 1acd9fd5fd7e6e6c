"""An order of ours that the exchange lists no more: it is ended, so that exits and stops go on, and a person is told."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.live.bench import BTC, BTC_JPY, PRICE, STOP, Bench, book, fill, order

from gmobot.clock import elapsed_ns
from gmobot.errors import Category, Refused, Unavailable
from gmobot.live.intents import IntentState, Purpose
from gmobot.venue.models import Execution, OrderRequest, OrderStatus, OrderType, Side

GONE = "the exchange no longer knows it"
KNOWN_NO_MORE = ("exchange_error", f"order 1 is ours but {GONE}")
WRITTEN_OFF = ("exchange_error", "60 lots of our position of BTC are gone and no execution tells how: written off")
FOREIGN = 500


def holds(bench: Bench, lots: int) -> None:
    bench.rest.balances = {"BTC": BTC.size(lots)}


async def protected(bench: Bench) -> None:
    """Hold a hundred lots, and as many under a STOP of which no question knows; and five hundred that are not ours."""
    await bench.open()
    bench.account.start(0, {"BTC": BTC.size(FOREIGN)})
    await bench.owning(100)
    await bench.acknowledged(**STOP)
    holds(bench, FOREIGN + 100)


async def asked_in_vain(bench: Bench, seconds: float = 8.001) -> None:
    await bench.tracker.refresh(every=True)
    bench.clock.advance(seconds)
    await bench.tracker.refresh()


def now(bench: Bench, order_id: int = 1) -> Any:
    return bench.books.by_order(order_id)


async def test_it_ends_after_patience_and_a_person_is_told(bench: Bench) -> None:
    await protected(bench)
    await asked_in_vain(bench, 8.0)
    assert (now(bench).state, bench.alarms) == (IntentState.ACKNOWLEDGED, [])
    bench.changes = 0
    bench.clock.advance(0.001)
    await bench.tracker.refresh()
    assert (now(bench).state, now(bench).detail, bench.changes) == (IntentState.EXPIRED, GONE, 1)
    assert bench.alarms == [KNOWN_NO_MORE]
    assert bench.books.position("BTC") == 100, "its coins are there"
    await bench.tracker.refresh(every=True)
    assert len(bench.alarms) == 1
    await bench.close()


async def test_exit_and_stop_go_again(bench: Bench) -> None:
    await protected(bench)

    async def accept(_: OrderRequest) -> int:
        number = len(bench.rest.placed) + 1
        bench.rest.orders_there[number] = order(number, side=Side.SELL, type=OrderType.STOP, price=Decimal(PRICE - 100))
        return number

    bench.rest.answer = accept
    bench.want(100, stop=PRICE - 100)
    await bench.trader.turn()
    bench.tracker.suspect(now(bench))
    await bench.trader.turn()
    assert bench.rest.placed == [], "as far as anybody knows it is protected"
    bench.clock.advance(8.001)
    await bench.trader.turn()
    assert [request.type for request in bench.rest.placed] == [OrderType.STOP]
    assert bench.trader.uncovered_lots() == 0
    bench.rest.orders_there.clear()
    bench.want(0)
    for _ in range(3):
        await bench.trader.turn()
        bench.clock.advance(8.001)
        bench.market.on_book(book(), elapsed_ns(bench.clock))
    await bench.trader.turn()
    assert [request.type for request in bench.rest.placed] == [OrderType.STOP, OrderType.MARKET]
    await bench.close()


async def test_while_open_orders_still_show_it_it_stands(bench: Bench) -> None:
    await protected(bench)
    stands = order(side=Side.SELL, type=OrderType.STOP, price=Decimal(PRICE - 100), status=OrderStatus.ARMED)

    async def forgetful(order_ids: Any) -> list[Any]:
        return []

    bench.rest.orders = forgetful  # type: ignore[method-assign]
    bench.rest.orders_there = {1: stands}
    for _ in range(3):
        await asked_in_vain(bench)
        assert (now(bench).state, bench.alarms) == (IntentState.WORKING, [])
    bench.rest.orders_there = {2: order(2)}
    await asked_in_vain(bench)
    assert now(bench).state is IntentState.EXPIRED
    await bench.close()


@pytest.mark.parametrize("told", ["by its number", "among the latest"])
async def test_what_it_filled_is_booked_first(bench: Bench, told: str) -> None:
    await protected(bench)
    holds(bench, FOREIGN + 40)
    found = [fill(11, 1, 60, side=Side.SELL)]

    async def by_number(order_id: int) -> list[Execution]:
        return found if told == "by its number" else []

    async def latest(symbol: str, **_: Any) -> list[Execution]:
        return found if told == "among the latest" else []

    bench.rest.executions = by_number  # type: ignore[method-assign]
    bench.rest.latest_executions = latest  # type: ignore[method-assign]
    await asked_in_vain(bench)
    assert (now(bench).state, now(bench).executed_lots, bench.alarms) == (IntentState.WORKING, 60, [])
    await bench.tracker.refresh()
    assert (now(bench).state, now(bench).executed_lots, bench.alarms) == (IntentState.EXPIRED, 60, [KNOWN_NO_MORE])
    assert bench.books.position("BTC") == 40
    await bench.close()


async def test_a_fill_that_completes_it_is_its_end_and_no_alarm(bench: Bench) -> None:
    await protected(bench)
    bench.rest.fills.append(fill(11, 1, 100, side=Side.SELL))
    await asked_in_vain(bench)
    assert (now(bench).state, bench.alarms, bench.books.position("BTC")) == (IntentState.FILLED, [], 0)
    await bench.close()


async def test_its_end_may_be_told_while_it_is_asked_after(bench: Bench) -> None:
    await protected(bench)

    async def by_number(order_id: int) -> list[Execution]:
        await bench.books.end(now(bench), IntentState.CANCELLED, "USER")
        return []

    bench.rest.executions = by_number  # type: ignore[method-assign]
    bench.changes = 0
    await asked_in_vain(bench)
    assert (now(bench).state, now(bench).detail, bench.alarms) == (IntentState.CANCELLED, "USER", [])
    assert bench.changes == 1, "what it covered is open"
    await bench.close()


async def test_another_hand_s_fill_keeps_it_open_no_longer(bench: Bench) -> None:
    await protected(bench)
    bench.rest.fills = [fill(51, 5, 10)]
    await asked_in_vain(bench)
    assert now(bench).state is IntentState.EXPIRED
    assert not bench.books.is_booked(51)
    await bench.close()


async def test_coins_that_are_missing_were_sold_by_it_and_are_not_sold_again(bench: Bench) -> None:
    await protected(bench)
    holds(bench, FOREIGN + 40)
    await asked_in_vain(bench)
    bench.clock.advance(3.0)
    await bench.tracker.refresh()
    assert (now(bench).state, bench.alarms) == (IntentState.ACKNOWLEDGED, []), "its fill may still be told"
    bench.clock.advance(0.001)
    await bench.tracker.refresh()
    assert (now(bench).state, bench.books.position("BTC")) == (IntentState.EXPIRED, 40)
    assert bench.alarms == [WRITTEN_OFF, KNOWN_NO_MORE]
    assert bench.account.state.base_coins == {"BTC": BTC.size(FOREIGN)}
    await bench.close()


@pytest.mark.parametrize("missing", [60, 500])
async def test_no_more_is_written_off_than_it_could_sell(bench: Bench, missing: int) -> None:
    await protected(bench)
    await bench.tracker.on_execution(fill(11, 1, 40, side=Side.SELL))
    holds(bench, FOREIGN + 60 - missing)
    await asked_in_vain(bench)
    bench.clock.advance(3.001)
    await bench.tracker.refresh()
    assert (now(bench).state, now(bench).executed_lots, bench.books.position("BTC")) == (IntentState.EXPIRED, 40, 0)
    assert bench.alarms == [WRITTEN_OFF, KNOWN_NO_MORE]
    await bench.close()


async def test_two_looks_must_agree_on_what_is_missing(bench: Bench) -> None:
    await protected(bench)
    holds(bench, FOREIGN + 40)
    await asked_in_vain(bench)
    bench.clock.advance(3.001)
    holds(bench, FOREIGN + 30)
    await bench.tracker.refresh()
    assert bench.books.position("BTC") == 100
    bench.clock.advance(3.001)
    await bench.acknowledged(order_id=2, lots=10)
    await bench.tracker.on_execution(fill(12, 2, 10))
    holds(bench, FOREIGN + 40)
    await bench.tracker.refresh()
    assert bench.books.position("BTC") == 110, "something filled meanwhile"
    bench.clock.advance(3.001)
    holds(bench, FOREIGN + 110)
    await bench.tracker.refresh()
    assert (now(bench).state, bench.books.position("BTC")) == (IntentState.EXPIRED, 110), "and they are there after all"
    await bench.close()


async def test_a_part_of_a_lot_that_is_missing_is_a_lot(bench: Bench) -> None:
    await protected(bench)
    bench.rest.balances["BTC"] -= Decimal("0.000001")
    await asked_in_vain(bench)
    bench.clock.advance(3.001)
    await bench.tracker.refresh()
    assert bench.books.position("BTC") == 99
    await bench.close()


async def test_balances_without_the_coin_prove_nothing(bench: Bench) -> None:
    await protected(bench)
    bench.rest.balances = {"JPY": Decimal(1)}
    with pytest.raises(Unavailable, match="no row for BTC"):
        await asked_in_vain(bench)
    assert (now(bench).state, bench.alarms) == (IntentState.ACKNOWLEDGED, [])
    await bench.close()


async def test_a_purchase_needs_no_coins_to_end(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged()
    await asked_in_vain(bench)
    assert (now(bench).state, bench.alarms) == (IntentState.EXPIRED, [KNOWN_NO_MORE])
    await bench.close()


async def leveraged(directory: Path) -> Bench:
    """Hold position 70 of a hundred lots, under a STOP."""
    bench = Bench(directory, BTC_JPY)
    await bench.open()
    await bench.acknowledged(order_id=900)
    await bench.tracker.on_execution(closing(9_000, 900, 70, side=Side.BUY))
    await bench.acknowledged(order_id=1, **STOP)
    return bench


def closing(execution_id: int, order_id: int, position_id: int, *, lots: int = 100, side: Side = Side.SELL) -> Execution:
    values = {name: getattr(fill(execution_id, order_id, side=side), name) for name in Execution.__struct_fields__}
    return Execution(**(values | {"symbol": "BTC_JPY", "size": BTC_JPY.size(lots), "position_id": position_id}))


async def test_on_leverage_the_positions_tell(tmp_path: Path) -> None:
    bench = await leveraged(tmp_path)
    await asked_in_vain(bench)
    assert (now(bench).state, bench.alarms) == (IntentState.EXPIRED, [KNOWN_NO_MORE])
    await bench.close()


async def test_a_fill_that_waits_for_its_entry_keeps_it_open(tmp_path: Path) -> None:
    bench = await leveraged(tmp_path)
    bench.rest.orders_there = {2: order(2, symbol="BTC_JPY", size=BTC_JPY.size(100))}
    await bench.acknowledged(order_id=2)
    bench.rest.fills.append(closing(11, 1, 71, lots=40))
    await asked_in_vain(bench)
    assert (now(bench).state, bench.alarms) == (IntentState.ACKNOWLEDGED, []), "it may be of the entry that still fills"
    bench.rest.orders_there = {2: order(2, symbol="BTC_JPY", size=BTC_JPY.size(100), status=OrderStatus.CANCELLED)}
    await bench.tracker.refresh(every=True)
    await bench.tracker.refresh()
    assert now(bench).state is IntentState.EXPIRED
    assert now(bench).shared, "it closed what is not ours"
    await bench.close()


async def test_an_exit_by_market_ends_as_well(bench: Bench) -> None:
    await bench.open()
    bench.account.start(0, {"BTC": BTC.size(FOREIGN)})
    await bench.owning(100)
    await bench.acknowledged(side=Side.SELL, purpose=Purpose.EXIT)
    holds(bench, FOREIGN)
    await asked_in_vain(bench)
    bench.clock.advance(3.001)
    await bench.tracker.refresh()
    assert (now(bench).state, bench.books.position("BTC")) == (IntentState.EXPIRED, 0)
    await bench.close()


async def test_a_refusal_to_speak_of_it_is_an_answer(bench: Bench) -> None:
    await protected(bench)

    async def refuses(order_id: int) -> list[Execution]:
        raise Refused(f"no such order {order_id}", category=Category.NOT_FOUND, code="ERR-430")

    bench.rest.executions = refuses  # type: ignore[method-assign]
    await asked_in_vain(bench)
    assert now(bench).state is IntentState.EXPIRED
    await bench.close()


async def test_what_is_listed_again_is_ours_again(bench: Bench) -> None:
    await protected(bench)
    await asked_in_vain(bench)
    stands = order(side=Side.SELL, type=OrderType.STOP, price=Decimal(PRICE - 100), status=OrderStatus.ARMED)
    bench.rest.orders_there = {1: stands}
    await bench.tracker.sweep_recent()
    assert now(bench).state is IntentState.WORKING
    assert bench.trader.uncovered_lots() == 0
    await bench.tracker.sweep_recent()
    assert now(bench).state is IntentState.WORKING
    await bench.close()
