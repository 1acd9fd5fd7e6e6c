"""When books and exchange are compared: at the start, after every interruption and on a timer; and whether that is long ago."""

from __future__ import annotations

import asyncio

import structlog

from gmobot.clock import Clock
from gmobot.errors import VenueError
from gmobot.live.reconcile import Reconciler
from gmobot.live.records import Event

_RETRY_SECONDS = 2.0
_PATIENCE_SECONDS = 300.0
"""How old the last comparison may be before nothing is opened any more, and people are told."""
log = structlog.get_logger("gmobot.comparing")


class Comparing:
    """Drives comparisons.

    Attributes:
        done: Whether there was one since anything happened: nothing is opened before.
        overdue: Whether the last one is too long ago, whatever happened.
        failure: Why the last one got no answer, ``None`` when it did.
    """

    def __init__(self, clock: Clock, due: asyncio.Event, *, every_seconds: float) -> None:
        """Make a driver; with nobody to compare with there is nothing to wait for.

        Args:
            clock: For what is long ago.
            due: Set when a comparison should be made soon.
            every_seconds: How often one is made anyway.
        """
        self._clock = clock
        self._due = due
        self._every_seconds = every_seconds
        self._reconciler: Reconciler | None = None
        self._doubts = 0
        self._level_at = clock.monotonic()
        self._missing: str | None = None
        self._told = False
        self.done = False
        self.overdue = False
        self.failure: str | None = None

    def use(self, reconciler: Reconciler | None) -> None:
        """Begin to compare by this, from now on; ``None`` where there is no account."""
        self._reconciler, self._level_at = reconciler, self._clock.monotonic()
        self.done = reconciler is None

    def doubt(self) -> None:
        """Anything may have happened: a comparison that began before proves nothing."""
        self._doubts += 1
        self.done = self._reconciler is None
        self._due.set()

    async def run(self) -> None:
        """Compare until cancelled, where there is somebody to compare with."""
        while (reconciler := self._reconciler) is not None:
            try:
                async with asyncio.timeout(self._wait(reconciler)):
                    await self._due.wait()
            except TimeoutError:
                pass
            self._due.clear()
            doubts = self._doubts
            try:
                self._missing, self.failure = await reconciler.run(), None
            except VenueError as error:
                self._missing = self.failure = str(error)
                log.warning("reconciliation got no answer", error=self.failure)
                continue
            self.done = doubts == self._doubts and self._missing is None
            if self._missing is None:
                self._level_at = self._clock.monotonic()

    def look(self, *, excused: bool) -> Event | None:
        """Take note of how old the last comparison is. Returns, once, that it is too old.

        Args:
            excused: Whether none is to be had: the exchange is closed.
        """
        now = self._clock.monotonic()
        if excused or self._reconciler is None:
            self._level_at = now
        self.overdue = now - self._level_at > _PATIENCE_SECONDS
        news = self.overdue and not self._told
        self._told = self.overdue
        detail = f"books and exchange could not be compared for {_PATIENCE_SECONDS / 60:.0f} minutes, nothing is opened: {self._missing}"
        return Event("error", {"reason": "exchange_error", "detail": detail}) if news else None

    def _wait(self, reconciler: Reconciler) -> float:
        if reconciler.impatient and self.failure is None:
            # Sooner than that, another look at the same says nothing.
            return min(self._every_seconds, reconciler.confirm_seconds)
        return self._every_seconds if self.done else _RETRY_SECONDS
