"""The exchange's clock as its replies prove it, since there is no endpoint that tells the time.

A reply's stamp was made between asking and receiving, which bounds the difference to our clock from both
sides. Public replies come from a cache and may be older; a ``Date`` header names a whole second only.

Source: reference/gmo-coin-api.md §1.1, §1.2, §2.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from statistics import median_low
from typing import Final, NamedTuple, Self

from gmobot.clock import NS_PER_MS, NS_PER_SECOND, Clock, elapsed_ns, parse_iso_utc

_FURTHEST_NS: Final = 86_400 * NS_PER_SECOND
"""A server clock further away than a day is a garbled stamp, not a clock."""
_STAMPS: Final = 64
_JUDGED: Final = 9
"""So many stamps are asked what time it is; a few garbled ones among them, or one machine whose clock is wrong, change nothing."""
_PUBLIC_STALE_NS: Final = 2 * NS_PER_SECOND
"""How old the stamp of a cached reply may be (§1.1: about 1.5 s)."""


class Moment(NamedTuple):
    """One moment on both of our clocks."""

    wall_ns: int
    elapsed_ns: int

    @classmethod
    def of(cls, clock: Clock) -> Self:
        """Return the moment of now."""
        return cls(clock.now_ns(), elapsed_ns(clock))


class ServerClock:
    """What is known of the exchange's clock; shared by every view of a client.

    Attributes:
        offset_ns: The exchange's clock minus ours. Every stamp proves an interval that the true offset lies
            in; the estimate moves only as far as it must to lie there too, so that latency and cached replies
            do not make it wander.
        stamped_ns: The latest stamp itself, 0 before the first.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.offset_ns = 0
        self.stamped_ns = 0
        self._ahead_ns: deque[int] = deque(maxlen=_STAMPS)
        self._least_ns: deque[int] = deque(maxlen=_JUDGED)
        self._most_ns: deque[int] = deque(maxlen=_JUDGED)
        self._base_ns: int | None = None

    @property
    def floor_ns(self) -> int:
        """What the exchange's clock reads at least, whatever is done to ours; 0 before the first stamp.

        The earliest of what the latest stamps say: one machine of the exchange whose clock is ahead must not make
        an order of ours look older than its request.
        """
        return min(self._ahead_ns) + elapsed_ns(self._clock) if self._ahead_ns else 0

    @property
    def now_ns(self) -> int:
        """The exchange's time, whatever is done to our wall clock afterwards; 0 before the first stamp.

        It is what our clock said at the first stamp, as long as the stamps allow that, and goes on with the monotonic
        clock. Where they do not, it is what they prove at least: a bar that is closed late is whole.
        """
        return self._base_ns + elapsed_ns(self._clock) if self._base_ns is not None else 0

    def learn(self, responsetime: str | None, headers: Mapping[str, str], *, sent: Moment, cached: bool) -> None:
        """Take the stamp of a reply that has just come.

        Args:
            responsetime: The body's own stamp; ``None`` where it has none, then the ``Date`` header counts.
            headers: Of the reply.
            sent: When the request left.
            cached: Whether the reply may come from a cache.
        """
        stamp = _responsetime(responsetime) if responsetime is not None else _date(headers)
        if stamp is None:
            return
        stamped_ns, width_ns = stamp
        if cached:
            width_ns += _PUBLIC_STALE_NS
        now = Moment.of(self._clock)
        earliest, latest = stamped_ns - now.wall_ns, stamped_ns + width_ns - sent.wall_ns
        if max(abs(earliest), abs(latest)) <= _FURTHEST_NS:
            self.stamped_ns = max(self.stamped_ns, stamped_ns)
            self._ahead_ns.append(stamped_ns - now.elapsed_ns)
            self.offset_ns = max(earliest, min(self.offset_ns, latest))
            self._judge(stamped_ns - now.elapsed_ns, stamped_ns + width_ns - sent.elapsed_ns, now)

    def _judge(self, least_ns: int, most_ns: int, now: Moment) -> None:
        """See whether the exchange's time can still be what we take it for."""
        self._least_ns.append(least_ns)
        self._most_ns.append(most_ns)
        base = self._base_ns if self._base_ns is not None else now.wall_ns - now.elapsed_ns
        least = median_low(self._least_ns)
        self._base_ns = base if least <= base <= median_low(self._most_ns) else least


def _responsetime(text: str) -> tuple[int, int] | None:
    """Return a stamp and how much later it may have been made, or ``None`` for a garbled one."""
    try:
        return parse_iso_utc(text), NS_PER_MS
    except (ValueError, ArithmeticError):
        return None


def _date(headers: Mapping[str, str]) -> tuple[int, int] | None:
    text = headers.get("Date")
    if text is None:
        return None
    try:
        return int(parsedate_to_datetime(text).timestamp()) * NS_PER_SECOND, NS_PER_SECOND
    except (ValueError, ArithmeticError):
        return None
