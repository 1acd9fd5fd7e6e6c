"""Our books: every execution once, money that adds up, and the same after a restart as before."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.live.bench import BTC, BTC_JPY, PRICE, START_NS, STOP, Bench, fill

from gmobot.errors import FatalError
from gmobot.live.books import Books, order_fields
from gmobot.live.intents import IntentState, Purpose
from gmobot.venue.models import OrderType, Settle, Side


async def test_an_execution_is_booked_once_also_after_a_restart(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged()
    assert await bench.books.book(fill(11, lots=60)) is not None
    assert await bench.books.book(fill(11, lots=60)) is None
    await bench.reopen()
    assert await bench.books.book(fill(11, lots=60)) is None
    assert (bench.books.position("BTC"), bench.books.counts.fills, bench.books.counts.orders) == (60, 1, 1)
    await bench.close()


async def test_the_ledger_s_identities_hold_along_any_path_and_across_restarts(bench: Bench) -> None:
    draw = random.Random(3)
    await bench.open()
    cash = coins = fees = 0
    for number in range(1, 60):
        buy = bench.books.position("BTC") == 0 or draw.random() < 0.5
        lots = draw.randint(1, 500) if buy else draw.randint(1, bench.books.position("BTC"))
        side, price, fee = (Side.BUY if buy else Side.SELL), draw.randint(9_000_000, 11_000_000), draw.randint(-3, 9)
        await bench.acknowledged(order_id=number, side=side, lots=lots, purpose=Purpose.ENTRY if buy else Purpose.EXIT)
        await bench.books.book(fill(number, number, lots, side=side, price=price, fee=fee))
        sign = 1 if buy else -1
        coins, fees = coins + sign * lots, fees + fee * 1_000_000
        cash -= sign * BTC.notional_uyen(price, lots) + fee * 1_000_000
        ledger = bench.books.ledger("BTC")
        assert (ledger.position, ledger.cash_uyen, ledger.fees_uyen) == (coins, cash, fees)
        assert ledger.cash_uyen + ledger.cost_uyen == ledger.realized_uyen - ledger.fees_uyen
        assert (ledger.cost_uyen == 0) == (ledger.position == 0)
        if number % 20 == 0:
            before = ledger.to_dict()
            await bench.reopen()
            assert bench.books.ledger("BTC").to_dict() == before
    assert ledger.closed_trades > 0
    await bench.close()


async def test_a_fee_is_booked_as_reported_not_as_computed(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged()
    await bench.books.book(fill(11, fee=-123))
    assert bench.books.ledger("BTC").fees_uyen == -123_000_000
    await bench.close()


async def test_more_executed_than_ordered_is_fatal_and_books_nothing(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged()
    await bench.books.book(fill(11, lots=60))
    with pytest.raises(FatalError, match="120 lots of 100"):
        await bench.books.book(fill(12, lots=60))
    await bench.reopen()
    assert bench.books.position("BTC") == 60
    await bench.close()


async def test_selling_coins_that_are_not_ours_is_fatal(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged(**STOP)
    with pytest.raises(FatalError, match="does not fit 0 that are ours"):
        await bench.books.book(fill(11, side=Side.SELL))
    await bench.close()


async def test_what_a_finer_price_moved_is_booked_to_the_micro_yen(bench: Bench) -> None:
    """The exchange's ticks may become finer than ours while an order rests: the yen still add up."""
    await bench.open()
    await bench.acknowledged()
    await bench.books.book(msgspec.structs.replace(fill(11), price=Decimal("10000000.5")))
    paid = Decimal("10000000.5") * BTC.size(100) + 5
    assert bench.books.ledger("BTC").cash_uyen == -int(paid * 1_000_000)
    await bench.close()


