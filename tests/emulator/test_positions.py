"""Leverage positions: opened by fills, hedged, reserved and closed (reference §5.11 to §5.20, §6.1, §8.4 to §8.7)."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from tests.emulator.leverage import SYMBOL, LeverageDesk
from tests.emulator.support import KEY, PRICE, btc_jpy, code, customer, frames, virtual

from gmobot.core.instrument import FeeRounding
from gmobot.emulator.assumptions import Assumptions
from gmobot.venue.transport import Socket

CHANNELS = ("executionEvents", "orderEvents", "positionEvents", "positionSummaryEvents")


async def _desk(*channels: str, **options: Any) -> tuple[LeverageDesk, Socket]:
    desk = LeverageDesk(**options)
    return desk, await desk.private_socket(*(channels or CHANNELS[:3]))


def _short(found: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Reduce events to what a lifecycle is about."""
    rows: list[tuple[str, ...]] = []
    for frame in found:
        if frame["channel"] == "executionEvents":
            rows.append(("fill", frame["settleType"], frame["executionSize"], frame["lossGain"]))
        elif frame["channel"] == "orderEvents":
            rows.append((frame["msgType"], frame["settleType"], frame["orderStatus"], frame.get("cancelType", "")))
        else:
            rows.append((frame["msgType"], frame["size"], frame["orderdSize"]))
    return rows


def test_a_fill_opens_a_position_and_the_opposite_side_opens_a_hedge() -> None:
    async def scenario() -> None:
        desk, socket = await _desk()
        before = desk.account.jpy_uyen
        await desk.opened("BUY", "0.1")
        await desk.opened("SELL", "0.04")
        assert [(p.side, p.lots, p.ticks) for p in desk.positions] == [("BUY", 100, PRICE), ("SELL", 40, PRICE - 1)]
        assert desk.account.jpy_uyen == before, "opening moves no money: the fee of BTC_JPY is 0 (§6.6)"
        found = await frames(socket)
        assert _short(found) == [("fill", "OPEN", "0.1", "0"), ("OPR", "0.1", "0"), ("fill", "OPEN", "0.04", "0"), ("OPR", "0.04", "0")]
        assert found[0]["positionId"] == found[1]["positionId"] == desk.positions[0].position_id

    virtual(scenario)


def test_every_fill_of_an_order_is_a_position_of_its_own() -> None:
    async def scenario() -> None:
        desk, _ = await _desk()
        desk.exchange.symbols[SYMBOL].book.replace([(PRICE, 10), (PRICE + 5, 10)], [])
        assert (await desk.lever("MARKET", "BUY", "0.015"))["status"] == 0
        assert [(p.ticks, p.lots) for p in desk.positions] == [(PRICE, 10), (PRICE + 5, 5)]

    virtual(scenario)


