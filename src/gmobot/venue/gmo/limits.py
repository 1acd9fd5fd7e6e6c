"""Keeps to the exchange's rate limits before it has to refuse: GET and POST apart, cancels first.

A bucket of tokens per method refills steadily; a share of it is kept for the requests that reduce risk,
so that a burst of queries can never make a cancel wait.

Source: reference/gmo-coin-api.md §3.
"""

from __future__ import annotations

import asyncio
from enum import IntEnum

from gmobot.clock import Clock


class Priority(IntEnum):
    """Who may dig how deep into a bucket."""

    READ = 0
    ORDER = 1
    CANCEL = 2


class Bucket:
    """Tokens of one method."""

    def __init__(self, per_second: float, clock: Clock, *, reserve: float = 0.3) -> None:
        """Make a full bucket.

        Args:
            per_second: Refill rate and capacity.
            clock: Its monotonic time refills.
            reserve: Share kept for cancels; half of it is kept from reads only.
        """
        self._rate = per_second
        self._tokens = per_second
        self._clock = clock
        self._at = clock.monotonic()
        self._floor = {Priority.READ: per_second * reserve, Priority.ORDER: per_second * reserve / 2, Priority.CANCEL: 0.0}
        self.waited_seconds = 0.0

    async def take(self, priority: Priority) -> None:
        """Wait until a request of this priority may leave."""
        while (missing := self._missing(priority)) > 0:
            delay = missing / self._rate
            self.waited_seconds += delay
            await asyncio.sleep(delay)
        self._tokens -= 1

    def penalise(self) -> None:
        """The exchange said "too many": start from empty."""
        self._refill()
        self._tokens = min(self._tokens, 0.0)

    def _missing(self, priority: Priority) -> float:
        self._refill()
        return self._floor[priority] + 1 - self._tokens

    def _refill(self) -> None:
        now = self._clock.monotonic()
        self._tokens = min(self._rate, self._tokens + (now - self._at) * self._rate)
        self._at = now


class RateLimiter:
    """The buckets of one account: private GET, private POST (PUT and DELETE count as POST), public GET."""

    def __init__(self, clock: Clock, *, private_per_second: float = 18.0, public_per_second: float = 4.0) -> None:
        self._private_get = Bucket(private_per_second, clock)
        self._private_post = Bucket(private_per_second, clock)
        self._public = Bucket(public_per_second, clock, reserve=0.0)

    def bucket(self, method: str, *, private: bool) -> Bucket:
        """Return the bucket a request draws from."""
        if not private:
            return self._public
        return self._private_get if method == "GET" else self._private_post

    @property
    def waited_seconds(self) -> float:
        """Seconds requests have waited here so far."""
        return self._private_get.waited_seconds + self._private_post.waited_seconds + self._public.waited_seconds
