"""What only the emulator has, below ``/emulator/v1``: who it is, faults, the access record, its books, its speed.

A client tells an emulator from the real exchange by ``GET /emulator/v1``, which also lists everything else
there is. Nothing here is signed: the emulator trades with play money and listens on a private address.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl

import msgspec

import gmobot
from gmobot.core.instrument import to_yen
from gmobot.emulator.engine.records import Account
from gmobot.emulator.protocol import wire
from gmobot.emulator.protocol.hands import CashMove, HandOrder, Hands
from gmobot.emulator.protocol.keys import ApiKey, KeyRules
from gmobot.emulator.protocol.maintenance import Closing
from gmobot.emulator.protocol.positions import position_row
from gmobot.errors import ConfigError
from gmobot.venue.transport import Reply, Request

if TYPE_CHECKING:
    from gmobot.emulator.protocol.api import ExchangeApi

PREFIX = "/emulator/v1"
ENDPOINTS = {
    ("GET", ""): "what this is, and this list",
    ("GET", "/faults"): "faults that are armed, and how often each has struck",
    ("POST", "/faults"): "arm a fault: {fault, where, times, probability, seconds}; maintenance: {fault, after_seconds, …}",
    ("DELETE", "/faults"): "take back all faults, or those of ?fault=",
    ("GET", "/access"): "who signed what, with which key, when; of one key with ?key=",
    ("DELETE", "/access"): "forget the access record",
    ("GET", "/ledger"): "balances, orders and executions of every account, or of ?account=; the books are checked first",
    ("GET", "/speed"): "how many times faster than real time the tape plays",
    ("POST", "/speed"): "play the tape faster or slower: {speed}",
    ("POST", "/cash"): "the owner moves money: {move: deposit, withdrawal, transfer_out or transfer_in; amount, asset, account}",
    ("POST", "/orders"): "the owner orders by hand: {symbol, side, size, type, price, position_id, account}",
    ("GET", "/keys"): "every API key, and whose it is",
    ("POST", "/keys"): "the owner makes a key: {key, secret, account, may, from}",
    ("DELETE", "/keys"): "the owner deletes a key: ?key=",
    ("POST", "/status"): "open or close the exchange now: {status, emergency, status_endpoint}",
}
"""Method and path below :data:`PREFIX`, and what it does."""
_JSON = {"Content-Type": "application/json"}


class _Speed(msgspec.Struct, forbid_unknown_fields=True):
    speed: float


class _NewKey(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    secret: str
    account: str = "emulator-key"
    may: str | None = None
    addresses: str | None = msgspec.field(name="from", default=None)


class _Status(msgspec.Struct, forbid_unknown_fields=True):
    status: str
    emergency: bool = False
    status_endpoint: Literal["error", "data"] = "error"


class AdminApi:
    """Answers requests below :data:`PREFIX`."""

    def __init__(self, api: ExchangeApi) -> None:
        self._api = api
        self._hands = Hands(api.exchange)
        self._routes: dict[tuple[str, str], Callable[[Request], Any]] = {
            ("GET", ""): lambda _: self._identity(),
            ("GET", "/faults"): lambda _: self._faults(),
            ("POST", "/faults"): self._arm,
            ("DELETE", "/faults"): self._disarm,
            ("GET", "/access"): self._access,
            ("DELETE", "/access"): self._forget_access,
            ("GET", "/ledger"): self._ledger,
            ("GET", "/speed"): lambda _: self._speed(),
            ("POST", "/speed"): self._set_speed,
            ("POST", "/cash"): lambda request: self._hands.move(msgspec.json.decode(request.body, type=CashMove)),
            ("POST", "/orders"): lambda request: self._hands.order(msgspec.json.decode(request.body, type=HandOrder)),
            ("GET", "/keys"): lambda _: self._keys(),
            ("POST", "/keys"): self._issue,
            ("DELETE", "/keys"): self._withdraw,
            ("POST", "/status"): self._status,
        }

    def answer(self, request: Request) -> Reply:
        """Answer a request: 200 with JSON, 400 with what is wrong, 404."""
        route = self._routes.get((request.method, request.path.removeprefix(PREFIX).rstrip("/")))
        if route is None:
            return _reply(404, {"error": f"{request.method} {request.path}: there is no such thing; GET {PREFIX} lists what there is"})
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
            "endpoints": {f"{method} {PREFIX}{path}": what for (method, path), what in ENDPOINTS.items()},
        }

    def _faults(self) -> dict[str, Any]:
        return {"armed": self._api.faults.describe() + self._api.maintenance.describe(), "struck": self._api.faults.struck}

    def _arm(self, request: Request) -> dict[str, Any]:
        self._api.arm(msgspec.json.decode(request.body, type=dict[str, Any]))
        return self._faults()

    def _disarm(self, request: Request) -> dict[str, Any]:
        self._api.disarm(dict(parse_qsl(request.query)).get("fault"))
        return self._faults()

    def _access(self, request: Request) -> dict[str, Any]:
        key = dict(parse_qsl(request.query)).get("key")
        return {"access": [record for record in self._api.access if key in (None, record["key"])]}

    def _forget_access(self, _: Request) -> dict[str, Any]:
        self._api.access.clear()
        return {"access": []}

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

    def _speed(self) -> dict[str, Any]:
        return {"speed": {symbol: market.source.speed for symbol, market in self._api.exchange.symbols.items()}}

    def _set_speed(self, request: Request) -> dict[str, Any]:
        self._api.exchange.set_speed(msgspec.json.decode(request.body, type=_Speed).speed)
        return self._speed()

    def _keys(self) -> dict[str, str]:
        return self._api.authenticator.names()

    def _issue(self, request: Request) -> dict[str, str]:
        wish = msgspec.json.decode(request.body, type=_NewKey)
        if not wish.key or not wish.secret:
            raise ConfigError("a key needs a name and a secret")
        rules = KeyRules.parse(wish.may, wish.addresses)
        self._api.authenticator.issue(wish.key, ApiKey(self._hands.account(wish.account), wish.secret.encode(), rules))
        return self._keys()

    def _withdraw(self, request: Request) -> dict[str, str]:
        self._api.authenticator.withdraw(dict(parse_qsl(request.query)).get("key", ""))
        return self._keys()

    def _status(self, request: Request) -> dict[str, Any]:
        wish = msgspec.json.decode(request.body, type=_Status)
        self._api.set_status(wish.status, Closing(wish.emergency, wish.status_endpoint))
        return self._identity()


def _reply(status: int, data: Any) -> Reply:  # noqa: ANN401
    return Reply(status, msgspec.json.encode(data), _JSON)
