"""Metrics: the names of the operations document, exactly, and ours below ``gmobot_``.

A metric that cannot be told is absent, never zero. States are one-hot over a closed set, and so are there
from the first scrape on; counters with labels appear with their first event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

_MONITOR: Final = ("active", "reconnecting", "degraded")
_RISK: Final = ("ok", "degraded", "abort")
_FAST: Final = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
_SLOW: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class _Told:
    """A gauge that is there from its first value on: until then it would say 0, and be believed."""

    def __init__(self, name: str, documentation: str, *, registry: CollectorRegistry) -> None:
        self._gauge = Gauge(name, documentation, registry=None)
        self._registry: CollectorRegistry | None = registry

    def set(self, value: float) -> None:
        self._gauge.set(value)
        if self._registry is not None:
            self._registry.register(self._gauge)
            self._registry = None


class Telemetry:
    """Every metric of one daemon.

    Attributes:
        turns: Turns of the run loop so far.
        failed_turns: Those of them that failed.
        ask: Called before the metrics are shown, to bring up to date what nobody counts as it happens.
    """

    def __init__(self, *, version: str, config_hash: str) -> None:
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._loop = Counter("run_loop_total", "Turns of the run loop", registry=registry)
        self._loop_failures = Counter("run_loop_failures_total", "Turns in which a step failed or missed its deadline", registry=registry)
        self._monitor = Gauge("monitor_status", "Connection state, one-hot", ["status"], registry=registry)
        self._reconnects = Counter("gmobot_reconnects_total", "Connections lost", ["stream"], registry=registry)
        self._age = Gauge("gmobot_stream_message_age_seconds", "Age of the last message", ["stream"], registry=registry)
        self._messages = Counter("gmobot_stream_messages_total", "Messages received", ["stream", "channel"], registry=registry)
        self._orders = Counter("gmobot_orders_total", "Orders by outcome", ["side", "type", "outcome"], registry=registry)
        self._unknown = _Told("gmobot_orders_unknown", "Orders whose outcome is unknown", registry=registry)
        self._roundtrip = Histogram("gmobot_order_roundtrip_seconds", "From request to reply", registry=registry, buckets=_SLOW)
        self._tick_to_order = Histogram(
            "gmobot_tick_to_order_seconds", "From a bar's close to its order leaving", registry=registry, buckets=_FAST
        )
        self._fills = Counter("gmobot_fills_total", "Fills", ["side", "liquidity"], registry=registry)
        self._decisions = Counter("gmobot_decisions_total", "Decisions", ["action"], registry=registry)
        self._requests = Counter("gmobot_api_requests_total", "Requests", ["endpoint", "outcome"], registry=registry)
        self._errors = Counter("gmobot_api_errors_total", "Errors by category", ["category"], registry=registry)
        self._limit_wait = _Told("gmobot_rate_limit_wait_seconds", "Seconds spent waiting for rate limits", registry=registry)
        self._equity = _Told("gmobot_equity_jpy", "Equity", registry=registry)
        self._drawdown = _Told("gmobot_drawdown_ratio", "Share of peak equity lost", registry=registry)
        self._daily = _Told("gmobot_daily_pnl_jpy", "Gain since 06:00 JST", registry=registry)
        self._position = Gauge("gmobot_position_size", "Position in coins", ["symbol"], registry=registry)
        self._unprotected = Counter(
            "gmobot_position_unprotected_seconds_total", "Unprotected seconds by cause", ["cause"], registry=registry
        )
        self._risk = Gauge("gmobot_risk_status", "Risk state, one-hot", ["status"], registry=registry)
        self._maintenance = _Told("gmobot_exchange_maintenance", "1 while the exchange says it is closed", registry=registry)
        self._skew = _Told("gmobot_clock_skew_seconds", "The exchange's clock minus ours", registry=registry)
        self._disk = _Told("gmobot_disk_free_bytes", "Free space where state is kept", registry=registry)
        self._halted = _Told("gmobot_halted", "1 while a latched halt stands", registry=registry)
        self._unwritable = _Told("gmobot_state_unwritable", "1 while the state database cannot be written", registry=registry)
        self._notifications = Counter("gmobot_notifications_total", "Notifications by outcome", ["outcome"], registry=registry)
        self._heartbeats = Counter("gmobot_heartbeats_total", "Signs of life to the watcher outside", ["outcome"], registry=registry)
        Gauge("gmobot_build_info", "Version and configuration", ["version", "config_hash"], registry=registry).labels(
            version, config_hash
        ).set(1)
        self._counted: dict[tuple[str, str], int] = {}
        self._risk_shown = ""
        self.turns = self.failed_turns = 0
        self.ask: Callable[[], None] = lambda: None
        self.monitor_status("reconnecting")
        self.risk_status("ok")

    def turn(self, *, failed: bool) -> None:
        """Count a turn of the run loop."""
        self.turns += 1
        self._loop.inc()
        if failed:
            self.failed_turns += 1
            self._loop_failures.inc()

    def monitor_status(self, status: str) -> None:
        """Set the connection state: ``active``, ``reconnecting`` or ``degraded``."""
        _one_hot(self._monitor, _MONITOR, status)

    def risk_status(self, status: str) -> None:
        """Set the risk state: ``ok``, ``degraded`` or ``abort``."""
        if status == self._risk_shown:
            return
        self._risk_shown = status
        _one_hot(self._risk, _RISK, status)

    def reconnect(self, stream: str) -> None:
        """Count a lost connection."""
        self._reconnects.labels(stream).inc()

    def stream(self, stream: str, age_seconds: float | None, messages: dict[str, int]) -> None:
        """Set a stream's age and how many messages it has brought, by channel, since the process started."""
        if age_seconds is not None:
            self._age.labels(stream).set(age_seconds)
        for channel, count in messages.items():
            before = self._counted.get((stream, channel), 0)
            if count == before:
                continue
            # A stream that starts to count again has brought all of these anew.
            self._messages.labels(stream, channel).inc(count - before if count >= before else count)
            self._counted[stream, channel] = count

    def order(self, side: str, type_: str, outcome: str) -> None:
        """Count an order by its outcome."""
        self._orders.labels(side, type_, outcome).inc()

    def order_roundtrip(self, seconds: float) -> None:
        """Observe the time from request to reply."""
        self._roundtrip.observe(seconds)

    def tick_to_order(self, seconds: float) -> None:
        """Observe the time from a bar's close to its order leaving."""
        self._tick_to_order.observe(seconds)

    def fill(self, side: str, liquidity: str) -> None:
        """Count a fill."""
        self._fills.labels(side, liquidity).inc()

    def decision(self, action: str) -> None:
        """Count a decision."""
        self._decisions.labels(action).inc()

    def request(self, endpoint: str, outcome: str, category: str | None) -> None:
        """Count a request."""
        self._requests.labels(endpoint, outcome).inc()
        if category is not None:
            self._errors.labels(category).inc()

    def unprotected(self, cause: str, seconds: float) -> None:
        """Add unprotected time."""
        self._unprotected.labels(cause).inc(seconds)

    def notification(self, outcome: str) -> None:
        """Count a notification."""
        self._notifications.labels(outcome).inc()

    def heartbeat(self, outcome: str) -> None:
        """Count a sign of life: ``sent``, ``failed``, or ``withheld`` because a health check failed."""
        self._heartbeats.labels(outcome).inc()

    def account(self, *, equity_jpy: float, drawdown: float, daily_pnl_jpy: float, positions: dict[str, float]) -> None:
        """Set what the account is worth."""
        self._equity.set(equity_jpy)
        self._drawdown.set(drawdown)
        self._daily.set(daily_pnl_jpy)
        for symbol, size in positions.items():
            self._position.labels(symbol).set(size)

    def surroundings(
        self,
        *,
        unknown_orders: int,
        limit_wait_seconds: float,
        maintenance: bool,
        skew_seconds: float,
        disk_free_bytes: int,
        halted: bool,
        unwritable: bool,
    ) -> None:
        """Set the rest."""
        self._unknown.set(unknown_orders)
        self._limit_wait.set(limit_wait_seconds)
        self._maintenance.set(int(maintenance))
        self._skew.set(skew_seconds)
        self._disk.set(disk_free_bytes)
        self._halted.set(int(halted))
        self._unwritable.set(int(unwritable))

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the exposition and its content type."""
        self.ask()
        encoder, content_type = choose_encoder(accept)
        return encoder(self._registry), content_type


def _one_hot(gauge: Gauge, names: tuple[str, ...], value: str) -> None:
    if value not in names:
        raise ValueError(f"{value!r} is none of {', '.join(names)}")
    for name in names:
        gauge.labels(name).set(int(name == value))
