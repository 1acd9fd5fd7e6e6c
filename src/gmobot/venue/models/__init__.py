"""What an exchange says and is told, normalised: typed, frozen, in the field's standard words.

The wire's own spellings (``FAK``, ``CANCELED``, ``orderdSize``) end in ``venue/gmo``. Prices, sizes and
money are :class:`~decimal.Decimal` here, at the edge; ``core.instrument`` turns them into integers.
Times are nanoseconds since the epoch, UTC.

The exchange adds words without notice. Where an enumeration has a member ``UNKNOWN``, that is what a word
nobody knows becomes, so that the row it stands in is not lost: an order of unknown status *may still fill*
and is asked about again; one of unknown type or time in force may be any order. Nothing is ever sent with
it. A side has none: what neither buys nor sells is malformed.
"""

from __future__ import annotations

from gmobot.venue.models.account import Balance, CashFlow, FeeEntry, Margin, Position, PositionSummary, TradingLimit, TradingVolume
from gmobot.venue.models.events import OrderUpdate, PositionSummaryUpdate, PositionUpdate, StreamEvent, StreamNotice
from gmobot.venue.models.market import Book, Kline, PriceLevel, Print, SymbolRules, Ticker
from gmobot.venue.models.orders import CancelOutcome, CloseRequest, Execution, Order, OrderRequest
from gmobot.venue.models.words import ExchangeStatus, OrderStatus, OrderType, PositionChange, Settle, Side, TimeInForce

__all__ = [
    "Balance",
    "Book",
    "CancelOutcome",
    "CashFlow",
    "CloseRequest",
    "ExchangeStatus",
    "Execution",
    "FeeEntry",
    "Kline",
    "Margin",
    "Order",
    "OrderRequest",
    "OrderStatus",
    "OrderType",
    "OrderUpdate",
    "Position",
    "PositionChange",
    "PositionSummary",
    "PositionSummaryUpdate",
    "PositionUpdate",
    "PriceLevel",
    "Print",
    "Settle",
    "Side",
    "StreamEvent",
    "StreamNotice",
    "SymbolRules",
    "Ticker",
    "TimeInForce",
    "TradingLimit",
    "TradingVolume",
]
