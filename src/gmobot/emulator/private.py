"""The private endpoints, after authentication.

Source: reference/gmo-coin-api.md §5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from gmobot.clock import NS_PER_SECOND
from gmobot.core.instrument import to_yen
from gmobot.emulator import wire
from gmobot.emulator.exchange import Exchange, NewOrder, Refusal, executions_since
from gmobot.emulator.faults import Fault, Faults
from gmobot.emulator.ledger import Account, Execution, Order
from gmobot.emulator.public import page_of
from gmobot.emulator.tape import DAY_NS
from gmobot.emulator.tokens import Tokens

_MOST_IDS = 10
_DIGITS = re.compile(r"[0-9]{1,18}")
_DECIMAL = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")
_DEFAULT_TIF = {"MARKET": "FAK", "STOP": "FAK", "LIMIT": "FAS"}


class PrivateApi:
    """Answers private requests with JSON-ready data, ``None`` for a reply without any."""

    def __init__(self, exchange: Exchange, tokens: Tokens, faults: Faults) -> None:
        self._exchange = exchange
        self._faults = faults
        self._tokens = tokens
        self._routes = {
            ("GET", "/v1/account/assets"): self._assets,
            ("GET", "/v1/account/margin"): self._margin,
            ("GET", "/v1/orders"): self._orders,
            ("GET", "/v1/activeOrders"): self._active_orders,
            ("GET", "/v1/executions"): self._executions,
            ("GET", "/v1/latestExecutions"): self._latest_executions,
            ("POST", "/v1/order"): self._order,
            ("POST", "/v1/cancelOrder"): self._cancel_order,
            ("POST", "/v1/cancelOrders"): self._cancel_orders,
            ("POST", "/v1/cancelBulkOrder"): self._cancel_bulk,
            ("POST", "/v1/ws-auth"): self._new_token,
            ("PUT", "/v1/ws-auth"): self._extend_token,
            ("DELETE", "/v1/ws-auth"): self._revoke_token,
        }

    def knows(self, method: str, path: str) -> bool:
        """Return whether there is such an endpoint."""
        return (method, path) in self._routes

    def answer(self, method: str, path: str, account: Account, values: Mapping[str, Any]) -> Any:  # noqa: ANN401
        """Return the data of a request.

        Args:
            method: Upper-case HTTP method.
            path: From ``/v1`` on.
            account: Whose key signed.
            values: Query of a GET, JSON body of everything else.

        Raises:
            Refusal: With the code the exchange would give.
        """
        return self._routes[method, path](account, values)

    def _assets(self, account: Account, _: Mapping[str, Any]) -> list[dict[str, str]]:
        exchange, reserves = self._exchange, self._exchange.assumptions.available_reserves
        jpy, free = to_yen(account.jpy_uyen), to_yen(account.free_uyen() if reserves else account.jpy_uyen)
        rows = [{"amount": wire.number(jpy), "available": wire.number(free), "conversionRate": "1", "symbol": "JPY"}]
        for symbol, market in exchange.symbols.items():
            instrument, lots = market.instrument, account.coins.get(symbol, 0)
            free_lots = account.free_lots(symbol) if reserves else lots
            rows.append(
                {
                    "amount": wire.number(instrument.size(lots)),
                    "available": wire.number(instrument.size(free_lots)),
                    "conversionRate": wire.number(instrument.price(market.book.last)),
                    "symbol": instrument.base,
                }
            )
        return rows

    def _margin(self, account: Account, _: Mapping[str, Any]) -> dict[str, str]:
        free = wire.number(to_yen(account.free_uyen()))
        return {
            "actualProfitLoss": wire.number(to_yen(account.jpy_uyen)),
            "availableAmount": free,
            "margin": "0",
            "marginCallStatus": "NORMAL",
            "profitLoss": "0",
            "transferableAmount": free,
        }

    def _orders(self, account: Account, values: Mapping[str, Any]) -> dict[str, Any]:
        found = [account.orders[i] for i in _ids(values.get("orderId")) if i in account.orders]
        return self._order_list(found, with_cancel_type=True)

    def _active_orders(self, account: Account, values: Mapping[str, Any]) -> dict[str, Any]:
        page, count = page_of(values)
        active = [order for order in reversed(account.active(self._symbol(values))) if self._visible(order)]
        instruments, chosen = self._exchange.instruments, active[(page - 1) * count : page * count]
        return wire.paged([wire.order_row(o, instruments[o.symbol], with_cancel_type=False) for o in chosen], page, count)

    def _executions(self, account: Account, values: Mapping[str, Any]) -> dict[str, Any]:
        if ("orderId" in values) == ("executionId" in values):
            raise Refusal("ERR-5208" if "orderId" in values else "ERR-5106", "Invalid request parameter. orderId executionId")
        try:
            if "orderId" in values:
                order = account.orders.get(_id(values["orderId"], "orderId"))
                found = order.executions if order is not None else []
            else:
                wanted = set(_ids(values["executionId"]))
                found = [execution for execution in account.executions if execution.execution_id in wanted]
        except Refusal:
            raise Refusal("ERR-430", "Invalid orderId or executionId.") from None
        rows = self._execution_rows(self._shown(found))
        return {"list": rows} if rows else {}

    def _latest_executions(self, account: Account, values: Mapping[str, Any]) -> dict[str, Any]:
        page, count = page_of(values)
        recent = executions_since(account, self._exchange.clock.now_ns() - DAY_NS, self._symbol(values))
        return wire.paged(self._execution_rows(self._shown(recent)[(page - 1) * count : page * count]), page, count)

    def _order(self, account: Account, values: Mapping[str, Any]) -> str:
        order = self._exchange.place(account, self._new_order(values))
        if self._faults.strikes(Fault.HIDDEN, "/v1/order"):
            order.visible_ns += int(self._faults.seconds(Fault.HIDDEN, 0.2, 2.5) * NS_PER_SECOND)
        return str(order.order_id)

    def _new_order(self, values: Mapping[str, Any]) -> NewOrder:
        kind, side = values.get("executionType"), values.get("side")
        size, price = _decimal(values.get("size")), _decimal(values.get("price"))
        bad = [
            name
            for name, wrong in (
                ("symbol", values.get("symbol") not in self._exchange.symbols),
                ("side", side not in ("BUY", "SELL")),
                ("executionType", kind not in _DEFAULT_TIF),
                ("price", (price is None or price <= 0) if kind in ("LIMIT", "STOP") else values.get("price") is not None),
                ("size", size is None or size <= 0),
            )
            if wrong
        ]
        if bad or size is None:
            raise Refusal("ERR-5106", f"Invalid request parameter. {' '.join(bad)}")
        if values.get("losscutPrice") is not None:
            raise Refusal("ERR-5118", "losscutPrice is not allowed.")
        tif = values.get("timeInForce", _DEFAULT_TIF[str(kind)])
        return NewOrder(str(values["symbol"]), str(side), str(kind), str(tif), size, price)

    def _cancel_order(self, account: Account, values: Mapping[str, Any]) -> None:
        self._exchange.cancel(account, _id(values.get("orderId"), "orderId"))

    def _cancel_orders(self, account: Account, values: Mapping[str, Any]) -> dict[str, Any]:
        ids = values.get("orderIds")
        if not isinstance(ids, list) or not 1 <= len(ids) <= _MOST_IDS:
            raise Refusal("ERR-5106", "Invalid request parameter. orderIds")
        failed: list[dict[str, Any]] = []
        done: list[int] = []
        for order_id in [_id(value, "orderIds") for value in ids]:
            try:
                self._exchange.cancel(account, order_id)
                done.append(order_id)
            except Refusal as refusal:
                failed.append({"message_code": refusal.code, "message_string": refusal.text, "orderId": order_id})
        return {"failed": failed, "success": done}

    def _cancel_bulk(self, account: Account, values: Mapping[str, Any]) -> list[int]:
        symbols, side, settle = values.get("symbols"), values.get("side"), values.get("settleType")
        bad = [
            name
            for name, wrong in (
                ("symbols", not isinstance(symbols, list) or not symbols or any(s not in self._exchange.symbols for s in symbols)),
                ("side", side not in (None, "BUY", "SELL")),
                ("settleType", settle not in (None, "OPEN", "CLOSE")),
                ("desc", not isinstance(values.get("desc", False), bool)),
            )
            if wrong
        ]
        if bad or not isinstance(symbols, list):
            raise Refusal("ERR-5106", f"Invalid request parameter. {' '.join(bad)}")
        chosen = [o.order_id for o in account.active() if o.symbol in symbols and side in (None, o.side) and o.status != "CANCELLING"]
        if settle == "CLOSE":
            return []  # spot orders are all OPEN
        chosen = sorted(chosen, reverse=values.get("desc", False))[:_MOST_IDS]
        for order_id in chosen:
            self._exchange.cancel(account, order_id)
        return chosen

    def _new_token(self, account: Account, _: Mapping[str, Any]) -> str:
        return self._tokens.create(account)

    def _extend_token(self, account: Account, values: Mapping[str, Any]) -> None:
        self._tokens.extend(account, str(values.get("token")))

    def _revoke_token(self, account: Account, values: Mapping[str, Any]) -> None:
        self._tokens.revoke(account, str(values.get("token")))

    def _symbol(self, values: Mapping[str, Any]) -> str:
        symbol = values.get("symbol")
        if symbol not in self._exchange.symbols:
            raise Refusal("ERR-5106", "Invalid request parameter. symbol")
        return str(symbol)

    def _visible(self, order: Order) -> bool:
        return order.visible_ns <= self._exchange.clock.now_ns()

    def _order_list(self, orders: list[Order], *, with_cancel_type: bool) -> dict[str, Any]:
        instruments = self._exchange.instruments
        rows = [wire.order_row(o, instruments[o.symbol], with_cancel_type=with_cancel_type) for o in orders if self._visible(o)]
        return {"list": rows} if rows else {}

    def _shown(self, executions: list[Execution]) -> list[Execution]:
        latest = self._exchange.clock.now_ns() - int(self._exchange.assumptions.visibility_seconds * NS_PER_SECOND)
        return [e for e in executions if self._visible(e.order) and e.at_ns <= latest]

    def _execution_rows(self, executions: list[Execution]) -> list[dict[str, Any]]:
        return [wire.execution_row(e, self._exchange.instruments[e.order.symbol]) for e in executions]


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


def _ids(value: object) -> list[int]:
    ids = str(value).split(",")
    if len(ids) > _MOST_IDS or not all(_DIGITS.fullmatch(part) for part in ids):
        raise Refusal("ERR-5106", "Invalid request parameter. orderId")
    return [int(part) for part in ids]


def _id(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int) or not _DIGITS.fullmatch(str(value)):
        raise Refusal("ERR-5106", f"Invalid request parameter. {name}")
    return int(value)


def _decimal(value: object) -> Decimal | None:
    # Long-lived bots send numbers where strings are documented, and are served.
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = f"{Decimal(repr(value)):f}"
    return Decimal(value) if isinstance(value, str) and _DECIMAL.fullmatch(value) else None