def test_open_positions_and_their_sums_are_listed_as_documented() -> None:
    async def scenario() -> None:
        desk, _ = await _desk()
        first = await desk.opened("BUY", "0.2")
        desk.move(PRICE + 1_001)
        await desk.opened("BUY", "0.1")
        await desk.close(first, "0.05", "LIMIT", PRICE + 50_000)
        page = (await desk.private("GET", "/v1/openPositions", f"symbol={SYMBOL}&count=2"))["data"]
        assert page["pagination"] == {"currentPage": 1, "count": 2}
        assert page["list"][1] == {
            "positionId": first.position_id,
            "symbol": SYMBOL,
            "side": "BUY",
            "size": "0.2",
            "orderdSize": "0.05",
            "price": str(PRICE),
            "lossGain": "200.2",
            "leverage": "2",
            "losscutPrice": str(PRICE * 3 // 4),
            "timestamp": page["list"][1]["timestamp"],
        }
        row = {
            "averagePositionRate": str(PRICE + 334),  # 333.67 above
            "positionLossGain": "200.2",
            "side": "BUY",
            "sumOrderQuantity": "0.05",
            "sumPositionQuantity": "0.3",
            "symbol": SYMBOL,
        }
        assert (await desk.private("GET", "/v1/positionSummary"))["data"] == {"list": [row]}
        assert (await desk.private("GET", "/v1/positionSummary", f"symbol={SYMBOL}"))["data"] == {"list": [row]}

    virtual(scenario)


def test_without_positions_the_lists_are_empty_objects_and_spot_has_none() -> None:
    async def scenario() -> None:
        desk, _ = await _desk()
        for path in ("openPositions", "positionSummary"):
            assert (await desk.private("GET", f"/v1/{path}", f"symbol={SYMBOL}"))["data"] == {}
            assert code(await desk.private("GET", f"/v1/{path}", "symbol=BTC")) == "ERR-5106"
        assert code(await desk.private("GET", "/v1/openPositions")) == "ERR-5106"

    virtual(scenario)


def test_a_close_reserves_fills_and_realises_in_the_documented_order_of_events() -> None:
    """§8.9, sequence 6."""

    async def scenario() -> None:
        desk, socket = await _desk()
        position = await desk.opened("BUY", "0.1")
        await frames(socket)
        before = desk.account.jpy_uyen
        order_id = int((await desk.close(position, "0.04", "LIMIT", PRICE + 1_000))["data"])
        assert _short(await frames(socket)) == [("NOR", "CLOSE", "ORDERED", ""), ("UPR", "0.1", "0.04")]
        desk.trade("BUY", PRICE + 1_500, "0.03", SYMBOL)
        assert _short(await frames(socket)) == [("fill", "CLOSE", "0.03", "30"), ("UPR", "0.07", "0.01")]
        assert desk.account.jpy_uyen - before == 30_000_000
        row = await desk.shown(order_id)
        assert (row["settleType"], row["orderType"], row["executedSize"]) == ("CLOSE", "NORMAL", "0.03")
        await desk.private("POST", "/v1/cancelOrder", body={"orderId": order_id})
        assert _short(await frames(socket)) == [("COR", "CLOSE", "CANCELED", "USER"), ("UPR", "0.07", "0")]
        rows = (await desk.private("GET", "/v1/executions", f"orderId={order_id}"))["data"]["list"]
        assert [(row["positionId"], row["settleType"], row["lossGain"]) for row in rows] == [(position.position_id, "CLOSE", "30")]

    virtual(scenario)


@pytest.mark.parametrize(("assumed", "size"), [("zero", "0"), ("last", "0.1")])
def test_a_closed_position_is_reported_with_the_assumed_size(assumed: Any, size: str) -> None:
    async def scenario() -> None:
        desk, socket = await _desk(assumptions=Assumptions(closed_size=assumed))
        position = await desk.opened("SELL", "0.1")
        await frames(socket)
        assert (await desk.close(position, "0.1"))["status"] == 0
        assert _short(await frames(socket))[-2:] == [("fill", "CLOSE", "0.1", "-0.1"), ("CPR", size, "0")]
        assert not desk.positions

    virtual(scenario)


def test_realised_yen_are_rounded_if_so_assumed() -> None:
    async def scenario() -> None:
        desk, _ = await _desk(assumptions=Assumptions(loss_gain_rounding=FeeRounding.FLOOR))
        before = desk.account.jpy_uyen
        await desk.close(await desk.opened("BUY", "0.1"), "0.1")
        assert desk.account.jpy_uyen - before == -1_000_000, "-0.1 yen, floored"

    virtual(scenario)


def test_close_orders_are_refused_with_their_codes() -> None:
    async def scenario() -> None:
        desk, _ = await _desk()
        position = await desk.opened("BUY", "0.1")
        assert code(await desk.close(position, "0.1", positionId=42)) == "ERR-254"
        assert code(await desk.close(position, "0.1", side="BUY")) == "ERR-70"
        assert code(await desk.close(position, "0.101")) == "ERR-189"
        assert (await desk.close(position, "0.06", "LIMIT", PRICE + 1_000))["status"] == 0
        assert code(await desk.close(position, "0.05")) == "ERR-200"
        assert code(await desk.close(position, "0.0405")) == "ERR-5114"
        assert code(await desk.close(position, "0.04", "LIMIT", PRICE // 2)) == "ERR-5121"
        assert code(await desk.close(position, "0.04", "STOP", PRICE + 1)) == "ERR-5129"
        assert code(await desk.close(position, "0.04", losscutPrice="1")) == "ERR-5118"
        assert code(await desk.close(position, "0.04", symbol="BTC")) == "ERR-5106"
        wrong: tuple[Any, ...] = (None, [], [{}], [{"positionId": position.position_id, "size": "0.01"}] * 2)
        for settle in wrong:
            answer = await desk.close(position, "0.04", settlePosition=settle)
            assert code(answer) == "ERR-5106"
        assert (await desk.close(position, "0.04"))["status"] == 0
        assert position.lots == position.reserved == 60

    virtual(scenario)


def test_a_close_never_needs_buying_power() -> None:
    async def scenario() -> None:
        desk = LeverageDesk(jpy="500000")
        position = await desk.opened("BUY", "0.1")
        assert desk.exchange.ledger.margins.available_uyen(desk.account) == 0
        assert code(await desk.lever("MARKET", "BUY", "0.001")) == "ERR-201"
        assert (await desk.close(position, "0.1"))["status"] == 0

    virtual(scenario)


def test_cancel_before_frees_the_position_from_older_close_orders() -> None:
    async def scenario() -> None:
        desk, _ = await _desk()
        position = await desk.opened("BUY", "0.1")
        older = [int((await desk.close(position, "0.04", "LIMIT", PRICE + 1_000))["data"]) for _ in range(2)]
        assert (await desk.close(position, "0.05", cancelBefore=True))["status"] == 0
        assert [desk.account.orders[number].status for number in older] == ["CANCELED", "ORDERED"]
        assert code(await desk.close(position, "0.01", "LIMIT", PRICE + 1_000, cancelBefore=True)) == "ERR-5106"

    virtual(scenario)


@pytest.mark.parametrize(("assumed", "left"), [("oldest", [0, 20, 50]), ("newest", [50, 30, 0])])
def test_a_bulk_close_goes_over_positions_one_execution_each(assumed: Any, left: list[int]) -> None:
    async def scenario() -> None:
        desk, _ = await _desk(assumptions=Assumptions(bulk_close_first=assumed))
        opened = [await desk.opened("BUY", size) for size in ("0.05", "0.05", "0.05")]
        await desk.opened("SELL", "0.01")
        size = "0.08" if assumed == "oldest" else "0.07"
        order_id = int((await desk.close_bulk("SELL", size))["data"])
        assert [position.lots for position in opened] == left
        rows = (await desk.private("GET", "/v1/executions", f"orderId={order_id}"))["data"]["list"]
        order = opened if assumed == "oldest" else opened[::-1]
        assert [row["positionId"] for row in rows] == [position.position_id for position in order[:2]]

    virtual(scenario)


@pytest.mark.parametrize("told", ["first", "unnamed"])
def test_a_bulk_close_may_be_told_with_one_execution(told: Any) -> None:
    async def scenario() -> None:
        desk, _ = await _desk(assumptions=Assumptions(bulk_close_fills=told))
        opened = [await desk.opened("BUY", size) for size in ("0.05", "0.05", "0.05")]
        order_id = int((await desk.close_bulk("SELL", "0.08"))["data"])
        assert [position.lots for position in opened] == [0, 20, 50]
        rows = (await desk.private("GET", "/v1/executions", f"orderId={order_id}"))["data"]["list"]
        number = opened[0].position_id if told == "first" else None
        assert [(row.get("positionId"), row["size"]) for row in rows] == [(number, "0.08")]
        assert (await desk.close(opened[1], "0.02"))["status"] == 0
        assert desk.account.executions[-1].position_id == opened[1].position_id, "one that names its position is told with it"
        desk.exchange.check()

    virtual(scenario)


def test_bulk_closes_are_refused_with_their_codes() -> None:
    async def scenario() -> None:
        desk, _ = await _desk()
        position = await desk.opened("BUY", "0.1")
        assert code(await desk.close_bulk("BUY", "0.1")) == "ERR-422"
        assert code(await desk.close_bulk("SELL", "0.101")) == "ERR-423"
        await desk.close(position, "0.06", "LIMIT", PRICE + 1_000)
        assert code(await desk.close_bulk("SELL", "0.05")) == "ERR-200"
        assert code(await desk.close_bulk("SELL", "0.01", cancelBefore=True)) == "ERR-5106"

    virtual(scenario)


def test_bulk_cancel_filters_by_settle_type() -> None:
    async def scenario() -> None:
        desk, _ = await _desk()
        close = int((await desk.close(await desk.opened("BUY", "0.1"), "0.1", "LIMIT", PRICE + 1_000))["data"])
        opening = int((await desk.lever("LIMIT", "SELL", "0.01", PRICE + 2_000))["data"])
        for settle, number in (("CLOSE", close), ("OPEN", opening)):
            body = {"symbols": [SYMBOL, "BTC"], "settleType": settle}
            assert (await desk.private("POST", "/v1/cancelBulkOrder", body=body))["data"] == [number]

    virtual(scenario)


def test_an_order_carries_its_losscut_price_into_the_position() -> None:
    async def scenario() -> None:
        desk, _ = await _desk()
        order_id = int((await desk.lever("LIMIT", "BUY", "0.01", PRICE - 10, losscutPrice="9000000"))["data"])
        assert (await desk.shown(order_id))["losscutPrice"] == "9000000"
        desk.trade("SELL", PRICE - 20, "1", SYMBOL)
        assert [position.losscut for position in desk.positions] == [9_000_000]
        assert code(await desk.lever("MARKET", "BUY", "0.01", losscutPrice="9000000")) == "ERR-5118"
        for price in (PRICE, 7_400_000):  # at the order's own price, and looser than the default (§12.8)
            assert code(await desk.lever("LIMIT", "BUY", "0.01", PRICE - 10, losscutPrice=str(price))) == "ERR-5121"
        assert code(await desk.lever("LIMIT", "BUY", "0.01", PRICE - 10, losscutPrice="9000000.5")) == "ERR-5114"

    virtual(scenario)


def test_a_losscut_price_that_a_better_fill_has_passed_gives_way_to_the_default() -> None:
    async def scenario() -> None:
        desk, _ = await _desk()
        desk.quote(PRICE - 500_000)
        assert (await desk.lever("LIMIT", "BUY", "0.01", PRICE - 10, losscutPrice="9900000"))["status"] == 0
        assert [position.losscut for position in desk.positions] == [(PRICE - 500_000) * 3 // 4]

    virtual(scenario)


def test_a_losscut_price_may_be_tightened_and_loosened_if_so_assumed() -> None:
    async def scenario(loosen: bool) -> None:
        desk, socket = await _desk(assumptions=Assumptions(losscut_may_loosen=loosen))
        position = await desk.opened("BUY", "0.01")
        await frames(socket)

        async def change(number: int, price: str) -> Any:
            return await desk.private("POST", "/v1/changeLosscutPrice", body={"positionId": number, "losscutPrice": price})

        answer = await change(position.position_id, "9000000")
        assert answer["status"] == 0
        assert "data" not in answer
        (frame,) = await frames(socket)
        assert (frame["msgType"], frame["losscutPrice"]) == ("ULR", "9000000")
        loose = await change(position.position_id, "7000000")
        assert loose["status"] == 0 if loosen else code(loose) == "ERR-5121"
        assert code(await change(position.position_id, str(PRICE))) == "ERR-5121"
        assert code(await change(42, "9000000")) == "ERR-254"
        assert code(await change(position.position_id, "x")) == "ERR-5106"

    virtual(lambda: scenario(loosen=True))
    virtual(lambda: scenario(loosen=False))


def test_post_only_is_legal_on_some_leverage_symbols_only() -> None:
    """§6.2: BTC_JPY has it, ETH_JPY has not."""

    async def scenario() -> None:
        desk = LeverageDesk(listed=(btc_jpy(), btc_jpy(symbol="ETH_JPY")))
        assert (await desk.lever("LIMIT", "BUY", "0.01", PRICE - 10, "SOK"))["status"] == 0
        assert code(await desk.lever("LIMIT", "BUY", "0.01", PRICE - 10, "SOK", symbol="ETH_JPY")) == "ERR-5111"
        other = LeverageDesk(assumptions=Assumptions(sok_leverage_symbols=frozenset()))
        assert code(await other.lever("LIMIT", "BUY", "0.01", PRICE - 10, "SOK")) == "ERR-5111"

    virtual(scenario)


def test_customers_trade_positions_with_each_other() -> None:
    async def scenario() -> None:
        accounts = {KEY: customer(), "other": customer("other", "other-secret")}
        desk = LeverageDesk(accounts=accounts, listed=(btc_jpy(maker_fee=Decimal("-0.0001"), taker_fee=Decimal("0.0003")),))
        desk.exchange.symbols[SYMBOL].book.replace([(PRICE + 100_000, 1_000)], [(PRICE - 1, 1_000)])
        assert (await desk.lever("LIMIT", "SELL", "0.1", PRICE + 50_000))["status"] == 0
        assert (await desk.lever("MARKET", "BUY", "0.1", key="other", secret="other-secret"))["status"] == 0
        mine, theirs = (next(iter(account.positions.values())) for account in accounts.values())
        assert (mine.side, theirs.side, mine.ticks, theirs.ticks) == ("SELL", "BUY", PRICE + 50_000, PRICE + 50_000)
        assert [account.executions[0].fee_uyen // 1_000_000 for account in accounts.values()] == [-101, 302]

    virtual(scenario)


def test_position_sums_are_told_at_first_on_change_and_on_a_clock() -> None:
    async def scenario() -> None:
        desk = LeverageDesk()
        running = asyncio.create_task(desk.api.run())
        await desk.opened("BUY", "0.1")
        socket = await desk.private_socket("positionSummaryEvents")
        (first,) = await frames(socket, 1.0)
        assert (first["msgType"], first["sumPositionQuantity"]) == ("INIT", "0.1")
        await desk.close(desk.positions[0], "0.1")
        assert [(f["msgType"], f["sumPositionQuantity"], f["averagePositionRate"]) for f in await frames(socket, 1.0)][-1] == (
            "UPDATE",
            "0",
            "0",
        )
        await desk.opened("SELL", "0.2")
        await frames(socket, 1.0)
        await socket.send('{"command": "subscribe", "channel": "positionSummaryEvents", "option": "PERIODIC"}')
        found = [(f["msgType"], f["side"]) for f in await frames(socket, 16.0)]
        assert found[0] == ("INIT", "SELL")
        assert found[1:] in ([("PERIODIC", "SELL")] * 3, [("PERIODIC", "SELL")] * 4), "every five seconds"
        running.cancel()

    virtual(scenario)


def test_position_sums_come_on_a_clock_only_where_asked_and_at_first_unless_assumed_otherwise() -> None:
    async def scenario() -> None:
        desk = LeverageDesk(assumptions=Assumptions(summary_init=False))
        running = asyncio.create_task(desk.api.run())
        await desk.opened("BUY", "0.1")
        socket = await desk.private_socket("positionSummaryEvents")
        assert await frames(socket, 16.0) == []
        running.cancel()

    virtual(scenario)


def test_the_ledger_dump_shows_positions() -> None:
    async def scenario() -> None:
        desk = LeverageDesk()
        await desk.opened("BUY", "0.1")
        dump = desk.api._admin._account(desk.account)
        assert [(row["side"], row["size"]) for row in dump["positions"]] == [("BUY", "0.1")]

    virtual(scenario)
