"""Every order type and time in force: what becomes of it, and which events tell of it (reference §6, §8.9)."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest
from tests.emulator.support import KEY, PRICE, Desk, code, customer, frames, virtual

from gmobot.emulator.assumptions import Assumptions
from gmobot.venue.transport import Socket

ASK_FAR, BID_FAR = PRICE + 500_000, PRICE - 500_000


async def _desk(**options: Any) -> tuple[Desk, Socket]:
    desk = Desk(**options)
    return desk, await desk.private_socket()


def _short(found: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Reduce events to what a lifecycle is about."""
    return [
        ("fill", frame["executionSize"], frame["orderExecutedSize"])
        if frame["channel"] == "executionEvents"
        else (frame["msgType"], frame["orderStatus"], frame.get("cancelType", ""), frame["orderExecutedSize"])
        for frame in found
    ]


def test_a_limit_order_rests_and_is_filled_by_the_tape_at_its_own_price() -> None:
    async def scenario() -> None:
        desk, socket = await _desk()
        order_id = await desk.placed("LIMIT", "BUY", "0.01", PRICE - 100)
        assert (await desk.shown(order_id))["status"] == "ORDERED"
        desk.trade("SELL", PRICE - 150, "0.004")
        row = await desk.shown(order_id)
        assert (row["status"], row["executedSize"]) == ("ORDERED", "0.004")
        desk.trade("SELL", PRICE - 150, "0.5")
        found = await frames(socket)
        assert _short(found) == [("NOR", "ORDERED", "", "0"), ("fill", "0.004", "0.004"), ("fill", "0.006", "0.01")]
        assert [frame["executionPrice"] for frame in found[1:]] == [str(PRICE - 100)] * 2
        assert found[1]["fee"] == "-4"  # 0.004 x 9,999,900 x -0.01 %: -3.99996
        assert (await desk.shown(order_id))["status"] == "EXECUTED"

    virtual(scenario)


def test_a_resting_order_waits_for_the_volume_in_front_of_it() -> None:
    async def scenario() -> None:
        desk, socket = await _desk()
        price, ahead = desk.book.levels("BUY", 1)[0]
        await desk.placed("LIMIT", "BUY", "0.01", price)
        await frames(socket)
        in_front = str(ahead * desk.exchange.instruments["BTC"].size_step)
        desk.trade("SELL", price, in_front)
        assert await frames(socket) == []
        desk.trade("SELL", price, "0.003")
        assert _short(await frames(socket)) == [("fill", "0.003", "0.003")]

    virtual(scenario)


def test_two_orders_at_one_price_are_served_in_the_order_they_came() -> None:
    async def scenario() -> None:
        desk, socket = await _desk()
        price = PRICE - 77
        first = await desk.placed("LIMIT", "BUY", "0.01", price)
        second = await desk.placed("LIMIT", "BUY", "0.01", price)
        desk.trade("SELL", price, "0.015")
        fills = [frame for frame in await frames(socket) if frame["channel"] == "executionEvents"]
        assert [(fill["orderId"], fill["executionSize"]) for fill in fills] == [(first, "0.01"), (second, "0.005")]

    virtual(scenario)


def test_a_better_price_is_served_before_an_earlier_order() -> None:
    async def scenario() -> None:
        desk, socket = await _desk()
        await desk.placed("LIMIT", "SELL", "0.01", PRICE + 1_000)
        better = await desk.placed("LIMIT", "SELL", "0.01", PRICE + 900)
        desk.trade("BUY", PRICE + 1_100, "0.01")
        fills = [frame for frame in await frames(socket) if frame["channel"] == "executionEvents"]
        assert [fill["orderId"] for fill in fills] == [better]

    virtual(scenario)


def test_a_market_order_walks_the_book_and_emits_no_order_event() -> None:
    async def scenario() -> None:
        desk, socket = await _desk()
        await desk.placed("MARKET", "BUY", "0.4")
        found = await frames(socket)
        assert {frame["channel"] for frame in found} == {"executionEvents"}
        prices = [int(frame["executionPrice"]) for frame in found]
        assert len(prices) > 1
        assert prices == sorted(prices)
        assert found[-1]["orderExecutedSize"] == "0.4"
        assert found[0]["orderPrice"] == "0"
        assert desk.book.last == prices[-1]

    virtual(scenario)


