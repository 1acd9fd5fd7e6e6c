"""Converging on leverage: both sides, closes that name what they close, stops that move, and what closes without us."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.live.bench import BTC_JPY, PRICE, START_NS, Bench, book, order, position

from gmobot.clock import elapsed_ns
from gmobot.errors import Category, NotSent, OutcomeUnknown, Refused, VenueError
from gmobot.live.entry import EntryStyle
from gmobot.live.intents import Purpose
from gmobot.venue.models import (
    Execution,
    Order,
    OrderStatus,
    OrderType,
    OrderUpdate,
    Settle,
    Side,
    TimeInForce,
)

STOP = PRICE - 1_000
LOST = OutcomeUnknown("reply lost")


def refused(code: str, category: Category = Category.VALIDATION) -> Refused:
    return Refused("no", category=category, code=code)


class Leverage(Bench):
    """A bench whose exchange numbers what it takes, and fills when told to."""

    async def open(self) -> None:
        await super().open()
        self.numbers = iter(range(1, 1_000))
        self.trouble_with: list[VenueError] = []

        async def take(_: object) -> int:
            if self.trouble_with:
                raise self.trouble_with.pop(0)
            return next(self.numbers)

        self.rest.answer, self.rest.answer_close = take, take

    async def filled(self, order_id: int, lots: int, *, side: Side, position: int, execution: int = 0, gain: int = 0) -> None:
        """An order of ours, or of anybody, fills."""
        self.executions = getattr(self, "executions", 0) + 1
        told = Execution(
            execution_id=execution or 5_000 + self.executions,
            order_id=order_id,
            symbol="BTC_JPY",
            side=side,
            size=BTC_JPY.size(lots),
            price=Decimal(PRICE),
            fee_jpy=Decimal(0),
            realized_pnl_jpy=Decimal(gain),
            at_ns=START_NS,
            position_id=position,
        )
        self.rest.fills.append(told)
        await self.tracker.on_execution(told)

    async def holding(self, lots: int, *, short: bool = False, position: int = 70) -> None:
        """Have opened a position, without a stop."""
        await self.open()
        self.want(-lots if short else lots)
        await self.trader.turn()
        side = Side.SELL if short else Side.BUY
        await self.filled(len(self.rest.placed), lots, side=side, position=position)
        await self.trader.turn()
        self.clock.advance(1.0)
        self.market.on_book(book(), elapsed_ns(self.clock))

    def closes(self) -> list[tuple[str, str, Decimal, int | None]]:
        return [(request.side.value, request.type.value, request.size, request.position_id) for request in self.rest.closed]

    def intents(self, column: str = "state") -> list[Any]:
        return [row[0] for row in self.sql(f"SELECT {column} FROM intents ORDER BY intent_id")]

    def there(self, order_id: int, **changes: Any) -> Order:
        """Let the exchange know an order of ours as it was sent."""
        values: dict[str, Any] = {"symbol": "BTC_JPY", "settle": Settle.CLOSE, "side": Side.SELL, "created_at_ns": self.clock.now_ns()}
        listed = order(order_id, **(values | changes))
        self.rest.orders_there[order_id] = listed
        return listed


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Leverage]:
    made = Leverage(tmp_path, BTC_JPY)
    yield made
    made.store.abandon()


async def test_a_short_is_opened_protected_and_closed(desk: Leverage) -> None:
    await desk.holding(100, short=True)
    assert (desk.rest.placed[0].side, desk.books.position("BTC_JPY")) == (Side.SELL, -100)
    desk.want(-100, stop=PRICE + 1_000, may_open=False)
    await desk.trader.turn()
    assert desk.closes() == [("BUY", "STOP", Decimal("0.100"), 70)]
    assert desk.trader.uncovered_lots() == 0
    desk.want(0, may_open=False)
    await desk.trader.turn()
    assert desk.rest.cancelled == [2]
    gone = desk.there(2, side=Side.BUY, type=OrderType.STOP, price=Decimal(PRICE + 1_000), status=OrderStatus.CANCELLED)
    await desk.tracker.on_update(OrderUpdate(order=gone))
    await desk.trader.turn()
    assert desk.closes()[1:] == [("BUY", "MARKET", Decimal("0.100"), 70)]
    await desk.filled(3, 100, side=Side.BUY, position=70, gain=-250)
    assert desk.books.position("BTC_JPY") == 0
    assert desk.books.ledger("BTC_JPY").yen_uyen == -250_000_000


async def test_a_flip_closes_and_then_opens(desk: Leverage) -> None:
    await desk.holding(100)
    desk.want(-100, stop=PRICE + 1_000)
    await desk.trader.turn()
    assert desk.closes() == [("SELL", "MARKET", Decimal("0.100"), 70)]
    assert len(desk.rest.placed) == 1, "not before it is flat"
    await desk.filled(2, 100, side=Side.SELL, position=70)
    await desk.trader.turn()
    assert [(request.side, request.type) for request in desk.rest.placed[1:]] == [(Side.SELL, OrderType.MARKET)]
    await desk.filled(3, 100, side=Side.SELL, position=71)
    await desk.trader.turn()
    assert desk.closes()[1:] == [("BUY", "STOP", Decimal("0.100"), 71)]


async def test_a_flip_s_prices_say_nothing_of_the_side_that_is_still_held(desk: Leverage) -> None:
    await desk.holding(100)
    desk.trouble_with = [LOST]
    desk.want(-100, stop=PRICE - 5, take_profit=PRICE + 5)
    desk.market.printed = desk.market.last = PRICE + 10
    desk.trader.on_price()
    assert desk.trader.stop == 0
    assert desk.trader.closing
    await desk.trader.turn()
    assert len(desk.closes()) == 1


async def test_a_single_piece_is_named_only_where_it_is_certain_which_it_is(desk: Leverage) -> None:
    await desk.open()
    pieces = desk.books.pieces("BTC_JPY")
    pieces.look([], as_of_ns=0)
    desk.want(100)
    await desk.trader.turn()
    await desk.filled(1, 60, side=Side.BUY, position=70)
    await desk.filled(1, 40, side=Side.BUY, position=71)
    pieces.closed(None, 60)
    assert [piece.position_id for piece in pieces.ours] == [71]
    assert desk.trader._pieces_to_name(100) == ()
    pieces.look([], as_of_ns=0)
    pieces.let_go(71)
    assert desk.trader._pieces_to_name(100) == ((71, 40),)


async def test_several_pieces_are_closed_in_bulk_and_one_by_one_beside_a_foreign_one(desk: Leverage) -> None:
    await desk.open()
    desk.books.pieces("BTC_JPY").look([], as_of_ns=0)
    desk.want(100)
    await desk.trader.turn()
    await desk.filled(1, 60, side=Side.BUY, position=70)
    await desk.filled(1, 40, side=Side.BUY, position=71)
    desk.want(100, stop=STOP, may_open=False)
    await desk.trader.turn()
    assert desk.closes() == [("SELL", "STOP", Decimal("0.100"), None)]
    foreign = position(9, "0.5")
    desk.tracker.on_position(foreign, gone=False)
    gone = desk.there(2, type=OrderType.STOP, price=Decimal(STOP), status=OrderStatus.CANCELLED)
    await desk.tracker.on_update(OrderUpdate(order=gone))
    await desk.trader.turn()
    assert desk.closes()[1:] == [("SELL", "STOP", Decimal("0.060"), 70), ("SELL", "STOP", Decimal("0.040"), 71)]
    desk.tracker.on_position(foreign, gone=True)
    assert not desk.books.pieces("BTC_JPY").foreign()


async def test_our_pieces_survive_a_restart(desk: Leverage) -> None:
    await desk.open()
    desk.books.pieces("BTC_JPY").look([], as_of_ns=0)
    desk.want(100)
    await desk.trader.turn()
    await desk.filled(1, 60, side=Side.BUY, position=70)
    await desk.filled(1, 40, side=Side.BUY, position=71)
    desk.want(30, may_open=False)
    await desk.trader.turn()
    await desk.filled(2, 60, side=Side.SELL, position=70)
    await desk.filled(2, 10, side=Side.SELL, position=71)
    before = desk.books.pieces("BTC_JPY").ours
    assert [(piece.position_id, piece.lots) for piece in before] == [(71, 30)]
    await desk.reopen()
    assert desk.books.pieces("BTC_JPY").ours == before


async def test_an_unknown_exit_of_everything_does_not_keep_the_next_one_waiting(desk: Leverage) -> None:
    """The exchange closes no more than there is: on leverage a second close cannot overshoot."""
    await desk.holding(100)
    desk.trouble_with = [LOST, refused("ERR-422")]
    desk.want(0, may_open=False)
    await desk.trader.turn()
    desk.clock.advance(0.5)
    await desk.trader.turn()
    assert len(desk.rest.closed) == 2
    assert desk.intents()[1:] == ["unknown", "rejected"]


async def test_a_refusal_that_says_it_is_gone_asks_what_became_of_the_position(desk: Leverage) -> None:
    await desk.holding(100)
    cut = desk.there(
        40, status=OrderStatus.FILLED, executed=100, size=BTC_JPY.size(100), executed_size=BTC_JPY.size(100), settle=Settle.LOSSCUT
    )
    desk.rest.fills.append(told(desk, cut, gain=-900))
    desk.trouble_with = [refused("ERR-254")]
    desk.want(0, may_open=False)
    await desk.trader.turn()
    await desk.trader.turn()
    assert desk.books.position("BTC_JPY") == 0
    assert desk.intents("purpose")[-1] == "forced"
    assert desk.intents()[-1] == "filled"
    assert desk.intents("detail")[-1] == "losscut by the exchange"
    assert desk.books.ledger("BTC_JPY").yen_uyen == -900_000_000
    assert not desk.books.pieces("BTC_JPY").ours


def told(desk: Leverage, listed: Order, *, gain: int = 0, lots: int = 100, execution: int = 900) -> Execution:
    return Execution(
        execution_id=execution,
        order_id=listed.order_id,
        symbol="BTC_JPY",
        side=listed.side,
        size=BTC_JPY.size(lots),
        price=Decimal(PRICE),
        fee_jpy=Decimal(0),
        realized_pnl_jpy=Decimal(gain),
        at_ns=desk.clock.now_ns(),
        position_id=70,
    )


async def test_a_close_by_hand_is_booked_in_the_pieces_it_comes_in_across_a_restart(desk: Leverage) -> None:
    await desk.holding(100)
    by_hand = desk.there(41, size=BTC_JPY.size(100), executed_size=BTC_JPY.size(30))
    await desk.tracker.on_execution(told(desk, by_hand, lots=30, execution=901))
    await desk.trader.turn()
    assert desk.books.position("BTC_JPY") == 70
    assert desk.intents("detail")[-1] == "closed by another hand"
    await desk.reopen()
    await desk.tracker.on_execution(told(desk, by_hand, lots=30, execution=901))
    await desk.tracker.on_execution(told(desk, by_hand, lots=70, execution=902))
    assert desk.books.position("BTC_JPY") == 0


@pytest.mark.parametrize("odd", [Decimal(0), Decimal("0.0005")], ids=["on our grid", "on a finer one"])
async def test_one_close_by_hand_over_ours_and_another_s_is_booked_as_far_as_it_is_ours(desk: Leverage, odd: Decimal) -> None:
    await desk.holding(100)
    whole = {"size": BTC_JPY.size(300) + odd, "executed_size": BTC_JPY.size(300) + odd}
    by_hand = desk.there(43, **whole, status=OrderStatus.FILLED, type=OrderType.LIMIT, price=PRICE + odd)
    both = [
        told(desk, by_hand, lots=100, execution=905, gain=-7),
        msgspec.structs.replace(told(desk, by_hand, lots=200, execution=906), position_id=9),
    ]
    desk.rest.fills += both
    for execution in both:
        await desk.tracker.on_execution(execution)
    await desk.trader.turn()
    assert (desk.books.position("BTC_JPY"), desk.books.ledger("BTC_JPY").yen_uyen) == (0, -7_000_000)
    assert desk.intents()[-1] == "filled"
    assert desk.sql("SELECT execution_id FROM fills WHERE order_id = 43") == [(905,)]
    assert not desk.books.open_intents("BTC_JPY")


@pytest.mark.parametrize("known", [False, True])
async def test_a_position_that_only_a_fill_told_of_is_another_s(desk: Leverage, known: bool) -> None:
    await desk.holding(100)
    if known:
        await desk.books.note_foreign(44, "BTC_JPY", "a hand's")
    opened = msgspec.structs.replace(told(desk, desk.there(44, settle=Settle.OPEN), execution=907), position_id=9, settle=Settle.OPEN)
    await desk.tracker.on_execution(msgspec.structs.replace(opened, side=Side.BUY))
    assert list(desk.books.pieces("BTC_JPY").foreign(Side.BUY)) == [9], "closes name our own from now on"
    closed = msgspec.structs.replace(opened, execution_id=908, position_id=10, settle=Settle.CLOSE)
    await desk.tracker.on_execution(closed)
    assert list(desk.books.pieces("BTC_JPY").foreign()) == [9], "what is closed is not there"


async def test_a_fill_that_may_be_of_an_order_without_an_id_is_not_taken_for_another_s(desk: Leverage) -> None:
    await desk.holding(100)
    desk.trouble_with = [LOST]
    desk.want(0, may_open=False)
    await desk.trader.turn()
    desk.rest.answer_close = None
    await desk.tracker.on_execution(told(desk, desk.there(2), execution=903))
    await desk.tracker.claim_forced()
    assert desk.books.position("BTC_JPY") == 100, "an intent is unknown: this may be it"
    desk.there(2, status=OrderStatus.FILLED, size=BTC_JPY.size(100), executed_size=BTC_JPY.size(100))
    await desk.trader.turn()
    assert desk.books.position("BTC_JPY") == 0
    assert desk.intents("purpose") == ["entry", "exit"]


async def test_a_foreign_position_closed_by_its_owner_is_not_ours(desk: Leverage) -> None:
    await desk.holding(100)
    by_hand = msgspec.structs.replace(told(desk, desk.there(42), execution=904), position_id=9)
    await desk.tracker.on_execution(by_hand)
    await desk.trader.turn()
    assert desk.books.position("BTC_JPY") == 100


# --- stops that move ----------------------------------------------------------------------------------


async def protected(desk: Leverage) -> None:
    await desk.holding(100)
    desk.want(100, stop=STOP, may_open=False)
    await desk.trader.turn()
    assert desk.intents()[-1] == "acknowledged"


def stop_stands_at(desk: Leverage, price: Decimal | int, **changes: Any) -> None:
    values: dict[str, Any] = {"type": OrderType.STOP, "price": Decimal(price), "size": BTC_JPY.size(100), "status": OrderStatus.ARMED}
    desk.there(2, **(values | changes))


async def test_a_stop_moves_without_being_taken_away(desk: Leverage) -> None:
    await protected(desk)
    desk.want(100, stop=STOP + 10, may_open=False)
    stop_stands_at(desk, STOP, status=OrderStatus.AMENDING)
    await desk.trader.turn()
    assert (desk.rest.changed, desk.rest.cancelled) == ([(2, Decimal(STOP + 10))], [])
    assert desk.intents("amending_to")[-1] == STOP + 10
    assert desk.trader.uncovered_lots() == 0
    stop_stands_at(desk, STOP + 10)
    desk.clock.advance(0.6)
    await desk.trader.turn()
    assert (desk.intents("price")[-1], desk.intents("amending_to")[-1]) == (STOP + 10, 0)
    assert len(desk.rest.changed) == 1
    assert [event["former_price"] for event in desk.events() if event["event"] == "order_amended"] == [str(STOP)]


async def test_what_a_change_meant_is_on_disk_before_it_leaves(desk: Leverage) -> None:
    await protected(desk)
    desk.want(100, stop=STOP + 10, may_open=False)
    desk.rest.answer_change = LOST
    await desk.trader.turn()
    await desk.reopen()
    (left,) = desk.books.open_intents("BTC_JPY")
    assert (left.price, left.amending_to) == (STOP, STOP + 10)


async def test_a_lost_reply_to_a_change_is_asked_after_and_not_repeated_on_a_guess(desk: Leverage) -> None:
    await protected(desk)
    desk.want(100, stop=STOP + 10, may_open=False)
    desk.rest.answer_change = LOST
    stop_stands_at(desk, STOP)
    for wait in (0.6, 3.0):
        await desk.trader.turn()
        desk.clock.advance(wait)
    await desk.trader.turn()
    assert len(desk.rest.changed) == 1
    desk.rest.answer_change = None
    desk.clock.advance(0.6)
    await desk.trader.turn()
    assert len(desk.rest.changed) == 2, "it did not move within the visibility delay"
    assert "did not move" in next(event["detail"] for event in desk.events() if event["event"] == "order_rejected")


@pytest.mark.parametrize(
    ("code", "then"),
    [("ERR-5206", "replaced"), ("ERR-5129", "exit"), ("ERR-5122", "asked"), ("ERR-5121", "waits")],
)
async def test_a_refused_change(desk: Leverage, code: str, then: str) -> None:
    await protected(desk)
    stop_stands_at(desk, STOP)
    desk.want(100, stop=STOP + 10, may_open=False)
    desk.rest.answer_change = refused(code)
    await desk.trader.turn()
    await desk.trader.turn()
    assert desk.books.open_intents("BTC_JPY")[0].amending_to == 0
    if then in ("replaced", "exit"):
        assert desk.rest.cancelled == [2]
        assert (desk.trader.closing, len(desk.rest.changed)) == (then == "exit", 1)
    elif then == "waits":
        assert (desk.rest.cancelled, len(desk.rest.changed)) == ([], 1)
        desk.clock.advance(1.1)
        await desk.trader.turn()
        assert len(desk.rest.changed) == 2


async def test_a_change_that_never_left_is_tried_again_later(desk: Leverage) -> None:
    await protected(desk)
    stop_stands_at(desk, STOP)
    desk.want(100, stop=STOP + 10, may_open=False)
    desk.rest.answer_change = NotSent("no connection")
    await desk.trader.turn()
    desk.clock.advance(1.1)
    await desk.trader.turn()
    assert len(desk.rest.changed) == 2


async def test_a_change_the_exchange_takes_back_is_not_done(desk: Leverage) -> None:
    await protected(desk)
    desk.want(100, stop=STOP + 10, may_open=False)
    stop_stands_at(desk, STOP, cancel_reason="PRICE_LIMIT")
    await desk.trader.turn()
    desk.clock.advance(0.6)
    await desk.trader.turn()
    assert "PRICE_LIMIT" in next(event["detail"] for event in desk.events() if event["event"] == "order_rejected")


@pytest.mark.parametrize("finer", [Decimal(0), Decimal("0.3")])
async def test_a_stop_moved_by_another_hand_is_moved_back(desk: Leverage, finer: Decimal) -> None:
    await protected(desk)
    stop_stands_at(desk, STOP - 500 + finer)
    await desk.tracker.refresh(every=True)
    assert desk.books.open_intents("BTC_JPY")[0].price == STOP - 500
    await desk.trader.turn()
    assert desk.rest.changed == [(2, Decimal(STOP))]


async def test_an_old_event_proves_no_price(desk: Leverage) -> None:
    await protected(desk)
    old = msgspec.structs.replace(
        desk.there(2, type=OrderType.STOP, size=BTC_JPY.size(100)), price=Decimal(STOP - 7), status=OrderStatus.ARMED
    )
    await desk.tracker.on_update(OrderUpdate(order=old))
    assert desk.books.open_intents("BTC_JPY")[0].price == STOP


# --- what a refusal means -----------------------------------------------------------------------------


async def test_a_reserved_position_is_waited_for_and_named(desk: Leverage) -> None:
    await desk.holding(100)
    desk.trouble_with = [refused("ERR-200")]
    desk.want(100, stop=STOP, may_open=False)
    await desk.trader.turn()
    assert desk.trader.reserved
    await desk.trader.turn()
    assert len(desk.rest.closed) == 1
    desk.clock.advance(1.1)
    await desk.trader.turn()
    assert (len(desk.rest.closed), desk.trader.reserved) == (2, False)


async def test_a_closed_exchange_is_no_reject_of_ours(desk: Leverage) -> None:
    await desk.holding(100)
    desk.trouble_with = [refused("ERR-5203", Category.MAINTENANCE)] * 9
    desk.want(100, stop=STOP, may_open=False)
    for _ in range(9):
        await desk.trader.turn()
        desk.clock.advance(1.0)
    assert not desk.gate.circuit_open
    assert len(desk.rest.closed) == 5, "asked again every two seconds, not every second"
    assert desk.closings == 5


# --- LIMIT entries ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("post_only", "tif"), [(False, TimeInForce.GTC), (True, TimeInForce.POST_ONLY)])
async def test_a_passive_entry_rests_and_is_taken_back_when_its_time_is_over(tmp_path: Path, post_only: bool, tif: TimeInForce) -> None:
    style = EntryStyle(limit=True, passive=True, post_only=post_only, losscut_margin=Decimal("0.005"))
    desk = Leverage(tmp_path, BTC_JPY, style=style)
    await desk.open()
    desk.want(100, stop=STOP)
    await desk.trader.turn()
    (request,) = desk.rest.placed
    assert (request.type, request.price, request.time_in_force) == (OrderType.LIMIT, Decimal(PRICE - 50), tif)
    assert request.losscut_price == Decimal(9_949_005)
    desk.clock.advance(10.1)
    await desk.trader.turn()
    assert desk.rest.cancelled == [1]
    await desk.close()


async def test_a_filled_part_of_a_losscut_entry_is_not_bare(tmp_path: Path) -> None:
    desk = Leverage(tmp_path, BTC_JPY, style=EntryStyle(limit=True, losscut_margin=Decimal("0.005")))
    await desk.open()
    desk.want(100, stop=STOP)
    await desk.trader.turn()
    await desk.filled(1, 60, side=Side.BUY, position=70)
    assert desk.trader.uncovered_lots() == 60
    assert desk.books.pieces("BTC_JPY").losscut_lots(desk.trader.stop) == 60
    await desk.close()


async def test_no_entry_beyond_the_largest_position(tmp_path: Path) -> None:
    desk = Leverage(tmp_path, BTC_JPY, max_lots=99)
    await desk.open()
    desk.want(100)
    await desk.trader.turn()
    assert desk.rest.placed == []
    assert [event["reason"] for event in desk.events()] == ["max_position_size_exceeded"]
    await desk.close()


async def test_a_limit_outside_the_collar_does_not_leave(tmp_path: Path) -> None:
    desk = Leverage(tmp_path, BTC_JPY, style=EntryStyle(limit=True, offset_ticks=300_000))
    await desk.open()
    desk.want(100)
    await desk.trader.turn()
    assert desk.rest.placed == []
    await desk.close()


async def test_without_a_book_a_limit_entry_waits(tmp_path: Path) -> None:
    desk = Leverage(tmp_path, BTC_JPY, style=EntryStyle(limit=True))
    await desk.open()
    desk.market.book = None
    desk.want(100)
    await desk.trader.turn()
    assert [event["reason"] for event in desk.events()] == ["price_collar"]
    desk.market.on_book(book(), elapsed_ns(desk.clock))
    await desk.trader.turn()
    assert len(desk.rest.placed) == 1
    await desk.close()


async def test_a_stop_is_not_taken_away_while_nothing_could_take_its_place(desk: Leverage) -> None:
    await protected(desk)
    desk.want(0, may_open=False)
    desk.market.last, desk.market.book = 0, None
    await desk.trader.turn()
    assert desk.rest.cancelled == []
    desk.market.on_book(book(), elapsed_ns(desk.clock))
    await desk.trader.turn()
    assert desk.rest.cancelled == [2]


async def test_two_lost_twins_are_both_found(desk: Leverage) -> None:
    """An exit was sent twice while the first was unknown; both stand: they are ours, in the order they were made."""
    await desk.holding(100)
    first = await desk.intend(side=Side.SELL, purpose=Purpose.EXIT, settle=Settle.CLOSE)
    second = await desk.intend(side=Side.SELL, purpose=Purpose.EXIT, settle=Settle.CLOSE)
    for twin in (first, second):
        await desk.books.unknown(twin, "lost")
    desk.there(31, size=BTC_JPY.size(100), status=OrderStatus.EXPIRED)
    desk.there(30, size=BTC_JPY.size(100), status=OrderStatus.EXPIRED)
    desk.rest.active_orders = lambda symbol: _listed(desk)  # type: ignore[method-assign]
    await desk.tracker.resolve()
    assert desk.alarms == []
    assert desk.sql("SELECT intent_id, order_id FROM intents WHERE order_id >= 30") == [(first.intent_id, 30), (second.intent_id, 31)]


async def _listed(desk: Leverage) -> list[Order]:
    return list(desk.rest.orders_there.values())


@pytest.mark.parametrize("restart", [False, True])
async def test_an_order_that_turns_up_after_its_absence_was_concluded_is_ours_and_halts(desk: Leverage, restart: bool) -> None:
    await desk.open()
    desk.trouble_with = [LOST]
    desk.want(100)
    for _ in range(9):
        await desk.trader.turn()
        desk.clock.advance(1.0)
    assert desk.intents() == ["rejected"]
    if restart:
        await desk.reopen()
    late = {"side": Side.BUY, "settle": Settle.OPEN, "size": BTC_JPY.size(100), "executed_size": BTC_JPY.size(100)}
    desk.there(50, **late, status=OrderStatus.FILLED, created_at_ns=START_NS)
    desk.there(51, **late, status=OrderStatus.FILLED)
    for number in (50, 51):
        await desk.filled(number, 100, side=Side.BUY, position=number)
    await desk.trader.turn()
    assert [alarm[0] for alarm in desk.alarms] == ["order_outcome_unknown"]
    assert (desk.intents(), desk.intents("order_id")) == (["filled"], [50])
    assert desk.books.position("BTC_JPY") == 100, "the other one was made long after: it is not ours"
    await desk.trader.turn()
    assert len(desk.alarms) == 1
