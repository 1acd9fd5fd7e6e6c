"""The sign of life, on a real socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Self

import pytest
from tests.ops.webhooks import TOKEN, WebhookServer

from gmobot.errors import ConfigError
from gmobot.ops import heartbeat as module
from gmobot.ops.heartbeat import Heartbeat
from gmobot.ops.telemetry import Telemetry


class Beating:
    """A heartbeat of a hundredth of a second beside a test."""

    def __init__(self, url: str, suffix: str = "") -> None:
        self.healthy = True
        self.telemetry = Telemetry(version="t", config_hash="t")
        self.heart = Heartbeat(
            url, interval_seconds=0.02, fail_url_suffix=suffix, checks=lambda: {"run_loop": self.healthy}, telemetry=self.telemetry
        )

    def counted(self, outcome: str) -> float:
        return float(self.telemetry._heartbeats.labels(outcome)._value.get())

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.heart.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def until(self, holds: Callable[[], bool]) -> None:
        give_up = time.monotonic() + 5
        while not holds():
            assert not self._task.done(), "it stopped"
            assert time.monotonic() < give_up
            await asyncio.sleep(0.01)


async def test_it_beats_while_every_check_passes_and_is_silent_while_one_fails(server: WebhookServer) -> None:
    async with Beating(f"{server.base}/ping/{TOKEN}") as beating:
        await beating.until(lambda: beating.counted("sent") >= 3)
        beating.healthy = False
        await beating.until(lambda: beating.counted("withheld") >= 1)
        asked = len(server.paths)
        await beating.until(lambda: beating.counted("withheld") >= 5)
        assert len(server.paths) == asked
        beating.healthy = True
        await beating.until(lambda: len(server.paths) > asked)
    assert set(server.paths) == {f"/ping/{TOKEN}"}


async def test_a_failure_is_told_where_the_watcher_takes_it(server: WebhookServer) -> None:
    async with Beating(f"{server.base}/ping/{TOKEN}", "/fail") as beating:
        beating.healthy = False
        await beating.until(lambda: f"/ping/{TOKEN}/fail" in server.paths)
    assert beating.counted("withheld") == 0


async def test_whatever_the_watcher_does_it_goes_on(server: WebhookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DEADLINE_SECONDS", 0.1)
    server.once = [(500, {}), (404, {}), (302, {"Location": "http://127.0.0.1:1/"})]
    async with Beating(f"{server.base}/ping/{TOKEN}") as beating:
        await beating.until(lambda: beating.counted("failed") >= 3 and beating.counted("sent") >= 1)
        server.silent = True
        await beating.until(lambda: beating.counted("failed") >= 4)
        server.close()
        await beating.until(lambda: beating.counted("failed") >= 6)


async def test_its_address_is_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    async with Beating(f"http://127.0.0.1:1/{TOKEN}") as beating:
        await beating.until(lambda: beating.counted("failed") >= 2)
    assert TOKEN not in caplog.text
    with pytest.raises(ConfigError, match="not an http") as error:
        Beating(f"htp://{TOKEN}")
    assert TOKEN not in str(error.value)
