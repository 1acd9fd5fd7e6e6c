"""Limits and maintenance (§3)."""

from __future__ import annotations

import aiohttp
import pytest
from tests.conformance.registry import case
from tests.conformance.stage import bid
from tests.conformance.target import Target

_TOO_MANY = "Requests are too many."


@case(201, "§3.1", "private GET and POST have an allowance each, of twenty a second", codes="ERR-5003", private_per_second=20)
async def private_limit(t: Target) -> None:
    for _ in range(20):
        assert (await t.customer.read("account/margin")).code is None
    assert (await t.customer.read("account/margin")).refused("ERR-5003", status=4) == _TOO_MANY
    assert (await t.customer.order("LIMIT", "BUY", "0.001", bid("BTC"))).data


@case(202, "§3.1", "the twenty-first POST of a second is refused and does nothing", codes="ERR-5003", private_per_second=20)
async def post_limit(t: Target) -> None:
    for _ in range(20):
        await t.customer.placed("LIMIT", "BUY", "0.001", bid("BTC", 9))
    (await t.customer.order("LIMIT", "BUY", "0.001", bid("BTC", 9))).refused("ERR-5003", status=4)
    assert len((await t.customer.read("activeOrders", symbol="BTC")).rows) == 20


@case(203, "§3.1", "a second later there is an allowance again", codes="ERR-5003", private_per_second=3)
async def limit_recovers(t: Target) -> None:
    for _ in range(3):
        assert (await t.customer.read("account/margin")).data
    (await t.customer.read("account/margin")).refused("ERR-5003", status=4)
    await t.pause(1.0)
    assert (await t.customer.read("account/margin")).data


@case(204, "§3.1", "limits are an account's: another customer is served", codes="ERR-5003", private_per_second=2)
async def limit_of_account(t: Target) -> None:
    for _ in range(2):
        assert (await t.customer.read("account/margin")).data
    (await t.customer.read("account/margin")).refused("ERR-5003", status=4)
    assert (await t.other.read("account/margin")).data


@case(205, "§3.1", "PUT and DELETE count as POST", codes="ERR-5003", private_per_second=2)
async def put_counts(t: Target) -> None:
    token = await t.customer.token()
    assert (await t.customer.call("PUT", "ws-auth", body=f'{{"token":"{token}"}}')).code is None
    (await t.customer.call("DELETE", "ws-auth", body=f'{{"token":"{token}"}}')).refused("ERR-5003", status=4)


@case(206, "§3.2", "public REST has an allowance of an address", codes="ERR-5003", public_per_second=5)
async def public_limit(t: Target) -> None:
    for _ in range(5):
        assert (await t.get("status")).data
    assert (await t.get("status")).refused("ERR-5003", status=4) == _TOO_MANY


@case(207, "§3.4", "the body of ERR-5003 has no responsetime and the reply no Retry-After", codes="ERR-5003")
async def limit_body(t: Target) -> None:
    await t.admin("POST", "/faults", {"fault": "rate_limited", "where": "/v1/status"})
    answer = await t.get("status")
    answer.refused("ERR-5003", status=4)
    assert "Retry-After" not in answer.headers


@case(208, "§3.1", "the tier of a larger volume of the week before has a larger allowance", codes="ERR-5003", private_per_second=4)
async def tier(t: Target) -> None:
    week = 7 * 86_400
    t.stage.deposit("JPY", "2000000000")
    t.stage.book("BTC", [("10001000", "300")])
    for _ in range(11):
        await t.customer.placed("MARKET", "BUY", "5")
        await t.customer.placed("MARKET", "SELL", "5")
        t.stage.book("BTC", [("10001000", "300")], [("9999000", "300")])
        await t.pause(1.0)
    assert (await t.customer.read("account/tradingVolume")).data["tierLevel"] == 1
    await t.pause(week)
    assert (await t.customer.read("account/tradingVolume")).data["tierLevel"] == 2
    for _ in range(5):
        assert (await t.customer.read("account/margin")).data
    (await t.customer.read("account/margin")).refused("ERR-5003", status=4)


@case(221, "§3.5", "in maintenance everything answers ERR-5201 with body status 5, status endpoint included", codes="ERR-5201")
async def maintenance(t: Target) -> None:
    await t.admin("POST", "/status", {"status": "MAINTENANCE"})
    for answer in (await t.get("status"), await t.get("ticker"), await t.customer.read("account/margin")):
        assert answer.refused("ERR-5201", status=5) == "MAINTENANCE. Please wait for a while"
    (await t.customer.order("LIMIT", "BUY", "0.001", bid("BTC"))).refused("ERR-5201", status=5)


