"""One write at a time: what is written down before, what a reply proves, and what follows from a refusal."""

from __future__ import annotations

import itertools
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.live.bench import BTC, BTC_JPY, PRICE, SECOND, START_NS, STOP, Bench, fill, order

from gmobot.core.instrument import Instrument
from gmobot.errors import Category, NotSent, OutcomeUnknown, Refused, VenueError
from gmobot.live.intents import IntentState, Purpose
from gmobot.live.plan import Place
from gmobot.live.sender import After, Sender
from gmobot.ops.telemetry import Telemetry
from gmobot.venue.models import CloseRequest, OrderRequest, OrderStatus, OrderType, Settle, Side, TimeInForce

BUY = Place(Purpose.ENTRY, Side.BUY, OrderType.MARKET, 100)
SELL = Place(Purpose.EXIT, Side.SELL, OrderType.MARKET, 100)


class Desk(Bench):
    """A bench with a sender of its own; the exchange takes everything, or has the trouble it is given."""

    async def open(self) -> None:
        await super().open()
        self.trouble: VenueError | None = None
        self.seconds = 0.0
        self.numbers = itertools.count(7)

        async def take(_: object) -> int:
            self.clock.advance(self.seconds)
            if self.trouble is not None:
                raise self.trouble
            return next(self.numbers)

        self.rest.answer, self.rest.answer_close = take, take
        self.telemetry = Telemetry(version="test", config_hash="0")
        self.sender = Sender(
            self.symbol,
            books=self.books,
            tracker=self.tracker,
            gate=self.gate,
            rest=self.rest,
            clock=self.clock,
            telemetry=self.telemetry,
        )

    def metric(self, name: str) -> float:
        """Return the sum of a metric's lines."""
        lines = self.telemetry.render("")[0].decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def refused(code: str | None, category: Category = Category.VALIDATION) -> Refused:
    return Refused("no", category=category, code=code)


async def desk(directory: Path, instrument: Instrument = BTC) -> Desk:
    made = Desk(directory, instrument)
    await made.open()
    return made


@pytest.mark.parametrize(
    ("changes", "time_in_force"),
    [
        ({}, TimeInForce.IOC),
        ({"type": OrderType.STOP, "price": PRICE}, TimeInForce.IOC),
        ({"type": OrderType.LIMIT, "price": PRICE}, TimeInForce.GTC),
        ({"type": OrderType.LIMIT, "price": PRICE, "post_only": True}, TimeInForce.POST_ONLY),
        ({"post_only": True}, TimeInForce.IOC),
    ],
)
async def test_only_a_limit_rests(tmp_path: Path, changes: dict[str, Any], time_in_force: TimeInForce) -> None:
    bench = await desk(tmp_path)
    words: dict[str, Any] = {"purpose": Purpose.ENTRY, "side": Side.BUY, "type": OrderType.MARKET, "lots": 100}
    assert bench.sender.draft(Place(**(words | changes)), 1).time_in_force is time_in_force
    await bench.close()


@pytest.mark.parametrize(
    ("instrument", "purpose", "settle"),
    [
        (BTC, Purpose.ENTRY, Settle.OPEN),
        (BTC, Purpose.EXIT, Settle.OPEN),
        (BTC_JPY, Purpose.ENTRY, Settle.OPEN),
        (BTC_JPY, Purpose.EXIT, Settle.CLOSE),
        (BTC_JPY, Purpose.PROTECT, Settle.CLOSE),
    ],
)
async def test_only_leverage_closes(tmp_path: Path, instrument: Instrument, purpose: Purpose, settle: Settle) -> None:
    bench = await desk(tmp_path, instrument)
    bench.rest.server_ns = START_NS - 5
    bench.clock.advance(2.0)
    place = Place(purpose, Side.SELL, OrderType.MARKET, 30, 0, 9, 77)
    draft = bench.sender.draft(place, 42)
    assert draft.settle is settle
    assert (draft.purpose, draft.side, draft.type, draft.lots, draft.price) == (purpose, Side.SELL, OrderType.MARKET, 30, 0)
    assert (draft.position_id, draft.losscut, draft.decision_id, draft.server_ns) == (9, 77, 42, START_NS - 5)
    assert draft.created_ns == draft.updated_ns == START_NS + 2 * SECOND
    assert draft.state is IntentState.INTENT
    assert bench.sender.draft(place, 42, state=IntentState.REJECTED).state is IntentState.REJECTED
    await bench.close()


