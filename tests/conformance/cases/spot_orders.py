"""New orders on spot: kinds, times in force, and what is refused (§5.13, §6)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.conformance.registry import case
from tests.conformance.stage import ask, bid
from tests.conformance.target import Target

RICH: dict[str, Any] = {"balances": {"JPY": Decimal(1_000_000_000), "BTC": Decimal(50), "XRP": Decimal(0)}}


@case(401, "§5.13", "the reply's data is the order's number as a string, and means accepted")
async def accepted(t: Target) -> None:
    order = await t.customer.placed("LIMIT", "BUY", "0.01", bid("BTC"))
    assert (await t.customer.shown(order))["status"] == "ORDERED"


@case(402, "§6.2", "the default time in force is FAS for LIMIT and FAK for MARKET and STOP")
async def defaults(t: Target) -> None:
    limit = await t.customer.placed("LIMIT", "BUY", "0.01", bid("BTC"))
    market = await t.customer.placed("MARKET", "BUY", "0.01")
    stop = await t.customer.placed("STOP", "SELL", "0.01", "9500000")
    assert [(await t.customer.shown(order))["timeInForce"] for order in (limit, market, stop)] == ["FAS", "FAK", "FAK"]


@case(403, "§6.2", "LIMIT FAS: what does not fill at once rests")
async def limit_fas(t: Target) -> None:
    order = await t.customer.placed("LIMIT", "BUY", "0.8", ask("BTC"), "FAS")
    row = await t.customer.shown(order)
    assert (row["status"], row["executedSize"], row["size"]) == ("ORDERED", "0.5", "0.8")


@case(404, "§6.2", "LIMIT FAK: what does not fill at once expires")
async def limit_fak(t: Target) -> None:
    row = await t.customer.shown(await t.customer.placed("LIMIT", "BUY", "0.8", ask("BTC"), "FAK"))
    assert (row["status"], row["cancelType"], row["executedSize"]) == ("EXPIRED", "EXPIRED_FAK", "0.5")


@case(405, "§6.2", "LIMIT FAK may be illegal", codes="ERR-5111", limit_fak_accepted=False)
async def limit_fak_refused(t: Target) -> None:
    (await t.customer.order("LIMIT", "BUY", "0.01", ask("BTC"), "FAK")).refused("ERR-5111")


@case(406, "§6.2", "LIMIT FOK: all of it or nothing")
async def limit_fok(t: Target) -> None:
    row = await t.customer.shown(await t.customer.placed("LIMIT", "BUY", "0.8", ask("BTC"), "FOK"))
    assert (row["status"], row["cancelType"], row["executedSize"]) == ("EXPIRED", "EXPIRED_FOK", "0")
    row = await t.customer.shown(await t.customer.placed("LIMIT", "BUY", "0.8", ask("BTC", 1), "FOK"))
    assert (row["status"], row["executedSize"]) == ("EXECUTED", "0.8")


@case(407, "§6.2", "LIMIT SOK that would take expires, which is no error of the request")
async def limit_sok_takes(t: Target) -> None:
    row = await t.customer.shown(await t.customer.placed("LIMIT", "BUY", "0.01", ask("BTC"), "SOK"))
    assert (row["status"], row["cancelType"], row["executedSize"]) == ("EXPIRED", "EXPIRED_SOK", "0")


@case(408, "§6.2", "LIMIT SOK that would not take rests")
async def limit_sok_rests(t: Target) -> None:
    assert (await t.customer.shown(await t.customer.placed("LIMIT", "BUY", "0.01", bid("BTC"), "SOK")))["status"] == "ORDERED"


@case(409, "§6.2", "MARKET FAK takes what is there, the rest expires", **RICH)
async def market_fak(t: Target) -> None:
    t.stage.book("BTC", [("10001000", "0.3")])
    row = await t.customer.shown(await t.customer.placed("MARKET", "BUY", "1", tif="FAK"))
    assert (row["status"], row["cancelType"], row["executedSize"], row["price"]) == ("EXPIRED", "EXPIRED_FAK", "0.3", "0")


@case(410, "§6.2", "MARKET with any other time in force is refused", codes="ERR-5111")
async def market_others(t: Target) -> None:
    for tif in ("FAS", "FOK", "SOK"):
        (await t.customer.order("MARKET", "BUY", "0.01", tif=tif)).refused("ERR-5111")


@case(411, "§6.2", "STOP with any time in force but FAK is refused", codes="ERR-5111")
async def stop_others(t: Target) -> None:
    assert (await t.customer.order("STOP", "SELL", "0.01", "9500000", "FAK")).data
    for tif in ("FAS", "FOK", "SOK"):
        (await t.customer.order("STOP", "SELL", "0.01", "9500000", tif)).refused("ERR-5111")


@case(412, "§6.2", "a time in force nobody knows is refused", codes="ERR-5111")
async def unknown_tif(t: Target) -> None:
    (await t.customer.order("LIMIT", "BUY", "0.01", bid("BTC"), "GTC")).refused("ERR-5111")


@case(413, "§6.4", "STOP waits, is triggered by a trade at its price, and then takes what the book has")
async def stop_fires(t: Target) -> None:
    order = await t.customer.placed("STOP", "SELL", "0.1", "9900000")
    assert (await t.customer.shown(order))["status"] == "WAITING"
    t.stage.move("BTC", "9900001")
    assert (await t.customer.shown(order))["status"] == "WAITING"
    t.stage.move("BTC", "9900000")
    row = await t.customer.shown(order)
    assert (row["status"], row["executedSize"], row["price"]) == ("EXECUTED", "0.1", "9900000")
    (fill,) = (await t.customer.read("executions", orderId=order)).rows
    assert fill["price"] == "9899999"


@case(414, "§6.3", "STOP may be triggered by the best quote instead of the last trade", stop_trigger="quote")
async def stop_fires_by_quote(t: Target) -> None:
    order = await t.customer.placed("STOP", "BUY", "0.1", "10100000")
    t.stage.book("BTC", [("10100000", "1")], [("10099000", "1")])
    assert (await t.customer.shown(order))["status"] == "EXECUTED"


@case(415, "§6.3", "STOP that would fire at once is refused", codes="ERR-5129")
async def stop_at_once(t: Target) -> None:
    (await t.customer.order("STOP", "SELL", "0.01", "10000000")).refused("ERR-5129")
    (await t.customer.order("STOP", "BUY", "0.01", "9990000")).refused("ERR-5129")


@case(416, "§6.4", "a partial fill is ORDERED with an executedSize, the fill that completes it makes it EXECUTED")
async def partial(t: Target) -> None:
    order = await t.customer.placed("LIMIT", "BUY", "0.3", "10000000")
    await t.other.placed("LIMIT", "SELL", "0.1", "10000000")
    row = await t.customer.shown(order)
    assert (row["status"], row["executedSize"]) == ("ORDERED", "0.1")
    await t.other.placed("LIMIT", "SELL", "0.2", "10000000")
    row = await t.customer.shown(order)
    assert (row["status"], row["executedSize"]) == ("EXECUTED", "0.3")


@case(417, "§6.4", "price before time: the better price fills first, at one price the older order")
async def priority(t: Target) -> None:
    first = await t.customer.placed("LIMIT", "BUY", "0.1", "9999500")
    second = await t.customer.placed("LIMIT", "BUY", "0.1", "9999500")
    better = await t.customer.placed("LIMIT", "BUY", "0.1", "9999600")
    await t.other.placed("LIMIT", "SELL", "0.15", "9999500", "FAK")
    assert [(await t.customer.shown(order))["executedSize"] for order in (better, first, second)] == ["0.1", "0.05", "0"]


@case(418, "§6.4", "a resting order behind others' size at its price waits for it to trade")
async def queue(t: Target) -> None:
    order = await t.customer.placed("LIMIT", "BUY", "0.1", bid("BTC"))
    t.stage.trade("BTC", "SELL", bid("BTC"), "0.5")
    assert (await t.customer.shown(order))["executedSize"] == "0"
    t.stage.trade("BTC", "SELL", bid("BTC"), "0.04")
    assert (await t.customer.shown(order))["executedSize"] == "0.04"
    t.stage.trade("BTC", "SELL", bid("BTC", 1), "1")
    assert (await t.customer.shown(order))["status"] == "EXECUTED"


@case(419, "§6.6", "a fill costs the taker 0.05 % and gives the maker 0.01 %, in whole yen, halves up")
async def fees(t: Target) -> None:
    maker = await t.customer.placed("LIMIT", "SELL", "0.01", "10000500")
    taker = await t.other.placed("LIMIT", "BUY", "0.01", "10000500")
    (paid,) = (await t.other.read("executions", orderId=taker)).rows
    (got,) = (await t.customer.read("executions", orderId=maker)).rows
    assert (paid["fee"], got["fee"], paid["price"], got["price"]) == ("50", "-10", "10000500", "10000500")


@case(420, "§6.3", "an order that meets one of its own account expires")
async def self_trade(t: Target) -> None:
    resting = await t.customer.placed("LIMIT", "SELL", "0.1", "10000500")
    row = await t.customer.shown(await t.customer.placed("LIMIT", "BUY", "0.1", "10000500"))
    assert (row["status"], row["cancelType"], row["executedSize"]) == ("EXPIRED", "EXPIRED_SELFTRADE", "0")
    assert (await t.customer.shown(resting))["status"] == "ORDERED"


@case(421, "§5.13", "wrong parameters are named together", codes="ERR-5106")
async def bad_parameters(t: Target) -> None:
    answer = await t.customer.order("LIMIT", "BUY", "0", bid("BTC"), symbol="NOPE")
    assert answer.refused("ERR-5106") == "Invalid request parameter. symbol size"


@case(422, "§5.13", "side and executionType are closed sets", codes="ERR-5106")
async def bad_words(t: Target) -> None:
    assert "side" in (await t.customer.order("LIMIT", "HOLD", "0.01", bid("BTC"))).refused("ERR-5106")
    assert "executionType" in (await t.customer.order("ICEBERG", "BUY", "0.01", bid("BTC"))).refused("ERR-5106")


@case(423, "§5.13", "LIMIT and STOP need a price, MARKET must have none", codes="ERR-5106")
async def price_or_not(t: Target) -> None:
    for kind, price in (("LIMIT", None), ("STOP", None), ("MARKET", bid("BTC"))):
        assert "price" in (await t.customer.order(kind, "BUY", "0.01", price)).refused("ERR-5106")


@case(424, "§1.2", "a body that is no JSON object is invalid", codes="ERR-5106")
async def bad_body(t: Target) -> None:
    for body in ("[]", "order", '"a"', "{"):
        (await t.customer.call("POST", "order", body=body)).refused("ERR-5106")


@case(425, "§1.5", "numbers are served where strings are documented")
async def numbers(t: Target) -> None:
    body = {"symbol": "BTC", "side": "BUY", "executionType": "LIMIT", "price": 9900000, "size": 0.01}
    row = await t.customer.shown(int((await t.customer.post("order", body)).data))
    assert (row["price"], row["size"]) == ("9900000", "0.01")


@case(426, "§6.3", "a size below the smallest or above the largest is refused", codes="ERR-5126", **RICH)
async def size_bounds(t: Target) -> None:
    for size in ("0.000001", "5.00001", "1000"):
        (await t.customer.order("LIMIT", "SELL", size, ask("BTC", 5))).refused("ERR-5126")
    assert (await t.customer.order("LIMIT", "SELL", "5", ask("BTC", 5))).data
    assert (await t.customer.order("LIMIT", "SELL", "0.00001", ask("BTC", 5))).data


@case(427, "§6.3", "too many decimals of size or price are refused; zeros at the end are not too many", codes="ERR-5114")
async def decimals(t: Target) -> None:
    (await t.customer.order("LIMIT", "BUY", "0.000011", bid("BTC"))).refused("ERR-5114")
    (await t.customer.order("LIMIT", "BUY", "0.01", "9999000.5")).refused("ERR-5114")
    (await t.customer.order("LIMIT", "BUY", "1.5", "219.0005", symbol="XRP")).refused("ERR-5114")
    assert (await t.customer.order("LIMIT", "BUY", "0.0100000", "9999000.0")).data


@case(428, "§6.3", "a limit price far from the market is refused, one within the band is not", codes="ERR-5121")
async def price_band(t: Target) -> None:
    (await t.customer.order("LIMIT", "BUY", "0.01", "5000000")).refused("ERR-5121")
    for price in ("9000000", "9700000"):
        assert (await t.customer.order("LIMIT", "BUY", "0.01", price)).data


@case(429, "§9", "more yen than there are: buying power is short", codes="ERR-201")
async def short_of_yen(t: Target) -> None:
    answer = await t.customer.order("LIMIT", "BUY", "1", bid("BTC"))
    assert answer.refused("ERR-201") == "Trading margin is insufficient."
    assert (await t.customer.order("LIMIT", "BUY", "0.9", bid("BTC"))).data
    (await t.customer.order("MARKET", "BUY", "0.2")).refused("ERR-201")


@case(430, "§9", "more coins than there are, or than open orders leave: holdings are short", codes="ERR-208")
async def short_of_coins(t: Target) -> None:
    (await t.customer.order("LIMIT", "SELL", "1.1", ask("BTC"))).refused("ERR-208")
    assert (await t.customer.order("LIMIT", "SELL", "0.7", ask("BTC", 5))).data
    (await t.customer.order("MARKET", "SELL", "0.4")).refused("ERR-208")


@case(431, "§5.13", "losscutPrice on spot, or on a MARKET order, is refused", codes="ERR-5118")
async def losscut_on_spot(t: Target) -> None:
    (await t.customer.order("LIMIT", "BUY", "0.01", bid("BTC"), losscutPrice="9000000")).refused("ERR-5118")
    (await t.customer.order("MARKET", "BUY", "0.01", symbol="BTC_JPY", losscutPrice="9000000")).refused("ERR-5118")


@case(432, "§5.13", "cancelBefore frees coins by cancelling the oldest orders, as many as it needs")
async def cancel_before(t: Target) -> None:
    orders = [await t.customer.placed("LIMIT", "SELL", "0.3", ask("BTC", 5 + n)) for n in range(3)]
    sold = await t.customer.placed("MARKET", "SELL", "0.5", cancelBefore=True)
    assert (await t.customer.shown(sold))["status"] == "EXECUTED"
    assert [(await t.customer.shown(order))["status"] for order in orders] == ["CANCELED", "CANCELED", "ORDERED"]


@case(433, "§5.13", "cancelBefore is for MARKET FAK SELL on spot only", codes="ERR-5106")
async def cancel_before_elsewhere(t: Target) -> None:
    for kind, side, price, symbol in (
        ("MARKET", "BUY", None, "BTC"), ("LIMIT", "SELL", ask("BTC"), "BTC"), ("MARKET", "SELL", None, "BTC_JPY"),
    ):  # fmt: skip
        answer = await t.customer.order(kind, side, "0.01", price, symbol=symbol, cancelBefore=True)
        assert "cancelBefore" in answer.refused("ERR-5106")


@case(434, "§6.3", "there is a most of active orders", codes="ERR-635", most_active_orders=3)
async def most_orders(t: Target) -> None:
    orders = [await t.customer.placed("LIMIT", "BUY", "0.001", bid("BTC", 9)) for _ in range(3)]
    (await t.customer.order("LIMIT", "BUY", "0.001", bid("BTC", 9))).refused("ERR-635")
    (await t.customer.post("cancelOrder", {"orderId": orders[0]})).done()
    assert (await t.customer.order("LIMIT", "BUY", "0.001", bid("BTC", 9))).data


@case(
    435, "§6.3", "today's cap of a symbol counts fills and open orders, each side apart on spot", codes="ERR-5126", day_cap_spot=1, **RICH
)
async def day_cap(t: Target) -> None:
    await t.customer.placed("MARKET", "BUY", "3")
    await t.customer.placed("LIMIT", "BUY", "2", bid("BTC", 5))
    (await t.customer.order("LIMIT", "BUY", "0.00001", bid("BTC", 5))).refused("ERR-5126")
    assert (await t.customer.order("LIMIT", "SELL", "5", ask("BTC", 9))).data


@case(436, "§6.1", "a trade of one's own is on the public tape, printed on both sides")
async def on_the_tape(t: Target) -> None:
    await t.customer.placed("MARKET", "BUY", "0.123")
    rows = (await t.get("trades", symbol="BTC", count=2)).rows
    assert {(row["price"], row["size"]) for row in rows} == {(ask("BTC"), "0.123")}
    assert (await t.get("ticker", symbol="BTC")).data[0]["last"] == ask("BTC")


@case(437, "§6.5", "a resting order that can no longer be paid for ends with INSUFFICIENT_BALANCE")
async def cannot_pay(t: Target) -> None:
    stop = await t.customer.placed("STOP", "BUY", "0.9", "10050000")
    t.stage.book("BTC", [("10900000", "5"), ("19000000", "5")], [("10800000", "5")])
    t.stage.book("BTC", [("19000000", "5")], [("10800000", "5")])
    t.stage.trade("BTC", "BUY", "10050000", "0.001")
    row = await t.customer.shown(stop)
    assert (row["status"], row["cancelType"]) == ("CANCELED", "INSUFFICIENT_BALANCE")
    assert Decimal(0) < Decimal(row["executedSize"]) < Decimal("0.9")
