"""Is the way to the exchange whole? One state out of many streams: active, reconnecting or degraded.

Maintenance is a normal weekly event: while the exchange itself says that it is closed, silent streams
are not a fault. Its hours are never assumed, only asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from gmobot.clock import NS_PER_SECOND, Clock, elapsed_ns
from gmobot.venue.models import ExchangeStatus, StreamNotice


class MonitorStatus(StrEnum):
    """How well the daemon is connected."""

    ACTIVE = "active"
    RECONNECTING = "reconnecting"
    DEGRADED = "degraded"


class Supervisor:
    """Follows the streams and what the exchange says of itself."""

    def __init__(
        self,
        streams: tuple[str, ...],
        clock: Clock,
        *,
        degraded_after_seconds: float,
        maintenance_max_minutes: float,
        changed: Callable[[MonitorStatus, str], None],
    ) -> None:
        """Make a supervisor.

        Args:
            streams: Names of the streams that must be up.
            clock: Wall time.
            degraded_after_seconds: Reconnecting for longer is degraded.
            maintenance_max_minutes: A maintenance longer than this is degraded.
            changed: Called with the new state and why.
        """
        self._clock = clock
        self._degraded_after_ns = int(degraded_after_seconds * NS_PER_SECOND)
        self._maintenance_max_ns = int(maintenance_max_minutes * 60 * NS_PER_SECOND)
        self._changed = changed
        self._up = dict.fromkeys(streams, False)
        self._refused: set[str] = set()
        self._maintenance_since_ns: int | None = None
        self.exchange: ExchangeStatus | None = None
        self.status = MonitorStatus.RECONNECTING
        self.since_ns = clock.now_ns()
        self._since_ns = elapsed_ns(clock)
        self.reconnects = 0

    @property
    def seconds(self) -> float:
        """How long the state has been what it is."""
        return (elapsed_ns(self._clock) - self._since_ns) / NS_PER_SECOND

    @property
    def maintenance(self) -> bool:
        """Whether the exchange says that it is closed, or opening."""
        return self.exchange in (ExchangeStatus.MAINTENANCE, ExchangeStatus.PREOPEN)

    @property
    def all_up(self) -> bool:
        """Whether every stream is up."""
        return all(self._up.values())

    def is_up(self, stream: str) -> bool:
        """Return whether this stream is up."""
        return self._up.get(stream, False)

    def on_notice(self, notice: StreamNotice) -> None:
        """Take what a stream says of itself."""
        if notice.state == "up":
            self._up[notice.stream] = True
            self._refused.discard(notice.stream)
        elif notice.state == "down":
            if self._up.get(notice.stream):
                self.reconnects += 1
            self._up[notice.stream] = False
        elif notice.state == "refused":
            self._refused.add(notice.stream)
        self.check(notice.detail)

    def on_exchange(self, status: ExchangeStatus) -> None:
        """Take what the exchange says of itself."""
        self.exchange = status
        if not self.maintenance:
            self._maintenance_since_ns = None
        elif self._maintenance_since_ns is None:
            self._maintenance_since_ns = elapsed_ns(self._clock)
        self.check(f"exchange {status.value}")

    def check(self, why: str = "") -> None:
        """Work out the state again; time alone can change it."""
        now = elapsed_ns(self._clock)
        status = self._judge(now)
        if status is not self.status:
            self.status, self.since_ns, self._since_ns = status, self._clock.now_ns(), now
            self._changed(status, why)

    def _judge(self, now: int) -> MonitorStatus:
        if self._refused:
            return MonitorStatus.DEGRADED
        if self._maintenance_since_ns is not None:
            overlong = now - self._maintenance_since_ns > self._maintenance_max_ns
            return MonitorStatus.DEGRADED if overlong else MonitorStatus.ACTIVE
        if self.all_up:
            return MonitorStatus.ACTIVE
        waited = now - self._since_ns if self.status is not MonitorStatus.ACTIVE else 0
        return (
            MonitorStatus.DEGRADED
            if self.status is MonitorStatus.DEGRADED or waited > self._degraded_after_ns
            else MonitorStatus.RECONNECTING
        )
