"""The closed sets, in the field's standard words; the wire's own spellings end in ``venue/gmo``."""

from __future__ import annotations

from enum import StrEnum


class Side(StrEnum):
    """Direction of an order, a fill or a print. Of a print: the taker's."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def opposite(self) -> Side:
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """How an order reaches the book."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"
    """Armed at a trigger price; a market order once triggered."""
    UNKNOWN = "UNKNOWN"


class TimeInForce(StrEnum):
    """How long an order stays. The wire calls them FAS, FAK, FOK and SOK."""

    GTC = "GTC"
    """Rests until filled or cancelled."""
    IOC = "IOC"
    """Fills what it can at once; the rest expires."""
    FOK = "FOK"
    """All at once or nothing."""
    POST_ONLY = "POST_ONLY"
    """Expires instead of taking liquidity."""
    UNKNOWN = "UNKNOWN"


class OrderStatus(StrEnum):
    """Where an order stands at the exchange."""

    ARMED = "ARMED"
    """A STOP that has not been triggered."""
    WORKING = "WORKING"
    AMENDING = "AMENDING"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    FILLED = "FILLED"
    EXPIRED = "EXPIRED"
    UNKNOWN = "UNKNOWN"
    """A word nobody knows: not the end of the order, until a known one says so."""

    @property
    def is_final(self) -> bool:
        """Whether the order can no longer fill."""
        return self in (OrderStatus.CANCELLED, OrderStatus.FILLED, OrderStatus.EXPIRED)


class Settle(StrEnum):
    """What an order does to leverage positions. On spot every order is ``OPEN``, sales too."""

    OPEN = "OPEN"
    CLOSE = "CLOSE"
    LOSSCUT = "LOSSCUT"
    """The exchange closes a position by force."""
    UNKNOWN = "UNKNOWN"


class PositionChange(StrEnum):
    """What happened to a position."""

    OPENED = "OPENED"
    UPDATED = "UPDATED"
    """Partly closed, or its size reserved by a close order."""
    LOSSCUT_MOVED = "LOSSCUT_MOVED"
    CLOSED = "CLOSED"
    UNKNOWN = "UNKNOWN"


class ExchangeStatus(StrEnum):
    """What the exchange says of itself."""

    OPEN = "OPEN"
    PREOPEN = "PREOPEN"
    """Cancels are taken, new orders and amendments are not."""
    MAINTENANCE = "MAINTENANCE"
