"""Faults: what the way to the exchange, and the exchange itself, can do to a client.

A fault is armed for a number of times, on endpoints that match, or happens with a probability; both
draw from one seeded generator, so that a run can be repeated. Adding a fault is adding a name here and
asking :meth:`Faults.strikes` where it bites.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatch

from gmobot.errors import ConfigError


class Fault(StrEnum):
    """Everything that can be made to go wrong."""

    REPLY_LOST_BEFORE = "reply_lost_before"
    """The connection breaks before the request is looked at."""
    REPLY_LOST_AFTER = "reply_lost_after"
    """The request is carried out, and the connection breaks before the reply."""
    REPLY_SLOW = "reply_slow"
    """The reply comes seconds later; events do not wait for it."""
    SERVER_ERROR = "server_error"
    """HTTP 502 with HTML, after the request was carried out."""
    SERVER_BUSY = "server_busy"
    """ERR-554, nothing done."""
    RATE_LIMITED = "rate_limited"
    """ERR-5003, nothing done."""
    EVENT_DUPLICATED = "event_duplicated"
    EVENT_DELAYED = "event_delayed"
    EVENT_LOST = "event_lost"
    SOCKET_SILENT = "socket_silent"
    """The socket stays open and nothing comes any more, not even pings."""
    SOCKET_DROPPED = "socket_dropped"
    """The socket closes without a close frame."""


@dataclass(slots=True)
class Armed:
    """A fault waiting for its place and time."""

    fault: Fault
    where: str
    times: int | None
    probability: float


class Faults:
    """Decides when which fault strikes."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._armed: list[Armed] = []
        self.struck: dict[str, int] = {}

    def arm(self, fault: str, *, where: str = "*", times: int | None = 1, probability: float = 1.0) -> None:
        """Arm a fault.

        Args:
            fault: Its name.
            where: Pattern of paths (``/v1/order``) or channels (``executionEvents``) it bites.
            times: How often; ``None`` for as long as it is armed.
            probability: Chance at each opportunity.

        Raises:
            ConfigError: There is no such fault, or the numbers make no sense.
        """
        try:
            name = Fault(fault)
        except ValueError:
            raise ConfigError(f"fault {fault!r}: there is no such fault; there are: {', '.join(Fault)}") from None
        if not 0.0 <= probability <= 1.0 or (times is not None and times < 1):
            raise ConfigError(f"fault {fault}: probability is 0 to 1 and times at least 1")
        self._armed.append(Armed(name, where, times, probability))

    def disarm(self, fault: str | None = None) -> None:
        """Take back one kind of fault, or all."""
        self._armed = [armed for armed in self._armed if fault is not None and armed.fault != fault]

    def strikes(self, fault: Fault, where: str) -> bool:
        """Return whether a fault strikes here and now, and count it."""
        for armed in self._armed:
            if armed.fault is fault and fnmatch(where, armed.where) and self._random.random() < armed.probability:
                if armed.times is not None:
                    armed.times -= 1
                    if armed.times == 0:
                        self._armed.remove(armed)
                self.struck[fault] = self.struck.get(fault, 0) + 1
                return True
        return False

    def seconds(self, shortest: float, longest: float) -> float:
        """Return a delay for a fault that needs one."""
        return self._random.uniform(shortest, longest)

    def describe(self) -> list[dict[str, object]]:
        """Return what is armed."""
        return [{"fault": a.fault.value, "where": a.where, "times": a.times, "probability": a.probability} for a in self._armed]
