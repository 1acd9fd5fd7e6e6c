"""Changing and cancelling orders (§5.14 to §5.17)."""

from __future__ import annotations

from tests.conformance.registry import case
from tests.conformance.stage import ask, bid
from tests.conformance.target import Target

STATE = "The request is invalid due to the status of the specified order."


async def _resting(t: Target, count: int = 1, side: str = "BUY", symbol: str = "BTC") -> list[int]:
    price = bid(symbol, 9) if side == "BUY" else ask(symbol, 9)
    return [await t.customer.placed("LIMIT", side, "0.001", price, symbol=symbol) for _ in range(count)]


@case(601, "§5.14", "changeOrder moves the price; number, size and time stay; the reply has no data")
async def change(t: Target) -> None:
    (order,) = await _resting(t)
    before = await t.customer.shown(order)
    (await t.customer.post("changeOrder", {"orderId": order, "price": bid("BTC", 3)})).done()
    assert await t.customer.shown(order) == before | {"price": bid("BTC", 3)}


@case(602, "§5.14", "changeOrder to a price that takes fills at once")
async def change_takes(t: Target) -> None:
    (order,) = await _resting(t)
    (await t.customer.post("changeOrder", {"orderId": order, "price": ask("BTC")})).done()
    assert (await t.customer.shown(order))["status"] == "EXECUTED"


@case(603, "§5.14", "changeOrder of an order nobody knows", codes="ERR-5123")
async def change_unknown(t: Target) -> None:
    answer = await t.customer.post("changeOrder", {"orderId": 1, "price": bid("BTC")})
    assert answer.refused("ERR-5123") == "The orderID not exist."


@case(604, "§5.14", "changeOrder of an order that has ended", codes="ERR-5122")
async def change_ended(t: Target) -> None:
    order = await t.customer.placed("MARKET", "BUY", "0.01")
    assert (await t.customer.post("changeOrder", {"orderId": order, "price": bid("BTC")})).refused("ERR-5122") == STATE


@case(605, "§5.14", "changeOrder of a waiting STOP moves its trigger; one that would fire is refused", codes="ERR-5129")
async def change_stop(t: Target) -> None:
    order = await t.customer.placed("STOP", "SELL", "0.01", "9500000")
    (await t.customer.post("changeOrder", {"orderId": order, "price": "10500000"})).refused("ERR-5129")
    (await t.customer.post("changeOrder", {"orderId": order, "price": "9600000"})).done()
    row = await t.customer.shown(order)
    assert (row["status"], row["price"]) == ("WAITING", "9600000")


@case(606, "§5.14", "an order's price can be changed so many times and no more", codes="ERR-5206", most_changes=2)
async def most_changes(t: Target) -> None:
    (order,) = await _resting(t)
    for level in (1, 2):
        (await t.customer.post("changeOrder", {"orderId": order, "price": bid("BTC", level)})).done()
    (await t.customer.post("changeOrder", {"orderId": order, "price": bid("BTC", 3)})).refused("ERR-5206")
    assert (await t.customer.shown(order))["price"] == bid("BTC", 2)


@case(607, "§5.14", "changeOrder checks decimals, band and purse like a new order", codes="ERR-5114 ERR-5121 ERR-201")
async def change_checks(t: Target) -> None:
    order = await t.customer.placed("LIMIT", "BUY", "0.99", bid("BTC", 9))
    for price, code in (("9999000.5", "ERR-5114"), ("1000000", "ERR-5121"), ("10200000", "ERR-201")):
        (await t.customer.post("changeOrder", {"orderId": order, "price": price})).refused(code)
    assert (await t.customer.shown(order))["price"] == bid("BTC", 9)


@case(608, "§5.14", "changeOrder of a post-only order that would take is refused by an event, and the old order stands")
async def change_sok(t: Target) -> None:
    order = await t.customer.placed("LIMIT", "BUY", "0.01", bid("BTC"), "SOK")
    stream = await t.customer.opened_stream("orderEvents")
    (await t.customer.post("changeOrder", {"orderId": order, "price": ask("BTC")})).done()
    (event,) = await stream.take(1)
    assert (event["msgType"], event["orderStatus"], event["cancelType"]) == ("ROR", "ORDERED", "SOK_TAKER")
    row = await t.customer.shown(order)
    assert (row["status"], row["price"]) == ("ORDERED", bid("BTC"))


