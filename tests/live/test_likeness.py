"""What makes an order at the exchange look like the one we meant to send."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.live.bench import BTC, BTC_JPY, PRICE, SECOND, START_NS, STOP, intent, order

from gmobot.core.instrument import Instrument
from gmobot.live.likeness import looks_like, looks_moved, made_in_time, would_look_the_same
from gmobot.venue.models import OrderType, Settle, Side, TimeInForce

THERE: dict[str, Any] = {"side": Side.SELL, "type": OrderType.STOP, "price": Decimal(PRICE - 100)}


@pytest.mark.parametrize(
    ("changes", "exactly", "moved"),
    [
        ({}, True, False),
        ({"symbol": "ETH"}, False, False),
        ({"side": Side.BUY}, False, False),
        ({"size": BTC.size(101)}, False, False),
        ({"type": OrderType.LIMIT}, False, False),
        ({"type": OrderType.UNKNOWN}, True, False),
        ({"time_in_force": TimeInForce.GTC}, False, False),
        ({"time_in_force": TimeInForce.UNKNOWN}, True, False),
        ({"price": Decimal(PRICE)}, False, True),
        ({"price": None}, False, True),
        ({"price": Decimal(PRICE), "type": OrderType.UNKNOWN}, False, True),
        ({"price": Decimal(PRICE), "size": BTC.size(101)}, False, False),
        ({"created_at_ns": START_NS - 2 * SECOND}, True, False),
        ({"created_at_ns": START_NS - 2 * SECOND - 1}, False, False),
        ({"price": Decimal(PRICE), "created_at_ns": START_NS + 30 * SECOND}, False, True),
        ({"price": Decimal(PRICE), "created_at_ns": START_NS + 30 * SECOND + 1}, False, False),
    ],
)
def test_an_order_looks_like_ours_only_if_all_of_it_does(changes: dict[str, Any], exactly: bool, moved: bool) -> None:
    meant, there = intent(**STOP, server_ns=START_NS), order(**(THERE | changes))
    assert (looks_like(there, meant, BTC), looks_moved(there, meant, BTC)) == (exactly, moved)


@pytest.mark.parametrize(
    ("instrument", "told", "ours"),
    [
        (BTC, Settle.OPEN, True),
        (BTC, Settle.CLOSE, True),
        (BTC, Settle.UNKNOWN, True),
        (BTC_JPY, Settle.OPEN, False),
        (BTC_JPY, Settle.CLOSE, True),
        (BTC_JPY, Settle.UNKNOWN, True),
    ],
)
def test_what_it_settles_is_told_of_leverage_only(instrument: Instrument, told: Settle, ours: bool) -> None:
    closes = Settle.CLOSE if instrument is BTC_JPY else Settle.OPEN
    meant = intent(**STOP, symbol=instrument.symbol, server_ns=START_NS, settle=closes)
    there = order(**THERE, symbol=instrument.symbol, size=instrument.size(100), settle=told)
    assert looks_like(there, meant, instrument) is ours
    moved = order(**(THERE | {"price": Decimal(PRICE)}), symbol=instrument.symbol, size=instrument.size(100), settle=told)
    assert looks_moved(moved, meant, instrument) is ours


def test_the_price_of_a_market_order_says_nothing() -> None:
    priced = order(price=Decimal(1))
    assert looks_like(priced, intent(), BTC)
    assert not looks_moved(priced, intent(), BTC)


def test_a_time_is_counted_from_the_exchange_s_clock_where_that_is_known() -> None:
    late = order(created_at_ns=START_NS + 32 * SECOND)
    assert made_in_time(late, intent(server_ns=START_NS + 2 * SECOND))
    assert not made_in_time(late, intent())


@pytest.mark.parametrize(
    "changes",
    [
        {"side": Side.BUY},
        {"type": OrderType.LIMIT},
        {"time_in_force": TimeInForce.GTC},
        {"lots": 101},
        {"price": PRICE},
        {"settle": Settle.CLOSE},
    ],
)
def test_two_intents_are_twins_only_in_every_word(changes: dict[str, Any]) -> None:
    assert would_look_the_same(intent(**STOP), intent(**STOP, intent_id=2))
    assert not would_look_the_same(intent(**STOP), intent(**(STOP | changes)))
