"""Money in and out and orders by hand, over the emulator's own door, under the exchange's own rules."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.emulator.support import Desk, btc_jpy, virtual

from gmobot.venue.transport import Request, Timeouts


async def ask(desk: Desk, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    request = Request("POST", f"/emulator/v1{path}", "", {}, json.dumps(body).encode())
    reply = await desk.transport.request(request, Timeouts())
    desk.exchange.check()
    return reply.status, json.loads(reply.body)


@pytest.mark.parametrize(
    ("move", "amount", "asset", "balance"),
    [
        ("deposit", "1000.5", "JPY", "10001000.5"),
        ("withdrawal", 10_000_000, "JPY", "0"),
        ("transfer_out", "4000000", "JPY", "6000000"),
        ("deposit", "0.25", "BTC", "0.75"),
        ("withdrawal", "0.5", "BTC", "0"),
    ],
)
def test_money_and_coins_move(move: str, amount: object, asset: str, balance: str) -> None:
    async def test() -> None:
        desk = Desk()
        assert await ask(desk, "/cash", {"move": move, "amount": amount, "asset": asset}) == (200, {"asset": asset, "balance": balance})

    virtual(test)


def test_what_went_to_the_fx_account_comes_back() -> None:
    async def test() -> None:
        desk = Desk()
        await ask(desk, "/cash", {"move": "transfer_out", "amount": 1_000})
        early = await ask(desk, "/cash", {"move": "transfer_in", "amount": 1_000})
        assert (early[0], "ERR-5003" in early[1]["error"]) == (400, True)
        await asyncio.sleep(180.0)
        assert (await ask(desk, "/cash", {"move": "transfer_in", "amount": 1_000}))[1]["balance"] == "10000000"

    virtual(test)


@pytest.mark.parametrize(
    ("path", "body", "what"),
    [
        ("/cash", {"move": "withdrawal", "amount": 10_000_001}, "ERR-201"),
        ("/cash", {"move": "withdrawal", "amount": "0.6", "asset": "BTC"}, "ERR-208"),
        ("/cash", {"move": "deposit", "amount": 0}, "above zero"),
        ("/cash", {"move": "deposit", "amount": 1, "asset": "XYZ"}, "XYZ"),
        ("/cash", {"move": "transfer_out", "amount": 1, "asset": "BTC"}, "BTC"),
        ("/cash", {"move": "deposit", "amount": 1, "account": "nobody"}, "nobody"),
        ("/cash", {"move": "steal", "amount": 1}, "steal"),
        ("/cash", {"move": "deposit", "amount": "0.0000001"}, "micro-yen"),
        ("/orders", {"symbol": "BTC", "side": "SELL", "size": "0.6"}, "ERR-208"),
        ("/orders", {"symbol": "NIX", "side": "SELL", "size": "0.6"}, "ERR-5"),
    ],
)
def test_what_cannot_be_done_is_said(path: str, body: dict[str, Any], what: str) -> None:
    async def test() -> None:
        status, answer = await ask(Desk(), path, body)
        assert status == 400
        assert what in answer["error"]

    virtual(test)


def test_orders_by_hand_are_orders() -> None:
    async def test() -> None:
        desk = Desk(listed=[btc_jpy()])
        _, resting = await ask(desk, "/orders", {"symbol": "BTC", "side": "BUY", "size": "0.01", "type": "LIMIT", "price": 9_000_000})
        assert (await desk.shown(int(resting["orderId"])))["status"] == "ORDERED"
        await ask(desk, "/orders", {"symbol": "BTC_JPY", "side": "BUY", "size": "0.01"})
        (position,) = desk.account.positions.values()
        close = {"symbol": "BTC_JPY", "side": "SELL", "size": "0.01", "position_id": position.position_id}
        assert (await ask(desk, "/orders", close))[0] == 200
        assert not position.lots

    virtual(test)
