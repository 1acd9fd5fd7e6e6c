"""Asking the exchange, now and then, how it stands itself: open or not, under which rules, and what it allows this account."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from gmobot.errors import VenueError
from gmobot.live.rules import RulesWatch
from gmobot.live.supervisor import Supervisor
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.models import ExchangeStatus

_STATUS_SECONDS = 30.0
_STATUS_CLOSED_SECONDS = 2.0
_TIER_SECONDS = 3_600.0
_TIER_RETRY_SECONDS = 60.0
_RULES_SECONDS = 3_600.0
_RULES_PAUSE_SECONDS = 10.0
log = structlog.get_logger("gmobot.watch")


class ExchangeWatch:
    """Three loops that only ask.

    Attributes:
        due: Set when the exchange's status should be asked for at once.
    """

    def __init__(self, public_rest: GmoRest, account_rest: GmoRest, supervisor: Supervisor, *, turned: Callable[[], None]) -> None:
        """Make a watch.

        Args:
            public_rest: For status and rules.
            account_rest: For the tier.
            supervisor: Told of the status.
            turned: Called when the exchange closed or opened.
        """
        self._public = public_rest
        self._account = account_rest
        self._supervisor = supervisor
        self._turned = turned
        self.due = asyncio.Event()

    async def status(self) -> None:
        """Follow whether the exchange is open, until cancelled."""
        supervisor = self._supervisor
        while True:
            status = await self._asked()
            was_closed = supervisor.maintenance
            supervisor.on_exchange(status)
            if supervisor.maintenance != was_closed:
                self._turned()
            calm = supervisor.all_up and not supervisor.maintenance
            self.due.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STATUS_SECONDS if calm else _STATUS_CLOSED_SECONDS):
                    await self.due.wait()

    async def _asked(self) -> ExchangeStatus:
        """Return how the exchange stands; without an answer, how it stood, unless it answers something else again."""
        try:
            return await self._public.status()
        except VenueError as error:
            log.warning("the exchange's status is not known", error=str(error))
        stood = self._supervisor.exchange or ExchangeStatus.OPEN
        if stood is not ExchangeStatus.MAINTENANCE or not self._supervisor.all_up:
            return stood
        # Order managers rest while it is closed: one path that fails must not keep them asleep.
        with contextlib.suppress(VenueError):
            await self._account.trading_volume()
            return ExchangeStatus.OPEN
        return stood

    async def rules(self, watch: RulesWatch, due: asyncio.Event) -> None:
        """Read the exchange's rules now and then, and whenever ``due`` is set, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RULES_SECONDS):
                    await due.wait()
            due.clear()
            try:
                await watch.look(await self._public.symbols())
            except VenueError as error:
                log.warning("the exchange's rules could not be read again", error=str(error))
            await asyncio.sleep(_RULES_PAUSE_SECONDS)

    async def tier(self) -> None:
        """Keep the rate limiter at what the exchange allows this account: the tier changes once a week."""
        while True:
            try:
                await self._account.trading_volume()
            except VenueError as error:
                log.warning("the account's tier is not known", error=str(error))
                await asyncio.sleep(_TIER_RETRY_SECONDS)
            else:
                await asyncio.sleep(_TIER_SECONDS)