def test_a_market_order_takes_the_levels_it_ate_out_of_the_book() -> None:
    async def scenario() -> None:
        desk = Desk()
        (best, lots), (second, _) = desk.book.levels("SELL", 2)
        await desk.placed("MARKET", "BUY", str(lots * desk.exchange.instruments["BTC"].size_step))
        assert best < second == desk.book.best_ask

    virtual(scenario)


def test_the_rest_of_a_market_order_that_finds_no_more_book_expires() -> None:
    async def scenario() -> None:
        desk, socket = await _desk()
        desk.book.replace([], [(PRICE, 300)])
        order_id = await desk.placed("MARKET", "SELL", "0.01")
        assert _short(await frames(socket)) == [("fill", "0.003", "0.003"), ("ER", "EXPIRED", "EXPIRED_FAK", "0.003")]
        row = await desk.shown(order_id)
        assert (row["status"], row["cancelType"], row["price"]) == ("EXPIRED", "EXPIRED_FAK", "0")

    virtual(scenario)


def test_market_orders_announce_themselves_if_so_assumed() -> None:
    async def scenario() -> None:
        desk, socket = await _desk(assumptions=Assumptions(market_emits_new=True))
        await desk.placed("MARKET", "SELL", "0.001")
        assert _short(await frames(socket))[0] == ("NOR", "ORDERED", "", "0")

    virtual(scenario)


@pytest.mark.parametrize("word", ["OPEN", "CLOSE"])
def test_what_a_spot_sell_is_said_to_settle(word: Literal["OPEN", "CLOSE"]) -> None:
    """§5.7: ``OPEN`` in all samples of spot, none of which is a SELL."""

    async def scenario() -> None:
        desk, socket = await _desk(assumptions=Assumptions(spot_sell_settle=word))
        bought = await desk.placed("MARKET", "BUY", "0.001")
        sold = await desk.placed("MARKET", "SELL", "0.001")
        resting = await desk.placed("LIMIT", "SELL", "0.001", ASK_FAR)
        words = {bought: "OPEN", sold: word, resting: word}
        active = (await desk.private("GET", "/v1/activeOrders", "symbol=BTC"))["data"]["list"]
        latest = (await desk.private("GET", "/v1/latestExecutions", "symbol=BTC"))["data"]["list"]
        told = [await desk.shown(number) for number in words] + active + latest + await frames(socket)
        for number in (bought, sold):
            told += (await desk.private("GET", "/v1/executions", f"orderId={number}"))["data"]["list"]
        assert len(told) == 11
        for row in told:
            assert row["settleType"] == words[row["orderId"]]

    virtual(scenario)


def test_an_immediate_limit_order_fills_what_it_can_and_expires() -> None:
    async def scenario() -> None:
        desk, socket = await _desk()
        desk.book.replace([(PRICE, 300), (PRICE + 10, 1_000)], [])
        await desk.placed("LIMIT", "BUY", "0.01", PRICE, "FAK")
        assert _short(await frames(socket)) == [
            ("NOR", "ORDERED", "", "0"),
            ("fill", "0.003", "0.003"),
            ("ER", "EXPIRED", "EXPIRED_FAK", "0.003"),
        ]

    virtual(scenario)


@pytest.mark.parametrize(("size", "filled"), [("0.003", True), ("0.00301", False)])
def test_fill_or_kill_is_all_or_nothing(size: str, filled: bool) -> None:
    async def scenario() -> None:
        desk, socket = await _desk()
        desk.book.replace([(PRICE, 100), (PRICE + 5, 200), (PRICE + 10, 1_000)], [])
        await desk.placed("LIMIT", "BUY", size, PRICE + 5, "FOK")
        found = _short(await frames(socket))
        if filled:
            assert found == [("NOR", "ORDERED", "", "0"), ("fill", "0.001", "0.001"), ("fill", "0.002", "0.003")]
        else:
            assert found == [("ER", "EXPIRED", "EXPIRED_FOK", "0")]

    virtual(scenario)


