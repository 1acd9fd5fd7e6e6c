"""Keeps to the exchange's rate limits before it has to refuse: GET and POST apart, cancels first.

A bucket of tokens per method refills steadily; a share of it is kept for the requests that reduce risk,
so that a burst of queries can never make a cancel wait. Whether the exchange counts fixed or sliding
seconds is not known: a bucket's burst and one second's refill together stay below the limit, which
satisfies both. Who would rather not wait is told so at once (:class:`NotSent`).

Source: reference/gmo-coin-api.md §3.
"""

from __future__ import annotations

import asyncio
from enum import IntEnum
from typing import Final

from gmobot.clock import Clock
from gmobot.errors import Category, NotSent

PENALTY_SECONDS: Final = 2.0
"""How long nothing leaves after the exchange said "too many"; bots in the field wait about as long."""
_URGENT_FIRST_SECONDS: Final = 0.1
"""How long everything else waits for the urgent then."""
_TIERS: Final = {1: 20.0, 2: 30.0, 3: 50.0}
"""Private requests a second by tier; the third is in the newest documentation only."""
_RESERVE: Final = 0.3
"""Share of the burst kept for what reduces risk; half of it is kept from reads only."""
_SHORTEST_SLEEP: Final = 0.001
"""A shorter one may not move a clock that is a float, and the wait would never end."""
_ROUNDING: Final = 1e-9


class Priority(IntEnum):
    """Who may dig how deep into a bucket."""

    READ = 0
    ORDER = 1
    URGENT = 2
    """What reduces risk: cancels, closes, losscut prices, protective orders."""


class Bucket:
    """Tokens of one method.

    Attributes:
        waited_seconds: How long requests have waited here so far.
    """

    def __init__(self, per_second: float, clock: Clock, *, burst: float, reserve: float = _RESERVE) -> None:
        """Make a full bucket.

        Args:
            per_second: Refill rate.
            clock: Its monotonic time refills.
            burst: Capacity: how many may leave at once.
            reserve: Share of the burst that is not for everybody.
        """
        self._rate = per_second
        self._burst = burst
        self._tokens = burst
        self._clock = clock
        self._at = clock.monotonic()
        self._closed_until = float("-inf")
        self._floor = _floors(burst, reserve)
        self.waited_seconds = 0.0

    async def take(self, priority: Priority, at_most: float | None = None) -> None:
        """Wait until a request of this priority may leave.

        Args:
            priority: How deep it may dig.
            at_most: Seconds it is worth waiting; ``None`` waits as long as it takes.

        Raises:
            NotSent: It would take longer.
        """
        since = self._clock.monotonic()
        while (missing := self._missing(priority)) > _ROUNDING:
            delay = max(missing / self._rate, _SHORTEST_SLEEP)
            if at_most is not None and self._clock.monotonic() + delay - since > at_most:
                raise NotSent(f"our own rate limit would hold it back longer than {at_most:g} s", category=Category.RATE_LIMIT)
            await asyncio.sleep(delay)
        self._tokens -= 1
        self.waited_seconds += self._clock.monotonic() - since

    def set_limit(self, per_second: float, burst: float, reserve: float = _RESERVE) -> None:
        """Go on at another rate, with no more tokens than before."""
        self._refill()
        self._rate, self._burst = per_second, burst
        self._tokens = min(self._tokens, burst)
        self._floor = _floors(burst, reserve)

    def penalise(self) -> None:
        """The exchange said "too many": let nothing leave for a while, and the urgent first after that.

        What is kept for them is there when the pause ends: one by one they would wait for each other's next refusal.
        """
        self._refill()
        self._closed_until = self._clock.monotonic() + PENALTY_SECONDS
        self._tokens = min(self._tokens, self._floor[Priority.READ] - PENALTY_SECONDS * self._rate)

    def _missing(self, priority: Priority) -> float:
        self._refill()
        closed = self._closed_until - self._clock.monotonic() + (0.0 if priority is Priority.URGENT else _URGENT_FIRST_SECONDS)
        return max(self._floor[priority] + 1 - self._tokens, closed * self._rate)

    def _refill(self) -> None:
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now


class RateLimiter:
    """The buckets of one account: private GET, private POST (PUT and DELETE count as POST), public GET."""

    def __init__(self, clock: Clock, *, private_per_second: float = 20.0, public_per_second: float = 5.0) -> None:
        """Make full buckets.

        Args:
            clock: Its monotonic time refills.
            private_per_second: What the exchange allows an account: 20 in the lowest tier.
            public_per_second: What it stands in public; it refused bursts at five a second.
        """
        self._private_get = _below(private_per_second, clock)
        self._private_post = _below(private_per_second, clock)
        self._public = _below(public_per_second, clock, reserve=0.0)

    def set_tier(self, tier: int) -> None:
        """Keep to what the exchange allows an account of this tier."""
        for bucket in (self._private_get, self._private_post):
            bucket.set_limit(*_shares(tier_limit(tier)))

    def bucket(self, method: str, *, private: bool) -> Bucket:
        """Return the bucket a request draws from."""
        if not private:
            return self._public
        return self._private_get if method == "GET" else self._private_post

    @property
    def waited_seconds(self) -> float:
        """Seconds requests have waited here so far."""
        return self._private_get.waited_seconds + self._private_post.waited_seconds + self._public.waited_seconds


def tier_limit(tier: int) -> float:
    """Return how many requests a second a tier allows; of one nobody knows, what the nearest below does."""
    return _TIERS[max((known for known in _TIERS if known <= tier), default=1)]


def _below(limit: float, clock: Clock, *, reserve: float = _RESERVE) -> Bucket:
    """Return a bucket that stays below a limit."""
    rate, burst = _shares(limit)
    return Bucket(rate, clock, burst=burst, reserve=reserve)


def _shares(limit: float) -> tuple[float, float]:
    """Return refill and burst that together let through nine tenths of a limit in the busiest second."""
    return limit * 0.5, limit * 0.4


def _floors(burst: float, reserve: float) -> dict[Priority, float]:
    """Return how many tokens each priority must leave in the bucket."""
    return {Priority.READ: burst * reserve, Priority.ORDER: burst * reserve / 2, Priority.URGENT: 0.0}
