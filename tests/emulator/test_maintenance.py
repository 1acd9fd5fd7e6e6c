"""The exchange closes, pre-opens and opens again, by hand or by script (reference §3.5)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.emulator.support import PRICE, Desk, code, virtual

from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.protocol.maintenance import Closing
from gmobot.venue.transport import HandshakeRefused, Request, Timeouts

ORDER = {"symbol": "BTC", "side": "BUY", "executionType": "LIMIT", "price": str(PRICE - 1_000), "size": "0.001"}


def _running(scenario: Callable[[Desk], Awaitable[None]], *early: dict[str, Any]) -> None:
    async def whole() -> None:
        desk = Desk()
        for wish in early:
            desk.api.arm(wish)
        running = asyncio.create_task(desk.api.run())
        await asyncio.sleep(0)
        await scenario(desk)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    virtual(whole)


async def _states(desk: Desk, seconds: int) -> list[str]:
    """What a client sees each second, in a word."""
    seen = []
    for _ in range(seconds):
        answer = await desk.public("/v1/status")
        seen.append(answer["data"]["status"] if answer["status"] == 0 else code(answer))
        await asyncio.sleep(0.99)
    return seen


def test_a_script_closes_preopens_and_opens() -> None:
    async def scenario(desk: Desk) -> None:
        standing = await desk.placed("LIMIT", "BUY", "0.001", PRICE - 500)
        desk.api.arm({"fault": "maintenance", "after_seconds": 1.5, "seconds": 3, "preopen_seconds": 2})
        assert await _states(desk, 8) == ["OPEN"] * 2 + ["ERR-5201"] * 3 + ["PREOPEN"] * 2 + ["OPEN"]
        assert desk.api.maintenance.describe() == []
        assert desk.account.orders[standing].active

    _running(scenario)


def test_a_script_armed_before_the_exchange_runs_starts_with_it() -> None:
    async def scenario(desk: Desk) -> None:
        assert await _states(desk, 3) == ["ERR-5202", "ERR-5202", "OPEN"]

    _running(scenario, {"fault": "maintenance", "seconds": 1.5, "preopen_seconds": 0, "emergency": True})


def test_the_status_endpoint_says_it_in_both_ways() -> None:
    async def scenario(desk: Desk) -> None:
        desk.api.arm({"fault": "maintenance", "seconds": 1.5, "preopen_seconds": 0, "status_endpoint": "data"})
        await asyncio.sleep(0.01)
        assert await _states(desk, 3) == ["MAINTENANCE", "MAINTENANCE", "OPEN"]

    _running(scenario)


def test_nothing_but_the_status_answers_in_maintenance_and_preopen_takes_cancels_only() -> None:
    async def scenario(desk: Desk) -> None:
        standing = await desk.placed("LIMIT", "BUY", "0.001", PRICE - 500)
        desk.api.set_status("MAINTENANCE", Closing(status_endpoint="data"))
        assert code(await desk.public("/v1/ticker", "symbol=BTC")) == "ERR-5201"
        assert code(await desk.private("GET", "/v1/account/assets")) == "ERR-5201"
        desk.api.set_status("PREOPEN")
        assert code(await desk.private("POST", "/v1/order", body=ORDER)) == "ERR-5203"
        assert (await desk.private("POST", "/v1/cancelOrder", body={"orderId": standing}))["status"] == 0

    _running(scenario)


def test_tokens_do_not_survive_and_a_new_one_works_after() -> None:
    async def scenario(desk: Desk) -> None:
        token = (await desk.private("POST", "/v1/ws-auth", body={}))["data"]
        desk.api.arm({"fault": "maintenance", "seconds": 1, "preopen_seconds": 0})
        await asyncio.sleep(1.5)
        with pytest.raises(HandshakeRefused):
            await desk.transport.connect(f"/ws/private/v1/{token}", timeout=1.0)
        await desk.private_socket("orderEvents")

    _running(scenario)


def test_disarming_ends_a_running_script_and_forgets_a_waiting_one() -> None:
    async def scenario(desk: Desk) -> None:
        desk.api.arm({"fault": "maintenance", "seconds": 100})
        desk.api.arm({"fault": "maintenance", "after_seconds": 500})
        await asyncio.sleep(1.0)
        assert await _states(desk, 1) == ["ERR-5201"]
        desk.api.disarm("maintenance")
        assert desk.api.maintenance.describe() == []
        assert await _states(desk, 1) == ["OPEN"]
        await asyncio.sleep(600.0)
        assert await _states(desk, 1) == ["OPEN"]

    _running(scenario)


def test_the_http_status_of_maintenance_is_assumed() -> None:
    async def scenario() -> None:
        desk = Desk(assumptions=Assumptions(maintenance_http=503))
        desk.api.set_status("MAINTENANCE")
        reply = await desk.transport.request(Request("GET", "/public/v1/status"), Timeouts())
        assert (reply.status, code(json.loads(reply.body))) == (503, "ERR-5201")

    virtual(scenario)
