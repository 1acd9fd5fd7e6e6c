"""Leverage positions and their totals; a frame has the shape of a row and says what happened.

Source: reference/gmo-coin-api.md §5.11, §5.12, §8.6, §8.7.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from gmobot.clock import parse_iso_utc
from gmobot.venue.gmo.wire.basics import POSITION_CHANGE, Id, amount, positive, price, size
from gmobot.venue.models import Position, PositionChange, PositionSummary, PositionSummaryUpdate, PositionUpdate, Side


class PositionData(msgspec.Struct, frozen=True):
    """A row of ``openPositions``, or a ``positionEvents`` frame, which has a ``msgType``.

    ``orderdSize`` is the wire's own spelling.
    """

    positionId: Id
    symbol: str
    side: Side
    size: Decimal
    orderdSize: Decimal
    price: Decimal
    lossGain: Decimal
    leverage: Decimal
    timestamp: str
    losscutPrice: Decimal | None = None
    msgType: str = ""

    def model(self) -> Position:
        """Return it normalised."""
        return Position(
            position_id=self.positionId,
            symbol=self.symbol,
            side=self.side,
            size=size(self.size),
            reserved_size=size(self.orderdSize),
            price=positive(self.price),
            unrealized_pnl_jpy=amount(self.lossGain),
            leverage=positive(self.leverage),
            losscut_price=price(self.losscutPrice),
            opened_at_ns=parse_iso_utc(self.timestamp),
        )

    def event(self) -> PositionUpdate:
        """Return it as what happened."""
        return PositionUpdate(position=self.model(), change=POSITION_CHANGE.get(self.msgType, PositionChange.UNKNOWN))


class PositionList(msgspec.Struct, frozen=True):
    """A list of positions; ``{}`` is an empty one."""

    list: Sequence[PositionData] = ()


class SummaryData(msgspec.Struct, frozen=True):
    """A row of ``positionSummary``, or a ``positionSummaryEvents`` frame."""

    symbol: str
    side: Side
    averagePositionRate: Decimal
    positionLossGain: Decimal
    sumOrderQuantity: Decimal
    sumPositionQuantity: Decimal
    msgType: str = ""

    def model(self) -> PositionSummary:
        """Return it normalised."""
        return PositionSummary(
            symbol=self.symbol,
            side=self.side,
            average_price=size(self.averagePositionRate),
            size=size(self.sumPositionQuantity),
            reserved_size=size(self.sumOrderQuantity),
            unrealized_pnl_jpy=amount(self.positionLossGain),
        )

    def event(self) -> PositionSummaryUpdate:
        """Return it as what was told."""
        return PositionSummaryUpdate(summary=self.model(), periodic=self.msgType == "PERIODIC")


class SummaryList(msgspec.Struct, frozen=True):
    """Totals by symbol and side; ``{}`` is an empty one."""

    list: Sequence[SummaryData] = ()
