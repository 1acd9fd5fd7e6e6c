"""Tokens and the private socket: who gets in, and what may be asked for (§5.21, §8.1 to §8.3)."""

from __future__ import annotations

import json

import aiohttp
import pytest
from tests.conformance.registry import case
from tests.conformance.stage import READER, bid
from tests.conformance.target import Target

LEVER = "BTC_JPY"


async def refused(t: Target, path: str) -> int:
    """Return the HTTP status of a handshake that must fail."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as found:
        await t.connect(path)
    return found.value.status


@case(901, "§5.21", "POST gives a token as a string; with {} or with an empty body")
async def new_token(t: Target) -> None:
    first = (await t.customer.post("ws-auth", {})).data
    second = (await t.customer.call("POST", "ws-auth")).data
    assert isinstance(first, str)
    assert first != second
    for token in (first, second):
        await t.connect(f"/ws/private/v1/{token}")


@case(902, "§5.21", "PUT and DELETE have no data in their reply")
async def token_replies(t: Target) -> None:
    body = json.dumps({"token": await t.customer.token()})
    (await t.customer.call("PUT", "ws-auth", body=body)).done()
    (await t.customer.call("DELETE", "ws-auth", body=body)).done()


@case(903, "§8.1", "a token lasts sixty minutes, PUT gives it sixty more")
async def token_lasts(t: Target) -> None:
    token = await t.customer.token()
    await t.pause(59 * 60)
    (await t.customer.call("PUT", "ws-auth", body=json.dumps({"token": token}))).done()
    await t.pause(59 * 60)
    await t.connect(f"/ws/private/v1/{token}")
    await t.pause(2 * 60)
    assert await refused(t, f"/ws/private/v1/{token}") in (401, 403)


@case(904, "§5.21", "a token that is unknown or has ended can neither be extended nor revoked", codes="ERR-5106")
async def token_unknown(t: Target) -> None:
    token = await t.customer.token()
    (await t.customer.call("DELETE", "ws-auth", body=json.dumps({"token": token}))).done()
    for method in ("PUT", "DELETE"):
        for wrong in (token, "nonsense"):
            (await t.customer.call(method, "ws-auth", body=json.dumps({"token": wrong}))).refused("ERR-5106")


@case(905, "§8.1", "a sixth token ends the oldest", codes="ERR-5106")
async def six_tokens(t: Target) -> None:
    tokens = []
    for _ in range(6):
        tokens.append(await t.customer.token())
        await t.pause(1.0)
    assert await refused(t, f"/ws/private/v1/{tokens[0]}") in (401, 403)
    for token in tokens[1:]:
        (await t.customer.call("PUT", "ws-auth", body=json.dumps({"token": token}))).done()
    (await t.customer.call("PUT", "ws-auth", body=json.dumps({"token": tokens[0]}))).refused("ERR-5106")


@case(906, "§8.1", "a handshake without a valid token fails")
async def bad_token(t: Target) -> None:
    for token in ("nonsense", ""):
        assert await refused(t, f"/ws/private/v1/{token}") in (401, 403, 404)


@case(907, "§8.1", "an open socket may be cut when its token ends", token_end_cuts_socket=True)
async def token_cuts(t: Target) -> None:
    stream = await t.customer.opened_stream("orderEvents")
    await t.pause(61 * 60)
    await t.pause(1.0)
    await stream.ended()


@case(908, "§8.1", "an open socket may outlive its token")
async def token_spares(t: Target) -> None:
    stream = await t.customer.opened_stream("orderEvents")
    for _ in range(61):
        await t.pause(60)
        await stream.silent()
    assert not stream.closed
    await t.customer.placed("LIMIT", "BUY", "0.01", bid("BTC"))
    await stream.take(1)


@case(911, "§8.3", "a channel nobody knows, or a public one, is an error frame")
async def bad_channel(t: Target) -> None:
    stream = await t.customer.opened_stream("ordersEvents")
    assert await stream.error() == "ERR-5106 Invalid request parameter. channel"
    await t.subscribe(stream, "ticker", "BTC")
    assert await stream.error() == "ERR-5106 Invalid request parameter. channel"


@case(912, "§8.3", "without the permission a subscription is answered by ERR-5012, the socket stays open and silent")
async def no_permission(t: Target) -> None:
    reader = t.customer_of(READER)
    stream = await reader.opened_stream("executionEvents")
    assert (await stream.error()).startswith("ERR-5012")
    await t.subscribe(stream, "orderEvents")
    await stream.silent()
    assert not stream.closed


@case(913, "§8.2", "no channel begins with a snapshot, and another customer's events are not seen")
async def nothing_at_first(t: Target) -> None:
    await t.customer.placed("LIMIT", "BUY", "0.01", bid("BTC"))
    stream = await t.customer.opened_stream("executionEvents", "orderEvents", "positionEvents")
    await t.other.placed("MARKET", "BUY", "0.01", symbol=LEVER)
    await stream.silent()
