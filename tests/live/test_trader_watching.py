"""A daemon that may not send orders leaves what protects alone: it only takes back what could open something."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from tests.live.bench import PRICE, STOP
from tests.live.desk import Desk, passed, stop_there

from gmobot.live.intents import Purpose
from gmobot.venue.models import OrderType, Side

RESTING = {"purpose": Purpose.ENTRY, "type": OrderType.LIMIT, "price": PRICE}
EXIT = {"purpose": Purpose.EXIT, "side": Side.SELL, "type": OrderType.LIMIT, "price": PRICE + 50}


@pytest.fixture
def bench(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def watching(bench: Desk) -> None:
    """100 lots are held under a STOP, and nothing may be sent."""
    await bench.open()
    await bench.owning(100)
    await bench.acknowledged(order_id=1, **STOP)
    bench.rest.orders_there = {1: stop_there(1)}
    bench.standing = replace(bench.standing, watch_reason="not_armed")


def told(bench: Desk) -> list[tuple[str, str, str]]:
    return [(e["side"], e["type"], e["reason"]) for e in bench.events() if e["event"] == "order_intent" and e.get("sent") is False]


@pytest.mark.parametrize("close", [False, True])
async def test_the_stop_stays_when_the_position_is_to_go(bench: Desk, close: bool) -> None:
    await watching(bench)
    bench.standing = replace(bench.standing, close=close)
    bench.want(100 if close else 0, stop=PRICE - 100)
    for _ in range(3):
        await passed(bench, 1.0)
    assert (bench.rest.cancelled, bench.rest.placed) == ([], [])
    assert told(bench) == [("SELL", "MARKET", "not_armed")], "what would have been sent is on record, once"
    await bench.close()


async def test_the_stop_is_not_moved(bench: Desk) -> None:
    await watching(bench)
    bench.want(100, stop=PRICE - 50)
    await bench.trader.turn()
    assert bench.rest.changed == []
    assert told(bench) == [("SELL", "STOP", "not_armed")]
    await bench.close()


async def test_a_stop_nobody_wants_stays_and_nothing_is_told(bench: Desk) -> None:
    await watching(bench)
    bench.want(100)
    bench.trader._unamendable.add(2)
    await bench.trader.turn()
    assert (bench.rest.cancelled, bench.rest.changed, told(bench)) == ([], [], [])
    await bench.close()


async def test_an_entry_is_taken_back(bench: Desk) -> None:
    await watching(bench)
    await bench.acknowledged(order_id=2, **RESTING)
    bench.want(100, stop=PRICE - 100)
    await bench.trader.turn()
    assert bench.rest.cancelled == [2]
    await bench.close()


async def test_a_close_of_what_is_not_held_is_taken_back(bench: Desk) -> None:
    await watching(bench)
    await bench.acknowledged(order_id=2, purpose=Purpose.PROTECT, side=Side.BUY, type=OrderType.STOP, price=PRICE + 100)
    bench.want(100, stop=PRICE - 100)
    await bench.trader.turn()
    assert bench.rest.cancelled == [2]
    await bench.close()


async def test_an_exit_that_rests_is_not_renewed(bench: Desk) -> None:
    await watching(bench)
    await bench.acknowledged(order_id=2, **EXIT)
    bench.rest.orders_there[2] = stop_there(2, type=OrderType.LIMIT, price=Decimal(PRICE + 50))
    bench.want(0)
    await passed(bench, 6.0)
    await passed(bench, 6.0)
    assert bench.rest.cancelled == []
    await bench.close()
