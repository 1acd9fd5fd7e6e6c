"""GMO Coin's messages as they are on the wire, and their translation into the house's models.

The types are the schema: decoding validates. Unknown keys are ignored and enumerations are open sets,
because both grow without notice; numbers may come as strings and the other way round. An empty result
comes as ``{}``: a missing list is an empty one, but missing ``data`` is not. GMO's own spellings end here.

Whatever bytes come in, decoding and ``model()`` raise nothing but :data:`MALFORMED`. No amount that
passes is infinite, not a number, or out of all proportion, and yen that are compared with books fit their
micro-yen: what books money later need not ask again.

Source: reference/gmo-coin-api.md §1, §4, §5, §7, §8.
"""

from __future__ import annotations

from gmobot.venue.gmo.wire.account import AssetData, CashFlowData, FeePage, LimitData, MarginData, TransferData, VolumeData, fee_page
from gmobot.venue.gmo.wire.basics import (
    MALFORMED,
    STATUS,
    TIME_IN_FORCE,
    Envelope,
    Id,
    Message,
    decode,
    decode_rows,
    order_id,
    token,
    told,
)
from gmobot.venue.gmo.wire.bodies import BulkCancelBody, ChangeBody, CloseBody, Frame, OrderBody, SettlePosition, plain
from gmobot.venue.gmo.wire.market import BookData, KlineData, StatusData, SymbolData, TickerData, TradeData, TradeList
from gmobot.venue.gmo.wire.orders import (
    CancelData,
    CancelFailure,
    ExecutionData,
    ExecutionFrame,
    ExecutionList,
    OrderData,
    OrderFrame,
    OrderList,
)
from gmobot.venue.gmo.wire.positions import PositionData, PositionList, SummaryData, SummaryList

__all__ = [
    "MALFORMED",
    "STATUS",
    "TIME_IN_FORCE",
    "AssetData",
    "BookData",
    "BulkCancelBody",
    "CancelData",
    "CancelFailure",
    "CashFlowData",
    "ChangeBody",
    "CloseBody",
    "Envelope",
    "ExecutionData",
    "ExecutionFrame",
    "ExecutionList",
    "FeePage",
    "Frame",
    "Id",
    "KlineData",
    "LimitData",
    "MarginData",
    "Message",
    "OrderBody",
    "OrderData",
    "OrderFrame",
    "OrderList",
    "PositionData",
    "PositionList",
    "SettlePosition",
    "StatusData",
    "SummaryData",
    "SummaryList",
    "SymbolData",
    "TickerData",
    "TradeData",
    "TradeList",
    "TransferData",
    "VolumeData",
    "decode",
    "decode_rows",
    "fee_page",
    "order_id",
    "plain",
    "token",
    "told",
]
