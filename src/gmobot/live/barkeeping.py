"""What keeps the bars of all symbols coming: they are closed when their time is over, holes are mended, and it is seen if none come.

An interval without a trade has no bar, so a market in which nobody trades looks like a tape that has fallen silent
while all else of the stream goes on. The difference is a trade whose bar never came: told by the stream, or by REST
alone. Then nothing is opened, somebody is told, and the bars are read from REST, late, so that exits go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from gmobot.clock import NS_PER_SECOND, Clock, elapsed_ns
from gmobot.errors import VenueError
from gmobot.live.desk import Desk
from gmobot.live.intake import Intake
from gmobot.live.records import Event
from gmobot.live.supervisor import Supervisor

_RETRY_SECONDS = 2.0
_LONGEST_SLEEP = 10.0
"""How late the time is may have become known meanwhile."""
_LOOK_SECONDS = 15.0
_FEWEST_SECONDS = 180
_FEWEST_BARS = 5
_REASON = "stream_stale"
log = structlog.get_logger("gmobot.barkeeping")


@dataclass(slots=True)
class _Seen:
    """What the last look at a symbol saw: how many bars had come in time, and since when there were no more of them."""

    in_time: int
    since_ns: int


class BarKeeping:
    """The loops around the feeds.

    Attributes:
        blind: Symbols whose bars fail to come.
    """

    def __init__(self, desks: Mapping[str, Desk], supervisor: Supervisor, intake: Intake, clock: Clock) -> None:
        """Make the loops; nothing runs yet.

        Args:
            desks: By symbol; filled in before the loops run.
            supervisor: Knows whether the public stream is up.
            intake: Says when bars may have a hole, and takes what is to be told.
            clock: For how long none came.
        """
        self._desks = desks
        self._supervisor = supervisor
        self._intake = intake
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self.blind: set[str] = set()

    async def close(self, desk: Desk) -> None:
        """Close the bars of one symbol, until cancelled."""
        while True:
            await asyncio.sleep(min(max(desk.feed.seconds_to_close(), 0.001), _LONGEST_SLEEP))
            was_live = desk.feed.live
            desk.feed.close_due()
            if was_live and not desk.feed.live:
                log.warning("bars were closed before their time and are read again", symbol=desk.config.symbol)
                self._intake.repair.set()

    async def repair(self) -> None:
        """Mend holes as soon as they can be, until cancelled."""
        while True:
            await self._intake.repair.wait()
            self._intake.repair.clear()
            for symbol, desk in self._desks.items():
                if desk.feed.live or not self._supervisor.is_up("public"):
                    continue
                try:
                    await desk.feed.repair()
                except VenueError as error:
                    log.warning("bars could not be repaired yet", symbol=symbol, error=str(error))
                    asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._intake.repair.set)
                    continue
                if desk.feed.gap:
                    self._intake.audit.append(Event("error", {"reason": "data_gap", "symbol": symbol}))

    async def watch(self) -> None:
        """See whether bars fail to come, until cancelled."""
        while True:
            for symbol, desk in self._desks.items():
                try:
                    await self.look(desk)
                except VenueError as error:
                    log.warning("whether anybody trades is not known", symbol=symbol, error=str(error))
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self, desk: Desk) -> None:
        """See whether a symbol's bars fail to come while the stream is up and the exchange open.

        Raises:
            VenueError: Nothing came, and whether anybody traded is not known.
        """
        feed, now = desk.feed, elapsed_ns(self._clock)
        seen = self._seen.setdefault(desk.config.symbol, _Seen(feed.in_time, now))
        if feed.in_time != seen.in_time or not self._supervisor.is_up("public") or self._supervisor.maintenance:
            seen.in_time, seen.since_ns = feed.in_time, now
            self._see_again(desk)
            return
        if now - seen.since_ns < max(_FEWEST_SECONDS, _FEWEST_BARS * desk.config.bar_seconds) * NS_PER_SECOND:
            return
        if feed.live and not feed.overdue:
            await feed.listen()
        if feed.live and not feed.overdue:
            return
        self._go_blind(desk, (now - seen.since_ns) / NS_PER_SECOND)
        if feed.live:
            feed.start_over()
            self._intake.repair.set()

    def _go_blind(self, desk: Desk, seconds: float) -> None:
        symbol, market = desk.config.symbol, desk.market
        if market.barred is None:
            market.barred = _REASON
        if symbol in self.blind:
            return
        self.blind.add(symbol)
        log.error("bars fail to come while the stream is up", symbol=symbol, seconds=round(seconds, 1))
        detail = f"no bar for {seconds:.0f} s though somebody trades; nothing is opened, bars are read from REST"
        self._intake.audit.append(Event("error", {"reason": _REASON, "symbol": symbol, "detail": detail}))

    def _see_again(self, desk: Desk) -> None:
        self.blind.discard(desk.config.symbol)
        if desk.market.barred == _REASON:
            desk.market.barred = None
