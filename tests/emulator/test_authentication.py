"""Signatures and the order of the checks (reference §2)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.emulator.support import KEY, START_NS, Desk, FixedClock, code, customer, virtual

from gmobot.emulator.assumptions import Assumptions
from gmobot.venue.transport import Request, Timeouts

ORDER = b'{"symbol":"BTC","side":"BUY","executionType":"LIMIT","price":"9900000","size":"0.001"}'
VECTORS = [
    ("GET", "/v1/activeOrders", "symbol=BTC", b"", "15ad17c77a4230471eebaf7258d86649d762f104ed91e9b90d11226c47de7444"),
    ("POST", "/v1/order", "", ORDER, "7bdf7c18491eb18476643fa30171de1fe776495f08cd8924ad97bd945289f141"),
    ("POST", "/v1/ws-auth", "", b"{}", "4635799d63b65368a3016518d3ac5fe5f672644fdec774423f11111de20ebc54"),
    ("PUT", "/v1/ws-auth", "", b'{"token":"x"}', "be10c9458f9b2910a5192313a2edba027d4c2d04eaced8edcc4aa0a3cf46a7b7"),
    ("DELETE", "/v1/ws-auth", "", b'{"token":"x"}', "6d370cfa66c38c247c32e95c9f1a6936837fdb9e1dfcb8417253a23a646f406b"),
]


@pytest.mark.parametrize(("method", "path", "query", "body", "signature"), VECTORS)
async def test_published_vectors_are_accepted_and_one_wrong_digit_is_not(
    method: str, path: str, query: str, body: bytes, signature: str
) -> None:
    desk = Desk(clock=FixedClock(), accounts={KEY: customer(secret="example-secret")}, assumptions=Assumptions(reply_seconds=0.0))
    assert START_NS == 1_735_689_600_000 * 1_000_000

    async def send(sign: str) -> Any:
        headers = {"API-KEY": KEY, "API-TIMESTAMP": "1735689600000", "API-SIGN": sign}
        return json.loads((await desk.transport.request(Request(method, f"/private{path}", query, headers, body), Timeouts())).body)

    answer = await send(signature)
    # The token of the PUT and DELETE vectors does not exist: refused only after the signature was accepted.
    assert answer["status"] == 0 or code(answer) == "ERR-5106"
    wrong = ("0" if signature[-1] != "0" else "1").join((signature[:-1], ""))
    assert code(await send(wrong)) == "ERR-5010"


def test_a_signed_query_or_a_signed_put_body_is_a_bad_signature() -> None:
    async def scenario() -> None:
        desk = Desk()
        headers = desk.signed("GET", "/v1/activeOrders?symbol=BTC")
        request = Request("GET", "/private/v1/activeOrders", "symbol=BTC", headers)
        assert code(json.loads((await desk.transport.request(request, Timeouts())).body)) == "ERR-5010"
        body = b'{"token":"x"}'
        request = Request("PUT", "/private/v1/ws-auth", "", desk.signed("PUT", "/v1/ws-auth" + body.decode()), body)
        assert code(json.loads((await desk.transport.request(request, Timeouts())).body)) == "ERR-5010"

    virtual(scenario)


def test_each_check_has_its_code_and_they_come_in_order() -> None:
    async def scenario() -> None:
        desk = Desk()
        now_ms = START_NS // 1_000_000

        async def with_headers(**changes: str | None) -> str:
            good = desk.signed("GET", "/v1/account/assets")
            headers = {name: value for name, value in (good | changes).items() if value is not None}
            answer = json.loads((await desk.transport.request(Request("GET", "/private/v1/account/assets", "", headers), Timeouts())).body)
            assert answer["status"] == 1
            assert answer["responsetime"].endswith("Z")
            return code(answer)

        def stamp(shift_ms: int) -> dict[str, str]:
            return {"API-TIMESTAMP": str(now_ms + shift_ms)}

        assert await with_headers(**{"API-KEY": None, "API-TIMESTAMP": "x"}) == "ERR-5011"
        assert await with_headers(**{"API-TIMESTAMP": "1.5", "API-KEY": "nobody"}) == "ERR-5007"
        assert await with_headers(**{"API-TIMESTAMP": None}) == "ERR-5007"
        assert await with_headers(**{"API-TIMESTAMP": "٣"}) == "ERR-5007"
        assert await with_headers(**stamp(6_000), **{"API-KEY": "nobody"}) == "ERR-5008"
        assert await with_headers(**stamp(-6_000), **{"API-KEY": "nobody"}) == "ERR-5009"
        assert await with_headers(**{"API-KEY": "nobody", "API-SIGN": "0"}) == "ERR-5012"
        assert await with_headers(**{"API-SIGN": None}) == "ERR-5010"

    virtual(scenario)


def test_an_unknown_path_comes_before_maintenance_and_maintenance_before_the_key() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.api.set_status("MAINTENANCE")
        reply = await desk.reply("GET", "/v1/nothing", key="nobody")
        assert (reply.status, code(json.loads(reply.body))) == (404, "ERR-5204")
        reply = await desk.reply("GET", "/v1/account/assets", key="nobody")
        body = json.loads(reply.body)
        assert (reply.status, body["status"], code(body)) == (200, 5, "ERR-5201")
        assert "responsetime" not in body

    virtual(scenario)


def test_get_and_post_have_their_own_allowance_of_twenty_a_second() -> None:
    async def scenario() -> None:
        desk = Desk(assumptions=Assumptions(reply_seconds=0.0))
        for _ in range(20):
            assert (await desk.private("GET", "/v1/account/assets"))["status"] == 0
        refused = await desk.private("GET", "/v1/account/assets")
        assert refused == {"status": 4, "messages": [{"message_code": "ERR-5003", "message_string": "Requests are too many."}]}
        assert (await desk.private("POST", "/v1/ws-auth", body={}))["status"] == 0

    virtual(scenario)


def test_the_access_record_tells_which_key_signed_what() -> None:
    async def scenario() -> None:
        accounts = {KEY: customer(), "new-key": customer("new-key", "new-secret")}
        desk = Desk(accounts=accounts)
        await desk.private("GET", "/v1/account/assets")
        await desk.private("GET", "/v1/account/assets", key="new-key", secret="new-secret")
        await desk.private("GET", "/v1/account/assets", key="new-key", secret="old-secret")
        assert [(record["key"], record["error"]) for record in desk.api.access] == [
            (KEY, None),
            ("new-key", None),
            ("new-key", "ERR-5010"),
        ]

    virtual(scenario)
