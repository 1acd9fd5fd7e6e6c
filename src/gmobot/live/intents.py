"""An intent: what we mean to send, written down before it leaves, and what became of it.

::

    intent ─▶ acknowledged ─▶ working ─▶ filled | cancelled | expired
       │            ▲
       ├─▶ rejected │            refused, never sent, or absence concluded
       └─▶ unknown ─┘            the reply was lost

``intent`` on disk means "may have been sent": the commit comes first, and no later commit could say
exactly when the request left. After a crash it is therefore read as ``unknown``.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from gmobot.venue.models import OrderType, Settle, Side, TimeInForce


class Purpose(StrEnum):
    """Why an order exists."""

    ENTRY = "entry"
    """Raises exposure."""
    EXIT = "exit"
    PROTECT = "protect"
    """A STOP that rests at the exchange."""
    FORCED = "forced"
    """A close of our position that we did not send: the exchange's losscut, or a person's hand. Known afterwards only."""


class IntentState(StrEnum):
    """Where an intent stands."""

    INTENT = "intent"
    UNKNOWN = "unknown"
    ACKNOWLEDGED = "acknowledged"
    WORKING = "working"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"

    @property
    def is_final(self) -> bool:
        """Whether nothing more can come of it."""
        return self in _FINAL

    @property
    def is_unresolved(self) -> bool:
        """Whether it may or may not exist at the exchange."""
        return self in (IntentState.INTENT, IntentState.UNKNOWN)


_FINAL = frozenset({IntentState.FILLED, IntentState.CANCELLED, IntentState.EXPIRED, IntentState.REJECTED})


BEYOND_OURS = "filled beyond what was ours"
"""Detail of an order that took what is not ours: two closes filled where one was enough, or a bulk close met another's position."""


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """One order of ours.

    Attributes:
        intent_id: Our own number; the exchange knows no client order id.
        price: Limit or trigger price in ticks, 0 for MARKET.
        settle: Whether it opens or closes a leverage position; always OPEN on spot.
        position_id: The one leverage position it closes, ``None`` for whatever is open of the other side.
        losscut: Where the exchange closes by force what this opens, in ticks, 0 for its own default.
        amending_to: Price a change was asked for that is not confirmed yet, 0 for none: it may stand at either.
        decision_id: Open time of the bar whose decision it serves.
        created_ns: When it was committed, by our clock.
        server_ns: What the exchange's clock read at least when it was sent, 0 while that was not known.
        unknown_since_ns: From when on its absence may count as evidence; 0 while nothing is unknown.
    """

    intent_id: int
    symbol: str
    purpose: Purpose
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    lots: int
    price: int
    decision_id: int
    created_ns: int
    updated_ns: int
    state: IntentState = IntentState.INTENT
    order_id: int | None = None
    executed_lots: int = 0
    unknown_since_ns: int = 0
    detail: str = ""
    settle: Settle = Settle.OPEN
    position_id: int | None = None
    losscut: int = 0
    amending_to: int = 0
    server_ns: int = 0

    @property
    def open_lots(self) -> int:
        """Lots that may still fill."""
        return 0 if self.state.is_final else self.lots - self.executed_lots

    @property
    def opens(self) -> bool:
        """Whether it raises exposure."""
        return self.purpose is Purpose.ENTRY

    @property
    def shared(self) -> bool:
        """Whether what fills of it and is not booked belongs to another hand: nobody waits for that to be booked."""
        return self.purpose is Purpose.FORCED or self.detail == BEYOND_OURS


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of one of our orders, in integers.

    Attributes:
        position_id: The leverage position it opened or closed.
        realized_uyen: What a leverage close brought, as the exchange reports it.
    """

    execution_id: int
    order_id: int
    intent_id: int
    symbol: str
    side: Side
    lots: int
    ticks: int
    fee_uyen: int
    at_ns: int
    position_id: int | None = None
    realized_uyen: int = 0


class Latch(StrEnum):
    """What stays until an operator takes it back, also across restarts."""

    HALT = "halt"
    PAUSE = "pause"
    CLOSE = "close"
    """Close what we own: the policy of an abort, or an operator's flatten."""
    ARMED = "armed"
    """An operator acknowledged real orders under the config hash kept as its reason."""
