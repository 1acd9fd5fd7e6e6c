"""A web application over a daemon that is only said to be there, on real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from tests.ops.samples import progress

from gmobot.ops.artifacts import RunProgress
from gmobot.ops.telemetry import Telemetry
from gmobot.secrets import Secret
from gmobot.web.app import WebApp, serve_tcp

TOKEN = "correct-horse-battery"
HOSTS = ("127.0.0.1", "localhost", "[::1]", "bot")


class HandClock:
    """Time moves when the test says so."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def now_ns(self) -> int:
        return int(self.seconds * 1e9)

    def monotonic(self) -> float:
        return self.seconds


class ToldView:
    """Shows what the test told it."""

    def __init__(self) -> None:
        self.run = progress()
        self.named: dict[str, bool] = {"run_loop": True, "monitor_status": True}
        self.can_trade = True

    def progress(self) -> RunProgress:
        return self.run

    def checks(self) -> Mapping[str, bool]:
        return self.named

    def ready(self) -> bool:
        return self.can_trade


class NotedControls:
    """Notes every command that reached the daemon."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, bool, str]] = []
        self.refuse: str | None = None

    async def command(self, name: str, *, acknowledge: bool, source: str) -> str | None:
        self.commands.append((name, acknowledge, source))
        return self.refuse


class Site:
    """A running web application and what stands behind it."""

    def __init__(self, directory: Path, *, token: str | None = TOKEN, hosts: tuple[str, ...] | None = HOSTS) -> None:
        self.view, self.controls, self.clock = ToldView(), NotedControls(), HandClock()
        self.telemetry = Telemetry(version="1", config_hash="h")
        self.artifacts = directory
        self.app = WebApp(
            self.view,
            self.controls,
            self.telemetry,
            self.clock,
            artifacts=directory,
            token=Secret(token) if token else None,
            allowed_hosts=hosts,
            logs=directory,
        )
        self.url = ""

    async def get(self, path: str, **headers: str) -> tuple[int, Any, Any]:
        return await self.ask("GET", path, headers=headers)

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any, Any]:
        async with aiohttp.ClientSession() as session, session.request(method, self.url + path, **options) as reply:
            is_json = reply.content_type == "application/json"
            return reply.status, await reply.json() if is_json else await reply.text(), reply.headers

    async def command(self, name: str, token: str | None = TOKEN, *, body: str = "{}", **headers: str) -> tuple[int, Any]:
        sent = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token is not None else {}) | headers
        status, answer, _ = await self.ask("POST", f"/api/v1/control/{name}", data=body, headers=sent)
        return status, answer


@asynccontextmanager
async def running(directory: Path, *, token: str | None = TOKEN, hosts: tuple[str, ...] | None = HOSTS) -> AsyncIterator[Site]:
    """Serve on a free port."""
    site = Site(directory, token=token, hosts=hosts)
    runner = await serve_tcp(site.app.build(), "127.0.0.1", 0)
    site.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield site
    finally:
        await runner.cleanup()
