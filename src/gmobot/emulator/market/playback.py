"""What every market has in common: when its next event happens, and a tape that plays at a speed.

The exchange stamps what a market plays with the wall clock. A faster market only plays its tape faster: one
second then holds a minute of trades, and no clock is bent.
"""

from __future__ import annotations

import math
from typing import Protocol

from gmobot.clock import NS_PER_SECOND
from gmobot.emulator.market.tape import Snapshot, Trade
from gmobot.errors import ConfigError, DataError

_FARTHEST_APART_NS = 12 * 3_600 * NS_PER_SECOND


class Market(Protocol):
    """A source of trades, and of books where it knows real ones, of one symbol."""

    @property
    def speed(self) -> float | None:
        """How many times faster than real time it plays; ``None`` without a tape of its own."""
        ...

    def history(self, before_ns: int) -> list[Trade]:
        """Return trades of the recent past, oldest first, ending before a moment. Asked once, first."""
        ...

    def next(self, after_ns: int) -> Trade | Snapshot | None:
        """Return what happens next, at or after a moment, or ``None`` when nothing does any more."""
        ...

    def set_speed(self, speed: float, now_ns: int) -> None:
        """Play faster or slower from now on.

        Raises:
            ConfigError: The speed is not a positive number.
        """
        ...


class QuietMarket:
    """No trades of its own: prices are fed from outside, or a test moves them."""

    speed: float | None = None

    def history(self, before_ns: int) -> list[Trade]:  # noqa: ARG002  # the shape of every market
        return []

    def next(self, after_ns: int) -> Trade | None:  # noqa: ARG002  # the shape of every market
        return None

    def set_speed(self, speed: float, now_ns: int) -> None:  # noqa: ARG002  # the shape of every market
        raise ConfigError("this market has no tape of its own whose speed could be set")


class Playback:
    """Where a tape stands on the wall clock. Symbols that share one stay together, whatever the speed.

    Attributes:
        speed: How many times faster than recorded the tape plays.
    """

    def __init__(self, speed: float = 1.0) -> None:
        """Make a playback that has not begun.

        Raises:
            ConfigError: The speed is not a positive number.
        """
        self.speed = _checked(speed)
        self._wall_ns = 0
        self._tape_ns = 0

    def begin(self, wall_ns: int, tape_ns: int, what: str) -> None:
        """Lay a moment of the tape on one of the wall clock, unless another symbol has.

        Args:
            wall_ns: Of the wall.
            tape_ns: Of the tape.
            what: Whose tape, for the error.

        Raises:
            DataError: This tape is of another day than the one that plays already.
        """
        if not self._wall_ns:
            self._wall_ns, self._tape_ns = wall_ns, tape_ns
        elif abs(tape_ns - self.tape_ns(wall_ns)) > _FARTHEST_APART_NS:
            raise DataError(f"{what}: its tape begins more than 12 hours apart from the other symbols'; play files of the same days")

    def wall_ns(self, tape_ns: int) -> int:
        """Return when a moment of the tape is played."""
        return self._wall_ns + int((tape_ns - self._tape_ns) / self.speed)

    def tape_ns(self, wall_ns: int) -> int:
        """Return which moment of the tape is played then."""
        return self._tape_ns + int((wall_ns - self._wall_ns) * self.speed)

    def set_speed(self, speed: float, now_ns: int) -> None:
        """Go on from here at another speed; saying it once for each symbol does no harm.

        Raises:
            ConfigError: The speed is not a positive number.
        """
        _checked(speed)
        if self._wall_ns:
            self._tape_ns, self._wall_ns = self.tape_ns(now_ns), now_ns
        self.speed = speed


def _checked(speed: float) -> float:
    if not (math.isfinite(speed) and speed > 0):
        raise ConfigError(f"speed {speed}: must be a number above zero")
    return speed
