"""Tells people what the audit outbox holds, over every channel, and never stands in anybody's way.

Each channel has a teller with a cursor of its own in the database and a thread of its own for what blocks: one that
hangs delays no other and nothing of trading. The cursor moves once a message has arrived, in the transaction that
records it: a message may come twice after a crash, none is lost. Nothing here raises into the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
import structlog

from gmobot.clock import Clock
from gmobot.errors import StoreError
from gmobot.live import statements
from gmobot.live.outbox import Outbox
from gmobot.live.records import Event
from gmobot.live.store import Store
from gmobot.live.workers import ThreadWorker
from gmobot.ops.artifacts import Notification
from gmobot.ops.delivery import DISCORD, Channel, Delivery, DiscordChannel
from gmobot.ops.digest import Composer, Manner, Message, News, TellerState
from gmobot.ops.notices import notice
from gmobot.ops.telemetry import Telemetry
from gmobot.secrets import Secret

T = TypeVar("T")
_POLL_SECONDS: Final = 1.0
_PACE_SECONDS: Final = 2.0
"""Between two messages: Discord takes thirty a minute."""
_RETRY_SECONDS: Final = 5.0
_LONGEST_RETRY_SECONDS: Final = 300.0
_REFUSED_SECONDS: Final = 600.0
"""Until a channel that refuses for good is tried again: somebody may have mended it. The alert looks back fifteen minutes."""
_DEADLINE_SECONDS: Final = 20.0
_UNFIT_TRIES: Final = 3
"""After so many a message that is not taken is let go, or nothing behind it would ever arrive."""
_KEEP_SECONDS: Final = 60.0
"""How often a cursor is kept that moved over nothing worth telling."""
log = structlog.get_logger("gmobot.notify")


class _HangsError(Exception):
    """A call on the channel's thread has not come back in time."""


class Teller:
    """Tells one channel.

    Attributes:
        result: What became of the last attempt.
    """

    def __init__(self, channel: Channel, outbox: Outbox, store: Store, clock: Clock, telemetry: Telemetry, manner: Manner) -> None:
        self.channel = channel
        self.result = Notification(status="failed", reason="pending")
        self._outbox = outbox
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._composer = Composer(manner)
        self._worker = ThreadWorker(f"gmobot-notify-{channel.name}")
        self._call: asyncio.Future[Any] | None = None
        self._trouble_told = False
        self._state: TellerState | None = None
        self._kept: TellerState | None = None
        self._kept_at = float("-inf")
        self._failures = 0
        self._silent_until = float("-inf")

    @property
    def silent_seconds(self) -> float:
        """How long nothing may be sent: our own pace, the other side's wish, or after a failure."""
        return max(0.0, self._silent_until - self._clock.monotonic())

    async def round(self) -> float:
        """Tell what is new, in one message. Returns the seconds until the next round.

        Raises:
            sqlite3.Error: The outbox cannot be read now.
            StoreError: The cursor could not be kept.
        """
        if self.silent_seconds > 0:
            return min(self.silent_seconds, _POLL_SECONDS)
        state = self._state
        if state is None:
            state = await self._do(lambda: self._outbox.state(self.channel.name))
            if state is None:
                return _POLL_SECONDS
            # A run that dies before anything arrived has begun to tell all the same.
            await self._keep(state, [])
            self._state = state
        message = await self._do(lambda: self._compose(state))
        if message.text is None:
            await self._pass_over(message.state)
            return _POLL_SECONDS
        delivery = await self._deliver(message.text, message)
        if delivery.ok:
            await self._arrived(message, delivery)
        else:
            await self._failed(message, delivery)
        return _POLL_SECONDS

    def hurry(self) -> None:
        """Something changed: wait for nothing that was wrong before."""
        self._silent_until, self._failures = float("-inf"), 0

    def close(self) -> None:
        """Let the thread go; one that hangs ends with the process."""
        self._worker.close(wait_seconds=0.0)

    def _compose(self, state: TellerState) -> Message:
        pile, now = self._outbox.pile(state), self._clock.now_ns()
        news, trouble = pile.news, self._store.trouble
        self._trouble_told = self._trouble_told and trouble is not None
        if trouble is not None and not self._trouble_told:
            # What is wrong with the database is not in the database.
            alarm = notice("error", {"reason": "state_unwritable", "detail": trouble})
            news = [*news, *([News(now, alarm)] if alarm is not None else [])]
        return self._composer.compose(state, now_ns=now, seq=pile.seq, news=news, held=pile.held, days=pile.days)

    async def _do(self, call: Callable[[], T]) -> T:
        """Run a call on the channel's thread. One that has not come back is waited for and never doubled.

        Raises:
            _HangsError: It has not come back in time.
        """
        if self._call is not None:
            await asyncio.wait([self._call], timeout=_DEADLINE_SECONDS)
            if not self._call.done():
                raise _HangsError
            self._call = None
        task = asyncio.ensure_future(self._worker.run(call))
        try:
            done, _ = await asyncio.wait([task], timeout=_DEADLINE_SECONDS)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if not done:
            self._call = asyncio.ensure_future(asyncio.gather(task, return_exceptions=True))
            raise _HangsError
        return task.result()

    async def _deliver(self, text: str, message: Message) -> Delivery:
        try:
            return await self._do(lambda: self.channel.send(text, message.severity))
        except _HangsError:
            return Delivery(reason="timeout")

    async def _pass_over(self, state: TellerState) -> None:
        """Nothing was worth a message: remember that, on disk where it matters or now and then."""
        former, self._state = self._kept, state
        now = self._clock.monotonic()
        weighty = former is None or (state.folds, state.day, state.held_seq == state.seq) != (
            former.folds,
            former.day,
            former.held_seq == former.seq,
        )
        if state != former and (weighty or now - self._kept_at >= _KEEP_SECONDS):
            await self._keep(state, [])

    async def _arrived(self, message: Message, delivery: Delivery) -> None:
        self._failures = 0
        self._state = message.state
        self._trouble_told = self._store.trouble is not None
        self.result = Notification(status="sent")
        self._telemetry.notification("sent")
        self._silent_until = self._clock.monotonic() + max(_PACE_SECONDS, delivery.wait_seconds or 0.0)
        await self._keep(message.state, [self._told("sent", None)])

    async def _failed(self, message: Message, delivery: Delivery) -> None:
        """Wait longer each time; the same words come again, with what happened meanwhile."""
        self._failures += 1
        news = self.result.reason != delivery.reason
        self.result = Notification(status="failed", reason=delivery.reason)
        self._telemetry.notification("failed")
        backoff = min(_RETRY_SECONDS * 2.0 ** (self._failures - 1), _LONGEST_RETRY_SECONDS)
        wait = delivery.wait_seconds if delivery.wait_seconds is not None else _REFUSED_SECONDS if delivery.for_good else backoff
        self._silent_until = self._clock.monotonic() + wait
        if news:
            log.warning("people could not be told", target=self.channel.name, reason=delivery.reason, again_in_seconds=round(wait, 1))
        if delivery.unfit and self._failures >= _UNFIT_TRIES:
            log.error("a message is not taken and is let go", target=self.channel.name, reason=delivery.reason)
            self._telemetry.notification("dropped")
            self._failures, self._state = 0, message.state
            await self._keep(message.state, [self._told("dropped", delivery.reason)])
        elif news:
            await self._store.keep_notified([], [self._told("failed", delivery.reason)])

    async def _keep(self, state: TellerState, events: Sequence[Event]) -> None:
        self._kept, self._kept_at = state, self._clock.monotonic()
        row = statements.write_notified(self.channel.name, state.held_seq, msgspec.json.encode(state).decode())
        await self._store.keep_notified([row], events)

    def _told(self, outcome: str, reason: str | None) -> Event:
        fields = {"target": self.channel.name, "outcome": outcome}
        return Event("notification_result", fields | ({"reason": reason} if reason is not None else {}))


