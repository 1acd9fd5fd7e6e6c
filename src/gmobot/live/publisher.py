"""Keeps metrics and artifacts true to the daemon, as often as the contract says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gmobot.live.guards import STATUS_NAMES
from gmobot.live.progress import run_complete, run_progress
from gmobot.ops import artifacts

if TYPE_CHECKING:
    from gmobot.live.daemon import Daemon

_PROGRESS_SECONDS = 5.0
_SUMMARY_SECONDS = 60.0


class Publisher:
    """Writes what an operator looks at."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._progress_at = self._summary_at = float("-inf")
        self._last_status = ""
        self._turned = False
        daemon.telemetry.ask = self.metrics

    def turn(self) -> None:
        """Publish after a turn of the run loop.

        Raises:
            OSError: The disk refuses an artifact.
        """
        self._turned = True
        now, status = self._daemon.clock.monotonic(), f"{self._daemon.status} {self._daemon.supervisor.status}"
        if now - self._progress_at >= _PROGRESS_SECONDS or status != self._last_status:
            self._last_status = status
            self.progress()
        if now - self._summary_at >= _SUMMARY_SECONDS:
            self._summary_at = now
            self.summary("running", None)

    def progress(self) -> None:
        """Write ``run_progress.json`` now."""
        self._progress_at = self._daemon.clock.monotonic()
        artifacts.write(self._daemon.config.paths.artifacts, run_progress(self._daemon))

    def summary(self, status: str, stop_reason: str | None) -> None:
        """Write ``run_complete.json`` now; with a reason it is the final one."""
        artifacts.write(self._daemon.config.paths.artifacts, run_complete(self._daemon, status=status, stop_reason=stop_reason))

    def metrics(self) -> None:
        """Bring up to date what nobody counts as it happens; of the account nothing is known before the first turn."""
        daemon, telemetry = self._daemon, self._daemon.telemetry
        for stream in daemon.streams:
            telemetry.stream(stream.name, stream.age_seconds(), stream.messages)
        books, account, guards = daemon.books, daemon.account, daemon.guards
        if not self._turned or books is None or account is None or guards is None:
            return
        telemetry.account(
            equity_jpy=account.equity_uyen / 1e6,
            drawdown=account.drawdown,
            daily_pnl_jpy=account.daily_pnl_uyen / 1e6,
            positions={symbol: float(books.instrument(symbol).size(books.position(symbol))) for symbol in books.symbols},
        )
        telemetry.risk_status(STATUS_NAMES[guards.status])
        telemetry.surroundings(
            unknown_orders=len(books.unresolved()),
            limit_wait_seconds=daemon.account_rest.limiter.waited_seconds,
            maintenance=daemon.supervisor.maintenance,
            skew_seconds=guards.skew_seconds,
            disk_free_bytes=guards.disk_free_bytes,
            halted=guards.halted,
            unwritable=not daemon.checks()["store"],
        )
