"""Who is believed: headers, clock, signature, permissions, and the order of the checks (§2)."""

from __future__ import annotations

import json

from tests.conformance.customer import Customer
from tests.conformance.registry import Production, case
from tests.conformance.speech import signed_headers
from tests.conformance.stage import ELSEWHERE, MAIN, READER, SECRET
from tests.conformance.target import Target

PATH = "account/margin"
_ORDER = {"symbol": "BTC", "side": "BUY", "executionType": "LIMIT", "price": "9900000", "size": "0.001"}


async def _with_headers(t: Target, **changes: str | None) -> dict[str, str]:
    headers = signed_headers(MAIN, SECRET, t.now_ms(), "GET", f"/v1/{PATH}")
    return {name: value for name, value in (headers | {k.replace("_", "-"): v for k, v in changes.items()}).items() if value is not None}


@case(101, "§2", "a signed GET is served", production=Production.KEYS)
async def signed_get(t: Target) -> None:
    assert (await t.customer.read(PATH)).data


@case(102, "§2", "the query is not signed", production=Production.KEYS)
async def query_is_not_signed(t: Target) -> None:
    assert (await t.customer.read("activeOrders", symbol="BTC", page=1)).data is not None


@case(103, "§2", "a signature over the query is not valid", codes="ERR-5010", production=Production.KEYS)
async def signed_query(t: Target) -> None:
    headers = signed_headers(t.customer.key, t.customer.secret, t.now_ms(), "GET", "/v1/activeOrders?symbol=BTC")
    answer = await t.send("GET", "/private/v1/activeOrders", {"symbol": "BTC"}, headers=headers)
    assert answer.refused("ERR-5010") == "Signature for this request is not valid."


@case(104, "§2", "the body of a POST is signed, byte for byte", codes="ERR-5010")
async def signed_body(t: Target) -> None:
    assert (await t.customer.post("order", _ORDER)).data
    sent, signed = json.dumps(_ORDER), json.dumps(_ORDER, separators=(",", ":"))
    headers = signed_headers(MAIN, SECRET, t.now_ms(), "POST", "/v1/order", signed)
    (await t.send("POST", "/private/v1/order", body=sent, headers=headers)).refused("ERR-5010")


@case(105, "§2", "the bodies of PUT and DELETE are sent and not signed", codes="ERR-5010")
async def unsigned_bodies(t: Target) -> None:
    body = json.dumps({"token": await t.customer.token()})
    for method in ("PUT", "DELETE"):
        wrong = signed_headers(MAIN, SECRET, t.now_ms(), "POST", "/v1/ws-auth", body)
        (await t.send(method, "/private/v1/ws-auth", body=body, headers=wrong)).refused("ERR-5010")
        (await t.customer.call(method, "ws-auth", body=body)).done()


@case(106, "§2", "the path is signed from /v1 on, without /private", codes="ERR-5010", production=Production.KEYS)
async def signed_prefix(t: Target) -> None:
    headers = signed_headers(t.customer.key, t.customer.secret, t.now_ms(), "GET", f"/private/v1/{PATH}")
    (await t.send("GET", f"/private/v1/{PATH}", headers=headers)).refused("ERR-5010")


@case(107, "§2", "a signature with another secret is not valid", codes="ERR-5010", production=Production.KEYS)
async def other_secret(t: Target) -> None:
    (await t.customer_of(t.customer.key, "somebody else's").read(PATH)).refused("ERR-5010")


@case(108, "§2", "a signature in upper case is not valid", codes="ERR-5010")
async def upper_case(t: Target) -> None:
    headers = await _with_headers(t)
    headers["API-SIGN"] = headers["API-SIGN"].upper()
    (await t.send("GET", f"/private/v1/{PATH}", headers=headers)).refused("ERR-5010")


@case(109, "§2", "without API-KEY nothing is served", codes="ERR-5011", production=Production.PUBLIC)
async def no_key(t: Target) -> None:
    (await t.send("GET", f"/private/v1/{PATH}", headers=await _with_headers(t, API_KEY=None))).refused("ERR-5011")


@case(110, "§2", "an API-TIMESTAMP that is missing or no number is refused", codes="ERR-5007", production=Production.KEYS)
async def no_timestamp(t: Target) -> None:
    for stamp in (None, "yesterday", "1735689600.5"):
        headers = await _with_headers(t, API_KEY=t.customer.key, API_TIMESTAMP=stamp)
        (await t.send("GET", f"/private/v1/{PATH}", headers=headers)).refused("ERR-5007")


@case(111, "§2", "a clock ahead of the server is refused as too late", codes="ERR-5008", production=Production.KEYS)
async def ahead(t: Target) -> None:
    answer = await t.customer.call("GET", PATH, at_ms=t.now_ms() + 120_000)
    assert answer.refused("ERR-5008") == "Timestamp for this request is too late."


@case(112, "§2", "a clock behind the server is refused", codes="ERR-5009", production=Production.KEYS)
async def behind(t: Target) -> None:
    (await t.customer.call("GET", PATH, at_ms=t.now_ms() - 120_000)).refused("ERR-5009")


@case(113, "§2", "timestamps cut to whole seconds are served", production=Production.KEYS)
async def whole_seconds(t: Target) -> None:
    assert (await t.customer.call("GET", PATH, at_ms=t.now_ms() // 1_000 * 1_000)).data


@case(114, "§2", "an unknown key is refused", codes="ERR-5012", production=Production.PUBLIC)
async def unknown_key(t: Target) -> None:
    (await Customer(t, "nobody-s-key", SECRET).read(PATH)).refused("ERR-5012")


@case(115, "§2", "a key without the permission is refused, and served where it has one", codes="ERR-5012")
async def no_permission(t: Target) -> None:
    reader = t.customer_of(READER)
    (await reader.post("order", _ORDER)).refused("ERR-5012")
    (await reader.read("latestExecutions", symbol="BTC")).refused("ERR-5012")
    assert (await reader.read(PATH)).data


@case(116, "§2", "a key is refused from an address that is not on its list", codes="ERR-5012")
async def other_address(t: Target) -> None:
    (await t.customer_of(ELSEWHERE).read(PATH)).refused("ERR-5012")


@case(117, "§1.4", "a bad private path is HTTP 404 with ERR-5204, signed or not", codes="ERR-5204", production=Production.PUBLIC)
async def bad_path(t: Target) -> None:
    (await t.send("GET", "/private/v1/nope")).refused("ERR-5204", http=404)


@case(118, "§2", "the clock is looked at before the signature", codes="ERR-5009")
async def order_of_checks(t: Target) -> None:
    wrong = t.customer_of(MAIN, "not the secret")
    (await wrong.call("GET", PATH, at_ms=t.now_ms() - 120_000)).refused("ERR-5009")


@case(119, "§1.5", "the content type is not looked at")
async def content_type(t: Target) -> None:
    body = json.dumps(_ORDER)
    headers = signed_headers(MAIN, SECRET, t.now_ms(), "POST", "/v1/order", body) | {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await t.send("POST", "/private/v1/order", body=body, headers=headers)).data


@case(
    120,
    "§1.3",
    "the number of authentication errors is open; a business error's is 1 and it carries a time",
    codes="ERR-5010",
    auth_status=3,
)
async def other_status(t: Target) -> None:
    (await t.customer_of(MAIN, "wrong").read(PATH)).refused("ERR-5010", status=3)
