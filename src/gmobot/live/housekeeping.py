"""What the run loop does for the state at each turn: keep the account's marks, let go of what is old, say when nothing can be written."""

from __future__ import annotations

from gmobot.clock import Clock
from gmobot.live.account import Account
from gmobot.live.records import Event
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

    async def keep(self, account: Account) -> None:
        """Keep a new peak or day."""
        self._moved |= account.observe()
        waited = self._clock.monotonic() - self._kept_at
        if self._moved and (self._store.trouble is None or waited >= _ACCOUNT_SECONDS):
            self._moved, self._kept_at = False, self._clock.monotonic()
            await self._store.save_account(account.state.to_dict())

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
