"""The exchange's books add up after anything, and :meth:`Exchange.check` notices when they do not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.emulator.support import KEY, PRICE, Desk, FixedClock, customer

from gmobot.core.instrument import FeeRounding
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.engine.audit import LedgerBrokenError
from gmobot.emulator.engine.exchange import NewOrder, Refusal

PRICES = st.integers(PRICE - 3_000, PRICE + 3_000)
SIDES = st.sampled_from(["BUY", "SELL"])
SIZES = st.integers(1, 30_000)
KINDS = st.sampled_from([("LIMIT", tif) for tif in ("FAS", "FAK", "FOK", "SOK")] + [("MARKET", "FAK"), ("STOP", "FAK")])
STEP = st.one_of(
    st.tuples(st.just("order"), st.integers(0, 1), KINDS, SIDES, PRICES, SIZES),
    st.tuples(st.just("cancel"), st.integers(0, 1), st.integers(0, 20)),
    st.tuples(st.just("tape"), SIDES, PRICES, SIZES),
    st.tuples(st.just("book"), PRICES, SIZES, SIZES),
)


def _apply(desk: Desk, step: tuple[Any, ...]) -> None:
    accounts = list(desk.exchange.accounts.values())
    size = desk.exchange.instruments["BTC"].size_step
    if step[0] == "order":
        _, who, (kind, tif), side, price, lots = step
        at = None if kind == "MARKET" else Decimal(price)
        desk.exchange.place(accounts[who], NewOrder("BTC", side, kind, tif, lots * size, at))
    elif step[0] == "cancel":
        _, who, position = step
        if orders := list(accounts[who].orders):
            desk.exchange.cancel(accounts[who], orders[position % len(orders)])
    elif step[0] == "tape":
        _, side, price, lots = step
        desk.trade(side, price, str(lots * size))
    else:
        _, price, asked, bid = step
        market = desk.exchange.symbols["BTC"]
        asks, bids = [(price + 1, asked), (price + 500, 5 * asked)], [(price - 1, bid), (price - 500, 5 * bid)]
        market.matcher.cross(desk.clock.now_ns(), asks, bids)
        market.book.replace(asks, bids)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(STEP, max_size=40),
    rounding=st.sampled_from(FeeRounding),
    jpy=st.sampled_from(["0", "1000", "1000000", "30000000"]),
    coins=st.sampled_from(["0", "0.1", "3"]),
)
def test_nothing_is_made_lost_overfilled_or_left_held(steps: list[Any], rounding: FeeRounding, jpy: str, coins: str) -> None:
    accounts = {KEY: customer(jpy=jpy, coins=coins), "other": customer("other", "secret")}
    desk = Desk(clock=FixedClock(), accounts=accounts, assumptions=Assumptions(fee_rounding=rounding))
    ended: dict[int, str] = {}
    refused: set[str] = set()
    for step in steps:
        try:
            _apply(desk, step)
        except Refusal as refusal:
            refused.add(refusal.code)
        desk.exchange.check()
        _check_book(desk)
        for who in accounts.values():
            for order in who.orders.values():
                if not order.active:
                    assert ended.setdefault(order.order_id, order.status) == order.status
        assert not ended.keys() & {order.order_id for who in accounts.values() for order in who.open_orders.values()}
    for who in accounts.values():
        for order in list(who.open_orders.values()):
            desk.exchange.cancel(who, order.order_id)
        assert (who.held_uyen, sum(who.held_lots.values())) == (0, 0)
    desk.exchange.check()
    assert refused <= {"ERR-201", "ERR-208", "ERR-5121", "ERR-5122", "ERR-5129"}
    assert not desk.book.stops
    assert not desk.book.resting("BUY")
    assert not desk.book.resting("SELL")


def _check_book(desk: Desk) -> None:
    """Everything that rests is active and in priority, and the book as shown is neither crossed nor empty of it."""
    book = desk.book
    for side, sign in (("BUY", -1), ("SELL", 1)):
        orders = book.resting(side)
        assert [(sign * o.price, o.order_id) for o in orders] == sorted((sign * o.price, o.order_id) for o in orders)
        assert all(order.active and order.open_lots > 0 for order in orders)
    bid, ask = book.best_bid, book.best_ask
    assert not (bid and ask) or bid < ask
    waiting = {order.order_id for who in desk.exchange.accounts.values() for order in who.open_orders.values()}
    assert waiting == {order.order_id for order in [*book.stops, *book.resting("BUY"), *book.resting("SELL")]}


@settings(max_examples=100, deadline=None)
@given(
    orders=st.lists(st.tuples(st.integers(PRICE - 20, PRICE - 1), st.integers(1, 2_000)), max_size=8),
    prints=st.lists(st.tuples(st.integers(PRICE - 25, PRICE - 1), st.integers(1, 3_000)), max_size=8),
)
def test_the_tape_never_gives_more_than_was_traded(orders: list[tuple[int, int]], prints: list[tuple[int, int]]) -> None:
    desk = Desk(clock=FixedClock(), accounts={KEY: customer(jpy="100000000000")})
    size = desk.exchange.instruments["BTC"].size_step
    for price, lots in orders:
        desk.exchange.place(desk.account, NewOrder("BTC", "BUY", "LIMIT", "SOK", lots * size, Decimal(price)))
    for price, lots in prints:
        before = len(desk.account.executions)
        reached = sum(order.open_lots for order in desk.account.active() if order.price >= price)
        through = sum(order.open_lots for order in desk.account.active() if order.price > price)
        desk.trade("SELL", price, str(lots * size))
        fills = desk.account.executions[before:]
        filled = sum(fill.lots for fill in fills)
        assert min(through, lots) <= filled <= min(reached, lots)
        assert all(fill.ticks == fill.order.price >= price and fill.fee_uyen <= 0 for fill in fills)


def _lose_a_yen(desk: Desk) -> None:
    desk.account.jpy_uyen -= 1


def _make_a_coin(desk: Desk) -> None:
    desk.account.coins["BTC"] += 1


def _forget_a_hold(desk: Desk) -> None:
    desk.account.held_uyen = 0


def _lose_an_order(desk: Desk) -> None:
    desk.account.open_orders.clear()


def _forget_a_fee(desk: Desk) -> None:
    desk.exchange.ledger.fees_uyen += 1


def _overfill(desk: Desk) -> None:
    next(iter(desk.account.orders.values())).executed += 1


def _book_a_fill_twice(desk: Desk) -> None:
    desk.exchange.ledger.book(desk.account.executions[0])


@pytest.mark.parametrize(
    "damage", [_lose_a_yen, _make_a_coin, _forget_a_hold, _lose_an_order, _forget_a_fee, _overfill, _book_a_fill_twice]
)
def test_damage_to_the_books_is_noticed(damage: Callable[[Desk], None]) -> None:
    desk = Desk(clock=FixedClock())
    for kind, price in (("MARKET", None), ("LIMIT", Decimal(PRICE - 1_000))):
        desk.exchange.place(desk.account, NewOrder("BTC", "BUY", kind, "FAK" if price is None else "FAS", Decimal("0.001"), price))
    desk.exchange.check()
    damage(desk)
    with pytest.raises(LedgerBrokenError):
        desk.exchange.check()


def test_fees_are_whole_yen_signed_and_rounded_as_assumed() -> None:
    async def fee(rounding: FeeRounding, *, maker: bool) -> int:
        desk = Desk(clock=FixedClock(), assumptions=Assumptions(fee_rounding=rounding))
        if maker:
            desk.exchange.place(desk.account, NewOrder("BTC", "BUY", "LIMIT", "SOK", Decimal("0.00449"), Decimal(PRICE - 2_500)))
            desk.trade("SELL", PRICE - 2_600, "1")
        else:
            desk.book.replace([(PRICE, 1_000)], [])
            desk.exchange.place(desk.account, NewOrder("BTC", "BUY", "MARKET", "FAK", Decimal("0.00449"), None))
        return desk.account.executions[-1].fee_uyen

    # Taker 44,900 x 0.05 % = 22.45; maker 0.00449 x 9,997,500 x -0.01 % = -4.4888775.
    taker = {rounding: asyncio.run(fee(rounding, maker=False)) for rounding in FeeRounding}
    maker = {rounding: asyncio.run(fee(rounding, maker=True)) for rounding in FeeRounding}
    assert list(taker.values()) == [22_000_000, 22_000_000, 23_000_000, 22_450_000]
    assert list(maker.values()) == [-4_000_000, -5_000_000, -4_000_000, -4_488_878]
