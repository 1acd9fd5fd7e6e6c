"""Where stream events enter: prices at once, the account's own events in order, notices to the supervisor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from gmobot.clock import Clock, elapsed_ns
from gmobot.config import Config
from gmobot.errors import VenueError
from gmobot.live.desk import Desk
from gmobot.live.records import Event
from gmobot.live.rules import REASON as RULES_CHANGED
from gmobot.live.supervisor import Supervisor
from gmobot.ops.telemetry import Telemetry
from gmobot.venue.gmo.streams import ORDER_CHANNELS, POSITION_CHANNELS
from gmobot.venue.models import Book, Execution, OrderUpdate, PositionChange, PositionUpdate, Print, StreamEvent, StreamNotice

_EVENTS_QUEUED = 100_000


def private_channels(config: Config) -> tuple[str, ...]:
    """Return what is to be heard of an account: its positions too, where it can have any."""
    leverage = any(instrument.product == "leverage" for instrument in config.instruments)
    return ORDER_CHANNELS + (POSITION_CHANNELS[:1] if leverage else ())


class Intake:
    """Hands every stream event to whom it concerns.

    Attributes:
        repair: Set when the public stream came up: bars may have a hole.
        rules: Set when the exchange's rules should be read again.
        reconcile: Set when the books should be compared with the exchange.
        audit: Events for the audit log, taken away by the run loop.
    """

    def __init__(
        self,
        desks: Mapping[str, Desk],
        supervisor: Supervisor,
        telemetry: Telemetry,
        clock: Clock,
        tap: Callable[[StreamEvent], None] | None,
    ) -> None:
        """Make an intake.

        Args:
            desks: By symbol; filled in before the streams run.
            supervisor: Told of streams going up and down.
            telemetry: Counts reconnects.
            clock: For the age of what comes.
            tap: Gets every event too.
        """
        self._desks = desks
        self._supervisor = supervisor
        self._telemetry = telemetry
        self._clock = clock
        self._tap = tap
        self._events: asyncio.Queue[Execution | OrderUpdate] = asyncio.Queue(_EVENTS_QUEUED)
        self.repair = asyncio.Event()
        self.reconcile = asyncio.Event()
        self.rules = asyncio.Event()
        self.rules.set()
        self.audit: list[Event] = []

    def take(self, event: StreamEvent) -> None:
        """Take an event from a stream."""
        if isinstance(event, Print):
            self._on_print(event)
        elif isinstance(event, Book):
            desk = self._desks.get(event.symbol)
            if desk is not None:
                desk.market.on_book(event, elapsed_ns(self._clock))
        elif isinstance(event, Execution | OrderUpdate):
            self._events.put_nowait(event)
        elif isinstance(event, PositionUpdate):
            desk = self._desks.get(event.position.symbol)
            if desk is not None:
                desk.tracker.on_position(event.position, gone=event.change is PositionChange.CLOSED)
        elif isinstance(event, StreamNotice):
            self._on_notice(event)
        if self._tap is not None:
            self._tap(event)

    async def pump(self) -> None:
        """Book the account's events, one after the other, until cancelled."""
        while True:
            event = await self._events.get()
            desk = self._desks.get(event.symbol if isinstance(event, Execution) else event.order.symbol)
            if desk is None:
                continue
            try:
                if isinstance(event, Execution):
                    await desk.tracker.on_execution(event)
                else:
                    await desk.tracker.on_update(event)
            except VenueError:
                # The event asked for a query that got no answer: reconciliation asks again.
                self.reconcile.set()

    def _on_print(self, row: Print) -> None:
        desk = self._desks.get(row.symbol)
        if desk is not None:
            desk.market.on_print(row, elapsed_ns(self._clock))
            if not desk.feed.on_print(row) and desk.market.barred != RULES_CHANGED:
                # The exchange's grid is another than ours. What is known already is read again soon enough.
                self.rules.set()
            desk.trader.on_price()

    def _on_notice(self, notice: StreamNotice) -> None:
        name = "error" if notice.state == "malformed" else "reconnect"
        self.audit.append(Event(name, {"stream": notice.stream, "state": notice.state, "detail": notice.detail}))
        if notice.state == "malformed" and notice.stream == "private":
            # It may have been a fill.
            self.reconcile.set()
        if notice.state == "down":
            self._telemetry.reconnect(notice.stream)
            if notice.stream == "public":
                for desk in self._desks.values():
                    desk.feed.interrupt()
        elif notice.state == "up":
            (self.repair if notice.stream == "public" else self.reconcile).set()
        self._supervisor.on_notice(notice)
