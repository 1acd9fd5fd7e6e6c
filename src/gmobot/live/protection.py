"""Seconds a position spends without protection: counted, each with the name of its cause, told, and alarmed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gmobot.clock import NS_PER_SECOND
from gmobot.live.intents import Intent


class Cause(StrEnum):
    """Why a position, or a part of it, has no order at the exchange that would close it."""

    NO_STOP_DECLARED = "no_stop_declared"
    """The strategy asked for no stop: accepted by whoever chose the strategy."""
    PLACING = "placing"
    """Between the fill and the STOP's acknowledgement."""
    REPLACING = "replacing"
    """The STOP was taken away to make room for an exit that is on its way."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    """An order's reply was lost and is being looked for."""
    RESERVED = "reserved"
    """An order that is not ours holds the quantity (ERR-200, ERR-208)."""
    EXCHANGE_CLOSED = "exchange_closed"
    """The exchange takes no orders now."""
    BELOW_MINIMUM = "below_minimum"
    """Too small to close."""


ACCEPTED = frozenset({Cause.NO_STOP_DECLARED, Cause.BELOW_MINIMUM})
"""Causes that last and that nobody can mend: counted, never alarmed."""


@dataclass(frozen=True, slots=True)
class Cover:
    """What a position's protection depends on.

    Attributes:
        uncovered: Own lots that no acknowledged order would close.
        stop: Trigger the core asked for, 0 for none.
        losscut: Own lots the exchange was asked to close by force a little beyond the stop.
        held: Own lots.
        min_lots: Smallest order.
        exchange_open: Whether orders are taken.
        closing: Whether the position is being closed.
        reserved: Whether the exchange said that something else holds the quantity.
        open_intents: Our orders that are not final.
    """

    uncovered: int
    stop: int
    losscut: int
    held: int
    min_lots: int
    exchange_open: bool
    closing: bool
    reserved: bool
    open_intents: tuple[Intent, ...]


def cause_of(cover: Cover) -> Cause | None:
    """Return why some lots are unprotected, or ``None`` when nothing is."""
    # Which lots orders and losscut prices cover is not told: the larger of the two is sure.
    bare = min(cover.uncovered, cover.held - cover.losscut)
    if bare <= 0:
        return None
    if bare < cover.min_lots:
        return Cause.BELOW_MINIMUM
    if not cover.exchange_open:
        return Cause.EXCHANGE_CLOSED
    if any(intent.state.is_unresolved and not intent.opens for intent in cover.open_intents):
        return Cause.OUTCOME_UNKNOWN
    if cover.reserved:
        return Cause.RESERVED
    if cover.closing:
        return Cause.REPLACING
    return Cause.PLACING if cover.stop > 0 else Cause.NO_STOP_DECLARED


class ProtectionMeter:
    """Adds up unprotected time of one symbol.

    Attributes:
        cause: Why a part lies open now, ``None`` while nothing does.
        since_ns: Since when, whatever the causes were in between.
        seconds: Counted so far, by cause.
        alarmed: Whether this stretch has lasted longer than is to be borne.
    """

    def __init__(self, *, grace_seconds: float) -> None:
        self._grace_ns = int(grace_seconds * NS_PER_SECOND)
        self.cause: Cause | None = None
        self.since_ns = 0
        self.seconds: dict[Cause, float] = {}
        self.alarmed = False
        self._last_ns = 0

    def observe(self, cause: Cause | None, now_ns: int) -> float:
        """Take the state as it is now. Returns the seconds that were unprotected since the last look."""
        elapsed = 0.0
        if self.cause is not None:
            elapsed = (now_ns - self._last_ns) / NS_PER_SECOND
            self.seconds[self.cause] = self.seconds.get(self.cause, 0.0) + elapsed
        if cause is None or cause in ACCEPTED:
            self.alarmed = False
            self.since_ns = now_ns
        elif self.cause is None or self.cause in ACCEPTED:
            self.since_ns = now_ns
        self.cause, self._last_ns = cause, now_ns
        return elapsed

    def alarm_is_due(self, now_ns: int) -> bool:
        """Return, once for each stretch, whether it has lasted longer than the grace."""
        bare = self.cause is not None and self.cause not in ACCEPTED
        due = bare and not self.alarmed and now_ns - self.since_ns > self._grace_ns
        self.alarmed = self.alarmed or due
        return due