@pytest.mark.parametrize(("told", "yen"), [(Decimal(7), 7), (None, 10)], ids=["as reported", "our own sum where nothing is reported"])
async def test_what_a_leverage_close_brought(tmp_path: Path, told: Decimal | None, yen: int) -> None:
    bench = Bench(tmp_path, BTC_JPY)
    await bench.open()
    step: dict[str, Any] = {"symbol": "BTC_JPY", "size": BTC_JPY.size(100), "fee_jpy": Decimal(0), "position_id": 70}
    await bench.acknowledged(order_id=1, symbol="BTC_JPY")
    await bench.books.book(msgspec.structs.replace(fill(11, 1), **step))
    await bench.acknowledged(order_id=2, symbol="BTC_JPY", side=Side.SELL, purpose=Purpose.EXIT, settle=Settle.CLOSE)
    close = msgspec.structs.replace(fill(12, 2, side=Side.SELL, price=PRICE + 100), realized_pnl_jpy=told, **step)
    await bench.books.book(close)
    assert bench.books.ledger("BTC_JPY").yen_uyen == yen * 1_000_000
    assert bench.sql("SELECT realized_uyen FROM fills WHERE execution_id = 12") == [(yen * 1_000_000,)]
    await bench.close()


async def test_a_fill_of_an_order_that_has_ended_still_counts(bench: Bench) -> None:
    await bench.open()
    ours = await bench.acknowledged()
    await bench.books.end(ours, IntentState.CANCELLED, "USER")
    await bench.books.book(fill(11, lots=60))
    assert bench.books.position("BTC") == 60
    assert bench.books.open_intents("BTC") == ()
    await bench.close()


async def test_a_stale_copy_of_an_intent_does_not_undo_a_fill(bench: Bench) -> None:
    await bench.open()
    stale = await bench.acknowledged()
    await bench.books.book(fill(11, lots=60))
    await bench.books.end(stale, IntentState.EXPIRED, "EXPIRED_FAK")
    (row,) = bench.sql("SELECT executed_lots, state FROM intents")
    assert tuple(row) == (60, "expired")
    await bench.close()


async def test_open_intents_and_used_decisions_survive_a_restart(bench: Bench) -> None:
    await bench.open()
    await bench.intend(decision_id=7)
    await bench.acknowledged(order_id=4, decision_id=8, **STOP)
    assert bench.books.entry_left("BTC", 7, 100) == 0
    assert bench.books.entry_left("BTC", 8, 100) == 100
    before = bench.books.open_intents("BTC")
    await bench.reopen()
    assert bench.books.open_intents("BTC") == before
    assert bench.books.entry_left("BTC", 7, 100) == 0
    assert bench.books.entry_left("BTC", 8, 100) == 100
    assert [intent.intent_id for intent in bench.books.unresolved()] == [1]
    assert bench.books.is_ours(4)
    await bench.close()


async def test_an_open_order_of_a_symbol_that_is_not_configured_stops_the_start(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged()
    saved = await bench.store.load()
    with pytest.raises(FatalError, match="not configured"):
        Books({}, bench.store, bench.clock, saved)
    await bench.close()


async def test_the_audit_log_tells_an_order_s_life(bench: Bench) -> None:
    await bench.open()
    ours = await bench.acknowledged()
    await bench.books.book(fill(11, lots=60))
    await bench.books.end(ours, IntentState.EXPIRED, "EXPIRED_FAK")
    told = [event["event"] for event in bench.events()]
    assert told == ["order_intent", "order_submitted", "order_acknowledged", "fill", "position_changed", "order_cancelled"]
    last = bench.events()[-1]
    assert (last["executed_size"], last["detail"], last["order_id"]) == ("0.00060", "EXPIRED_FAK", 1)
    await bench.close()


async def test_a_market_order_has_no_price_to_tell(bench: Bench) -> None:
    await bench.open()
    market, stop = await bench.intend(), await bench.intend(**STOP)
    assert "price" not in order_fields(market, BTC)
    assert order_fields(stop, BTC)["price"] == str(PRICE - 100)
    assert (market.type, market.created_ns) == (OrderType.MARKET, START_NS)
    await bench.close()