@case(609, "§8.5", "a change beyond the band may be refused by an event instead of the reply", change_band_in_reply=False)
async def change_band_event(t: Target) -> None:
    (order,) = await _resting(t)
    stream = await t.customer.opened_stream("orderEvents")
    (await t.customer.post("changeOrder", {"orderId": order, "price": "1000000"})).done()
    (event,) = await stream.take(1)
    assert (event["msgType"], event["orderStatus"], event["cancelType"]) == ("ROR", "ORDERED", "PRICE_LIMIT")


@case(610, "§5.14", "changeOrder gives a leverage order another losscutPrice, and a spot order none", codes="ERR-5118")
async def change_losscut(t: Target) -> None:
    order = await t.customer.placed("LIMIT", "BUY", "0.01", bid("BTC_JPY"), symbol="BTC_JPY", losscutPrice="8000000")
    assert (await t.customer.shown(order))["losscutPrice"] == "8000000"
    (await t.customer.post("changeOrder", {"orderId": order, "price": bid("BTC_JPY", 1), "losscutPrice": "8500000"})).done()
    assert (await t.customer.shown(order))["losscutPrice"] == "8500000"
    (spot,) = await _resting(t)
    (await t.customer.post("changeOrder", {"orderId": spot, "price": bid("BTC"), "losscutPrice": "8500000"})).refused("ERR-5118")


@case(
    611, "§6.4", "an order may be MODIFYING for a moment, in which it cannot be changed or cancelled", codes="ERR-5122", change_seconds=2.0
)
async def modifying(t: Target) -> None:
    (order,) = await _resting(t)
    (await t.customer.post("changeOrder", {"orderId": order, "price": bid("BTC", 1)})).done()
    assert (await t.customer.shown(order))["status"] == "MODIFYING"
    (await t.customer.post("changeOrder", {"orderId": order, "price": bid("BTC", 2)})).refused("ERR-5122")
    (await t.customer.post("cancelOrder", {"orderId": order})).refused("ERR-5122")
    await t.pause(2.1)
    row = await t.customer.shown(order)
    assert (row["status"], row["price"]) == ("ORDERED", bid("BTC", 1))


@case(612, "§5.14", "changeOrder needs a number and a price", codes="ERR-5106")
async def change_parameters(t: Target) -> None:
    (order,) = await _resting(t)
    assert "price" in (await t.customer.post("changeOrder", {"orderId": order})).refused("ERR-5106")
    assert "orderId" in (await t.customer.post("changeOrder", {"price": bid("BTC")})).refused("ERR-5106")


@case(621, "§5.15", "cancelOrder: the reply has no data; a filled part stays filled")
async def cancel(t: Target) -> None:
    order = await t.customer.placed("LIMIT", "BUY", "0.8", ask("BTC"))
    (await t.customer.post("cancelOrder", {"orderId": order})).done()
    row = await t.customer.shown(order)
    assert (row["status"], row["cancelType"], row["executedSize"]) == ("CANCELED", "USER", "0.5")


@case(622, "§5.15", "cancelOrder of a number that never existed is ERR-151, not ERR-5123", codes="ERR-151")
async def cancel_unknown(t: Target) -> None:
    assert (await t.customer.post("cancelOrder", {"orderId": 1})).refused("ERR-151") == "Service Unavailable"


@case(623, "§5.15", "cancelOrder of an order that has ended", codes="ERR-5122")
async def cancel_ended(t: Target) -> None:
    (order,) = await _resting(t)
    (await t.customer.post("cancelOrder", {"orderId": order})).done()
    assert (await t.customer.post("cancelOrder", {"orderId": order})).refused("ERR-5122") == STATE
    filled = await t.customer.placed("MARKET", "BUY", "0.01")
    (await t.customer.post("cancelOrder", {"orderId": filled})).refused("ERR-5122")


@case(624, "§5.15", "cancelOrder of another customer's order", codes="ERR-151")
async def cancel_other_s(t: Target) -> None:
    order = await t.other.placed("LIMIT", "BUY", "0.01", bid("BTC"))
    (await t.customer.post("cancelOrder", {"orderId": order})).refused("ERR-151")
    assert (await t.other.shown(order))["status"] == "ORDERED"


@case(625, "§6.4", "an order may be CANCELLING for a moment, in which it still fills", codes="ERR-5122", cancel_seconds=2.0)
async def cancelling(t: Target) -> None:
    order = await t.customer.placed("LIMIT", "BUY", "0.3", "10000000")
    (await t.customer.post("cancelOrder", {"orderId": order})).done()
    row = await t.customer.shown(order)
    assert (row["status"], row["cancelType"]) == ("CANCELLING", "USER")
    (await t.customer.post("cancelOrder", {"orderId": order})).refused("ERR-5122")
    await t.other.placed("LIMIT", "SELL", "0.1", "10000000")
    await t.pause(2.1)
    row = await t.customer.shown(order)
    assert (row["status"], row["executedSize"]) == ("CANCELED", "0.1")


