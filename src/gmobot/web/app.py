"""Health, metrics, state and controls over HTTP, from the read models it is handed.

The same routes serve the TCP port, where :mod:`gmobot.web.guard` asks for names and a token, and the unix
socket, which its file mode guards instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import jinja2
import msgspec
from aiohttp import web

from gmobot.clock import Clock
from gmobot.ops.artifacts import COMPLETE, RunProgress, encode
from gmobot.ops.audit_read import tail
from gmobot.ops.telemetry import Telemetry
from gmobot.secrets import Secret
from gmobot.web.answers import answer
from gmobot.web.guard import CommandGuard, middleware
from gmobot.web.openapi import COMMANDS, openapi
from gmobot.web.serve import serve_tcp, serve_unix

__all__ = ["Controls", "View", "WebApp", "serve_tcp", "serve_unix"]

_HERE = Path(__file__).parent
_LARGEST_BODY = 4_096
_EVENTS_SHOWN = 20


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
    """What an operator may command."""

    async def command(self, name: str, *, acknowledge: bool, source: str) -> str | None:
        """Carry out ``pause``, ``resume``, ``halt`` or ``flatten``; return why it was refused, or ``None``."""
        ...


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a command; a misspelt key is refused rather than overlooked."""

    acknowledge: bool = False


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
        logs: Path | None = None,
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
            logs: Where the audit log lies; without it the page shows no events.
        """
        self._view = view
        self._controls = controls
        self._telemetry = telemetry
        self._artifacts = artifacts
        self._logs = logs
        self._allowed_hosts = allowed_hosts
        self._guard = CommandGuard(clock, token, local=allowed_hosts is None)
        templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=jinja2.StrictUndefined
        )
        self._page = templates.get_template("index.html")

    def expect(self, token: Secret) -> None:
        """Ask for another control token from now on."""
        self._guard.expect(token)

    def build(self) -> web.Application:
        """Return the application."""
        app = web.Application(middlewares=[middleware(self._allowed_hosts)], client_max_size=_LARGEST_BODY)
        app.router.add_get("/", self._index)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/api/openapi.json", self._openapi)
        app.router.add_get("/api/v1/progress", self._progress)
        app.router.add_get("/api/v1/complete", self._complete)
        app.router.add_get("/api/v1/events", self._events)
        for name in COMMANDS:
            app.router.add_post(f"/api/v1/control/{name}", self._control)
        app.router.add_static("/static", _HERE / "static")
        return app

    async def _index(self, _: web.Request) -> web.Response:
        return web.Response(text=self._page.render(run=self._view.progress()), content_type="text/html")

    async def _healthz(self, _: web.Request) -> web.Response:
        checks = dict(self._view.checks())
        failing = [name for name, passed in checks.items() if not passed]
        body = {"status": "ok" if not failing else "failing", "failing": failing, "checks": checks}
        return answer(body, status=503 if failing else 200)

    async def _livez(self, _: web.Request) -> web.Response:
        return answer({"status": "ok"})

    async def _readyz(self, _: web.Request) -> web.Response:
        ready = self._view.ready()
        return answer({"ready": ready}, status=200 if ready else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        body, content_type = self._telemetry.render(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _openapi(self, _: web.Request) -> web.Response:
        return answer(openapi())

    async def _progress(self, _: web.Request) -> web.Response:
        return web.Response(body=encode(self._view.progress()), content_type="application/json")

    async def _complete(self, _: web.Request) -> web.Response:
        try:
            return web.Response(body=(self._artifacts / COMPLETE).read_bytes(), content_type="application/json")
        except FileNotFoundError:
            return answer({"error": "no summary yet"}, status=404)

    async def _events(self, _: web.Request) -> web.Response:
        return answer(await asyncio.to_thread(tail, self._logs, _EVENTS_SHOWN) if self._logs else [])

    async def _control(self, request: web.Request) -> web.Response:
        refusal = self._guard.refusal(request)
        if refusal is not None:
            return refusal
        try:
            command = msgspec.json.decode(await request.read() or b"{}", type=Command)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return answer({"error": 'expected a JSON object such as {"acknowledge": true}'}, status=400)
        source = "socket" if self._allowed_hosts is None else "http"
        name = request.path.rpartition("/")[2]
        why = await self._controls.command(name, acknowledge=command.acknowledge, source=source)
        return answer({"accepted": why is None, "message": why}, status=200 if why is None else 409)
