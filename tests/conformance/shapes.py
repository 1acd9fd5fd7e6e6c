"""What rows and frames look like: keys and types, exactly (§1.5, §4, §5, §7, §8)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[object], bool]
Shape = Mapping[str, Check]
_DECIMAL = re.compile(r"-?(0|[1-9]\d*)(\.\d*[1-9])?")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def decimal(value: object) -> bool:
    """A number as a string: no exponent, no padding."""
    return isinstance(value, str) and _DECIMAL.fullmatch(value) is not None


def moment(value: object) -> bool:
    """ISO 8601 UTC with three fractional digits and ``Z``."""
    return isinstance(value, str) and _MOMENT.fullmatch(value) is not None


def percent(value: object) -> bool:
    """A number as a string with exactly one decimal (§5.1)."""
    return isinstance(value, str) and re.fullmatch(r"-?\d+\.\d", value) is not None


def number(value: object) -> bool:
    """A JSON number without a fraction."""
    return type(value) is int


def text(value: object) -> bool:
    """A string."""
    return isinstance(value, str)


def word(*words: str) -> Check:
    """One of some words."""
    return lambda value: value in words


def fits(row: Mapping[str, Any], shape: Shape, *, maybe: Shape | None = None) -> None:
    """Check that a row has the keys of a shape, perhaps some others, and nothing else, and that every value fits."""
    optional = maybe or {}
    missing, strange = set(shape) - set(row), set(row) - set(shape) - set(optional)
    assert not missing, f"{missing} are missing in {row}"
    assert not strange, f"nobody knows {strange} in {row}"
    known = {**shape, **optional}
    wrong = {name: value for name, value in row.items() if not known[name](value)}
    assert not wrong, f"of the wrong kind: {wrong}"


SIDE = word("BUY", "SELL")
TIF = word("FAK", "FAS", "FOK", "SOK")
KIND = word("MARKET", "LIMIT", "STOP")
SETTLE = word("OPEN", "CLOSE")
CANCEL = word(
    "USER", "POSITION_LOSSCUT", "INSUFFICIENT_BALANCE", "INSUFFICIENT_MARGIN", "ACCOUNT_LOSSCUT", "MARGIN_CALL", "MARGIN_CALL_LOSSCUT",
    "EXPIRED_FAK", "EXPIRED_FOK", "EXPIRED_SOK", "EXPIRED_SELFTRADE",
)  # fmt: skip

TICKER = dict.fromkeys(("ask", "bid", "high", "last", "low", "volume"), decimal) | {"symbol": text, "timestamp": moment}
LEVEL = {"price": decimal, "size": decimal}
TRADE = {"price": decimal, "side": SIDE, "size": decimal, "timestamp": moment}
KLINE = dict.fromkeys(("openTime", "open", "high", "low", "close", "volume"), decimal)
RULES = {"symbol": text} | dict.fromkeys(("minOrderSize", "maxOrderSize", "sizeStep", "tickSize", "takerFee", "makerFee"), decimal)
PAGINATION = {"currentPage": number, "count": number}
MARGIN = dict.fromkeys(("actualProfitLoss", "availableAmount", "margin", "profitLoss", "transferableAmount"), decimal) | {
    "marginCallStatus": word("NORMAL", "MARGIN_CALL", "LOSSCUT")
}
ASSET = {"amount": decimal, "available": decimal, "conversionRate": decimal, "symbol": text}
ORDER = {
    "rootOrderId": number, "orderId": number, "symbol": text, "side": SIDE, "orderType": word("NORMAL", "LOSSCUT"), "executionType": KIND,
    "settleType": SETTLE, "size": decimal, "executedSize": decimal, "price": decimal, "losscutPrice": decimal,
    "timeInForce": TIF,
    "status": word("WAITING", "ORDERED", "MODIFYING", "CANCELLING", "CANCELED", "EXECUTED", "EXPIRED"), "timestamp": moment,
}  # fmt: skip
EXECUTION = {
    "executionId": number, "orderId": number, "symbol": text, "side": SIDE, "settleType": SETTLE, "size": decimal, "price": decimal,
    "lossGain": decimal, "fee": decimal, "timestamp": moment,
}  # fmt: skip
POSITION = {
    "positionId": number, "symbol": text, "side": SIDE, "size": decimal, "orderdSize": decimal, "price": decimal, "lossGain": decimal,
    "leverage": decimal, "losscutPrice": decimal, "timestamp": moment,
}  # fmt: skip
SUMMARY = dict.fromkeys(("averagePositionRate", "positionLossGain", "sumOrderQuantity", "sumPositionQuantity"), decimal) | {
    "side": SIDE,
    "symbol": text,
}
_STREAM_SETTLE = word("OPEN", "CLOSE", "LOSS_CUT")
EXECUTION_EVENT = {
    "channel": word("executionEvents"), "orderId": number, "executionId": number, "symbol": text, "settleType": _STREAM_SETTLE,
    "executionType": KIND, "side": SIDE, "executionPrice": decimal, "executionSize": decimal, "orderTimestamp": moment,
    "executionTimestamp": moment, "lossGain": decimal, "fee": decimal, "orderPrice": decimal, "orderSize": decimal,
    "orderExecutedSize": decimal, "timeInForce": TIF, "msgType": word("ER"),
}  # fmt: skip
ORDER_EVENT = {
    "channel": word("orderEvents"), "orderId": number, "symbol": text, "settleType": _STREAM_SETTLE, "executionType": KIND, "side": SIDE,
    "orderStatus": word("WAITING", "ORDERED", "CANCELED", "EXPIRED"), "orderTimestamp": moment, "orderPrice": decimal, "orderSize": decimal,
    "orderExecutedSize": decimal, "losscutPrice": decimal, "timeInForce": TIF, "msgType": word("NOR", "ROR", "COR", "ER"),
}  # fmt: skip
POSITION_EVENT = POSITION | {"channel": word("positionEvents"), "msgType": word("OPR", "UPR", "ULR", "CPR")}
SUMMARY_EVENT = SUMMARY | {
    "channel": word("positionSummaryEvents"),
    "timestamp": moment,
    "msgType": word("INIT", "UPDATE", "PERIODIC"),
}
