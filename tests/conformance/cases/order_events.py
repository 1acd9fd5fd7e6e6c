"""Events of orders and fills (§8.4, §8.5)."""

from __future__ import annotations

from typing import Any

from tests.conformance.registry import case
from tests.conformance.shapes import CANCEL, EXECUTION_EVENT, ORDER_EVENT, fits, number, word
from tests.conformance.stage import ask, bid
from tests.conformance.target import Target

LEVER = "BTC_JPY"


def told(frames: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return channels and kinds of news."""
    return [(frame["channel"], frame["msgType"]) for frame in frames]


@case(921, "§8.5", "orderEvents: a new order is NOR and ORDERED, without cancelType")
async def nor(t: Target) -> None:
    stream = await t.customer.opened_stream("orderEvents")
    order = await t.customer.placed("LIMIT", "BUY", "0.01", bid("BTC"), "SOK")
    (event,) = await stream.take(1)
    fits(event, ORDER_EVENT)
    wanted = {"orderId": order, "orderStatus": "ORDERED", "orderPrice": bid("BTC"), "orderSize": "0.01", "orderExecutedSize": "0"}
    assert {name: event[name] for name in wanted} == wanted
    assert (event["msgType"], event["timeInForce"], event["losscutPrice"]) == ("NOR", "SOK", "0")


@case(922, "§8.5", "orderEvents: a new STOP is NOR and WAITING")
async def nor_stop(t: Target) -> None:
    stream = await t.customer.opened_stream("orderEvents")
    await t.customer.placed("STOP", "SELL", "0.01", "9500000")
    (event,) = await stream.take(1)
    fits(event, ORDER_EVENT)
    assert (event["msgType"], event["orderStatus"], event["orderPrice"]) == ("NOR", "WAITING", "9500000")


@case(923, "§8.5", "orderEvents: a changed order is ROR, which is no rejection; its time stays")
async def ror(t: Target) -> None:
    stream = await t.customer.opened_stream("orderEvents")
    order = await t.customer.placed("LIMIT", "BUY", "0.01", bid("BTC"))
    (await t.customer.post("changeOrder", {"orderId": order, "price": bid("BTC", 1)})).done()
    new, changed = await stream.take(2)
    fits(changed, ORDER_EVENT)
    assert changed == new | {"msgType": "ROR", "orderPrice": bid("BTC", 1)}


@case(924, "§8.5", "orderEvents: a cancelled order is COR and CANCELED, with cancelType USER and its time")
async def cor(t: Target) -> None:
    stream = await t.customer.opened_stream("orderEvents")
    order = await t.customer.placed("LIMIT", "BUY", "0.01", bid("BTC"))
    (await t.customer.post("cancelOrder", {"orderId": order})).done()
    new, gone = await stream.take(2)
    fits(gone, ORDER_EVENT | {"cancelType": word("USER")})
    assert gone == new | {"msgType": "COR", "orderStatus": "CANCELED", "cancelType": "USER"}


@case(925, "§8.5", "orderEvents: what expires is ER and EXPIRED, with the reason")
async def expired(t: Target) -> None:
    stream = await t.customer.opened_stream("orderEvents")
    await t.customer.placed("LIMIT", "BUY", "0.01", ask("BTC"), "SOK")
    await t.customer.placed("LIMIT", "BUY", "0.9", ask("BTC"), "FOK")
    sok, fok = await stream.take(2)
    for event in (sok, fok):
        fits(event, ORDER_EVENT | {"cancelType": CANCEL})
        assert (event["msgType"], event["orderStatus"], event["orderExecutedSize"]) == ("ER", "EXPIRED", "0")
    assert (sok["cancelType"], fok["cancelType"]) == ("EXPIRED_SOK", "EXPIRED_FOK")


@case(926, "§8.9", "a remainder that expires: the fills first, then EXPIRED with what was executed")
async def expired_rest(t: Target) -> None:
    stream = await t.customer.opened_stream("orderEvents", "executionEvents")
    await t.customer.placed("LIMIT", "BUY", "0.8", ask("BTC"), "FAK")
    new, fill, end = await stream.take(3)
    assert told([new, fill, end]) == [("orderEvents", "NOR"), ("executionEvents", "ER"), ("orderEvents", "ER")]
    assert (end["cancelType"], end["orderExecutedSize"], fill["executionSize"]) == ("EXPIRED_FAK", "0.5", "0.5")


@case(927, "§8.5", "there is no order event for a fill, complete or not")
async def no_executed_event(t: Target) -> None:
    stream = await t.customer.opened_stream("orderEvents")
    await t.customer.placed("LIMIT", "BUY", "0.3", "10000000")
    await stream.take(1)
    await t.other.placed("LIMIT", "SELL", "0.1", "10000000")
    await t.other.placed("LIMIT", "SELL", "0.2", "10000000")
    await stream.silent()


@case(928, "§8.5", "whether a MARKET order has an order event of its own is open: usually none")
async def market_silent(t: Target) -> None:
    stream = await t.customer.opened_stream("orderEvents")
    await t.customer.placed("MARKET", "BUY", "0.01")
    await stream.silent()


@case(929, "§8.5", "a MARKET order with an event: NOR before its fill", market_emits_new=True)
async def market_told(t: Target) -> None:
    stream = await t.customer.opened_stream("orderEvents", "executionEvents")
    await t.customer.placed("MARKET", "BUY", "0.01")
    assert told(await stream.take(2)) == [("orderEvents", "NOR"), ("executionEvents", "ER")]


@case(931, "§8.4", "executionEvents of spot: keys and types, no positionId; the price of a MARKET order is 0")
async def executions(t: Target) -> None:
    stream = await t.customer.opened_stream("executionEvents")
    order = await t.customer.placed("MARKET", "BUY", "0.01")
    (event,) = await stream.take(1)
    fits(event, EXECUTION_EVENT)
    assert (event["orderId"], event["orderPrice"], event["executionPrice"], event["fee"]) == (order, "0", ask("BTC"), "50")


@case(932, "§8.4", "executionEvents: orderExecutedSize is cumulative, and equals orderSize at the end")
async def cumulative(t: Target) -> None:
    stream = await t.customer.opened_stream("executionEvents")
    await t.customer.placed("LIMIT", "BUY", "0.3", "10000000")
    for size in ("0.1", "0.2"):
        await t.other.placed("LIMIT", "SELL", size, "10000000")
    events = await stream.take(2)
    assert [(e["executionSize"], e["orderExecutedSize"], e["orderSize"]) for e in events] == [("0.1", "0.1", "0.3"), ("0.2", "0.3", "0.3")]
    assert [e["fee"] for e in events] == ["-100", "-200"]


@case(933, "§8.4", "executionEvents of leverage: positionId, and lossGain when it closes")
async def executions_leverage(t: Target) -> None:
    stream = await t.customer.opened_stream("executionEvents")
    position = await t.customer.opened("BUY", "0.01")
    assert (await t.customer.close(position, "SELL", "0.01")).data
    opened, closed = await stream.take(2)
    for event in (opened, closed):
        fits(event, EXECUTION_EVENT | {"positionId": number})
        assert event["positionId"] == position
    assert [(e["settleType"], e["lossGain"]) for e in (opened, closed)] == [("OPEN", "0"), ("CLOSE", "-20")]


@case(934, "§8.4", "executionEvents and executions tell the same")
async def executions_agree(t: Target) -> None:
    stream = await t.customer.opened_stream("executionEvents")
    order = await t.customer.placed("LIMIT", "BUY", "0.8", ask("BTC", 1))
    events, rows = await stream.take(2), (await t.customer.read("executions", orderId=order)).rows
    names = {
        "executionId": "executionId",
        "price": "executionPrice",
        "size": "executionSize",
        "fee": "fee",
        "timestamp": "executionTimestamp",
    }
    assert [{rest: event[ws] for rest, ws in names.items()} for event in events] == [{rest: row[rest] for rest in names} for row in rows]


@case(935, "§5.9", "spot fills may carry a positionId, one a fill", spot_position_id="fill")
async def spot_positions(t: Target) -> None:
    stream = await t.customer.opened_stream("executionEvents")
    order = await t.customer.placed("MARKET", "BUY", "0.01")
    (event,), (row,) = await stream.take(1), (await t.customer.read("executions", orderId=order)).rows
    fits(event, EXECUTION_EVENT | {"positionId": number})
    assert event["positionId"] == row["positionId"] == event["executionId"]


@case(936, "§5.9", "spot fills may carry a positionId, always the same", spot_position_id="same")
async def spot_position(t: Target) -> None:
    orders = [await t.customer.placed("MARKET", "BUY", "0.01") for _ in range(2)]
    rows = [row for order in orders for row in (await t.customer.read("executions", orderId=order)).rows]
    assert [row["positionId"] for row in rows] == [1_234_567] * 2
