"""Is the way to the exchange whole? Many streams, one state; time alone can change it."""

from __future__ import annotations

import pytest
from tests.live.bench import HandClock

from gmobot.live.supervisor import MonitorStatus, Supervisor
from gmobot.venue.models import ExchangeStatus, StreamNotice

ACTIVE, RECONNECTING, DEGRADED = MonitorStatus.ACTIVE, MonitorStatus.RECONNECTING, MonitorStatus.DEGRADED


class Watch:
    """A supervisor of two streams and what it said."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.said: list[tuple[MonitorStatus, str]] = []
        self.supervisor = Supervisor(
            ("public", "private"),
            self.clock,
            degraded_after_seconds=120.0,
            maintenance_max_minutes=240.0,
            changed=lambda status, why: self.said.append((status, why)),
        )

    def notice(self, stream: str, state: str, detail: str = "") -> MonitorStatus:
        self.supervisor.on_notice(StreamNotice(stream=stream, state=state, detail=detail))
        return self.supervisor.status

    def up(self) -> None:
        self.notice("public", "up")
        self.notice("private", "up")

    def after(self, seconds: float) -> MonitorStatus:
        self.clock.advance(seconds)
        self.supervisor.check()
        return self.supervisor.status


def test_active_only_when_every_stream_is_up() -> None:
    watch = Watch()
    assert watch.supervisor.status is RECONNECTING
    assert watch.notice("public", "up") is RECONNECTING
    assert watch.notice("private", "up") is ACTIVE
    assert watch.notice("public", "down", "silent for 15 s") is RECONNECTING
    assert watch.said == [(ACTIVE, ""), (RECONNECTING, "silent for 15 s")]
    assert watch.supervisor.reconnects == 1
    watch.notice("public", "down")
    assert watch.supervisor.reconnects == 1, "down twice is down once"


def test_reconnecting_for_too_long_is_degraded_until_it_is_up() -> None:
    watch = Watch()
    watch.up()
    watch.clock.advance(1_000.0)
    watch.notice("private", "down")
    assert watch.after(120.0) is RECONNECTING
    assert watch.after(0.1) is DEGRADED
    assert watch.after(1_000.0) is DEGRADED
    assert watch.notice("private", "up") is ACTIVE


def test_a_start_that_never_connects_is_degraded_too() -> None:
    assert Watch().after(120.1) is DEGRADED


def test_a_refused_subscription_is_degraded_at_once() -> None:
    watch = Watch()
    watch.up()
    assert watch.notice("private", "refused", "ERR-5012") is DEGRADED
    assert watch.notice("private", "up") is ACTIVE


def test_what_makes_no_sense_changes_nothing() -> None:
    watch = Watch()
    watch.up()
    assert watch.notice("public", "malformed") is ACTIVE


@pytest.mark.parametrize("closed", [ExchangeStatus.MAINTENANCE, ExchangeStatus.PREOPEN])
def test_silence_in_maintenance_is_no_fault(closed: ExchangeStatus) -> None:
    watch = Watch()
    watch.up()
    watch.supervisor.on_exchange(closed)
    watch.notice("public", "down")
    watch.notice("private", "down")
    assert watch.supervisor.maintenance
    assert watch.after(3_600.0) is ACTIVE
    watch.supervisor.on_exchange(ExchangeStatus.OPEN)
    assert watch.supervisor.status is RECONNECTING, "open again, and nothing is connected yet"
    assert not watch.supervisor.maintenance


def test_a_maintenance_that_does_not_end_is_degraded() -> None:
    watch = Watch()
    watch.up()
    watch.supervisor.on_exchange(ExchangeStatus.MAINTENANCE)
    watch.clock.advance(200 * 60.0)
    watch.supervisor.on_exchange(ExchangeStatus.PREOPEN)
    assert watch.after(40 * 60.0) is ACTIVE
    assert watch.after(1.0) is DEGRADED
    watch.supervisor.on_exchange(ExchangeStatus.OPEN)
    assert watch.supervisor.status is ACTIVE