@case(222, "§3.5", "the status endpoint may say MAINTENANCE instead", codes="ERR-5201")
async def maintenance_as_data(t: Target) -> None:
    await t.admin("POST", "/status", {"status": "MAINTENANCE", "status_endpoint": "data"})
    assert (await t.get("status")).data == {"status": "MAINTENANCE"}
    (await t.get("ticker")).refused("ERR-5201", status=5)


@case(223, "§3.5", "emergency maintenance answers ERR-5202", codes="ERR-5202")
async def emergency(t: Target) -> None:
    await t.admin("POST", "/status", {"status": "MAINTENANCE", "emergency": True})
    (await t.get("status")).refused("ERR-5202", status=5)
    (await t.customer.read("account/margin")).refused("ERR-5202", status=5)


@case(224, "§1.4", "the HTTP status of maintenance is open; 503 with the same body is one", codes="ERR-5201", maintenance_http=503)
async def maintenance_http(t: Target) -> None:
    await t.admin("POST", "/status", {"status": "MAINTENANCE"})
    (await t.get("ticker")).refused("ERR-5201", status=5, http=503)


@case(225, "§3.5", "maintenance drops sockets, refuses new ones with 503, and ends tokens", codes="ERR-5106")
async def maintenance_sockets(t: Target) -> None:
    token, stream = await t.customer.token(), await t.opened("ticker", "BTC")
    await t.admin("POST", "/status", {"status": "MAINTENANCE"})
    await stream.ended()
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await t.connect()
    assert refused.value.status == 503
    await t.admin("POST", "/status", {"status": "OPEN"})
    (await t.customer.call("PUT", "ws-auth", body=f'{{"token":"{token}"}}')).refused("ERR-5106")


@case(226, "§3.5", "in pre-open new orders and changes are refused; cancels, queries and sockets are not", codes="ERR-5203")
async def preopen(t: Target) -> None:
    order = await t.customer.placed("LIMIT", "BUY", "0.01", bid("BTC"))
    position = await t.customer.opened("BUY", "0.01")
    await t.admin("POST", "/status", {"status": "PREOPEN"})
    assert (await t.get("status")).data == {"status": "PREOPEN"}
    (await t.customer.order("LIMIT", "BUY", "0.01", bid("BTC"))).refused("ERR-5203")
    (await t.customer.post("changeOrder", {"orderId": order, "price": bid("BTC", 1)})).refused("ERR-5203")
    (await t.customer.close(position, "SELL", "0.01")).refused("ERR-5203")
    assert [row["orderId"] for row in (await t.customer.read("activeOrders", symbol="BTC")).rows] == [order]
    await t.connect()
    (await t.customer.post("cancelOrder", {"orderId": order})).done()


@case(227, "§3.5", "orders rest through maintenance and go on after it")
async def orders_survive(t: Target) -> None:
    order = await t.customer.placed("LIMIT", "BUY", "0.01", bid("BTC"))
    await t.admin("POST", "/status", {"status": "MAINTENANCE"})
    await t.admin("POST", "/status", {"status": "OPEN"})
    assert (await t.customer.shown(order))["status"] == "ORDERED"


@case(228, "§9", "a server that is unavailable or busy says so and has done nothing", codes="ERR-554 ERR-626")
async def server_busy(t: Target) -> None:
    for fault, code in (("server_busy", "ERR-554"), ("server_overloaded", "ERR-626")):
        await t.admin("POST", "/faults", {"fault": fault, "where": "/v1/order"})
        (await t.customer.order("LIMIT", "BUY", "0.01", bid("BTC"))).refused(code)
    assert (await t.customer.read("activeOrders", symbol="BTC")).data == {}


@case(229, "§1.4", "a gateway's failure is no JSON, and leaves open whether a write was carried out")
async def gateway(t: Target) -> None:
    for fault, orders in (("server_error_before", 0), ("server_error", 1)):
        await t.admin("POST", "/faults", {"fault": fault, "where": "/v1/order"})
        answer = await t.customer.order("LIMIT", "BUY", "0.01", bid("BTC"))
        assert (answer.http, answer.text.startswith("{")) == (502, False)
        assert len((await t.customer.read("activeOrders", symbol="BTC")).rows) == orders
