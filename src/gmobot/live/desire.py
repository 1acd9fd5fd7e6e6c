"""The desired state of one symbol as the order manager takes it over from the core."""

from __future__ import annotations

import msgspec


class Desire(msgspec.Struct, frozen=True, kw_only=True):
    """What one decision wants.

    Attributes:
        decision_id: Open time of the bar it was made on; numbers grow.
        closed_ns: When that bar ended: entries of an old decision are not sent.
        due_ns: When the bar could first be decided on, its grace included: where tick-to-order starts.
        target: Lots to hold.
        stop: Trigger of the protective STOP in ticks, 0 for none.
        take_profit: Price in ticks, 0 for none.
        may_open: Whether it plans an entry, on a bar that came in time.
    """

    decision_id: int
    closed_ns: int
    due_ns: int
    target: int
    stop: int
    take_profit: int
    may_open: bool
