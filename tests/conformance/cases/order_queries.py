"""Reading orders and fills (§5.7 to §5.10)."""

from __future__ import annotations

from decimal import Decimal

from tests.conformance.registry import Production, case
from tests.conformance.shapes import CANCEL, EXECUTION, ORDER, PAGINATION, fits, number
from tests.conformance.stage import ask, bid
from tests.conformance.target import Target

KEYS = Production.KEYS


@case(501, "§5.7", "orders: keys and types; data has a list and no pagination")
async def orders(t: Target) -> None:
    order = await t.customer.placed("LIMIT", "BUY", "0.01", bid("BTC"))
    data = (await t.customer.read("orders", orderId=order)).data
    assert set(data) == {"list"}
    fits(data["list"][0], ORDER)
    assert data["list"][0]["rootOrderId"] == order


@case(502, "§5.7", "orders: cancelType is there only for what was cancelled or has expired")
async def cancel_type(t: Target) -> None:
    done = await t.customer.placed("MARKET", "BUY", "0.01")
    fits(await t.customer.shown(done), ORDER)
    gone = await t.customer.placed("LIMIT", "BUY", "0.01", bid("BTC"))
    (await t.customer.post("cancelOrder", {"orderId": gone})).done()
    row = await t.customer.shown(gone)
    fits(row, ORDER | {"cancelType": CANCEL})
    assert (row["status"], row["cancelType"]) == ("CANCELED", "USER")


@case(503, "§5.7", "orders: a comma list of up to ten, more are invalid", codes="ERR-5106")
async def ten_orders(t: Target) -> None:
    ids = [await t.customer.placed("LIMIT", "BUY", "0.001", bid("BTC", 9)) for _ in range(11)]
    rows = (await t.customer.read("orders", orderId=",".join(map(str, ids[:10])))).rows
    assert {row["orderId"] for row in rows} == set(ids[:10])
    (await t.customer.read("orders", orderId=",".join(map(str, ids)))).refused("ERR-5106")


@case(504, "§5.7", "orders of an unknown number is an empty object, no error", production=KEYS)
async def unknown_order(t: Target) -> None:
    assert (await t.customer.read("orders", orderId=1)).data == {}


@case(505, "§5.7", "another customer's order is unknown to one")
async def other_s_order(t: Target) -> None:
    order = await t.other.placed("LIMIT", "BUY", "0.01", bid("BTC"))
    assert (await t.customer.read("orders", orderId=order)).data == {}


@case(506, "§5.7", "orders without a number, or with one that is none, is invalid", codes="ERR-5106", production=KEYS)
async def bad_order_id(t: Target) -> None:
    (await t.customer.read("orders")).refused("ERR-5106")
    (await t.customer.read("orders", orderId="abc")).refused("ERR-5106")


@case(507, "§5.7", "a spot SELL has settleType OPEN, a MARKET order the price 0")
async def odd_values(t: Target) -> None:
    row = await t.customer.shown(await t.customer.placed("MARKET", "SELL", "0.01"))
    assert (row["settleType"], row["price"], row["losscutPrice"], row["orderType"]) == ("OPEN", "0", "0", "NORMAL")


@case(508, "§5.7", "an order's timestamp is when it was placed, also after a change")
async def order_time(t: Target) -> None:
    order = await t.customer.placed("LIMIT", "BUY", "0.01", bid("BTC"))
    before = (await t.customer.shown(order))["timestamp"]
    await t.pause(5.0)
    (await t.customer.post("changeOrder", {"orderId": order, "price": bid("BTC", 1)})).done()
    row = await t.customer.shown(order)
    assert (row["timestamp"], row["price"]) == (before, bid("BTC", 1))


@case(511, "§5.8", "activeOrders: an empty result is an empty object")
async def no_active(t: Target) -> None:
    assert (await t.customer.read("activeOrders", symbol="BTC")).data == {}


@case(512, "§5.8", "activeOrders: rows without cancelType, with pagination, only of the symbol")
async def active(t: Target) -> None:
    mine = [await t.customer.placed("LIMIT", "BUY", "0.01", bid("BTC")), await t.customer.placed("STOP", "SELL", "0.01", "9900000")]
    await t.customer.placed("LIMIT", "BUY", "0.01", bid("BTC_JPY"), symbol="BTC_JPY")
    data = (await t.customer.read("activeOrders", symbol="BTC")).data
    fits(data["pagination"], PAGINATION)
    for row in data["list"]:
        fits(row, ORDER)
    assert {row["orderId"]: row["status"] for row in data["list"]} == dict(zip(mine, ("ORDERED", "WAITING"), strict=True))


