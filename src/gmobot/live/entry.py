"""How an entry is worded: MARKET, a LIMIT that takes what lies within reach, or one that waits. Pure.

On leverage a LIMIT entry carries a losscut price a little beyond its stop: from its first fill on the exchange
itself closes the position there, so it is never quite bare before its STOP rests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal

from gmobot.core.compiled import uncompiled
from gmobot.core.instrument import Instrument, Product
from gmobot.core.margin import losscut_price
from gmobot.live.market import Market
from gmobot.live.plan import Place
from gmobot.venue.models import OrderType, Side

_losscut_price = uncompiled(losscut_price)
_DISTINCT = 10
_WORTH_DISTINGUISHING = 1_000
"""An entry of fewer lots keeps its exact size: the steps taken off would be felt."""


@dataclass(frozen=True, slots=True)
class EntryStyle:
    """How entries of one symbol are worded.

    Attributes:
        limit: Whether entries are LIMIT orders at all.
        passive: Whether they wait on our own side of the book.
        offset_ticks: Beyond the other side, or behind our own.
        post_only: Whether a waiting one expires instead of taking.
        losscut_margin: Share beyond the stop, 0 for none.
        distinguish: Whether sizes are told apart by their last digit.
    """

    limit: bool = False
    passive: bool = False
    offset_ticks: int = 0
    post_only: bool = False
    losscut_margin: Decimal = Decimal(0)
    distinguish: bool = False


def worded(place: Place, style: EntryStyle, market: Market, *, stop: int, number: int) -> Place | None:
    """Return an entry as it is to be sent, or ``None`` while the book does not say where to put it.

    Args:
        place: The entry as planned: MARKET.
        style: How entries are worded.
        market: The book.
        stop: Trigger that will protect it, in ticks, 0 for none.
        number: Of the order; tells two of the same size apart.
    """
    if style.distinguish and place.lots > _WORTH_DISTINGUISHING:
        place = replace(place, lots=place.lots - number % _DISTINCT)
    if not style.limit:
        return place
    price = _limit(place.side, style, market)
    if price is None or price <= 0:
        return None
    losscut = losscut_beyond(stop, place.side, price, market.instrument, style.losscut_margin)
    return replace(place, type=OrderType.LIMIT, price=price, losscut=losscut, post_only=style.passive and style.post_only)


def _limit(side: Side, style: EntryStyle, market: Market) -> int | None:
    book = market.book
    if book is None or not book.asks or not book.bids:
        return None
    # The exchange's ticks may have become finer than ours, and nobody knows yet.
    ask, bid = (market.instrument.nearest_ticks(levels[0].price) for levels in (book.asks, book.bids))
    if style.passive:
        return bid - style.offset_ticks if side is Side.BUY else ask + style.offset_ticks
    return ask + style.offset_ticks if side is Side.BUY else bid - style.offset_ticks


def losscut_beyond(stop: int, side: Side, price: int, instrument: Instrument, margin: Decimal) -> int:
    """Return a losscut price a share beyond a stop, 0 where the exchange's own default comes first, or none is wanted."""
    if instrument.product is not Product.LEVERAGE or stop <= 0 or margin <= 0:
        return 0
    if side is Side.BUY:
        wanted = math.floor(stop * (1 - margin))
        return wanted if wanted > _losscut_price(price, 1, instrument.leverage) else 0
    wanted = math.ceil(stop * (1 + margin))
    return wanted if wanted < _losscut_price(price, -1, instrument.leverage) else 0
