"""Whether an order of ours stands at the price we know, and what became of a change of it.

The reply to a change only says that it was asked for: the order moves, stays, or is moved by another hand.

Source: reference/gmo-coin-api.md §5.14.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gmobot.clock import Clock, elapsed_ns
from gmobot.live.books import Books
from gmobot.live.intents import Intent
from gmobot.venue.models import Order, OrderStatus


class Amendments:
    """Remembers since when orders of one symbol are seen not to have moved. Only answers to questions count: an event may be an old one."""

    def __init__(self, symbol: str, books: Books, clock: Clock, *, visibility_ns: int, changed: Callable[[], None]) -> None:
        """Take what the tracker has."""
        self._symbol = symbol
        self._books = books
        self._clock = clock
        self._visibility_ns = visibility_ns
        self._changed = changed
        self._unmoved: dict[tuple[int, int], int] = {}

    def keep_only(self, still_open: Iterable[Intent]) -> None:
        """Forget changes that are no longer waited for."""
        waited_for = {(intent.intent_id, intent.amending_to) for intent in still_open}
        self._unmoved = {key: at for key, at in self._unmoved.items() if key in waited_for}

    async def note(self, intent: Intent, order: Order) -> None:
        """See at which price an order of ours stands."""
        if order.price is None or order.status is OrderStatus.AMENDING:
            return
        stands = self._books.instrument(self._symbol).nearest_ticks(order.price)
        if not intent.amending_to:
            if stands != intent.price and intent.price:
                await self._books.amended(intent, stands, "by another hand")
                self._changed()
        elif stands == intent.amending_to:
            await self._books.amended(intent, stands)
            self._changed()
        elif order.cancel_reason is not None or self._has_not_moved(intent):
            await self._books.not_amended(intent, order.cancel_reason or "it did not move within the visibility delay")
            self._changed()

    def _has_not_moved(self, intent: Intent) -> bool:
        now = elapsed_ns(self._clock)
        first_ns = self._unmoved.setdefault((intent.intent_id, intent.amending_to), now)
        return now - first_ns > self._visibility_ns
