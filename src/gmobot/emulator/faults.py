"""Faults: what the way to the exchange, and the exchange itself, can do to a client.

A fault is armed for a number of times, on places that match, or happens with a probability; each kind draws
from a seeded generator of its own, so that a run can be repeated. Adding a fault is adding a name here and
asking :meth:`Faults.strikes` where it bites. :mod:`gmobot.emulator.protocol.maintenance` is the one fault with a script.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from gmobot.errors import ConfigError


class Fault(StrEnum):
    """Everything that can be made to go wrong. ``where`` it bites: a path, a channel, or ``connect``."""

    REPLY_LOST_BEFORE = "reply_lost_before"
    """The connection breaks before the request is looked at."""
    REPLY_LOST_AFTER = "reply_lost_after"
    """The request is carried out, and the connection breaks before the reply."""
    REPLY_SLOW = "reply_slow"
    """The reply comes seconds later; events do not wait for it."""
    EVENT_BEFORE_REPLY = "event_before_reply"
    """The reply waits just until the events of the request have left."""
    SERVER_ERROR = "server_error"
    """HTTP 502 with HTML, after the request was carried out."""
    SERVER_ERROR_BEFORE = "server_error_before"
    """HTTP 502 with HTML, nothing done."""
    SERVER_BUSY = "server_busy"
    """ERR-554, nothing done."""
    SERVER_OVERLOADED = "server_overloaded"
    """ERR-626, nothing done."""
    RATE_LIMITED = "rate_limited"
    """ERR-5003, nothing done."""
    CLOCK_SKEW = "clock_skew"
    """The server's clock is ``seconds`` ahead (negative: behind) while it looks at a request and stamps the reply."""
    STALE_PUBLIC = "stale_public"
    """A public reply is the one of up to ``seconds`` ago again, byte for byte, as a cache in front would have it."""
    PERMISSION_REFUSED = "permission_refused"
    """ERR-5012 for a path, or as a frame for a channel, which then stays silent."""
    TOKEN_INVALIDATED = "token_invalidated"
    """The account's tokens are gone when one is extended or, at ``connect``, when one is used."""
    HIDDEN = "hidden"
    """An accepted order and its fills stay invisible to queries for a while."""
    ACCEPTED_THEN_CANCELLED = "accepted_then_cancelled"
    """An order that was accepted and waits is cancelled by the exchange within ``seconds``: the balance or margin is short."""
    EVENT_DUPLICATED = "event_duplicated"
    """A frame comes a second time."""
    EVENT_REORDERED = "event_reordered"
    """A frame comes after the one that follows it, or ``seconds`` later when none does."""
    EVENT_DELAYED = "event_delayed"
    """A frame comes seconds later; those behind it do not wait."""
    EVENT_LOST = "event_lost"
    """A frame never comes."""
    SOCKET_SILENT = "socket_silent"
    """The socket stays open and nothing comes any more, not even pings."""
    SOCKET_DROPPED = "socket_dropped"
    """The socket closes without a close frame."""
    HANDSHAKE_REFUSED = "handshake_refused"
    """HTTP 503 instead of a socket."""


@dataclass(slots=True)
class Armed:
    """A fault waiting for its place and time.

    Attributes:
        seconds: What a fault with a length takes instead of drawing one.
    """

    fault: Fault
    where: str
    times: int | None
    probability: float
    seconds: float | None = None


class Faults:
    """Decides when which fault strikes.

    Attributes:
        struck: How often each fault has struck.
    """

    def __init__(self, seed: int = 0) -> None:
        self._random = {fault: random.Random(f"fault:{seed}:{fault}") for fault in Fault}  # seeded: a run can be repeated
        self._armed: list[Armed] = []
        self._last: dict[Fault, Armed] = {}
        self.struck: dict[str, int] = {}

    @property
    def any(self) -> bool:
        """Whether anything at all is armed; what happens thousands of times a second asks this first."""
        return bool(self._armed)

    def arm(self, fault: str, *, where: str = "*", times: int | None = 1, probability: float = 1.0, seconds: float | None = None) -> None:
        """Arm a fault.

        Args:
            fault: Its name.
            where: Pattern of paths (``/v1/order``) or channels (``executionEvents``) it bites.
            times: How often; ``None`` for as long as it is armed.
            probability: Chance at each opportunity.
            seconds: How long or how far, for faults that take a time; each draws its own without.

        Raises:
            ConfigError: There is no such fault, or the numbers make no sense.
        """
        name = _named(fault)
        if not 0.0 <= probability <= 1.0 or (times is not None and times < 1):
            raise ConfigError(f"fault {fault}: probability is 0 to 1 and times at least 1")
        if seconds is not None and not (math.isfinite(seconds) and (seconds >= 0 or name is Fault.CLOCK_SKEW)):
            raise ConfigError(f"fault {fault}: seconds {seconds}: a number, not below zero except for {Fault.CLOCK_SKEW}")
        self._armed.append(Armed(name, where, times, probability, seconds))

    def disarm(self, fault: str | None = None) -> None:
        """Take back one kind of fault, or all.

        Raises:
            ConfigError: There is no such fault.
        """
        name = None if fault is None else _named(fault)
        self._armed = [armed for armed in self._armed if name is not None and armed.fault is not name]

    def strikes(self, fault: Fault, where: str) -> bool:
        """Return whether a fault strikes here and now, and count it."""
        for armed in self._armed:
            if armed.fault is fault and fnmatchcase(where, armed.where) and self._random[fault].random() < armed.probability:
                self._use(armed)
                return True
        return False

    def seconds(self, fault: Fault, shortest: float, longest: float) -> float:
        """Return how long a fault that has just struck takes: what was asked for, else a draw."""
        last = self._last.get(fault)
        if last is not None and last.seconds is not None:
            return last.seconds
        return self._random[fault].uniform(shortest, longest)

    def describe(self) -> list[dict[str, object]]:
        """Return what is armed."""
        return [
            {"fault": a.fault.value, "where": a.where, "times": a.times, "probability": a.probability, "seconds": a.seconds}
            for a in self._armed
        ]

    def _use(self, armed: Armed) -> None:
        self._last[armed.fault] = armed
        self.struck[armed.fault] = self.struck.get(armed.fault, 0) + 1
        if armed.times is not None:
            armed.times -= 1
            if armed.times == 0:
                self._armed.remove(armed)


def _named(fault: str) -> Fault:
    try:
        return Fault(fault)
    except ValueError:
        raise ConfigError(f"fault {fault!r}: there is no such fault; there are: maintenance, {', '.join(Fault)}") from None
