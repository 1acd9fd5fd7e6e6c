"""Seconds a position spends without protection: counted, and each with the name of its cause."""

from __future__ import annotations

from enum import StrEnum

from gmobot.clock import NS_PER_SECOND
from gmobot.live.intents import Intent, Purpose


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
    EXCHANGE_CLOSED = "exchange_closed"
    """The exchange takes no orders now."""
    BELOW_MINIMUM = "below_minimum"
    """Too small to sell."""


def cause_of(
    *, uncovered: int, stop: int, min_lots: int, exchange_open: bool, closing: bool, open_intents: tuple[Intent, ...]
) -> Cause | None:
    """Return why ``uncovered`` lots are unprotected, or ``None`` when nothing is.

    Args:
        uncovered: Own lots that no acknowledged order would sell.
        stop: Trigger the core asked for, 0 for none.
        min_lots: Smallest order.
        exchange_open: Whether orders are taken.
        closing: Whether the position is being closed.
        open_intents: Our orders that are not final.
    """
    if uncovered <= 0:
        return None
    if uncovered < min_lots:
        return Cause.BELOW_MINIMUM
    if not exchange_open:
        return Cause.EXCHANGE_CLOSED
    if any(intent.state.is_unresolved and intent.purpose is not Purpose.ENTRY for intent in open_intents):
        return Cause.OUTCOME_UNKNOWN
    if closing:
        return Cause.REPLACING
    return Cause.PLACING if stop > 0 else Cause.NO_STOP_DECLARED


class ProtectionMeter:
    """Adds up unprotected time of one symbol."""

    def __init__(self) -> None:
        self.cause: Cause | None = None
        self.since_ns = 0
        self.seconds: dict[Cause, float] = {}
        self._last_ns = 0

    def observe(self, cause: Cause | None, now_ns: int) -> float:
        """Take the state as it is now. Returns the seconds that were unprotected since the last look."""
        elapsed = 0.0
        if self.cause is not None:
            elapsed = (now_ns - self._last_ns) / NS_PER_SECOND
            self.seconds[self.cause] = self.seconds.get(self.cause, 0.0) + elapsed
        if cause is not None and self.cause is None:
            self.since_ns = now_ns
        self.cause, self._last_ns = cause, now_ns
        return elapsed
