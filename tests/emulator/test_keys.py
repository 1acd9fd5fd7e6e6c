"""What a key may do and where from (reference §2, §8.3)."""

from __future__ import annotations

import json

import pytest
from tests.emulator.support import KEY, PRICE, SECRET, Desk, code, frames, virtual

from gmobot.emulator.memory import MemoryTransport
from gmobot.emulator.protocol.admin import AdminApi
from gmobot.emulator.protocol.api import ExchangeApi
from gmobot.emulator.protocol.keys import KeyRules, Permission, needed
from gmobot.errors import ConfigError
from gmobot.venue.transport import Request


def _desk(rules: KeyRules, client: str = "local") -> Desk:
    desk = Desk()
    desk.api = ExchangeApi(desk.exchange, keys={KEY: rules})
    desk.transport = MemoryTransport(desk.api, client=client)
    return desk


def test_a_key_may_open_and_not_cancel() -> None:
    async def scenario() -> None:
        desk = _desk(KeyRules.parse("order+assets"))
        order_id = await desk.placed("LIMIT", "BUY", "0.001", PRICE - 500)
        assert (await desk.private("GET", "/v1/account/assets"))["status"] == 0
        assert code(await desk.private("POST", "/v1/cancelOrder", body={"orderId": order_id})) == "ERR-5012"
        assert code(await desk.private("GET", "/v1/activeOrders", "symbol=BTC")) == "ERR-5012"

    virtual(scenario)


def test_a_token_is_had_without_permission_and_the_refusal_comes_on_the_silent_open_socket() -> None:
    async def scenario() -> None:
        desk = _desk(KeyRules.parse("order+orders"))
        socket = await desk.private_socket("executionEvents", "orderEvents")
        await desk.placed("MARKET", "BUY", "0.0001")
        await desk.placed("LIMIT", "BUY", "0.001", PRICE - 500)
        refusal, event = await frames(socket, 1.0)
        assert refusal == {"error": "ERR-5012 Authentication failed."}
        assert event["channel"] == "orderEvents"

    virtual(scenario)


@pytest.mark.parametrize(("client", "allowed"), [("10.1.2.3", True), ("127.0.0.1", True), ("192.168.0.1", False), ("local", False)])
def test_a_key_may_be_bound_to_addresses(client: str, allowed: bool) -> None:
    async def scenario() -> None:
        desk = _desk(KeyRules.parse(addresses="10.0.0.0/8+127.0.0.1"), client)
        answer = await desk.private("GET", "/v1/account/assets")
        assert (answer["status"] == 0) is allowed
        assert allowed or code(answer) == "ERR-5012"

    virtual(scenario)


def test_without_rules_everything_is_allowed_from_anywhere() -> None:
    rules = KeyRules()
    assert rules.permissions == frozenset(Permission)
    assert rules.admit("nowhere")


def test_every_private_path_and_channel_asks_for_a_permission_but_the_token() -> None:
    places = {
        **dict.fromkeys(["/v1/account/margin", "/v1/account/assets", "/v1/account/tradingVolume"], Permission.ASSETS),
        **dict.fromkeys(["/v1/account/fiatDeposit/history", "/v1/account/exchangeFee/history"], Permission.HISTORY),
        "/v1/account/transfer": Permission.TRANSFER,
        "/v1/closeBulkOrder": Permission.CLOSE,
        "/v1/cancelOrders": Permission.CANCEL,
        "/v1/order": Permission.ORDER,
        "/v1/orders": Permission.ORDERS,
        "positionSummaryEvents": Permission.POSITIONS,
        "/v1/ws-auth": None,
    }
    assert {place: needed(place) for place in places} == places


@pytest.mark.parametrize(("may", "addresses", "told"), [("everything", None, "permissions are: assets"), (None, "here", "127.0.0.1")])
def test_rules_that_make_no_sense_are_explained(may: str | None, addresses: str | None, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        KeyRules.parse(may, addresses)


def _new_key(desk: Desk, **wish: str) -> tuple[int, str]:
    body = json.dumps({"key": "second", "secret": "its-secret", "account": KEY} | wish).encode()
    reply = AdminApi(desk.api).answer(Request("POST", "/emulator/v1/keys", "", {}, body))
    return reply.status, reply.body.decode()


def test_an_account_may_have_several_keys_and_each_is_itself() -> None:
    async def scenario() -> None:
        desk = _desk(KeyRules.parse("order+orders"))
        assert code(await desk.private("GET", "/v1/account/assets", key="second", secret="its-secret")) == "ERR-5012"
        assert _new_key(desk, may="assets+executions") == (200, f'{{"{KEY}":"{KEY}","second":"{KEY}"}}')
        assert (await desk.private("GET", "/v1/account/assets", key="second", secret="its-secret"))["status"] == 0
        assert code(await desk.private("GET", "/v1/account/assets")) == "ERR-5012", "the other key may no more than before"
        assert code(await desk.private("GET", "/v1/activeOrders", "symbol=BTC", key="second", secret="its-secret")) == "ERR-5012"
        assert code(await desk.private("GET", "/v1/account/assets", key="second", secret=SECRET)) == "ERR-5010"
        socket = await desk.private_socket("executionEvents", "orderEvents")
        await desk.placed("MARKET", "BUY", "0.0001")
        assert "error" not in (await frames(socket, 1.0))[0]
        assert [record["key"] for record in desk.api.access][-1] == KEY

    virtual(scenario)


def test_a_deleted_key_signs_nothing_any_more() -> None:
    async def scenario() -> None:
        desk = _desk(KeyRules())
        _new_key(desk)
        admin = AdminApi(desk.api)
        assert admin.answer(Request("DELETE", "/emulator/v1/keys", f"key={KEY}", {}, b"")).status == 200
        assert code(await desk.private("GET", "/v1/account/assets")) == "ERR-5012"
        assert (await desk.private("GET", "/v1/account/assets", key="second", secret="its-secret"))["status"] == 0
        assert admin.answer(Request("GET", "/emulator/v1/keys", "", {}, b"")).body.decode() == f'{{"second":"{KEY}"}}'

    virtual(scenario)


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"key": KEY}, "there is one of that name"),
        ({"key": ""}, "a name and a secret"),
        ({"secret": ""}, "a name and a secret"),
        ({"account": "nobody"}, "account nobody: there is"),
        ({"may": "everything"}, "permissions are"),
        ({"from": "here"}, "127.0.0.1"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(wish: dict[str, str], told: str) -> None:
    async def scenario() -> None:
        desk = _desk(KeyRules())
        status, text = _new_key(desk, **wish)
        assert (status, told in text) == (400, True), text
        assert AdminApi(desk.api).answer(Request("DELETE", "/emulator/v1/keys", "key=second", {}, b"")).status == 400

    virtual(scenario)
