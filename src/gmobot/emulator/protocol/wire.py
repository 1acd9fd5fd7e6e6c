"""The exchange's things in GMO Coin's words: JSON-ready rows and frames, and error bodies.

Source: reference/gmo-coin-api.md §1, §4, §5, §7, §8.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from gmobot.clock import iso_utc
from gmobot.core.instrument import Instrument, to_yen
from gmobot.emulator.engine.book import OrderBook
from gmobot.emulator.engine.records import Execution, Order, Position, Total
from gmobot.emulator.market.tape import Trade
from gmobot.venue.transport import Reply

_BODY_STATUS = {"ERR-5003": 4, "ERR-5201": 5, "ERR-5202": 5}
"""The body's ``status`` where it is neither 1 nor the caller's business."""
_NO_TIME = frozenset({2, 4, 5})
"""Body statuses whose captured replies carry no ``responsetime``."""
_CANCEL_TYPED = frozenset({"CANCELLING", "CANCELED", "EXPIRED"})
"""The order statuses that come with a ``cancelType`` (§5.7)."""
_JSON = {"Content-Type": "application/json"}


def number(value: Decimal) -> str:
    """Return a decimal as the exchange writes it: no exponent, no padding."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@lru_cache(maxsize=16_384)
def _multiple(count: int, grid: Decimal) -> str:
    """Return so many ticks or lots as the exchange writes them; books repeat themselves."""
    return number(count * grid)


def success(data: Any, now_ns: int) -> Reply:  # noqa: ANN401
    """Return a reply that carries data (``None``: a reply without the key)."""
    body: dict[str, Any] = {"status": 0}
    if data is not None:
        body["data"] = data
    return Reply(200, msgspec.json.encode(body | {"responsetime": iso_utc(now_ns)}), _JSON)


def failure(code: str, text: str, now_ns: int, *, status: int | None = None, http: int = 200) -> Reply:
    """Return an error reply; without a ``status`` the body has the one of its code."""
    status = _BODY_STATUS.get(code, 1) if status is None else status
    body: dict[str, Any] = {"status": status, "messages": [{"message_code": code, "message_string": text}]}
    if status not in _NO_TIME:
        body["responsetime"] = iso_utc(now_ns)
    return Reply(http, msgspec.json.encode(body), _JSON)


def paged(rows: list[dict[str, Any]], page: int, count: int) -> dict[str, Any]:
    """Return the rows of one page; an empty result is ``{}``."""
    return {"pagination": {"currentPage": page, "count": count}, "list": rows} if rows else {}


def order_row(order: Order, instrument: Instrument, *, with_cancel_type: bool) -> dict[str, Any]:
    """Return an order as REST shows it."""
    row: dict[str, Any] = {
        "rootOrderId": order.order_id,
        "orderId": order.order_id,
        "symbol": order.symbol,
        "side": order.side,
        "orderType": order.order_type,
        "executionType": order.execution_type,
        "settleType": order.settle_type,
        "size": number(instrument.size(order.lots)),
        "executedSize": number(instrument.size(order.executed)),
        "price": number(instrument.price(order.price)),
        "losscutPrice": number(instrument.price(order.losscut)),
        "status": order.status,
        "timeInForce": order.time_in_force,
        "timestamp": iso_utc(order.at_ns),
    }
    if with_cancel_type and order.status in _CANCEL_TYPED:
        # Only its owner's request leaves an order CANCELLING for a while.
        row["cancelType"] = order.cancel_type or "USER"
    return row


def execution_row(execution: Execution, instrument: Instrument) -> dict[str, Any]:
    """Return a fill as REST shows it."""
    order = execution.order
    return {
        "executionId": execution.execution_id,
        "orderId": order.order_id,
        **_position_id(execution),
        "symbol": order.symbol,
        "side": order.side,
        "settleType": order.settle_type,
        "size": number(instrument.size(execution.lots)),
        "price": number(instrument.price(execution.ticks)),
        "lossGain": number(to_yen(execution.loss_gain_uyen)),
        "fee": number(to_yen(execution.fee_uyen)),
        "timestamp": iso_utc(execution.at_ns),
    }