def test_post_only_rests_or_expires_but_never_takes() -> None:
    async def scenario() -> None:
        desk, socket = await _desk()
        taking = await desk.placed("LIMIT", "BUY", "0.01", desk.book.best_ask, "SOK")
        assert _short(await frames(socket)) == [("ER", "EXPIRED", "EXPIRED_SOK", "0")]
        assert (await desk.shown(taking))["executedSize"] == "0"
        await desk.placed("LIMIT", "BUY", "0.01", desk.book.best_ask - 1, "SOK")
        assert _short(await frames(socket)) == [("NOR", "ORDERED", "", "0")]

    virtual(scenario)


@pytest.mark.parametrize(("side", "trigger", "through"), [("SELL", PRICE - 1_000, PRICE - 1_001), ("BUY", PRICE + 1_000, PRICE + 1_000)])
def test_a_stop_waits_for_the_last_price_and_becomes_a_market_order(side: str, trigger: int, through: int) -> None:
    async def scenario() -> None:
        desk, socket = await _desk()
        order_id = await desk.placed("STOP", side, "0.001", trigger)
        assert (await desk.shown(order_id))["status"] == "WAITING"
        desk.trade(side, trigger + (1 if side == "SELL" else -1), "0.01")
        assert _short(await frames(socket)) == [("NOR", "WAITING", "", "0")]
        desk.trade(side, through, "0.01")
        assert _short(await frames(socket)) == [("fill", "0.001", "0.001")]
        assert (await desk.shown(order_id))["status"] == "EXECUTED"

    virtual(scenario)


def test_a_stop_can_be_assumed_to_watch_the_best_quote() -> None:
    async def scenario() -> None:
        desk = Desk(assumptions=Assumptions(stop_trigger="quote"))
        desk.book.replace([(PRICE + 10, 1_000)], [(PRICE - 500, 1_000)])
        assert code(await desk.order("STOP", "SELL", "0.001", PRICE - 500)) == "ERR-5129"
        assert (await desk.order("STOP", "SELL", "0.001", PRICE - 501))["status"] == 0

    virtual(scenario)


def test_one_stop_can_fire_the_next() -> None:
    async def scenario() -> None:
        desk = Desk()
        levels = [(PRICE - 100, 100), (PRICE - 300, 10_000)]
        desk.book.replace([(PRICE + 100, 1_000)], levels)
        first = await desk.placed("STOP", "SELL", "0.002", PRICE - 50)
        second = await desk.placed("STOP", "SELL", "0.001", PRICE - 250)
        desk.trade("SELL", PRICE - 60, "0.001")
        assert [(await desk.shown(order))["status"] for order in (first, second)] == ["EXECUTED", "EXECUTED"]

    virtual(scenario)


def test_a_cancel_is_accepted_first_and_reported_after() -> None:
    async def scenario() -> None:
        desk, socket = await _desk()
        order_id = await desk.placed("LIMIT", "SELL", "0.01", ASK_FAR)
        await frames(socket)
        answer = await desk.private("POST", "/v1/cancelOrder", body={"orderId": order_id})
        assert answer["status"] == 0
        assert "data" not in answer
        assert _short(await frames(socket)) == [("COR", "CANCELED", "USER", "0")]
        assert (await desk.shown(order_id))["cancelType"] == "USER"
        assert code(await desk.private("POST", "/v1/cancelOrder", body={"orderId": order_id})) == "ERR-5122"

    virtual(scenario)


def test_an_order_that_is_being_cancelled_may_still_fill() -> None:
    async def scenario() -> None:
        desk, socket = await _desk(assumptions=Assumptions(cancel_seconds=2.0))
        filled, gone = [await desk.placed("LIMIT", "BUY", "0.01", PRICE - offset) for offset in (100, 200)]
        await frames(socket)
        for order_id in (filled, gone):
            assert (await desk.private("POST", "/v1/cancelOrder", body={"orderId": order_id}))["status"] == 0
            assert (await desk.shown(order_id))["status"] == "CANCELLING"
        assert code(await desk.private("POST", "/v1/cancelOrder", body={"orderId": gone})) == "ERR-5122"
        desk.trade("SELL", PRICE - 150, "0.01")
        assert _short(await frames(socket, 5.0)) == [("fill", "0.01", "0.01"), ("COR", "CANCELED", "USER", "0")]
        assert (await desk.shown(filled))["status"] == "EXECUTED"
        desk.exchange.check()

    virtual(scenario)