@case(626, "§5.15", "cancelOrder needs a number", codes="ERR-5106")
async def cancel_parameters(t: Target) -> None:
    for body in ({}, {"orderId": None}, {"orderId": "x"}, {"orderId": -1}, {"orderId": True}):
        (await t.customer.post("cancelOrder", body)).refused("ERR-5106")


@case(631, "§5.16", "cancelOrders: what was cancelled and what was not, each by number; the status is 0 either way", codes="")
async def cancel_orders(t: Target) -> None:
    ids = await _resting(t, 2)
    filled = await t.customer.placed("MARKET", "BUY", "0.01")
    data = (await t.customer.post("cancelOrders", {"orderIds": [*ids, filled, 1]})).data
    assert data["success"] == ids
    assert [(row["orderId"], row["message_code"]) for row in data["failed"]] == [(filled, "ERR-5122"), (1, "ERR-151")]
    assert set(data["failed"][0]) == {"message_code", "message_string", "orderId"}


@case(632, "§5.16", "cancelOrders: all failed is still no error")
async def cancel_orders_none(t: Target) -> None:
    data = (await t.customer.post("cancelOrders", {"orderIds": [1, 2]})).data
    assert data["success"] == []
    assert len(data["failed"]) == 2


@case(633, "§5.16", "cancelOrders takes at most ten numbers, at least one, and only numbers", codes="ERR-5106")
async def cancel_orders_parameters(t: Target) -> None:
    ids = await _resting(t, 11)
    for wrong in (ids, [], ["x"], "1", None):
        (await t.customer.post("cancelOrders", {"orderIds": wrong})).refused("ERR-5106")
    assert (await t.customer.post("cancelOrders", {"orderIds": ids[:10]})).data["success"] == ids[:10]


@case(641, "§5.17", "cancelBulkOrder cancels at most ten, the oldest first, or with desc the newest")
async def bulk_ten(t: Target) -> None:
    ids = await _resting(t, 25)
    assert (await t.customer.post("cancelBulkOrder", {"symbols": ["BTC"]})).data == ids[:10]
    newest = (await t.customer.post("cancelBulkOrder", {"symbols": ["BTC"], "desc": True})).data
    assert sorted(newest) == ids[-10:]
    assert (await t.customer.post("cancelBulkOrder", {"symbols": ["BTC"]})).data == ids[10:15]
    assert (await t.customer.post("cancelBulkOrder", {"symbols": ["BTC"]})).data == []


@case(642, "§5.17", "cancelBulkOrder: symbols may be mixed, side and settleType choose")
async def bulk_filters(t: Target) -> None:
    (spot_buy,), (spot_sell,), (lever,) = await _resting(t), await _resting(t, side="SELL"), await _resting(t, symbol="BTC_JPY")
    position = await t.customer.opened("BUY", "0.01")
    close = int((await t.customer.close(position, "SELL", "0.01", "LIMIT", ask("BTC_JPY", 9))).data)
    both = ["BTC", "BTC_JPY"]
    assert (await t.customer.post("cancelBulkOrder", {"symbols": both, "settleType": "CLOSE"})).data == [close]
    assert (await t.customer.post("cancelBulkOrder", {"symbols": both, "side": "SELL"})).data == [spot_sell]
    assert (await t.customer.post("cancelBulkOrder", {"symbols": ["BTC_JPY"]})).data == [lever]
    assert (await t.customer.post("cancelBulkOrder", {"symbols": both})).data == [spot_buy]


@case(643, "§5.17", "cancelBulkOrder: words nobody knows are invalid", codes="ERR-5106")
async def bulk_parameters(t: Target) -> None:
    wrong: tuple[dict[str, object], ...] = ({}, {"symbols": []}, {"symbols": ["NOPE"]}, {"symbols": "BTC"})
    for body in wrong:
        assert "symbols" in (await t.customer.post("cancelBulkOrder", body)).refused("ERR-5106")
    for name, value in (("side", "HOLD"), ("settleType", "BOTH"), ("desc", "yes")):
        assert name in (await t.customer.post("cancelBulkOrder", {"symbols": ["BTC"], name: value})).refused("ERR-5106")
