"""Orders of ours that no question shows any more: how long the exchange can be asked after finished ones is not documented.

After days without the daemon, or with an old backup put back, the end of an order may be forgotten together with its fills.
Left open it would count as cover for ever: no exit would go, and no stop. So it is ended, and a person is told. Before that,
everything that may tell of a fill is asked: on spot also the coins, since a sale that nobody tells of must not be made again
from coins that are not ours. On leverage the comparison of positions finds the same. The same holds for an order whose reply was
lost before such a pause: that nothing shows it proves nothing.

Source: reference/gmo-coin-api.md §12.10.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from gmobot.clock import NS_PER_SECOND, Clock, elapsed_ns
from gmobot.errors import Category, Unavailable
from gmobot.live.books import Books
from gmobot.live.cash import CashBook
from gmobot.live.intents import Intent, IntentState
from gmobot.live.likeness import forgotten_after_ns
from gmobot.venue.gmo.rest import GmoRest
from gmobot.venue.models import Execution, Side

GONE = "the exchange no longer knows it"
_HOUR_NS = 3_600 * NS_PER_SECOND
_REMEMBERED_NS = 23 * _HOUR_NS
"""Younger fills are told of for certain: the exchange lists those of the last day, and clocks may differ."""


class Look(NamedTuple):
    """What was found missing, and when first: lots, how many fills were booked by then, the monotonic time."""

    lots: int
    fills: int
    since_ns: int


class Unlisted:
    """Remembers since when orders are missing, and ends them. Only the task that submits may ask it to: it concludes from absence."""

    def __init__(
        self,
        symbol: str,
        books: Books,
        rest: GmoRest,
        clock: Clock,
        cash: CashBook,
        *,
        visibility_ns: int,
        alarm: Callable[[str, str], Awaitable[None]],
    ) -> None:
        """Take what the tracker has."""
        self._symbol = symbol
        self._books = books
        self._rest = rest
        self._clock = clock
        self._cash = cash
        self._visibility_ns = visibility_ns
        self._alarm = alarm
        self._since: dict[int, int] = {}
        self._short: dict[int, Look] = {}

    def listed(self, intent: Intent) -> None:
        """It is there after all."""
        self._since.pop(intent.intent_id, None)
        self._short.pop(intent.intent_id, None)

    def is_overdue(self, intent: Intent) -> bool:
        """Return whether an answer without it is no longer a matter of patience."""
        now = elapsed_ns(self._clock)
        return now - self._since.setdefault(intent.intent_id, now) > forgotten_after_ns(self._visibility_ns)

    async def end(self, intent: Intent, told: Iterable[Execution]) -> bool:
        """End it, unless something it filled is still to be booked. Returns whether it has ended.

        Args:
            intent: As it was before the exchange was asked.
            told: What its fills and the latest ones were then, booked as far as they could be.

        Raises:
            VenueError: No answer.
        """
        now = self._books.by_order(intent.order_id or 0)
        if now is None or now.state.is_final:
            self.listed(intent)
            return True
        waits = any(row.order_id == now.order_id and not self._books.is_booked(row.execution_id) for row in told)
        if now.executed_lots != intent.executed_lots or (waits and not now.shared):
            return False
        sold = await self._sold_unseen(now)
        if sold is None:
            return False
        if sold:
            await self._cash.position_gone(self._symbol, None, sold)
        await self._alarm("exchange_error", f"order {now.order_id} is ours but {GONE}")
        await self._books.end(now, IntentState.EXPIRED, GONE)
        self.listed(now)
        return True

    async def may_count_as_absent(self, intent: Intent) -> bool:
        """Return whether an order that no question shows may be taken for one that never was.

        One that was sent longer ago than the exchange tells of may as well have filled: a person must look, and what it sold is
        written off before it could be sold again.

        Raises:
            VenueError: No answer.
        """
        now_ns, sent_ns = self._rest.server_now_ns or self._clock.now_ns(), intent.server_ns or intent.created_ns
        if now_ns - sent_ns < _REMEMBERED_NS:
            return True
        sold = await self._sold_unseen(intent)
        if sold is None:
            return False
        if sold:
            await self._cash.position_gone(self._symbol, None, sold)
        hours = (now_ns - sent_ns) // _HOUR_NS
        text = f"the reply to intent {intent.intent_id} was lost {hours} hours ago, and the exchange tells of the last day only"
        await self._alarm("order_outcome_unknown", f"{text}: it counts as never sent; see whether it opened or closed a position")
        return True

    async def _sold_unseen(self, intent: Intent) -> int | None:
        """Return lots it must have sold, since the coins are not there; ``None`` until two looks agree on it."""
        if intent.side is Side.BUY or self._books.ledger(self._symbol).on_leverage:
            return 0
        missing = min(intent.open_lots, await self._missing_lots())
        if missing <= 0:
            return 0
        now, fills = elapsed_ns(self._clock), self._books.counts.fills
        first = self._short.get(intent.intent_id)
        if first is None or (first.lots, first.fills) != (missing, fills):
            # A fill that was not told yet would explain it too.
            self._short[intent.intent_id] = first = Look(missing, fills, now)
        return missing if now - first.since_ns > self._visibility_ns else None

    async def _missing_lots(self) -> int:
        instrument = self._books.instrument(self._symbol)
        there = next((balance.amount for balance in await self._rest.assets() if balance.asset == instrument.base), None)
        if there is None:
            raise Unavailable(f"GET /v1/account/assets: no row for {instrument.base}", category=Category.EXCHANGE)
        should_be = self._cash.not_ours(self._symbol) + instrument.size(self._books.position(self._symbol))
        return instrument.lots_at_least(should_be - there)
