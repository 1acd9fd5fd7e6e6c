"""A server for webhooks on a real socket, in a thread of its own: it takes, refuses, stays silent, as told."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

from aiohttp import web

TOKEN = "s3cret-token-of-this-test"


class WebhookServer:
    """Listens on loopback from creation to :meth:`close`.

    Attributes:
        bodies: What was sent, in order, whatever was answered.
        at: When, on the monotonic clock.
        status: What every request is answered with.
        headers: Sent with it.
        once: Answers that go first, one request each.
        silent: Whether requests are accepted and never answered.
    """

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.at: list[float] = []
        self.status = 204
        self.headers: dict[str, str] = {}
        self.once: list[tuple[int, dict[str, str]]] = []
        self.silent = False
        self._loop = asyncio.new_event_loop()
        self._port = 0
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(5)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        return f"{self.base}/api/webhooks/1/{TOKEN}"

    @property
    def texts(self) -> list[str]:
        return [body.get("content") or body.get("message") or "" for body in self.bodies]

    def wait(self, count: int, seconds: float = 10.0) -> None:
        """Wait until so many requests came."""
        give_up = time.monotonic() + seconds
        while len(self.paths) < count:
            assert time.monotonic() < give_up, f"{len(self.paths)} of {count} requests came"
            time.sleep(0.01)

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(5)

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._live(ready))
        self._loop.close()

    async def _live(self, ready: threading.Event) -> None:
        self._stop = asyncio.Event()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._port = runner.addresses[0][1]
        ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        self.bodies.append(json.loads(text) if text else {})
        self.at.append(time.monotonic())
        self.paths.append(request.path_qs)
        if self.silent:
            await self._stop.wait()
        status, headers = self.once.pop(0) if self.once else (self.status, self.headers)
        return web.Response(status=status, headers=headers)
