"""changeOrder: a new price for a working order, and everything that can be wrong with it (reference §5.14, §8.5, §9)."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.emulator.leverage import LeverageDesk
from tests.emulator.support import KEY, PRICE, Desk, code, customer, frames, virtual

from gmobot.emulator.assumptions import Assumptions


async def _change(desk: Desk, order_id: object, price: object, **more: Any) -> Any:
    answer = await desk.private("POST", "/v1/changeOrder", body={"orderId": order_id, "price": price} | more)
    desk.exchange.check()
    return answer


async def _prices(socket: Any) -> list[tuple[str, ...]]:
    """Reduce order events to what a change is about."""
    return [
        (frame["msgType"], frame["orderStatus"], frame["orderPrice"], frame.get("cancelType", "")) if "msgType" in frame else ()
        for frame in await frames(socket)
        if frame["channel"] == "orderEvents"
    ]


def test_a_change_keeps_the_number_and_tells_the_new_price() -> None:
    async def scenario() -> None:
        desk = Desk()
        socket = await desk.private_socket()
        order_id = await desk.placed("LIMIT", "BUY", "0.1", PRICE - 1_000)
        await frames(socket)
        at = (await desk.shown(order_id))["timestamp"]
        await asyncio.sleep(1.0)
        answer = await _change(desk, order_id, str(PRICE - 100))
        assert answer["status"] == 0
        assert "data" not in answer
        assert await _prices(socket) == [("ROR", "ORDERED", str(PRICE - 100), "")]
        row = await desk.shown(order_id)
        assert (row["status"], row["price"], row["timestamp"]) == ("ORDERED", str(PRICE - 100), at)
        assert desk.account.held_uyen == (PRICE - 100) * 100_000 * 10_005 // 10_000
        desk.trade("SELL", PRICE - 150, "0.1")
        assert (await desk.shown(order_id))["status"] == "EXECUTED"

    virtual(scenario)


def test_a_changed_order_queues_up_anew() -> None:
    async def scenario() -> None:
        desk = Desk()
        first, second = [await desk.placed("LIMIT", "BUY", "0.01", PRICE - offset) for offset in (77, 78)]
        assert (await _change(desk, second, str(PRICE - 77)))["status"] == 0
        third = await desk.placed("LIMIT", "BUY", "0.01", PRICE - 77)
        assert (await _change(desk, first, str(PRICE - 78)))["status"] == 0
        assert (await _change(desk, first, str(PRICE - 77)))["status"] == 0
        assert [order.order_id for order in desk.book.resting("BUY")] == [second, third, first]

    virtual(scenario)


def test_a_change_through_the_market_takes_what_is_there() -> None:
    async def scenario() -> None:
        desk = Desk()
        socket = await desk.private_socket()
        order_id = await desk.placed("LIMIT", "BUY", "0.01", PRICE - 5_000)
        desk.book.replace([(PRICE, 300)], [])
        await frames(socket)
        assert (await _change(desk, order_id, str(PRICE)))["status"] == 0
        found = await frames(socket)
        assert [frame["msgType"] for frame in found] == ["ROR", "ER"]
        assert (found[1]["executionPrice"], found[1]["executionSize"]) == (str(PRICE), "0.003")
        assert (await desk.shown(order_id))["status"] == "ORDERED"

    virtual(scenario)


def test_changes_are_refused_with_their_codes() -> None:
    async def scenario() -> None:
        desk = Desk(assumptions=Assumptions(most_changes=2))
        order_id = await desk.placed("LIMIT", "BUY", "0.5", PRICE - 1_000)
        stop = await desk.placed("STOP", "SELL", "0.001", PRICE - 1_000)
        filled = await desk.placed("MARKET", "SELL", "0.001")
        assert code(await _change(desk, 42, str(PRICE))) == "ERR-5123"
        assert code(await _change(desk, filled, str(PRICE))) == "ERR-5122"
        assert code(await _change(desk, stop, str(PRICE + 1_000))) == "ERR-5129"
        assert code(await _change(desk, order_id, str(PRICE // 2))) == "ERR-5121"
        assert code(await _change(desk, order_id, f"{PRICE}.5")) == "ERR-5114"
        assert code(await _change(desk, order_id, "0")) == "ERR-5106"
        assert code(await _change(desk, "x", str(PRICE))) == "ERR-5106"
        assert code(await _change(desk, order_id, str(PRICE), losscutPrice="1")) == "ERR-5118"
        await desk.placed("LIMIT", "BUY", "0.49", PRICE - 1_000)
        assert code(await _change(desk, order_id, str(PRICE + 1_900_000))) == "ERR-201"
        for price in (PRICE - 2_000, PRICE - 1_000):
            assert (await _change(desk, order_id, str(price)))["status"] == 0
        assert code(await _change(desk, order_id, str(PRICE - 2_000))) == "ERR-5206"
        assert (await _change(desk, stop, str(PRICE - 2_000)))["status"] == 0
        assert (await desk.shown(stop))["status"] == "WAITING"
        desk.api.set_status("PREOPEN")
        assert code(await _change(desk, stop, str(PRICE - 2_000))) == "ERR-5203"

    virtual(scenario)


def test_a_post_only_order_that_would_take_stays_where_it_is() -> None:
    """§8.5: ROR, ORDERED, SOK_TAKER: the old order stands."""

    async def scenario() -> None:
        desk = Desk()
        socket = await desk.private_socket()
        order_id = await desk.placed("LIMIT", "BUY", "0.01", PRICE - 5_000, "SOK")
        await frames(socket)
        assert (await _change(desk, order_id, str(PRICE + 5_000)))["status"] == 0
        assert await _prices(socket) == [("ROR", "ORDERED", str(PRICE - 5_000), "SOK_TAKER")]
        row = await desk.shown(order_id)
        assert (row["status"], row["price"]) == ("ORDERED", str(PRICE - 5_000))
        assert "cancelType" not in row

    virtual(scenario)


def test_a_refused_change_costs_no_place_in_the_queue() -> None:
    async def scenario() -> None:
        desk = Desk()
        first, second = [await desk.placed("LIMIT", "BUY", "0.01", PRICE - 77, "SOK") for _ in range(2)]
        assert (await _change(desk, first, str(PRICE + 3_000)))["status"] == 0
        assert [order.order_id for order in desk.book.resting("BUY")] == [first, second]

    virtual(scenario)


def test_the_band_may_refuse_a_change_by_an_event_only() -> None:
    async def scenario() -> None:
        desk = Desk(assumptions=Assumptions(change_band_in_reply=False))
        socket = await desk.private_socket()
        order_id = await desk.placed("LIMIT", "BUY", "0.01", PRICE - 5_000)
        await frames(socket)
        assert (await _change(desk, order_id, str(PRICE // 2)))["status"] == 0
        assert await _prices(socket) == [("ROR", "ORDERED", str(PRICE - 5_000), "PRICE_LIMIT")]

    virtual(scenario)


def test_an_order_that_is_being_changed_may_fill_at_the_old_price() -> None:
    async def scenario() -> None:
        desk = Desk(assumptions=Assumptions(change_seconds=2.0))
        filled, changed = [await desk.placed("LIMIT", "BUY", "0.01", PRICE - offset) for offset in (100, 200)]
        for order_id in (filled, changed):
            assert (await _change(desk, order_id, str(PRICE - 300)))["status"] == 0
            assert (await desk.shown(order_id))["status"] == "MODIFYING"
            assert code(await _change(desk, order_id, str(PRICE - 400))) == "ERR-5122"
        desk.trade("SELL", PRICE - 150, "0.01")
        await asyncio.sleep(3.0)
        rows = [await desk.shown(order_id) for order_id in (filled, changed)]
        assert [(row["status"], row["price"]) for row in rows] == [("EXECUTED", str(PRICE - 100)), ("ORDERED", str(PRICE - 300))]
        desk.exchange.check()

    virtual(scenario)


def test_a_change_that_the_market_overtakes_is_refused_by_the_band_when_it_is_applied() -> None:
    async def scenario() -> None:
        desk = Desk(assumptions=Assumptions(change_seconds=2.0))
        order_id = await desk.placed("LIMIT", "SELL", "0.01", PRICE + 5_000)
        socket = await desk.private_socket()
        assert (await _change(desk, order_id, str(PRICE + 2_000_000)))["status"] == 0
        desk.book.replace([(PRICE // 2 + 10, 1_000)], [(PRICE // 2, 1_000)])
        await asyncio.sleep(3.0)
        assert await _prices(socket) == [("ROR", "ORDERED", str(PRICE + 5_000), "PRICE_LIMIT")]

    virtual(scenario)


def test_leverage_orders_change_their_losscut_price_and_margin() -> None:
    async def scenario() -> None:
        desk = LeverageDesk(accounts={KEY: customer(jpy="500000")})
        order_id = int((await desk.lever("LIMIT", "BUY", "0.1", PRICE - 1_000, losscutPrice="9000000"))["data"])
        assert code(await _change(desk, order_id, str(PRICE - 1_000), losscutPrice=str(PRICE))) == "ERR-5121"
        assert (await _change(desk, order_id, str(PRICE - 2_000), losscutPrice="9500000"))["status"] == 0
        row = await desk.shown(order_id)
        assert (row["price"], row["losscutPrice"]) == (str(PRICE - 2_000), "9500000")
        assert desk.account.held_uyen == (PRICE - 2_000) * 50_000
        assert code(await _change(desk, order_id, str(PRICE + 1_000))) == "ERR-201"

    virtual(scenario)


def test_a_close_order_changes_its_price() -> None:
    async def scenario() -> None:
        desk = LeverageDesk()
        position = await desk.opened("BUY", "0.1")
        order_id = int((await desk.close(position, "0.1", "LIMIT", PRICE + 10_000))["data"])
        assert code(await _change(desk, order_id, str(PRICE + 500), losscutPrice="9000000")) == "ERR-5118"
        assert (await _change(desk, order_id, str(PRICE + 500)))["status"] == 0
        desk.trade("BUY", PRICE + 600, "1", "BTC_JPY")
        assert not desk.positions

    virtual(scenario)