async def test_an_entry_and_an_exit_on_the_wire(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    assert await bench.sender.place(BUY, 1) is After.GO_ON
    limit = Place(Purpose.EXIT, Side.SELL, OrderType.LIMIT, 50, PRICE)
    await bench.sender.place(limit, 1)
    assert bench.rest.placed == [
        OrderRequest(
            symbol="BTC",
            side=Side.BUY,
            type=OrderType.MARKET,
            size=Decimal("0.001"),
            price=None,
            time_in_force=TimeInForce.IOC,
            losscut_price=None,
            urgent=False,
        ),
        OrderRequest(
            symbol="BTC",
            side=Side.SELL,
            type=OrderType.LIMIT,
            size=Decimal("0.0005"),
            price=Decimal(PRICE),
            time_in_force=TimeInForce.GTC,
            losscut_price=None,
            urgent=True,
        ),
    ]
    assert not bench.rest.closed
    await bench.close()


async def test_a_leverage_entry_says_its_losscut_and_a_close_its_position(tmp_path: Path) -> None:
    bench = await desk(tmp_path, BTC_JPY)
    entry = Place(Purpose.ENTRY, Side.BUY, OrderType.LIMIT, 100, PRICE, None, PRICE - 500)
    await bench.sender.place(entry, 1)
    assert bench.rest.placed[0].losscut_price == Decimal(PRICE - 500)
    stop = Place(Purpose.PROTECT, Side.SELL, OrderType.STOP, 30, PRICE - 100, 70)
    await bench.sender.place(stop, 1)
    assert bench.rest.closed == [
        CloseRequest(
            symbol="BTC_JPY",
            side=Side.SELL,
            type=OrderType.STOP,
            size=Decimal("0.03"),
            price=Decimal(PRICE - 100),
            time_in_force=TimeInForce.IOC,
            position_id=70,
        )
    ]
    await bench.close()


async def test_an_accepted_order_ends_a_run_of_refusals_and_takes_what_was_told_of_it_before(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    bench.trouble = refused("ERR-201")
    for _ in range(2):
        await bench.sender.place(SELL, 1)
    bench.trouble = None
    bench.numbers = itertools.count(7)
    await bench.tracker.on_execution(fill(50, 7))
    assert await bench.sender.place(BUY, 1) is After.GO_ON
    assert bench.books.position("BTC") == 100, "its fill came before its reply"
    bench.trouble = refused("ERR-201")
    await bench.sender.place(SELL, 1)
    assert not bench.gate.circuit_open
    await bench.close()


@pytest.mark.parametrize(
    ("code", "after"),
    [
        ("ERR-5129", After.EXIT_NOW),
        ("ERR-200", After.RESERVED),
        ("ERR-208", After.RESERVED),
        ("ERR-189", After.GONE),
        ("ERR-254", After.GONE),
        ("ERR-422", After.GONE),
        ("ERR-423", After.GONE),
        ("ERR-5122", After.FIND_OUT),
        ("ERR-5123", After.FIND_OUT),
        ("ERR-151", After.FIND_OUT),
        ("ERR-5206", After.NO_AMEND),
        ("ERR-5125", After.KEPT_OUT),
        ("ERR-5114", After.OTHER_RULES),
        ("ERR-5126", After.OTHER_RULES),
        ("ERR-201", After.WAIT),
        (None, After.WAIT),
    ],
)
async def test_what_follows_from_a_refusal(tmp_path: Path, code: str | None, after: After) -> None:
    bench = await desk(tmp_path)
    bench.trouble = refused(code)
    for _ in range(3):
        assert await bench.sender.place(SELL, 1) is after
    assert bench.gate.circuit_open
    assert not bench.books.open_intents("BTC")
    detail = bench.events()[-1]["detail"]
    assert detail == f"{code or 'validation'}: no"
    await bench.close()


@pytest.mark.parametrize(("retryable", "after"), [(False, After.KEPT_OUT), (True, After.WAIT)])
async def test_a_key_that_is_refused_keeps_us_out_and_a_stamp_out_of_time_does_not(
    tmp_path: Path, after: After, *, retryable: bool
) -> None:
    bench = await desk(tmp_path)
    bench.trouble = Refused("no", category=Category.AUTH, code="ERR-5009" if retryable else "ERR-5012", retryable=retryable)
    assert await bench.sender.place(SELL, 1) is after
    await bench.close()


async def test_a_closed_exchange_is_no_refusal_of_ours(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    bench.trouble = refused("ERR-5201", Category.MAINTENANCE)
    for _ in range(3):
        assert await bench.sender.place(SELL, 1) is After.CLOSED
    assert not bench.gate.circuit_open
    await bench.close()


async def test_what_never_left_is_over_and_what_was_lost_is_not(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    bench.trouble = NotSent("no connection")
    assert await bench.sender.place(BUY, 1) is After.WAIT
    assert bench.events()[-1]["detail"] == "never sent: no connection"
    assert not bench.books.open_intents("BTC")
    bench.trouble = OutcomeUnknown("reply lost")
    assert await bench.sender.place(BUY, 1) is After.FIND_OUT
    (lost,) = bench.books.unresolved("BTC")
    assert (lost.state, lost.detail) == (IntentState.UNKNOWN, "reply lost")
    for _ in range(3):
        bench.trouble = NotSent("no connection")
        await bench.sender.place(SELL, 1)
    assert not bench.gate.circuit_open, "only the exchange's own refusals count"
    await bench.close()


async def test_every_order_counts_for_the_rate_before_it_leaves(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    bench.trouble = NotSent("no connection")
    for _ in range(30):
        await bench.sender.place(SELL, 1)
    assert bench.gate.denial(BUY, bench.market) == "order_rate_limit"
    await bench.close()


async def test_how_long_things_took_is_measured(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    bench.seconds = 0.25
    bench.clock.advance(3.0)
    await bench.sender.place(BUY, 1, due_ns=START_NS + SECOND)
    assert bench.metric("gmobot_tick_to_order_seconds_sum") == 2.0
    assert bench.metric("gmobot_order_roundtrip_seconds_sum") == 0.25
    bench.trouble = refused("ERR-201")
    await bench.sender.place(SELL, 1)
    bench.trouble = NotSent("")
    await bench.sender.place(SELL, 1)
    bench.trouble = OutcomeUnknown("")
    await bench.sender.place(SELL, 1)
    assert bench.metric("gmobot_tick_to_order_seconds_count") == 1.0, "an exit has no moment at which it was due"
    assert bench.metric("gmobot_order_roundtrip_seconds_count") == 4.0
    for outcome in ("confirmed", "refused", "denied", "unresolved"):
        side = "BUY" if outcome == "confirmed" else "SELL"
        assert bench.metric(f'gmobot_orders_total{{outcome="{outcome}",side="{side}",type="MARKET"}}') == 1.0
    await bench.close()


async def test_what_has_no_number_can_neither_be_taken_back_nor_changed(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    lost = await bench.intend(**STOP)
    assert await bench.sender.cancel(lost) is After.WAIT
    assert await bench.sender.amend(lost, PRICE) is After.WAIT
    assert (bench.rest.cancelled, bench.rest.changed) == ([], [])
    assert bench.books.open_intents("BTC") == (lost,)
    await bench.close()


async def test_a_cancel_is_one_request(tmp_path: Path) -> None:
    bench = await desk(tmp_path)
    ours = await bench.acknowledged(order_id=5, **STOP)
    assert await bench.sender.cancel(ours) is After.GO_ON
    assert bench.rest.cancelled == [5]
    assert await asked_about(bench) == []
    await bench.books.end(ours, IntentState.CANCELLED, "USER")
    said = [payload for (payload,) in bench.sql("SELECT payload FROM journal WHERE kind = 'request'")]
    assert any('"cancel"' in payload and "5" in payload for payload in said), "what was asked is part of its story"
    await bench.close()


@pytest.mark.parametrize("trouble", [refused("ERR-5122"), NotSent("no connection"), OutcomeUnknown("reply lost")])
async def test_after_a_cancel_that_may_not_have_worked_the_order_is_asked_about(tmp_path: Path, trouble: VenueError) -> None:
    bench = await desk(tmp_path)
    ours = await bench.acknowledged(order_id=5, **STOP)

    async def fail(order_id: int) -> None:
        raise trouble

    bench.rest.cancel_order = fail  # type: ignore[method-assign]
    assert await bench.sender.cancel(ours) is After.FIND_OUT
    assert await asked_about(bench) == [5]
    await bench.close()


@pytest.mark.parametrize(
    ("trouble", "after", "pending", "asked"),
    [
        (None, After.GO_ON, True, True),
        (refused("ERR-5206"), After.NO_AMEND, False, True),
        (refused("ERR-201"), After.WAIT, False, True),
        (NotSent("no connection"), After.WAIT, False, False),
        (OutcomeUnknown("reply lost"), After.FIND_OUT, True, True),
    ],
)
async def test_what_a_reply_to_a_change_proves(
    tmp_path: Path, trouble: VenueError | None, after: After, pending: bool, asked: bool
) -> None:
    bench = await desk(tmp_path)
    ours = await bench.acknowledged(order_id=5, **STOP)
    bench.rest.answer_change = trouble
    assert await bench.sender.amend(ours, PRICE - 50) is after
    assert bench.rest.changed == [(5, Decimal(PRICE - 50))]
    (now,) = bench.books.open_intents("BTC")
    assert now.price == PRICE - 100, "where it stands is known once the exchange tells"
    assert bool(now.amending_to) is pending
    assert bool(await asked_about(bench)) is asked
    await bench.books.end(now, IntentState.CANCELLED, "")
    said = [payload for (payload,) in bench.sql("SELECT payload FROM journal WHERE kind IN ('request', 'reply') ORDER BY seq")]
    assert any('"amend"' in payload and str(PRICE - 50) in payload for payload in said), "what was asked is part of its story"
    reply = "accepted" if trouble is None else str(trouble)
    assert any(reply in payload for payload in said), "and so is what came back"
    if isinstance(trouble, NotSent):
        assert any(event.get("detail") == "never sent: no connection" for event in bench.events())
    elif isinstance(trouble, Refused):
        assert any(event.get("detail") == f"{trouble.code}: no" for event in bench.events())
    await bench.close()


async def asked_about(bench: Bench) -> list[int]:
    """Return the orders that the next refresh asks about."""
    found: list[int] = []

    async def orders(order_ids: Any) -> list[Any]:
        found.extend(order_ids)
        return [order(number, status=OrderStatus.WORKING, type=OrderType.STOP) for number in order_ids]

    bench.rest.orders = orders  # type: ignore[method-assign]
    await bench.tracker.refresh()
    return found
