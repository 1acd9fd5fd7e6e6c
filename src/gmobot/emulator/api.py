"""The exchange behind GMO Coin's protocol: request in, reply out; sockets of frames. Still no network.

Checks come in the order of reference/gmo-coin-api.md §2: path, maintenance, key, timestamp, window,
permission, signature, rate, parameters. Who signed what, with which key and when, is kept for checks.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections import deque
from typing import Any
from urllib.parse import parse_qsl

from gmobot.clock import NS_PER_MS, NS_PER_SECOND, iso_utc
from gmobot.emulator import wire
from gmobot.emulator.admin import PREFIX, AdminApi
from gmobot.emulator.exchange import Exchange, Refusal
from gmobot.emulator.faults import Fault, Faults
from gmobot.emulator.parameters import body_values
from gmobot.emulator.private import PrivateApi
from gmobot.emulator.public import NotFound, PublicApi
from gmobot.emulator.records import Account
from gmobot.emulator.sockets import Hub, ServerSocket
from gmobot.emulator.tokens import Tokens
from gmobot.errors import ConfigError
from gmobot.venue.transport import HandshakeRefused, Reply, ReplyLost, Request

_RECORDS_KEPT = 10_000
_PRIVATE_SOCKET = "/ws/private/v1/"
_BAD_GATEWAY = Reply(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", {"Content-Type": "text/html"})
STATUSES = ("OPEN", "PREOPEN", "MAINTENANCE")


class ExchangeApi:
    """GMO Coin's REST and WebSocket API over an :class:`Exchange`."""

    def __init__(self, exchange: Exchange, *, faults: Faults | None = None, seed: int = 0) -> None:
        self.exchange = exchange
        self.faults = faults or Faults(seed)
        self.tokens = Tokens(exchange.clock, seed=seed)
        self.hub = Hub(exchange, self.faults)
        self.access: deque[dict[str, Any]] = deque(maxlen=_RECORDS_KEPT)
        self._public = PublicApi(exchange)
        self._private = PrivateApi(exchange, self.tokens, self.faults)
        self._admin = AdminApi(self)
        self._recent: dict[str, deque[float]] = {}

    async def run(self) -> None:
        """Run the exchange and its streams until cancelled."""
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
        reply = self._answer(request, path, client)
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
        if path == "/ws/public/v1":
            return self.hub.open(client, None)
        if not path.startswith(_PRIVATE_SOCKET):
            raise HandshakeRefused(404)
        owner = self.tokens.owner(path.removeprefix(_PRIVATE_SOCKET))
        if owner is None:
            raise HandshakeRefused(self.exchange.assumptions.bad_token_http)
        return self.hub.open(client, owner)

    def set_status(self, status: str) -> None:
        """Open the exchange, close it, or let it open slowly.

        Raises:
            ConfigError: There is no such status.
        """
        if status not in STATUSES:
            raise ConfigError(f"status {status!r}: must be one of {', '.join(STATUSES)}")
        self.exchange.status = status
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

    def _answer(self, request: Request, path: str, client: str) -> Reply:
        now = self.exchange.clock.now_ns()
        if self.faults.strikes(Fault.SERVER_BUSY, path):
            return wire.failure("ERR-554", "Server is unavailable.", now)
        if self.faults.strikes(Fault.RATE_LIMITED, path):
            return self._too_many(now)
        try:
            if request.path.startswith("/public"):
                return self._answer_public(request, path, client, now)
            return self._answer_private(request, path, now)
        except NotFound as refusal:
            return wire.failure(refusal.code, refusal.text, now, status=2, http=404)
        except Refusal as refusal:
            return wire.failure(refusal.code, refusal.text, now)

    def _answer_public(self, request: Request, path: str, client: str, now: int) -> Reply:
        if not self._public.knows(path):
            raise NotFound
        if self.exchange.status == "MAINTENANCE":
            return self._closed(now)
        if self._over_limit(f"public:{client}", self.exchange.assumptions.public_per_second):
            return self._too_many(now)
        return wire.success(self._public.answer(path, dict(parse_qsl(request.query))), now)

    def _answer_private(self, request: Request, path: str, now: int) -> Reply:
        if not request.path.startswith("/private") or not self._private.knows(request.method, path):
            return wire.failure("ERR-5204", "Forbidden.", now, http=404)
        if self.exchange.status == "MAINTENANCE":
            return self._closed(now)
        headers = {name.upper(): value for name, value in request.headers.items()}
        failed, account = self._authenticate(request, path, headers, now)
        self.access.append({"at": iso_utc(now), "key": headers.get("API-KEY"), "method": request.method, "path": path, "error": failed})
        if failed is not None or account is None:
            return wire.failure(failed or "ERR-5012", _AUTH_TEXT.get(failed or "", ""), now, status=self.exchange.assumptions.auth_status)
        bucket = f"{account.name}:{'GET' if request.method == 'GET' else 'POST'}"
        if self._over_limit(bucket, self.exchange.allowance(account)):
            return self._too_many(now)
        values = dict(parse_qsl(request.query)) if request.method == "GET" else body_values(request.body)
        return wire.success(self._private.answer(request.method, path, account, values), now)

    def _authenticate(self, request: Request, path: str, headers: dict[str, str], now: int) -> tuple[str | None, Account | None]:
        if not headers.get("API-KEY"):
            return "ERR-5011", None
        stamp = headers.get("API-TIMESTAMP", "")
        if not stamp.isascii() or not stamp.isdigit():
            return "ERR-5007", None
        window_ns = int(self.exchange.assumptions.timestamp_window_seconds * NS_PER_SECOND)
        ahead_ns = int(stamp) * NS_PER_MS - now
        if abs(ahead_ns) > window_ns:
            return ("ERR-5008" if ahead_ns > 0 else "ERR-5009"), None
        account = self.exchange.accounts.get(headers["API-KEY"])
        if account is None:
            return "ERR-5012", None
        body = request.body if request.method == "POST" else b""
        text = f"{stamp}{request.method}{path}".encode() + body
        expected = hmac.new(account.secret, text, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), headers.get("API-SIGN", "").encode()):
            return "ERR-5010", None
        return None, account

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

    @staticmethod
    def _closed(now: int) -> Reply:
        return wire.failure("ERR-5201", "MAINTENANCE. Please wait for a while", now, status=5)


_AUTH_TEXT = {
    "ERR-5007": "Timestamp for this request is invalid.",
    "ERR-5008": "Timestamp for this request is too late.",
    "ERR-5009": "Timestamp for this request is too early.",
    "ERR-5010": "Signature for this request is not valid.",
    "ERR-5011": "API key is required.",
    "ERR-5012": "Authentication failed.",
}