class Notifier:
    """Every channel of one run."""

    def __init__(
        self, channels: Sequence[Channel], outbox: Outbox, store: Store, clock: Clock, telemetry: Telemetry, manner: Manner
    ) -> None:
        self._tellers = [Teller(channel, outbox, store, clock, telemetry, manner) for channel in channels]
        self._store = store
        self._tasks: list[asyncio.Task[None]] = []
        self._ending = asyncio.Event()

    def results(self) -> dict[str, Notification]:
        """Return what became of the last message of each channel."""
        nothing = {DISCORD: Notification(status="disabled", reason="DISCORD_WEBHOOK_URL is not set")}
        return nothing | {teller.channel.name: teller.result for teller in self._tellers}

    def use_webhook(self, url: Secret) -> None:
        """The Discord webhook was replaced: tell the new one, where the old one has come to."""
        for teller in self._tellers:
            if isinstance(teller.channel, DiscordChannel):
                teller.channel.use(url.reveal().decode(errors="replace"))
                teller.hurry()

    async def start(self) -> None:
        """Begin to tell, beside everything else. A channel that is no more is forgotten."""
        with contextlib.suppress(StoreError):
            await self._store.keep_notified([statements.forget_notified([teller.channel.name for teller in self._tellers])])
        self._tasks = [asyncio.create_task(self._run(teller), name=f"notify {teller.channel.name}") for teller in self._tellers]

    async def finish(self, *, seconds: float) -> None:
        """Tell what is left, as far as that is possible in this time, and end. Never raises."""
        self._ending.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for teller in self._tellers:
            teller.close()

    async def _run(self, teller: Teller) -> None:
        """Keep one channel told until the end: whatever goes wrong is tried again later."""
        while True:
            last = self._ending.is_set()
            if last:
                if teller.silent_seconds > _PACE_SECONDS:
                    return
                # A sleep may end a little early.
                await asyncio.sleep(teller.silent_seconds + 0.01)
            try:
                wait = await teller.round()
            except (_HangsError, sqlite3.Error, StoreError) as error:
                log.warning("telling people has to wait", target=teller.channel.name, error=type(error).__name__)
                wait = _RETRY_SECONDS
            except Exception as error:  # noqa: BLE001  # a fault in here must not end the run: it is told, and tried again
                log.error("telling people failed", target=teller.channel.name, error=f"{type(error).__name__}")
                teller.result = Notification(status="failed", reason=type(error).__name__)
                wait = _LONGEST_RETRY_SECONDS
            if last:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._ending.wait()
