"""Health, metrics, state and controls over HTTP, from the read models it is handed.

The TCP side wants a bearer token for controls and checks the Host header, since a browser can be made to
call localhost; the unix socket is guarded by its file mode instead.
"""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol

import jinja2
import msgspec
from aiohttp import web

from gmobot.clock import Clock
from gmobot.ops.artifacts import COMPLETE, RunProgress
from gmobot.ops.telemetry import Telemetry
from gmobot.secrets import Secret

_HERE = Path(__file__).parent
_COMMANDS_PER_MINUTE = 30
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class View(Protocol):
    """What the pages show."""

    def progress(self) -> RunProgress:
        """Return where the run stands."""
        ...

    def checks(self) -> Mapping[str, bool]:
        """Return the health checks by name."""
        ...

    def ready(self) -> bool:
        """Return whether the daemon could trade now."""
        ...


class Controls(Protocol):
    """What an operator may command. Each returns why it was refused, or ``None``."""

    async def command(self, name: str, *, acknowledge: bool, source: str) -> str | None:
        """Carry out ``pause``, ``resume``, ``halt`` or ``flatten``."""
        ...


class WebApp:
    """Routes of one listener."""

    def __init__(
        self,
        view: View,
        controls: Controls,
        telemetry: Telemetry,
        clock: Clock,
        *,
        artifacts: Path,
        token: Secret | None,
        allowed_hosts: tuple[str, ...] | None,
    ) -> None:
        """Make the routes.

        Args:
            view: What is shown.
            controls: What can be commanded.
            telemetry: Metrics.
            clock: For rate limits.
            artifacts: Where ``run_complete.json`` lies.
            token: Control token; without one every command is refused.
            allowed_hosts: Names this listener answers to, ``None`` on the unix socket, which needs no token.
        """
        self._view = view
        self._controls = controls
        self._telemetry = telemetry
        self._clock = clock
        self._artifacts = artifacts
        self._token = token
        self._allowed_hosts = allowed_hosts
        self._commands: deque[float] = deque()
        templates = jinja2.Environment(loader=jinja2.FileSystemLoader(_HERE / "templates"), autoescape=True)
        self._page = templates.get_template("index.html")

    def build(self) -> web.Application:
        """Return the application."""
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/", self._index)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/api/v1/progress", self._progress)
        app.router.add_get("/api/v1/complete", self._complete)
        app.router.add_post("/api/v1/control/{command:pause|resume|halt|flatten}", self._control)
        app.router.add_static("/static", _HERE / "static")
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._allowed_hosts is not None and _host_name(request.host) not in self._allowed_hosts:
            return _json({"error": f"this server does not answer to the name {request.host!r}; see health.allowed_hosts"}, status=403)
        response = await handler(request)
        response.headers.update(_HEADERS)
        return response

    async def _index(self, _: web.Request) -> web.Response:
        return web.Response(text=self._page.render(run=self._view.progress()), content_type="text/html")

    async def _healthz(self, _: web.Request) -> web.Response:
        checks = dict(self._view.checks())
        failing = [name for name, passed in checks.items() if not passed]
        body = {"status": "ok" if not failing else "failing", "failing": failing, "checks": checks}
        return _json(body, status=503 if failing else 200)

    async def _livez(self, _: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def _readyz(self, _: web.Request) -> web.Response:
        ready = self._view.ready()
        return _json({"ready": ready}, status=200 if ready else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        body, content_type = self._telemetry.render(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _progress(self, _: web.Request) -> web.Response:
        return _json(self._view.progress())

    async def _complete(self, _: web.Request) -> web.Response:
        try:
            return web.Response(body=(self._artifacts / COMPLETE).read_bytes(), content_type="application/json")
        except FileNotFoundError:
            return _json({"error": "no summary yet"}, status=404)

    async def _control(self, request: web.Request) -> web.Response:
        refusal = self._authorise(request)
        if refusal is not None:
            return refusal
        try:
            options = msgspec.json.decode(await request.read() or b"{}", type=dict[str, bool])
        except (msgspec.DecodeError, msgspec.ValidationError):
            return _json({"error": 'expected a JSON object such as {"acknowledge": true}'}, status=400)
        source = "socket" if self._allowed_hosts is None else "http"
        why = await self._controls.command(request.match_info["command"], acknowledge=options.get("acknowledge", False), source=source)
        return _json({"accepted": why is None, "message": why}, status=200 if why is None else 409)

    def _authorise(self, request: web.Request) -> web.Response | None:
        now = self._clock.monotonic()
        while self._commands and now - self._commands[0] > 60.0:
            self._commands.popleft()
        if len(self._commands) >= _COMMANDS_PER_MINUTE:
            return _json({"error": "too many commands; wait a minute"}, status=429)
        self._commands.append(now)
        if request.content_type != "application/json":
            return _json({"error": "send Content-Type: application/json"}, status=415)
        if self._allowed_hosts is None:
            return None
        if self._token is None:
            return _json({"error": "no control token is configured; use the local socket: gmobot halt"}, status=403)
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self._token.reveal()):
            return _json({"error": "wrong control token"}, status=401)
        return None


async def serve_tcp(app: web.Application, host: str, port: int) -> web.AppRunner:
    """Serve on a TCP port.

    Raises:
        OSError: The port is taken.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner


async def serve_unix(app: web.Application, path: Path) -> web.AppRunner:
    """Serve on a unix socket that only its owner may use."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    path.chmod(0o600)
    return runner


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.rpartition(":")[0] or host


def _json(data: object, *, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(data), status=status, content_type="application/json")
