"""Who may ask, and who may command.

A page anywhere can make a browser call localhost. So a listener answers only to the names it was given
(a rebound DNS name is not among them), a command must be JSON (which a foreign page cannot send without
asking first, and nobody answers that question), and it must carry the control token.
"""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from gmobot.clock import Clock
from gmobot.secrets import Secret
from gmobot.web.answers import answer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
COMMANDS_PER_MINUTE: Final = 30
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Limit:
    """So many a minute."""

    def __init__(self, clock: Clock, count: int) -> None:
        self._clock = clock
        self._count = count
        self._taken: deque[float] = deque()

    def take(self) -> bool:
        """Take one; return whether there was one."""
        now = self._clock.monotonic()
        while self._taken and now - self._taken[0] >= 60.0:
            self._taken.popleft()
        if len(self._taken) >= self._count:
            return False
        self._taken.append(now)
        return True


class CommandGuard:
    """Lets commands pass that carry the token, and not too many of them.

    Wrong tokens are counted apart: whoever guesses cannot use up what the operator may send.
    """

    def __init__(self, clock: Clock, token: Secret | None, *, local: bool) -> None:
        """Make a guard.

        Args:
            clock: For the limits.
            token: Control token; without one every command over TCP is refused.
            local: The listener is the unix socket, which its file mode guards.
        """
        self._token = token
        self._local = local
        self._commands = Limit(clock, COMMANDS_PER_MINUTE)
        self._guesses = Limit(clock, COMMANDS_PER_MINUTE)

    def expect(self, token: Secret) -> None:
        """Ask for another control token from now on."""
        self._token = token

    def refusal(self, request: web.Request) -> web.Response | None:
        """Return why a command is refused, or ``None``."""
        if request.content_type != "application/json":
            return answer({"error": "send Content-Type: application/json"}, status=415)
        if not self._local:
            if self._token is None:
                return answer({"error": "no control token is configured; use the local socket: gmobot halt"}, status=403)
            if not _carries(request, self._token):
                return self._wrong()
        return None if self._commands.take() else _too_many()

    def _wrong(self) -> web.Response:
        if not self._guesses.take():
            return _too_many()
        response = answer({"error": "missing or wrong control token: send Authorization: Bearer <token>"}, status=401)
        response.headers["WWW-Authenticate"] = "Bearer"
        return response


def middleware(allowed_hosts: Iterable[str] | None) -> Middleware:
    """Return what stands before every route: the check of the name, and the headers that keep a browser strict.

    Args:
        allowed_hosts: Names this listener answers to; ``None`` for any, on the unix socket.
    """
    allowed = None if allowed_hosts is None else frozenset(host.lower() for host in allowed_hosts)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if allowed is not None and _host_name(request.host) not in allowed:
            response: web.StreamResponse = answer(
                {"error": f"this server does not answer to the name {request.host!r}; see health.allowed_hosts"}, status=403
            )
        else:
            try:
                response = await handler(request)
            except web.HTTPException as error:
                error.headers.update(_HEADERS)
                raise
        response.headers.update(_HEADERS)
        return response

    return guard


def _carries(request: web.Request, token: Secret) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    # Header bytes that are not UTF-8 arrive as surrogates.
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(errors="surrogateescape"), token.reveal())


def _too_many() -> web.Response:
    response = answer({"error": "too many commands; wait a minute"}, status=429)
    response.headers["Retry-After"] = "60"
    return response


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return (host.rpartition(":")[0] or host).lower()
