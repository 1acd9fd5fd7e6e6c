"""What the streams tell."""

from __future__ import annotations

import msgspec

from gmobot.venue.models.account import Position, PositionSummary
from gmobot.venue.models.market import Book, Print, Ticker
from gmobot.venue.models.orders import Execution, Order
from gmobot.venue.models.words import PositionChange


class OrderUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """An order event of the private stream. Full fills are not reported here, only as executions."""

    order: Order


class PositionUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """A position event of the private stream."""

    position: Position
    change: PositionChange


class PositionSummaryUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """A summary event of the private stream.

    Attributes:
        periodic: Sent because its time had come, not because anything changed.
    """

    summary: PositionSummary
    periodic: bool


class StreamNotice(msgspec.Struct, frozen=True, kw_only=True):
    """A stream came up, went down, was refused a subscription, or sent what makes no sense.

    Attributes:
        stream: ``public`` or ``private``.
        state: ``up``, ``down``, ``refused`` or ``malformed`` (told once per connection).
        detail: For the audit log.
    """

    stream: str
    state: str
    detail: str = ""


StreamEvent = Print | Book | Ticker | Execution | OrderUpdate | PositionUpdate | PositionSummaryUpdate | StreamNotice
