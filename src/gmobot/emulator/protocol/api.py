"""The exchange behind GMO Coin's protocol: request in, reply out; sockets of frames. Still no network.

Checks come in the order of reference/gmo-coin-api.md §2: path, maintenance, key, timestamp, window,
permission, signature, rate, parameters. Who signed what, with which key and when, is kept for checks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from gmobot.clock import NS_PER_SECOND, iso_utc
from gmobot.emulator.engine.exchange import Exchange, Refusal
from gmobot.emulator.engine.records import Account
from gmobot.emulator.faults import Fault, Faults
from gmobot.emulator.protocol import wire
from gmobot.emulator.protocol.admin import PREFIX, AdminApi
from gmobot.emulator.protocol.authentication import Authenticator, NotAuthenticated
from gmobot.emulator.protocol.connection import ServerSocket
from gmobot.emulator.protocol.keys import KeyRules
from gmobot.emulator.protocol.maintenance import STATUSES, Closing, Maintenance, Schedule
from gmobot.emulator.protocol.parameters import body_values
from gmobot.emulator.protocol.private import PrivateApi
from gmobot.emulator.protocol.public import NotFound, PublicApi
from gmobot.emulator.protocol.sockets import Hub
from gmobot.emulator.protocol.tokens import SECONDS as TOKEN_SECONDS
from gmobot.emulator.protocol.tokens import Tokens
from gmobot.errors import ConfigError
from gmobot.venue.transport import HandshakeRefused, Reply, ReplyLost, Request

_RECORDS_KEPT = 10_000
_REPLIES_KEPT = 256
_STALE_SECONDS = 1.5
_SKEW_SECONDS = 30.0
_PUBLIC_SOCKET = "/ws/public/v1"
_PRIVATE_SOCKET = "/ws/private/v1/"
_STATUS = "/v1/status"
_BAD_GATEWAY = Reply(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", {"Content-Type": "text/html"})


class _Wish(msgspec.Struct, forbid_unknown_fields=True):
    """A fault as people write it."""

    fault: str
    where: str = "*"
    times: int | None = 1
    probability: float = 1.0
    seconds: float | None = None


class ExchangeApi:
    """GMO Coin's REST and WebSocket API over an :class:`Exchange`.

    Attributes:
        access: The newest signed requests: when, which key, from where, what, and the refusal if there was one.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        faults: Faults | None = None,
        keys: Mapping[str, KeyRules] | None = None,
        seed: int = 0,
        token_seconds: float = TOKEN_SECONDS,
    ) -> None:
        self.exchange = exchange
        self.faults = faults or Faults(seed)
        self.tokens = Tokens(exchange.clock, seed=seed, seconds=token_seconds)
        self.authenticator = Authenticator(exchange, keys or {}, self.faults)
        self.hub = Hub(exchange, self.faults, self.authenticator.allows, self.tokens)
        self.maintenance = Schedule(self.set_status)
        self.access: deque[dict[str, Any]] = deque(maxlen=_RECORDS_KEPT)
        self._closing = Closing()
        self._public = PublicApi(exchange)
        self._private = PrivateApi(exchange, self.tokens, self.faults)
        self._admin = AdminApi(self)
        self._recent: dict[str, deque[float]] = {}
        self._replies: dict[str, tuple[float, Reply]] = {}

    async def run(self) -> None:
        """Run the exchange and its streams until cancelled."""
        self.maintenance.start()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.exchange.run())
            group.create_task(self.hub.run())

    async def handle(self, request: Request, client: str = "local") -> Reply:
        """Answer a request.

        Raises:
            ReplyLost: A fault took the reply away.
        """
        if request.path.startswith(PREFIX):
            return self._admin.answer(request)
        path = request.path.removeprefix("/private").removeprefix("/public")
        if self.faults.strikes(Fault.REPLY_LOST_BEFORE, path):
            raise ReplyLost("the connection broke")
        if self.faults.strikes(Fault.SERVER_ERROR_BEFORE, path):
            return _BAD_GATEWAY
        reply = self._answer_at_its_time(request, path, client)
        await asyncio.sleep(self._reply_seconds(path))
        if self.faults.strikes(Fault.SERVER_ERROR, path):
            return _BAD_GATEWAY
        if self.faults.strikes(Fault.REPLY_LOST_AFTER, path):
            raise ReplyLost("the connection broke")
        return reply

    async def open_socket(self, path: str, client: str = "local") -> ServerSocket:
        """Open a WebSocket.

        Raises:
            HandshakeRefused: In maintenance, without a valid token, or at an unknown path.
        """
        if self.exchange.status == "MAINTENANCE" or self.faults.strikes(Fault.HANDSHAKE_REFUSED, "connect"):
            raise HandshakeRefused(503)
        if path == _PUBLIC_SOCKET:
            return self.hub.open(client, None)
        if not path.startswith(_PRIVATE_SOCKET):
            raise HandshakeRefused(404)
        token = path.removeprefix(_PRIVATE_SOCKET)
        owner = self.tokens.owner(token)
        if owner is not None and self.faults.strikes(Fault.TOKEN_INVALIDATED, "connect"):
            self.tokens.drop(owner)
            owner = None
        if owner is None:
            raise HandshakeRefused(self.exchange.assumptions.bad_token_http)
        return self.hub.open(client, owner, token)

    def arm(self, wish: Mapping[str, Any]) -> None:
        """Arm a fault as a file or a request describes it.

        Raises:
            ConfigError: It makes no sense.
        """
        try:
            if wish.get("fault") == "maintenance":
                self.maintenance.plan(msgspec.convert(wish, Maintenance))
                return
            fault = msgspec.convert(wish, _Wish)
        except msgspec.ValidationError as error:
            raise ConfigError(f"fault {wish.get('fault', '?')}: {error}") from None
        self.faults.arm(fault.fault, where=fault.where, times=fault.times, probability=fault.probability, seconds=fault.seconds)

    def disarm(self, fault: str | None = None) -> None:
        """Take back one kind of fault, or all, maintenance included.

        Raises:
            ConfigError: There is no such fault.
        """
        if fault in (None, "maintenance"):
            self.maintenance.cancel()
        if fault != "maintenance":
            self.faults.disarm(fault)

    def set_status(self, status: str, closing: Closing | None = None) -> None:
        """Open the exchange, close it, or let it open slowly.

        Args:
            status: ``OPEN``, ``PREOPEN`` or ``MAINTENANCE``.
            closing: How it answers while closed; regular maintenance without one.

        Raises:
            ConfigError: There is no such status.
        """
        if status not in STATUSES:
            raise ConfigError(f"status {status!r}: must be one of {', '.join(STATUSES)}")
        self.exchange.status = status
        self._closing = closing or Closing()
        if status == "MAINTENANCE":
            self.tokens.clear()
            self.hub.drop_all()

    def _reply_seconds(self, path: str) -> float:
        guesses = self.exchange.assumptions
        if self.faults.strikes(Fault.REPLY_SLOW, path):
            return guesses.reply_seconds + self.faults.seconds(Fault.REPLY_SLOW, 0.2, 3.0)
        if self.faults.strikes(Fault.EVENT_BEFORE_REPLY, path):
            return max(guesses.reply_seconds, 2 * guesses.event_seconds + 0.01)
        return guesses.reply_seconds

    def _answer_at_its_time(self, request: Request, path: str, client: str) -> Reply:
        """Answer by the server's clock, which a fault may have shifted."""
        now = self.exchange.clock.now_ns()
        if not self.faults.strikes(Fault.CLOCK_SKEW, path):
            return self._answer(request, path, client, now)
        now += int(self.faults.seconds(Fault.CLOCK_SKEW, -_SKEW_SECONDS, _SKEW_SECONDS) * NS_PER_SECOND)
        reply = self._answer(request, path, client, now)
        return Reply(reply.status, reply.body, {**reply.headers, "Date": formatdate(now // NS_PER_SECOND, usegmt=True)})

    def _answer(self, request: Request, path: str, client: str, now: int) -> Reply:
        if self.faults.strikes(Fault.SERVER_BUSY, path):
            return wire.failure("ERR-554", "Server is unavailable.", now)
        if self.faults.strikes(Fault.SERVER_OVERLOADED, path):
            return wire.failure("ERR-626", "Server is busy.", now)
        if self.faults.strikes(Fault.RATE_LIMITED, path):
            return self._too_many(now)
        try:
            if request.path.startswith("/public"):
                return self._answer_public(request, path, client, now)
            return self._answer_private(request, path, client, now)
        except NotFound as refusal:
            return wire.failure(refusal.code, refusal.text, now, status=2, http=404)
        except NotAuthenticated as refusal:
            return wire.failure(refusal.code, refusal.text, now, status=self.exchange.assumptions.auth_status)
        except Refusal as refusal:
            return wire.failure(refusal.code, refusal.text, now)

    def _answer_public(self, request: Request, path: str, client: str, now: int) -> Reply:
        if not self._public.knows(path):
            raise NotFound
        if self.exchange.status == "MAINTENANCE" and not (path == _STATUS and self._closing.status_endpoint == "data"):
            return self._closed(now)
        if self._over_limit(f"public:{client}", self.exchange.assumptions.public_per_second):
            return self._too_many(now)
        clock, known = self.exchange.clock.monotonic(), self._replies.get(request.target)
        if known is not None and self.faults.strikes(Fault.STALE_PUBLIC, path):
            oldest = clock - self.faults.seconds(Fault.STALE_PUBLIC, 0.0, _STALE_SECONDS)
            if known[0] >= oldest:
                return known[1]
        reply = wire.success(self._public.answer(path, dict(parse_qsl(request.query))), now)
        if len(self._replies) >= _REPLIES_KEPT:
            self._replies.clear()
        self._replies[request.target] = (clock, reply)
        return reply

    def _answer_private(self, request: Request, path: str, client: str, now: int) -> Reply:
        if not request.path.startswith("/private") or not self._private.knows(request.method, path):
            return wire.failure("ERR-5204", "Forbidden.", now, http=404)
        if self.exchange.status == "MAINTENANCE":
            return self._closed(now)
        account = self._authenticated(request, path, client, now)
        bucket = f"{account.name}:{'GET' if request.method == 'GET' else 'POST'}"
        if self._over_limit(bucket, self.exchange.allowance(account)):
            return self._too_many(now)
        if path == "/v1/ws-auth" and request.method == "PUT" and self.faults.strikes(Fault.TOKEN_INVALIDATED, path):
            self.tokens.drop(account)
        values = dict(parse_qsl(request.query)) if request.method == "GET" else body_values(request.body)
        return wire.success(self._private.answer(request.method, path, account, values), now)

    def _authenticated(self, request: Request, path: str, client: str, now: int) -> Account:
        """Return whose request it is, and keep a record of it either way."""
        headers = {name.upper(): value for name, value in request.headers.items()}
        record: dict[str, Any] = {
            "at": iso_utc(now),
            "key": headers.get("API-KEY"),
            "client": client,
            "method": request.method,
            "path": path,
            "error": None,
        }
        self.access.append(record)
        try:
            return self.authenticator.account(request, path, headers, client, now)
        except NotAuthenticated as refusal:
            record["error"] = refusal.code
            raise

    def _over_limit(self, bucket: str, per_second: int) -> bool:
        now = self.exchange.clock.monotonic()
        recent = self._recent.setdefault(bucket, deque())
        while recent and now - recent[0] >= 1.0:
            recent.popleft()
        if len(recent) >= per_second:
            return True
        recent.append(now)
        return False

    @staticmethod
    def _too_many(now: int) -> Reply:
        return wire.failure("ERR-5003", "Requests are too many.", now, status=4)

    def _closed(self, now: int) -> Reply:
        http = self.exchange.assumptions.maintenance_http
        return wire.failure(self._closing.code, self._closing.text, now, status=5, http=http)
