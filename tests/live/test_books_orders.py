"""The life of an order in our books: what each turn changes, keeps, and tells."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.live.bench import BTC, BTC_JPY, PRICE, START_NS, STOP, Bench, fill, intent, order

import gmobot.live.books as books_module
from gmobot.errors import FatalError
from gmobot.live.books import Books, order_fields
from gmobot.live.intents import IntentState, Purpose
from gmobot.live.saved import ABSENT
from gmobot.venue.models import Settle, Side

LATER = START_NS + 5_000_000_000


async def test_a_decision_orders_its_target_once_in_as_many_pieces_as_it_takes(bench: Bench) -> None:
    await bench.open()
    books = bench.books
    assert books.entry_left("BTC", 1, 500) == 500
    await bench.intend(decision_id=7, lots=100)
    await bench.intend(decision_id=7, lots=150)
    assert books.entry_left("BTC", 7, 500) == 250
    assert books.entry_left("BTC", 7, -500) == 250, "a short target counts alike"
    assert books.entry_left("BTC", 7, 200) == 0
    assert books.entry_left("BTC", 6, 500) == 0, "an older decision orders nothing any more"
    assert books.entry_left("BTC", 8, 500) == 500
    await bench.intend(decision_id=8, lots=1)
    assert books.entry_left("BTC", 8, 500) == 499
    await bench.intend(decision_id=9, **STOP)
    assert books.entry_left("BTC", 9, 500) == 500, "protection is no entry"
    await bench.close()


async def test_every_order_is_counted_over_all_runs(bench: Bench) -> None:
    await bench.open()
    await bench.intend()
    await bench.acknowledged(order_id=5)
    assert bench.books.counts.orders == 2
    await bench.reopen()
    await bench.intend()
    assert bench.books.counts.orders == 3
    await bench.close()


async def test_what_is_lost_counts_from_when_and_what_is_found_no_more(bench: Bench) -> None:
    await bench.open()
    ours = await bench.intend()
    bench.clock.advance(5.0)
    lost = await bench.books.unknown(ours, "reply lost")
    assert (lost.state, lost.unknown_since_ns, lost.updated_ns, lost.detail) == (IntentState.UNKNOWN, LATER, LATER, "reply lost")
    assert bench.books.unresolved("BTC") == [lost]
    found = await bench.books.acknowledge(lost, 4, resolved=True)
    assert (found.state, found.order_id, found.unknown_since_ns) == (IntentState.ACKNOWLEDGED, 4, 0)
    assert bench.books.unresolved() == []
    assert bench.books.by_order(4) == found
    assert [event["event"] for event in bench.events()] == ["order_intent", "order_outcome_unknown", "order_resolved"]
    await bench.close()


async def test_a_refused_order_is_over(bench: Bench) -> None:
    await bench.open()
    ours = await bench.books.reject(await bench.intend(), "ERR-201: no")
    assert (ours.state, ours.detail) == (IntentState.REJECTED, "ERR-201: no")
    assert bench.books.open_intents("BTC") == ()
    assert bench.events()[-1]["event"] == "order_rejected"
    assert bench.events()[-1]["detail"] == "ERR-201: no"
    await bench.close()


async def test_what_was_concluded_absent_may_turn_up_and_is_ours_again(bench: Bench) -> None:
    await bench.open()
    gone = await bench.books.conclude_absent(await bench.intend())
    assert (gone.state, gone.detail) == (IntentState.REJECTED, ABSENT)
    assert bench.books.absent("BTC") == [gone]
    await bench.books.note_foreign(44, "BTC", "nobody's")
    back = await bench.books.revive(gone, 44)
    assert (back.state, back.order_id) == (IntentState.ACKNOWLEDGED, 44)
    assert bench.books.absent("BTC") == []
    assert (bench.books.is_ours(44), bench.books.is_foreign(44)) == (True, False)
    assert bench.books.open_intents("BTC") == (back,)
    await bench.reopen()
    assert bench.books.by_order(44) == back
    assert bench.books.absent("BTC") == []
    await bench.close()


async def test_the_latest_absent_orders_are_remembered_not_all(bench: Bench) -> None:
    await bench.open()
    for _ in range(101):
        await bench.books.conclude_absent(await bench.intend())
    kept = [ours.intent_id for ours in bench.books.absent("BTC")]
    assert kept == list(range(2, 102))
    await bench.close()


async def test_an_order_that_ended_long_ago_is_ours_but_no_longer_at_hand(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books_module, "_ENDED_KEPT", 3)
    await bench.open()
    for number in range(1, 5):
        ours = await bench.acknowledged(order_id=number)
        await bench.books.end(ours, IntentState.CANCELLED, "")
    assert bench.books.by_order(1) is None
    assert bench.books.is_ours(1)
    assert [bench.books.by_order(number) is not None for number in (2, 3, 4)] == [True, True, True]
    await bench.close()


async def test_what_was_said_of_an_order_is_kept_until_its_next_commit_and_not_without_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(books_module, "_NOTES_KEPT", 2)
    await bench.open()
    ours = [await bench.acknowledged(order_id=number, **STOP) for number in (1, 2, 3)]
    before = len(bench.sql("SELECT seq FROM journal WHERE kind = 'said'"))
    for known in ours:
        bench.books.note(known, "said", {"word": 1})
    for known in ours:
        await bench.books.end(known, IntentState.CANCELLED, "")
    assert len(bench.sql("SELECT seq FROM journal WHERE kind = 'said'")) == before + 2
    await bench.close()


@pytest.mark.parametrize(("side", "beyond"), [(Side.BUY, 5), (Side.SELL, -5)])
async def test_between_two_ticks_the_yen_beyond_the_lower_one_are_a_fee(tmp_path: Path, side: Side, beyond: int) -> None:
    bench = Bench(tmp_path, replace(BTC, tick_size=Decimal(10)))
    await bench.open()
    await bench.acknowledged(order_id=900, lots=100_000)
    await bench.books.book(fill(9_000, 900, 100_000, fee=0))
    await bench.acknowledged(order_id=1, lots=100_000, side=side, purpose=Purpose.ENTRY if side is Side.BUY else Purpose.EXIT)
    await bench.books.book(fill(11, 1, 100_000, side=side, price=PRICE + 5, fee=0))
    assert bench.books.ledger("BTC").fees_uyen == beyond * 1_000_000
    await bench.close()


async def test_seen_at_the_exchange_is_news_once(bench: Bench) -> None:
    await bench.open()
    lost = await bench.intend()
    assert await bench.books.working(lost) is lost
    ours = await bench.books.acknowledge(lost, 3)
    seen = await bench.books.working(ours)
    assert seen.state is IntentState.WORKING
    assert await bench.books.working(seen) is seen
    assert tuple(bench.sql("SELECT state FROM intents")[0]) == ("working",)
    await bench.close()


async def test_an_end_is_told_once(bench: Bench) -> None:
    await bench.open()
    over = await bench.books.end(await bench.acknowledged(), IntentState.EXPIRED, "EXPIRED_FAK")
    assert await bench.books.end(over, IntentState.CANCELLED, "USER") is over
    assert [event["event"] for event in bench.events()].count("order_cancelled") == 1
    await bench.close()


async def test_a_change_is_written_down_before_and_after(bench: Bench) -> None:
    await bench.open()
    ours = await bench.acknowledged(**STOP)
    asked = await bench.books.amend(ours, PRICE - 50)
    assert (asked.price, asked.amending_to) == (PRICE - 100, PRICE - 50)
    assert bench.events()[-1]["event"] == "order_intent"
    assert bench.events()[-1]["amends_to"] == str(PRICE - 50)
    await bench.reopen()
    assert bench.books.open_intents("BTC") == (asked,), "a restart knows of it"
    done = await bench.books.amended(asked, PRICE - 50)
    assert (done.price, done.amending_to) == (PRICE - 50, 0)
    last = bench.events()[-1]
    assert (last["event"], last["price"], last["former_price"]) == ("order_amended", str(PRICE - 50), str(PRICE - 100))
    assert "detail" not in last
    await bench.books.amended(done, PRICE - 60, "by another hand")
    assert bench.events()[-1]["detail"] == "by another hand"
    await bench.close()


async def test_a_refused_change_leaves_it_where_it_stood(bench: Bench) -> None:
    await bench.open()
    ours = await bench.acknowledged(**STOP)
    left = await bench.books.not_amended(await bench.books.amend(ours, PRICE - 50), "ERR-5206: no")
    assert (left.price, left.amending_to, left.state) == (PRICE - 100, 0, IntentState.ACKNOWLEDGED)
    assert (bench.events()[-1]["event"], bench.events()[-1]["detail"]) == ("order_rejected", "ERR-5206: no")
    await bench.close()


@pytest.mark.parametrize("news", ["not_amended", "amended", "working", "cancelled"])
async def test_news_of_an_order_that_filled_meanwhile_does_not_bring_it_back(bench: Bench, news: str) -> None:
    await bench.open()
    await bench.acknowledged(order_id=1, lots=100)
    await bench.books.book(fill(11, 1, 100))
    stop = await bench.acknowledged(order_id=2, lots=100, **STOP)
    asked = await bench.books.amend(stop, PRICE - 50)
    await bench.books.book(fill(12, 2, 100, side=Side.SELL, price=PRICE - 100))
    if news == "not_amended":
        told = await bench.books.not_amended(asked, "ERR-5122: it has ended")
    elif news == "amended":
        told = await bench.books.amended(asked, PRICE - 50)
    elif news == "working":
        told = await bench.books.working(stop)
    else:
        told = await bench.books.end(asked, IntentState.CANCELLED, "late")
    assert (told.state, told.executed_lots) == (IntentState.FILLED, 100)
    assert bench.books.open_intents("BTC") == ()
    await bench.reopen()
    assert bench.books.open_intents("BTC") == (), "a restart finds it ended, and all of it booked"
    await bench.close()


async def test_somebody_else_s_order_is_noted_once_and_for_good(bench: Bench) -> None:
    await bench.open()
    assert await bench.books.note_foreign(44, "BTC", "seen")
    assert not await bench.books.note_foreign(44, "BTC", "seen")
    await bench.reopen()
    assert bench.books.is_foreign(44)
    assert not await bench.books.note_foreign(44, "BTC", "seen")
    told = [event for event in bench.events() if event["event"] == "error"]
    assert [(event["reason"], event["order_id"], event["symbol"], event["evidence"]) for event in told] == [
        ("foreign_order", 44, "BTC", "seen")
    ]
    await bench.close()


@pytest.mark.parametrize(("settle", "detail"), [(Settle.LOSSCUT, "losscut by the exchange"), (Settle.CLOSE, "closed by another hand")])
@pytest.mark.parametrize(("price", "ticks"), [(None, 0), (Decimal(PRICE), PRICE)])
async def test_a_forced_close_is_booked_like_ours(tmp_path: Path, settle: Settle, detail: str, price: Decimal | None, ticks: int) -> None:
    bench = Bench(tmp_path, BTC_JPY)
    await bench.open()
    await bench.books.note_foreign(44, "BTC_JPY", "seen")
    told = order(44, symbol="BTC_JPY", side=Side.SELL, settle=settle, price=price, size=BTC_JPY.size(60))
    forced = await bench.books.adopt_forced(told, 60)
    assert (forced.purpose, forced.state, forced.side, forced.lots) == (Purpose.FORCED, IntentState.ACKNOWLEDGED, Side.SELL, 60)
    assert (forced.price, forced.settle, forced.order_id, forced.detail) == (ticks, Settle.CLOSE, 44, detail)
    assert (forced.type, forced.time_in_force, forced.decision_id) == (told.type, told.time_in_force, 0)
    assert (bench.books.is_ours(44), bench.books.is_foreign(44)) == (True, False)
    assert bench.books.counts.orders == 0, "we sent none"
    assert bench.events()[-1]["event"] == "order_resolved"
    await bench.reopen()
    assert bench.books.by_order(44) == forced
    await bench.close()


async def test_a_leverage_fill_makes_and_takes_pieces(tmp_path: Path) -> None:
    bench = Bench(tmp_path, BTC_JPY)
    await bench.open()
    await bench.acknowledged(order_id=1, losscut=PRICE - 500)
    await bench.books.book(leverage_fill(11, 1, 100))
    pieces = bench.books.pieces("BTC_JPY")
    assert [(p.position_id, p.side, p.lots, p.losscut) for p in pieces.ours] == [(70, Side.BUY, 100, PRICE - 500)]
    await bench.acknowledged(order_id=2, lots=30, purpose=Purpose.EXIT, side=Side.SELL, settle=Settle.CLOSE)
    await bench.books.book(leverage_fill(12, 2, 30, side=Side.SELL, realized_pnl_jpy=Decimal(17)))
    assert [(p.position_id, p.lots) for p in pieces.ours] == [(70, 70)]
    assert bench.books.ledger("BTC_JPY").yen_uyen == (17 - 5 - 5) * 1_000_000
    assert bench.books.position("BTC_JPY") == 70
    told = [event for event in bench.events() if event["event"] in ("fill", "position_changed")][-2:]
    assert (told[0]["size"], told[0]["price"], told[0]["fee_jpy"], told[0]["purpose"]) == ("0.030", str(PRICE), "5", "exit")
    assert (told[1]["position"], told[1]["cost_jpy"], told[1]["closed_trades"]) == ("0.070", str(70 * PRICE // 1_000), 0)
    await bench.close()


def of_pieces(bench: Bench) -> list[tuple[int, Side, int, int]]:
    return [(p.position_id, p.side, p.lots, p.losscut) for p in bench.books.pieces("BTC_JPY").ours]


@pytest.mark.parametrize("position_id", [None, 70])
async def test_a_restart_keeps_the_pieces_that_a_close_told_with_one_fill_has_left(tmp_path: Path, position_id: int | None) -> None:
    """Long, closed in one; then short, and a part closed: what is over takes nothing of what came later."""
    bench = Bench(tmp_path, BTC_JPY)
    await bench.open()
    for order_id, opens, closes, first in ((1, Side.BUY, Side.SELL, 70), (3, Side.SELL, Side.BUY, 80)):
        await bench.acknowledged(order_id=order_id, side=opens, losscut=PRICE - 500)
        for number, lots in ((first, 70), (first + 1, 30)):
            await bench.books.book(leverage_fill(number, order_id, lots, side=opens, position_id=number))
        named = None if position_id is None else first
        lots = 100 if first == 70 else 75
        await bench.acknowledged(order_id=order_id + 1, lots=lots, purpose=Purpose.EXIT, side=closes, settle=Settle.CLOSE)
        await bench.books.book(leverage_fill(first + 5, order_id + 1, lots, side=closes, position_id=named))
        left = [] if first == 70 else [(81, Side.SELL, 25, PRICE - 500)]
        assert of_pieces(bench) == left
        await bench.reopen()
        assert of_pieces(bench) == left
    await bench.close()


async def test_a_close_of_one_position_closes_that_one_whether_its_fill_says_so_or_not(tmp_path: Path) -> None:
    bench = Bench(tmp_path, BTC_JPY)
    await bench.open()
    await bench.acknowledged(order_id=1)
    for number, lots in ((70, 70), (71, 30)):
        await bench.books.book(leverage_fill(number, 1, lots, position_id=number))
    named = {"purpose": Purpose.EXIT, "side": Side.SELL, "settle": Settle.CLOSE, "position_id": 71}
    await bench.acknowledged(order_id=2, lots=30, **named)
    await bench.books.book(leverage_fill(12, 2, 30, side=Side.SELL, position_id=None))
    assert of_pieces(bench) == [(70, Side.BUY, 70, 0)]
    await bench.reopen()
    assert of_pieces(bench) == [(70, Side.BUY, 70, 0)]
    await bench.close()


async def test_spot_has_no_pieces_whatever_its_fills_said(bench: Bench) -> None:
    await bench.open()
    await bench.acknowledged(order_id=1)
    await bench.books.book(msgspec.structs.replace(fill(11), position_id=1_234_567))
    await bench.reopen()
    assert (bench.books.position("BTC"), bench.books.pieces("BTC").known) == (100, ())
    await bench.close()


def leverage_fill(execution_id: int, order_id: int, lots: int, **changes: Any) -> Any:
    size = BTC_JPY.size(lots)
    return msgspec.structs.replace(fill(execution_id, order_id), symbol="BTC_JPY", size=size, **({"position_id": 70} | changes))


async def test_a_symbol_no_longer_traded_keeps_what_it_did_to_the_yen(bench: Bench) -> None:
    await bench.open()
    await bench.owning(100)
    await bench.acknowledged(order_id=901, side=Side.SELL, purpose=Purpose.EXIT)
    await bench.books.book(fill(9_001, 901, 100, side=Side.SELL, price=PRICE + 1_000_000))
    brought = bench.books.ledger("BTC").cash_uyen
    assert brought > 0
    assert bench.books.retired_uyen == 0
    saved = await bench.store.load()
    saved.ledgers["BTC_JPY"] = saved.ledgers["BTC"] | {"reported_uyen": 12, "cash_uyen": 999}
    again = Books({}, bench.store, bench.clock, saved)
    assert again.retired_uyen == brought + 12, "of leverage, what the exchange reported"
    await bench.close()


async def test_a_position_in_a_symbol_that_is_not_configured_stops_the_start(bench: Bench) -> None:
    await bench.open()
    await bench.owning(100)
    saved = await bench.store.load()
    with pytest.raises(FatalError, match="we hold 100 lots but it is not configured"):
        Books({}, bench.store, bench.clock, saved)
    await bench.close()


async def test_decisions_and_absent_orders_of_a_symbol_no_longer_traded_are_left_alone(bench: Bench) -> None:
    await bench.open()
    await bench.books.conclude_absent(await bench.intend(decision_id=7))
    again = Books({"BTC_JPY": BTC_JPY}, bench.store, bench.clock, await bench.store.load())
    assert again.entry_left("BTC_JPY", 7, 100) == 100
    assert again.absent("BTC_JPY") == []
    await bench.close()


def test_the_audit_log_says_what_an_order_is_and_leaves_out_what_it_is_not() -> None:
    bare = order_fields(intent(), BTC)
    assert set(bare) == {"intent_id", "symbol", "purpose", "side", "type", "size", "executed_size", "state", "decision_id"}
    close: dict[str, Any] = STOP | {
        "settle": Settle.CLOSE,
        "position_id": 0,
        "losscut": 5,
        "order_id": 0,
        "detail": "why",
        "executed_lots": 3,
    }
    told = order_fields(intent(**close), BTC)
    assert told["settle"] == "CLOSE"
    assert (told["position_id"], told["order_id"]) == (0, 0)
    assert (told["losscut_price"], told["detail"], told["price"]) == ("5", "why", str(PRICE - 100))
    assert (told["size"], told["executed_size"]) == ("0.00100", "0.00003")


async def test_what_is_not_on_disk_yet_is_not_settled(bench: Bench) -> None:
    await bench.open()
    intent = await bench.intend()
    assert bench.books.unsettled() == 1
    seen: list[int] = []
    write = bench.store.update_intent

    async def slow(*args: Any, **more: Any) -> None:
        seen.append(bench.books.unsettled())
        await write(*args, **more)

    bench.store.update_intent = slow  # type: ignore[method-assign]
    known = await bench.books.acknowledge(intent, 7)
    await bench.books.working(known)
    assert (seen, bench.books.unsettled()) == ([1, 1], 0)
    await bench.close()
