"""What only the emulator has, below ``/emulator/v1``: who it is, faults, the access record, its books, its speed.

A client tells an emulator from the real exchange by ``GET /emulator/v1``. Nothing here is signed: the
emulator trades with play money and listens on a private address.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec

import gmobot
from gmobot.core.instrument import to_yen
from gmobot.emulator import wire
from gmobot.emulator.positions import position_row
from gmobot.emulator.records import Account
from gmobot.errors import ConfigError
from gmobot.venue.transport import Reply, Request

if TYPE_CHECKING:
    from gmobot.emulator.api import ExchangeApi

PREFIX = "/emulator/v1"
_JSON = {"Content-Type": "application/json"}


class _Arm(msgspec.Struct, forbid_unknown_fields=True):
    fault: str
    where: str = "*"
    times: int | None = 1
    probability: float = 1.0


class _Speed(msgspec.Struct, forbid_unknown_fields=True):
    speed: float


class _Status(msgspec.Struct, forbid_unknown_fields=True):
    status: str


class AdminApi:
    """Answers requests below :data:`PREFIX`."""

    def __init__(self, api: ExchangeApi) -> None:
        self._api = api
        self._routes: dict[tuple[str, str], Callable[[Request], Any]] = {
            ("GET", ""): lambda _: self._identity(),
            ("GET", "/faults"): lambda _: self._faults(),
            ("POST", "/faults"): self._arm,
            ("DELETE", "/faults"): self._disarm,
            ("GET", "/access"): self._access,
            ("GET", "/ledger"): self._ledger,
            ("POST", "/speed"): self._speed,
            ("POST", "/status"): self._status,
        }

    def answer(self, request: Request) -> Reply:
        """Answer a request: 200 with JSON, 400 with what is wrong, 404."""
        route = self._routes.get((request.method, request.path.removeprefix(PREFIX).rstrip("/")))
        if route is None:
            return _reply(404, {"error": f"{request.method} {request.path}: there is no such thing"})
        try:
            return _reply(200, route(request))
        except (ConfigError, msgspec.DecodeError, msgspec.ValidationError) as error:
            return _reply(400, {"error": str(error)})

    def _identity(self) -> dict[str, Any]:
        exchange = self._api.exchange
        return {
            "emulator": "gmobot",
            "version": gmobot.__version__,
            "status": exchange.status,
            "symbols": list(exchange.symbols),
            "market": {symbol: type(market.source).__name__ for symbol, market in exchange.symbols.items()},
        }

    def _faults(self) -> dict[str, Any]:
        return {"armed": self._api.faults.describe(), "struck": self._api.faults.struck}

    def _arm(self, request: Request) -> dict[str, Any]:
        wish = msgspec.json.decode(request.body, type=_Arm)
        self._api.faults.arm(wish.fault, where=wish.where, times=wish.times, probability=wish.probability)
        return self._faults()

    def _disarm(self, request: Request) -> dict[str, Any]:
        self._api.faults.disarm(dict(parse_qsl(request.query)).get("fault"))
        return self._faults()

    def _access(self, request: Request) -> dict[str, Any]:
        key = dict(parse_qsl(request.query)).get("key")
        return {"access": [record for record in self._api.access if key in (None, record["key"])]}

    def _ledger(self, request: Request) -> dict[str, Any]:
        exchange, key = self._api.exchange, dict(parse_qsl(request.query)).get("account")
        exchange.check()
        return {name: self._account(account) for name, account in exchange.accounts.items() if key in (None, name)}

    def _account(self, account: Account) -> dict[str, Any]:
        instruments = self._api.exchange.instruments
        coins = {symbol: wire.number(instruments[symbol].size(lots)) for symbol, lots in account.coins.items()}
        orders = account.orders.values()
        return {
            "balances": {"JPY": wire.number(to_yen(account.jpy_uyen))} | coins,
            "orders": [wire.order_row(order, instruments[order.symbol], with_cancel_type=True) for order in orders],
            "positions": [position_row(self._api.exchange, position) for position in account.positions.values()],
            "executions": [wire.execution_row(e, instruments[e.order.symbol]) for e in account.executions],
        }

    def _speed(self, request: Request) -> dict[str, float]:
        speed = msgspec.json.decode(request.body, type=_Speed).speed
        exchange = self._api.exchange
        for market in exchange.symbols.values():
            market.source.set_speed(speed, exchange.clock.now_ns())
        return {"speed": speed}

    def _status(self, request: Request) -> dict[str, Any]:
        self._api.set_status(msgspec.json.decode(request.body, type=_Status).status)
        return self._identity()


def _reply(status: int, data: Any) -> Reply:  # noqa: ANN401
    return Reply(status, msgspec.json.encode(data), _JSON)
