"""Maintenance: how the exchange closes, and a script that closes it, lets it pre-open and opens it again.

Which of two codes a closed exchange answers with, and whether its status endpoint still answers, are seen
both ways by clients; a script chooses. Durations are the wall clock's.

Source: reference/gmo-coin-api.md §3.5.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec

from gmobot.errors import ConfigError

STATUSES = ("OPEN", "PREOPEN", "MAINTENANCE")


class Maintenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One closing of the exchange, from its announcement-less start to the opening.

    Attributes:
        fault: Always ``maintenance``: what it is called among the faults.
        after_seconds: From now until it begins.
        seconds: How long it lasts.
        preopen_seconds: How long the pre-open after it lasts, 0 for none.
        emergency: ERR-5202 instead of ERR-5201.
        status_endpoint: ``error``: the status endpoint answers with the error too; ``data``: it says ``MAINTENANCE``.
    """

    fault: Literal["maintenance"] = "maintenance"
    after_seconds: float = 0.0
    seconds: float = 60.0
    preopen_seconds: float = 30.0
    emergency: bool = False
    status_endpoint: Literal["error", "data"] = "error"

    def __post_init__(self) -> None:
        for name in ("after_seconds", "seconds", "preopen_seconds"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"fault maintenance: {name} {value}: a number of seconds, not below zero")


@dataclass(frozen=True, slots=True)
class Closing:
    """How a closed exchange answers."""

    emergency: bool = False
    status_endpoint: Literal["error", "data"] = "error"

    @property
    def code(self) -> str:
        """The message code of every request."""
        return "ERR-5202" if self.emergency else "ERR-5201"

    @property
    def text(self) -> str:
        """The message text; that of the emergency is an assumption."""
        return "EMERGENCY MAINTENANCE. Please wait for a while" if self.emergency else "MAINTENANCE. Please wait for a while"


SetStatus = Callable[[str, Closing], None]


class Schedule:
    """Carries scripts out. What is planned before the loop runs starts with :meth:`start`."""

    def __init__(self, set_status: SetStatus) -> None:
        self._set_status = set_status
        self._waiting: list[Maintenance] = []
        self._timers: list[asyncio.TimerHandle] = []
        self._planned: list[Maintenance] = []
        self._running = False

    def plan(self, script: Maintenance) -> None:
        """Let a script begin now, or when the exchange starts."""
        if self._running:
            self._begin(script)
        else:
            self._waiting.append(script)

    def start(self) -> None:
        """The exchange runs: the scripts' clocks begin."""
        self._running = True
        for script in self._waiting:
            self._begin(script)
        self._waiting.clear()

    def cancel(self) -> None:
        """Take back every script; an exchange that one of them closed opens."""
        for timer in self._timers:
            timer.cancel()
        if self._planned:
            self._set_status("OPEN", Closing())
        self._timers.clear()
        self._planned.clear()
        self._waiting.clear()

    def describe(self) -> list[dict[str, object]]:
        """Return the scripts that have not ended."""
        return [msgspec.structs.asdict(script) for script in (*self._waiting, *self._planned)]

    def _begin(self, script: Maintenance) -> None:
        closing = Closing(script.emergency, script.status_endpoint)
        opens = script.after_seconds + script.seconds
        self._planned.append(script)
        self._at(script.after_seconds, "MAINTENANCE", closing)
        if script.preopen_seconds:
            self._at(opens, "PREOPEN", Closing())
        self._at(opens + script.preopen_seconds, "OPEN", Closing(), ends=script)

    def _at(self, seconds: float, status: str, closing: Closing, *, ends: Maintenance | None = None) -> None:
        def change() -> None:
            if ends is not None:
                self._planned.remove(ends)
            if not self._planned:
                self._timers.clear()
            self._set_status(status, closing)

        if seconds > 0:
            self._timers.append(asyncio.get_running_loop().call_later(seconds, change))
        else:
            change()
