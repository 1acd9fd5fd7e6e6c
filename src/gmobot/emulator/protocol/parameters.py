"""Parameters of private requests, as far as the exchange looks at them before it does anything.

Wrong ones are named together in one ERR-5106.

Source: reference/gmo-coin-api.md §1.5, §5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from gmobot.emulator.engine.checks import NewOrder, Refusal

MOST_IDS = 10
_DIGITS = re.compile(r"[0-9]{1,18}")
_DECIMAL = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")
_DEFAULT_TIF = {"MARKET": "FAK", "STOP": "FAK", "LIMIT": "FAS"}

Values = Mapping[str, Any]


def body_values(body: bytes) -> dict[str, Any]:
    """Return a JSON body; an empty one counts as ``{}``.

    Raises:
        Refusal: It is not a JSON object.
    """
    try:
        values = msgspec.json.decode(body or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise Refusal("ERR-5106", "Invalid request parameter.") from None
    return values


def refuse(wrong: Iterable[tuple[str, bool]]) -> None:
    """Refuse a request if any of its parameters is wrong.

    Raises:
        Refusal: ERR-5106 with the names of all that are.
    """
    names = [name for name, is_wrong in wrong if is_wrong]
    if names:
        raise Refusal("ERR-5106", f"Invalid request parameter. {' '.join(names)}")


def new_order(values: Values, symbols: Mapping[str, object], *, size: object = None) -> NewOrder:
    """Return the order that a request describes.

    Args:
        values: The request.
        symbols: What is listed.
        size: Where the size is not beside the other parameters.

    Raises:
        Refusal: ERR-5106 with the names of what is wrong.
    """
    kind, side = _word(values.get("executionType")), _word(values.get("side"))
    tif = values.get("timeInForce", _DEFAULT_TIF.get(kind, ""))
    amount, price = decimal(values.get("size") if size is None else size), decimal(values.get("price"))
    losscut, before = values.get("losscutPrice"), values.get("cancelBefore", False)
    may_cancel = kind == "MARKET" and tif == "FAK" and side == "SELL"
    refuse(
        (
            ("symbol", _word(values.get("symbol")) not in symbols),
            ("side", side not in ("BUY", "SELL")),
            ("executionType", kind not in _DEFAULT_TIF),
            ("price", (price is None or price <= 0) if kind in ("LIMIT", "STOP") else values.get("price") is not None),
            ("losscutPrice", losscut is not None and not decimal(losscut)),
            ("size", amount is None or amount <= 0),
            ("cancelBefore", not isinstance(before, bool) or (before and not may_cancel)),
        )
    )
    assert amount is not None
    return NewOrder(str(values["symbol"]), side, kind, str(tif), amount, price, decimal(losscut), before)


def whole_number(value: object, name: str) -> int:
    """Return an id.

    Raises:
        Refusal: ERR-5106 with its name.
    """
    if isinstance(value, bool) or not isinstance(value, str | int) or not _DIGITS.fullmatch(str(value)):
        raise Refusal("ERR-5106", f"Invalid request parameter. {name}")
    return int(value)


def ids_of(value: object, name: str) -> list[int]:
    """Return a comma list of up to ten ids.

    Raises:
        Refusal: ERR-5106 with its name.
    """
    parts = str(value).split(",")
    if len(parts) > MOST_IDS:
        raise Refusal("ERR-5106", f"Invalid request parameter. {name}")
    return [whole_number(part, name) for part in parts]


def decimal(value: object) -> Decimal | None:
    """Return a number, ``None`` for what is not one."""
    # Long-lived bots send numbers where strings are documented, and are served.
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = f"{Decimal(repr(value)):f}"
    return Decimal(value) if isinstance(value, str) and _DECIMAL.fullmatch(value) else None


def positive(value: object, name: str) -> Decimal:
    """Return a number above zero.

    Raises:
        Refusal: ERR-5106 with its name.
    """
    amount = decimal(value)
    if amount is None or amount <= 0:
        raise Refusal("ERR-5106", f"Invalid request parameter. {name}")
    return amount


def word_of(value: object, words: Iterable[str], name: str) -> str:
    """Return one of some words.

    Raises:
        Refusal: ERR-5106 with its name.
    """
    word = _word(value)
    if word not in words:
        raise Refusal("ERR-5106", f"Invalid request parameter. {name}")
    return word


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""
