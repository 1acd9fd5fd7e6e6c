"""A sign of life to a watcher outside: what no alarm of ours can tell is that nothing of ours runs any more.

While every health check passes a URL is asked once an interval. While one fails nothing is sent, or what the watcher
takes for a failure: then it is the watcher who alarms. Such a URL carries a token: it is never shown.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Final

import aiohttp
import structlog

from gmobot.errors import ConfigError
from gmobot.ops.telemetry import Telemetry

_DEADLINE_SECONDS: Final = 10.0
_OK: Final = 300
_URL: Final = re.compile(r"^https?://[^\s/?#]+\S*$")
log = structlog.get_logger("gmobot.heartbeat")


class Heartbeat:
    """Beats for one run."""

    def __init__(
        self, url: str, *, interval_seconds: float, fail_url_suffix: str, checks: Callable[[], Mapping[str, bool]], telemetry: Telemetry
    ) -> None:
        """Make a heartbeat.

        Raises:
            ConfigError: The URL is none.
        """
        if not _URL.match(url):
            raise ConfigError("heartbeat.url (or the secret GMOBOT_HEARTBEAT_URL) is not an http(s) address; correct it or leave it out")
        self._url = url
        self._interval = interval_seconds
        self._fail_url = url.rstrip("/") + fail_url_suffix if fail_url_suffix else None
        self._checks = checks
        self._telemetry = telemetry
        self._outcome = ""

    async def run(self) -> None:
        """Beat until cancelled. Whatever the other side does, this goes on."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_DEADLINE_SECONDS), trust_env=True) as session:
            while True:
                await self._beat(session)
                await asyncio.sleep(self._interval)

    async def _beat(self, session: aiohttp.ClientSession) -> None:
        failing = [name for name, passes in self._checks().items() if not passes]
        url = self._url if not failing else self._fail_url
        outcome = await self._ask(session, url) if url is not None else "withheld"
        self._telemetry.heartbeat(outcome)
        if outcome != self._outcome:
            self._outcome = outcome
            tell = log.info if outcome == "sent" else log.warning
            tell("heartbeat", outcome=outcome, failing=failing)

    @staticmethod
    async def _ask(session: aiohttp.ClientSession, url: str) -> str:
        try:
            async with session.get(url, allow_redirects=False) as reply:
                return "sent" if reply.status < _OK else "failed"
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            # Their texts hold the URL.
            return "failed"
