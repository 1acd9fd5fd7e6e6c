"""The emulator on a real port: HTTP and WebSockets as GMO Coin serves them, and what only an emulator has.

Everything that is not GMO Coin's lies below ``/emulator/v1``: who you are talking to, faults, the access
record, a dump of the ledger, the exchange's status, the tape's speed.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from gmobot.core.instrument import to_yen
from gmobot.emulator import wire
from gmobot.emulator.api import ExchangeApi
from gmobot.emulator.market import ArchiveMarket
from gmobot.emulator.sockets import PING_SECONDS, ServerSocket
from gmobot.errors import ConfigError
from gmobot.venue.transport import HandshakeRefused, ReplyLost, Request, SocketClosed

_LARGEST_BODY = 1_048_576


class EmulatorServer:
    """A running emulator.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, api: ExchangeApi) -> None:
        self._api = api
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.router.add_get("/emulator/v1", self._identity)
        app.router.add_get("/emulator/v1/faults", self._show_faults)
        app.router.add_post("/emulator/v1/faults", self._arm)
        app.router.add_delete("/emulator/v1/faults", self._disarm)
        app.router.add_get("/emulator/v1/access", self._access)
        app.router.add_get("/emulator/v1/ledger", self._ledger)
        app.router.add_post("/emulator/v1/status", self._set_status)
        app.router.add_post("/emulator/v1/speed", self._set_speed)
        app.router.add_get("/ws/{rest:.*}", self._socket)
        app.router.add_route("*", "/{rest:.*}", self._rest)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        self._sockets: set[web.WebSocketResponse] = set()
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes a free one.

        Raises:
            OSError: The port is taken.
        """
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        self._api.hub.drop_all()
        await self._runner.cleanup()

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        passed = Request(request.method, request.path, request.rel_url.raw_query_string, dict(request.headers), await request.read())
        try:
            reply = await self._api.handle(passed, request.remote or "unknown")
        except ReplyLost:
            if request.transport is not None:
                request.transport.abort()
            raise asyncio.CancelledError from None
        return web.Response(status=reply.status, body=reply.body, headers=dict(reply.headers))

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        try:
            ours = await self._api.open_socket(request.path, request.remote or "unknown")
        except HandshakeRefused as refused:
            return web.Response(status=refused.status)
        theirs = web.WebSocketResponse(autoping=True, compress=True)
        await theirs.prepare(request)
        self._sockets.add(theirs)
        tasks = [asyncio.create_task(work) for work in (self._outward(ours, theirs), self._inward(ours, theirs), self._ping(ours, theirs))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._sockets.discard(theirs)
            await ours.close()
            if request.transport is not None:
                request.transport.abort()
        return theirs

    @staticmethod
    async def _outward(ours: ServerSocket, theirs: web.WebSocketResponse) -> None:
        with contextlib.suppress(SocketClosed, ConnectionError, RuntimeError):
            while True:
                await theirs.send_str(str(await ours.receive()))

    @staticmethod
    async def _inward(ours: ServerSocket, theirs: web.WebSocketResponse) -> None:
        with contextlib.suppress(SocketClosed, ConnectionError, RuntimeError):
            async for message in theirs:
                if message.type is WSMsgType.TEXT:
                    await ours.send(message.data)

    @staticmethod
    async def _ping(ours: ServerSocket, theirs: web.WebSocketResponse) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):
            while True:
                await asyncio.sleep(PING_SECONDS)
                if not ours.silent:
                    await theirs.ping()

    # --- what only the emulator has -------------------------------------------------------------------

    async def _identity(self, _: web.Request) -> web.Response:
        return _json({"emulator": "gmobot", "status": self._api.exchange.status, "symbols": list(self._api.exchange.symbols)})

    async def _show_faults(self, _: web.Request) -> web.Response:
        return _json({"armed": self._api.faults.describe(), "struck": self._api.faults.struck})

    async def _arm(self, request: web.Request) -> web.Response:
        values = await _object(request)
        try:
            self._api.faults.arm(
                str(values.get("fault")),
                where=str(values.get("where", "*")),
                times=values.get("times", 1),
                probability=float(values.get("probability", 1.0)),
            )
        except (ConfigError, TypeError, ValueError) as error:
            return _json({"error": str(error)}, status=400)
        return await self._show_faults(request)

    async def _disarm(self, request: web.Request) -> web.Response:
        self._api.faults.disarm(request.query.get("fault"))
        return await self._show_faults(request)

    async def _access(self, _: web.Request) -> web.Response:
        return _json({"access": list(self._api.access)})

    async def _ledger(self, _: web.Request) -> web.Response:
        instruments = self._api.exchange.instruments
        dump: dict[str, Any] = {}
        for account in self._api.exchange.accounts.values():
            coins = {symbol: wire.number(instruments[symbol].size(lots)) for symbol, lots in account.coins.items()}
            dump[account.name] = {
                "balances": {"JPY": wire.number(to_yen(account.jpy_uyen)), **coins},
                "orders": [wire.order_row(o, instruments[o.symbol], with_cancel_type=True) for o in account.orders.values()],
                "executions": [wire.execution_row(e, instruments[e.order.symbol]) for e in account.executions],
            }
        return _json(dump)

    async def _set_status(self, request: web.Request) -> web.Response:
        status = (await _object(request)).get("status")
        if status not in ("OPEN", "PREOPEN", "MAINTENANCE"):
            return _json({"error": "status is OPEN, PREOPEN or MAINTENANCE"}, status=400)
        self._api.set_status(status)
        return await self._identity(request)

    async def _set_speed(self, request: web.Request) -> web.Response:
        speed = (await _object(request)).get("speed")
        if not isinstance(speed, int | float) or not 0 < speed <= 1_000:
            return _json({"error": "speed is a number above 0 and at most 1000"}, status=400)
        for market in self._api.exchange.symbols.values():
            if isinstance(market.source, ArchiveMarket):
                market.source.set_speed(float(speed), self._api.exchange.clock.now_ns())
        return _json({"speed": speed})


def _json(data: object, *, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(data), status=status, content_type="application/json")


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        return msgspec.json.decode(await request.read() or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise web.HTTPBadRequest(text="expected a JSON object") from None
