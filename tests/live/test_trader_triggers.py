"""What makes an exit without an order at the exchange, and what may be sent at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests.live.bench import BTC_JPY, PRICE, STOP, fill
from tests.live.desk import Desk, passed, types

from gmobot.venue.models import OrderType, Side


@pytest.fixture
def bench(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# --- triggers that do not rest at the exchange -----------------------------------------------------------

LONG: list[tuple[int, bool]] = [(PRICE + 49, False), (PRICE + 50, True), (PRICE + 51, True), (PRICE - 49, False), (PRICE - 50, True)]


@pytest.mark.parametrize(("price", "leaves"), LONG)
async def test_a_price_at_a_trigger_is_an_exit(bench: Desk, price: int, leaves: bool) -> None:
    await bench.open()
    await bench.owning(100)
    bench.want(100, stop=PRICE - 50, take_profit=PRICE + 50)
    bench.market.printed = bench.market.last = price
    bench.trader._wake.clear()
    bench.trader.on_price()
    assert bench.trader.closing is leaves
    assert bench.trader._wake.is_set() is leaves
    await bench.close()


@pytest.mark.parametrize(("price", "leaves"), [(2 * PRICE - price, leaves) for price, leaves in LONG])
async def test_a_short_s_triggers_lie_the_other_way(tmp_path: Path, price: int, leaves: bool) -> None:
    bench = Desk(tmp_path, BTC_JPY)
    await bench.open()
    await bench.acknowledged(order_id=900, side=Side.SELL)
    sold = msgspec.structs.replace(fill(9_000, 900, side=Side.SELL), symbol="BTC_JPY", size=BTC_JPY.size(100), position_id=70)
    await bench.tracker.on_execution(sold)
    assert bench.books.position("BTC_JPY") == -100
    bench.want(-100, stop=PRICE + 50, take_profit=PRICE - 50)
    bench.market.printed = bench.market.last = price
    bench.trader.on_price()
    assert bench.trader.closing is leaves
    await bench.close()


@pytest.mark.parametrize(("stop", "take_profit"), [(0, 0), (0, PRICE + 50), (PRICE - 50, 0)])
async def test_a_trigger_that_was_not_asked_for_does_not_fire(bench: Desk, stop: int, take_profit: int) -> None:
    await bench.open()
    await bench.owning(100)
    bench.want(100, stop=stop, take_profit=take_profit)
    bench.market.printed = bench.market.last = PRICE - 60 if not stop else PRICE + 60
    bench.trader.on_price()
    assert not bench.trader.closing
    await bench.close()


async def test_a_short_without_a_stop_has_none_to_reach(tmp_path: Path) -> None:
    bench = Desk(tmp_path, BTC_JPY)
    await bench.open()
    await bench.acknowledged(order_id=900, side=Side.SELL)
    sold = msgspec.structs.replace(fill(9_000, 900, side=Side.SELL), symbol="BTC_JPY", size=BTC_JPY.size(100), position_id=70)
    await bench.tracker.on_execution(sold)
    bench.want(-100)
    bench.market.printed = bench.market.last = 2 * PRICE
    bench.trader.on_price()
    assert not bench.trader.closing
    await bench.close()


async def test_a_stop_at_the_exchange_fires_there(bench: Desk) -> None:
    await bench.open()
    await bench.owning(100)
    await bench.acknowledged(order_id=1, **STOP)
    bench.want(100, stop=PRICE - 100)
    bench.market.printed = bench.market.last = PRICE - 200
    bench.trader.on_price()
    assert not bench.trader.closing
    await bench.close()


async def test_a_price_says_nothing_to_somebody_who_owns_nothing(bench: Desk) -> None:
    await bench.open()
    bench.trader.on_price()
    bench.want(100, stop=PRICE - 50)
    bench.market.printed = bench.market.last = PRICE - 60
    bench.trader.on_price()
    assert not bench.trader.closing, "a target that is not bought yet is no position to close"
    await bench.close()


async def test_an_exit_that_was_triggered_goes_on_when_the_price_comes_back(bench: Desk) -> None:
    await bench.open()
    await bench.owning(100)
    bench.want(100, take_profit=PRICE + 50)
    bench.market.printed = bench.market.last = PRICE + 50
    bench.trader.on_price()
    bench.market.printed = bench.market.last = PRICE
    bench.trader.on_price()
    await bench.trader.turn()
    assert types(bench) == [OrderType.MARKET]
    await bench.tracker.on_execution(fill(12, 1, side=Side.SELL))
    await bench.trader.turn()
    assert not bench.trader.closing, "and is over with the position"
    await bench.close()


# --- what may be sent ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "sent"), [(10.0, 1), (10.001, 0)])
async def test_a_decision_opens_for_as_long_as_its_window(bench: Desk, seconds: float, sent: int) -> None:
    await bench.open()
    bench.want(100)
    await passed(bench, seconds)
    assert len(bench.rest.placed) == sent
    await bench.close()


async def test_without_any_price_an_exit_waits(bench: Desk) -> None:
    await bench.open()
    await bench.owning(100)
    bench.market.last, bench.market.book = 0, None
    bench.want(0)
    await bench.trader.turn()
    assert bench.rest.placed == []
    bench.market.printed = bench.market.last = PRICE
    await bench.trader.turn()
    assert types(bench) == [OrderType.LIMIT]
    await bench.close()


def take_prices_away(bench: Desk) -> None:
    bench.market.last, bench.market.book = 0, None


@pytest.mark.parametrize(
    "change",
    [
        lambda bench: setattr(bench, "standing", replace(bench.standing, exchange_open=False)),
        take_prices_away,
    ],
)
async def test_a_stop_stays_while_nothing_could_take_its_place(bench: Desk, change: Callable[[Desk], None]) -> None:
    await bench.open()
    await bench.owning(100)
    await bench.acknowledged(order_id=1, **STOP)
    bench.want(0)
    change(bench)
    await bench.trader.turn()
    assert bench.rest.cancelled == []
    await bench.close()


async def test_an_entry_is_taken_back_also_while_the_exchange_is_closed(bench: Desk) -> None:
    await bench.open()
    await bench.acknowledged(order_id=1, type=OrderType.LIMIT, price=PRICE - 5)
    bench.standing = replace(bench.standing, exchange_open=False)
    bench.want(0)
    await bench.trader.turn()
    assert bench.rest.cancelled == [1]
    await bench.close()


async def test_the_largest_position_counts_what_is_open_and_what_is_held(tmp_path: Path) -> None:
    bench = Desk(tmp_path, max_lots=250)
    await bench.open()
    await bench.owning(100)
    bench.want(251)
    await bench.trader.turn()
    assert bench.rest.placed == []
    (told,) = (event for event in bench.events() if event.get("reason"))
    assert (told["reason"], told["sent"]) == ("max_position_size_exceeded", False)
    bench.want(250)
    await bench.trader.turn()
    assert [request.size for request in bench.rest.placed] == [bench.instrument.size(150)]
    await bench.close()


async def test_what_was_not_sent_is_said_once_for_each_decision_and_reason(bench: Desk) -> None:
    await bench.open()
    bench.standing = replace(bench.standing, watch_reason="paper")
    bench.want(100)
    await bench.trader.turn()
    await bench.trader.turn()
    bench.standing = replace(bench.standing, watch_reason="not_armed")
    await bench.trader.turn()
    await bench.trader.turn()
    bench.clock.advance(1.0)
    bench.want(100)
    await bench.trader.turn()
    await bench.trader.turn()
    assert [event["reason"] for event in bench.events()] == ["paper", "not_armed", "not_armed"]
    assert {event["state"] for event in bench.events()} == {"rejected"}
    await bench.close()


async def test_until_the_first_desire_what_is_owned_stays(bench: Desk) -> None:
    await bench.open()
    await bench.owning(100)
    await bench.trader.turn()
    assert (bench.rest.placed, bench.trader.closing, bench.trader.stop) == ([], False, 0)
    await bench.acknowledged(order_id=901, **STOP)
    await bench.trader.turn()
    assert bench.rest.cancelled == [], "nobody has said yet that it is not wanted"
    bench.standing = replace(bench.standing, close=True)
    await bench.trader.turn()
    assert bench.rest.cancelled == [901]
    await bench.close()
