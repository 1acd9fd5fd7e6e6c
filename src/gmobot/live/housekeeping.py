"""What the run loop does for the state at each turn: keep the account's marks and what a day came to, let go of what is old.

It also says when nothing can be written.
"""

from __future__ import annotations

from gmobot.clock import Clock
from gmobot.live.account import Account
from gmobot.live.books import Books
from gmobot.live.records import ClosedDay, Event
from gmobot.live.store import Store

_PRUNE_SECONDS = 3_600.0
_ACCOUNT_SECONDS = 60.0
"""How often a moving peak is kept while it goes into the emergency journal, whose room is small."""


class Housekeeping:
    """Looks after one store."""

    def __init__(self, store: Store, clock: Clock, *, journal_days: float) -> None:
        self._store = store
        self._clock = clock
        self._journal_days = journal_days
        self._pruned_at = self._kept_at = float("-inf")
        self._moved = False
        self._trouble: str | None = None

    async def keep(self, account: Account, books: Books) -> None:
        """Keep a new peak, or a new day and what the last one came to."""
        closed = self._closed(account, books)
        self._moved |= account.observe()
        if closed is not None:
            self._moved, self._kept_at = False, self._clock.monotonic()
            await self._store.close_day(closed, account.state.to_dict())
            return
        waited = self._clock.monotonic() - self._kept_at
        if self._moved and (self._store.trouble is None or waited >= _ACCOUNT_SECONDS):
            self._moved, self._kept_at = False, self._clock.monotonic()
            await self._store.save_account(account.state.to_dict())

    def _closed(self, account: Account, books: Books) -> ClosedDay | None:
        """Return the day that has just ended, if one has; the next look makes it the past."""
        state = account.state
        if state.base_cash is None or account.new_day() is None:
            return None
        held = {symbol: str(books.instrument(symbol).size(lots)) for symbol in books.symbols if (lots := books.position(symbol))}
        return ClosedDay(
            day=state.day,
            closed_ns=self._clock.now_ns(),
            equity_uyen=account.equity_uyen,
            profit_uyen=account.daily_pnl_uyen,
            drawdown=account.drawdown,
            positions=held,
        )

    async def prune(self) -> None:
        """Let go of what is past its time, a little at every turn, and look again an hour after there was nothing."""
        if self._clock.monotonic() - self._pruned_at < _PRUNE_SECONDS:
            return
        if not await self._store.prune(journal_days=self._journal_days):
            self._pruned_at = self._clock.monotonic()

    def news(self) -> Event | None:
        """Return, once, that the database can no longer be written, or can again."""
        trouble = self._store.trouble
        if trouble == self._trouble:
            return None
        self._trouble = trouble
        return Event("error", {"reason": "state_unwritable", "detail": trouble or "the state database can be written again"})