@case(513, "§1.6", "activeOrders: page and count cut the list; a page beyond it is empty")
async def active_pages(t: Target) -> None:
    ids = [await t.customer.placed("LIMIT", "BUY", "0.001", bid("BTC", 9)) for _ in range(5)]
    pages = [(await t.customer.read("activeOrders", symbol="BTC", page=page, count=2)).rows for page in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [2, 2, 1, 0]
    assert sorted(row["orderId"] for page in pages for row in page) == ids


@case(514, "§1.6", "page and count outside their ranges are invalid", codes="ERR-5106", production=KEYS)
async def bad_page(t: Target) -> None:
    for query in ({"count": 101}, {"count": 0}, {"page": 0}, {"page": "x"}):
        (await t.customer.read("activeOrders", symbol="BTC", **query)).refused("ERR-5106")


@case(515, "§5.8", "activeOrders needs a symbol, and one that exists", codes="ERR-5106", production=KEYS)
async def active_symbol(t: Target) -> None:
    assert "symbol" in (await t.customer.read("activeOrders")).refused("ERR-5106")
    assert "symbol" in (await t.customer.read("activeOrders", symbol="NOPE")).refused("ERR-5106")


@case(521, "§5.9", "executions of an order: keys and types, data has a list and no pagination")
async def executions(t: Target) -> None:
    order = await t.customer.placed("MARKET", "BUY", "0.7")
    data = (await t.customer.read("executions", orderId=order)).data
    assert set(data) == {"list"}
    for row in data["list"]:
        fits(row, EXECUTION)
    assert [(row["size"], row["price"]) for row in data["list"]] == [("0.5", ask("BTC")), ("0.2", ask("BTC", 1))]
    assert {row["orderId"] for row in data["list"]} == {order}


@case(522, "§5.9", "executions by their own numbers")
async def executions_by_id(t: Target) -> None:
    order = await t.customer.placed("MARKET", "BUY", "0.7")
    wanted = [row["executionId"] for row in (await t.customer.read("executions", orderId=order)).rows]
    rows = (await t.customer.read("executions", executionId=",".join(map(str, wanted)))).rows
    assert sorted(row["executionId"] for row in rows) == sorted(wanted)


@case(523, "§5.9", "executions: orderId and executionId together are refused", codes="ERR-5208", production=KEYS)
async def executions_both(t: Target) -> None:
    (await t.customer.read("executions", orderId=1, executionId=1)).refused("ERR-5208")


@case(524, "§5.9", "executions: a number that is none is refused", codes="ERR-430", production=KEYS)
async def executions_bad(t: Target) -> None:
    (await t.customer.read("executions", orderId="abc")).refused("ERR-430")
    (await t.customer.read("executions", executionId="1,b")).refused("ERR-430")


@case(525, "§5.9", "executions of an unknown order is an empty object", production=KEYS)
async def executions_unknown(t: Target) -> None:
    assert (await t.customer.read("executions", orderId=1)).data == {}


@case(526, "§5.9", "a leverage fill names its position, a spot fill none")
async def executions_position(t: Target) -> None:
    order = await t.customer.placed("MARKET", "BUY", "0.01", symbol="BTC_JPY")
    (row,) = (await t.customer.read("executions", orderId=order)).rows
    fits(row, EXECUTION | {"positionId": number})
    assert (row["settleType"], row["lossGain"]) == ("OPEN", "0")


@case(531, "§5.10", "latestExecutions: newest first, with pagination, only of the symbol")
async def latest(t: Target) -> None:
    for side in ("BUY", "SELL"):
        await t.customer.placed("MARKET", side, "0.01")
    await t.customer.placed("MARKET", "BUY", "0.01", symbol="BTC_JPY")
    data = (await t.customer.read("latestExecutions", symbol="BTC")).data
    fits(data["pagination"], PAGINATION)
    for row in data["list"]:
        fits(row, EXECUTION)
    assert [row["side"] for row in data["list"]] == ["SELL", "BUY"]


@case(532, "§5.10", "latestExecutions covers one day, and is an empty object after it")
async def latest_day(t: Target) -> None:
    order = await t.customer.placed("MARKET", "BUY", "0.01")
    await t.pause(86_300)
    assert len((await t.customer.read("latestExecutions", symbol="BTC")).rows) == 1
    await t.pause(200)
    assert (await t.customer.read("latestExecutions", symbol="BTC")).data == {}
    assert len((await t.customer.read("executions", orderId=order)).rows) == 1


@case(533, "§5.10", "latestExecutions: pages")
async def latest_pages(t: Target) -> None:
    for _ in range(3):
        await t.customer.placed("MARKET", "BUY", "0.01")
    pages = [(await t.customer.read("latestExecutions", symbol="BTC", page=page, count=2)).rows for page in (1, 2, 3)]
    assert [len(page) for page in pages] == [2, 1, 0]
    assert len({row["executionId"] for page in pages for row in page}) == 3


@case(541, "§10.2", "acceptance is not visibility: an order and its fills may be hidden from queries for a while", visibility_seconds=2.0)
async def hidden(t: Target) -> None:
    resting = await t.customer.placed("LIMIT", "BUY", "0.01", bid("BTC"))
    filled = await t.customer.placed("MARKET", "BUY", "0.01")
    assert (await t.customer.read("activeOrders", symbol="BTC")).data == {}
    assert (await t.customer.read("orders", orderId=resting)).data == {}
    assert (await t.customer.read("executions", orderId=filled)).data == {}
    await t.pause(2.1)
    assert (await t.customer.shown(resting))["status"] == "ORDERED"
    assert len((await t.customer.read("executions", orderId=filled)).rows) == 1


@case(542, "§5.9", "the fills of an order add up to its executedSize")
async def adds_up(t: Target) -> None:
    order = await t.customer.placed("LIMIT", "BUY", "0.9", ask("BTC", 3))
    rows = (await t.customer.read("executions", orderId=order)).rows
    assert sum(Decimal(row["size"]) for row in rows) == Decimal((await t.customer.shown(order))["executedSize"]) == Decimal("0.9")