@pytest.mark.parametrize("kind", ["LIMIT", "MARKET"])
def test_an_order_that_meets_its_own_account_expires_there(kind: str) -> None:
    async def scenario() -> None:
        desk, socket = await _desk()
        desk.book.replace([(PRICE, 100), (PRICE + 20, 1_000)], [])
        own = await desk.placed("LIMIT", "SELL", "0.01", PRICE + 10)
        await frames(socket)
        await desk.placed(kind, "BUY", "0.01", PRICE + 20 if kind == "LIMIT" else None)
        found = _short(await frames(socket))
        assert found[-2:] == [("fill", "0.001", "0.001"), ("ER", "EXPIRED", "EXPIRED_SELFTRADE", "0.001")]
        assert (await desk.shown(own))["executedSize"] == "0"

    virtual(scenario)


def test_customers_trade_with_each_other_at_the_makers_price() -> None:
    async def scenario() -> None:
        accounts = {KEY: customer(), "other": customer("other", "other-secret")}
        desk, socket = await _desk(accounts=accounts)
        desk.book.replace([(PRICE + 1_000, 1_000)], [(PRICE - 1_000, 1_000)])
        await desk.placed("LIMIT", "SELL", "0.01", PRICE)
        taker = await desk.placed("LIMIT", "BUY", "0.02", PRICE + 5, key="other", secret="other-secret")
        fills = [frame for frame in await frames(socket) if frame["channel"] == "executionEvents"]
        assert [(fill["executionPrice"], fill["fee"]) for fill in fills] == [(str(PRICE), "-10")]
        assert desk.exchange.accounts["other"].orders[taker].executed == 1_000
        assert desk.book.best_bid == PRICE + 5
        assert desk.exchange.symbols["BTC"].tape.newest(0, 1)[0].lots == 1_000
        desk.exchange.check()

    virtual(scenario)


def test_a_stop_that_costs_more_than_the_account_has_ends_for_lack_of_balance() -> None:
    async def scenario() -> None:
        desk, socket = await _desk(accounts={KEY: customer(jpy="101000", coins="0")})
        order_id = await desk.placed("STOP", "BUY", "0.01", PRICE + 1_000)
        await frames(socket)
        desk.book.replace([(PRICE + 200_000, 100_000)], [])
        desk.trade("BUY", PRICE + 2_000, "0.01")
        assert _short(await frames(socket)) == [
            ("fill", "0.00989", "0.00989"),
            ("COR", "CANCELED", "INSUFFICIENT_BALANCE", "0.00989"),
        ]
        assert (await desk.shown(order_id))["status"] == "CANCELED"
        assert 0 <= desk.account.jpy_uyen < 110_000_000

    virtual(scenario)


def test_a_purse_too_small_ends_a_stop_that_meets_another_customer() -> None:
    async def scenario() -> None:
        accounts = {KEY: customer(jpy="101000", coins="0"), "other": customer("other", "other-secret")}
        desk, socket = await _desk(accounts=accounts)
        desk.book.replace([(PRICE + 300_000, 100_000)], [])
        await desk.placed("LIMIT", "SELL", "0.1", PRICE + 200_000, key="other", secret="other-secret")
        await desk.placed("STOP", "BUY", "0.01", PRICE + 1_000)
        desk.trade("BUY", PRICE + 2_000, "0.01")
        assert _short(await frames(socket))[1:] == [
            ("fill", "0.00989", "0.00989"),
            ("COR", "CANCELED", "INSUFFICIENT_BALANCE", "0.00989"),
        ]
        assert desk.exchange.accounts["other"].reserved_lots("BTC") == 10_000 - 989
        desk.exchange.check()

    virtual(scenario)


def test_nobodys_order_ever_crosses_a_customers() -> None:
    async def scenario() -> None:
        desk = Desk()
        await desk.placed("LIMIT", "BUY", "0.1", PRICE - 100)
        desk.trade("SELL", PRICE - 5_000, "0.00001")
        assert desk.book.best_bid == PRICE - 100 < desk.book.best_ask
        await asyncio.sleep(0)

    virtual(scenario)