def execution_frame(execution: Execution, instrument: Instrument) -> dict[str, Any]:
    """Return an ``executionEvents`` frame; the cumulative size includes this fill."""
    order = execution.order
    return {
        "channel": "executionEvents",
        "orderId": order.order_id,
        "executionId": execution.execution_id,
        "symbol": order.symbol,
        "settleType": _stream_settle_type(order),
        "executionType": order.execution_type,
        "side": order.side,
        **_position_id(execution),
        "executionPrice": number(instrument.price(execution.ticks)),
        "executionSize": number(instrument.size(execution.lots)),
        "orderTimestamp": iso_utc(order.at_ns),
        "executionTimestamp": iso_utc(execution.at_ns),
        "lossGain": number(to_yen(execution.loss_gain_uyen)),
        "fee": number(to_yen(execution.fee_uyen)),
        "orderPrice": number(instrument.price(order.price)),
        "orderSize": number(instrument.size(order.lots)),
        "orderExecutedSize": number(instrument.size(execution.cumulative)),
        "timeInForce": order.time_in_force,
        "msgType": "ER",
    }


def order_frame(order: Order, kind: str, instrument: Instrument, refused: str = "") -> dict[str, Any]:
    """Return an ``orderEvents`` frame; ``refused`` tells why a change was, with the old order standing."""
    frame: dict[str, Any] = {
        "channel": "orderEvents",
        "orderId": order.order_id,
        "symbol": order.symbol,
        "settleType": _stream_settle_type(order),
        "executionType": order.execution_type,
        "side": order.side,
        "orderStatus": order.status,
        "orderTimestamp": iso_utc(order.at_ns),
        "orderPrice": number(instrument.price(order.price)),
        "orderSize": number(instrument.size(order.lots)),
        "orderExecutedSize": number(instrument.size(order.executed)),
        "losscutPrice": number(instrument.price(order.losscut)),
        "timeInForce": order.time_in_force,
        "msgType": kind,
    }
    cancel_type = refused or ("CLOSED_ORDER" if order.position_gone else order.cancel_type)
    if cancel_type:
        frame["cancelType"] = cancel_type
    return frame


def position_row(position: Position, lots: int, gain_uyen: int, leverage: int, instrument: Instrument) -> dict[str, Any]:
    """Return a position as REST shows it.

    Args:
        position: Which.
        lots: Its size; of one that is gone what the exchange is assumed to tell.
        gain_uyen: What it would gain now.
        leverage: Notional over margin.
        instrument: Its symbol's.
    """
    return {
        "positionId": position.position_id,
        "symbol": position.symbol,
        "side": position.side,
        "size": number(instrument.size(lots)),
        "orderdSize": number(instrument.size(position.reserved)),
        "price": number(instrument.price(position.ticks)),
        "lossGain": number(to_yen(gain_uyen)),
        "leverage": str(leverage),
        "losscutPrice": number(instrument.price(position.losscut)),
        "timestamp": iso_utc(position.at_ns),
    }


def summary_row(key: tuple[str, str], total: Total, reserved: int, gain_uyen: int, instrument: Instrument) -> dict[str, Any]:
    """Return all positions of a symbol and side as one row; the average price is rounded to a tick, halves up."""
    symbol, side = key
    average = (2 * total.cost + total.lots) // (2 * total.lots) if total.lots else 0
    return {
        "averagePositionRate": number(instrument.price(average)),
        "positionLossGain": number(to_yen(gain_uyen)),
        "side": side,
        "sumOrderQuantity": number(instrument.size(reserved)),
        "sumPositionQuantity": number(instrument.size(total.lots)),
        "symbol": symbol,
    }


def _stream_settle_type(order: Order) -> str:
    return "LOSS_CUT" if order.order_type == "LOSSCUT" else order.settle_type


def _position_id(execution: Execution) -> dict[str, int]:
    return {} if execution.position_id is None else {"positionId": execution.position_id}


def trade_frame(symbol: str, trade: Trade, side: str, instrument: Instrument) -> dict[str, Any]:
    """Return a ``trades`` frame of one side of a match."""
    return {"channel": "trades"} | trade_row(trade, side, instrument) | {"symbol": symbol}


def trade_row(trade: Trade, side: str, instrument: Instrument) -> dict[str, Any]:
    """Return a row of the tape."""
    return {
        "price": number(instrument.price(trade.ticks)),
        "side": side,
        "size": number(instrument.size(trade.lots)),
        "timestamp": iso_utc(trade.at_ns),
    }


def book_levels(book: OrderBook, depth: int) -> dict[str, Any]:
    """Return both sides of a book."""
    instrument = book.instrument
    tick, step = instrument.tick_size, instrument.size_step

    def side(name: str) -> list[dict[str, str]]:
        return [{"price": _multiple(ticks, tick), "size": _multiple(lots, step)} for ticks, lots in book.levels(name, depth)]

    return {"asks": side("SELL"), "bids": side("BUY"), "symbol": instrument.symbol}
