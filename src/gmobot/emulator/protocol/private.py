"""The private endpoints, after authentication.

Source: reference/gmo-coin-api.md §5.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

from gmobot.clock import NS_PER_SECOND
from gmobot.emulator.engine.checks import Refusal
from gmobot.emulator.engine.exchange import Exchange, executions_since
from gmobot.emulator.engine.records import Account, Execution, Order
from gmobot.emulator.faults import Fault, Faults
from gmobot.emulator.market.tape import DAY_NS
from gmobot.emulator.protocol import wire
from gmobot.emulator.protocol.account_api import AccountApi
from gmobot.emulator.protocol.parameters import MOST_IDS, Values, ids_of, new_order, positive, refuse, whole_number, word_of
from gmobot.emulator.protocol.positions import position_row, summary_rows
from gmobot.emulator.protocol.public import page_of
from gmobot.emulator.protocol.tokens import Tokens


class PrivateApi:
    """Answers private requests with JSON-ready data, ``None`` for a reply without any."""

    def __init__(self, exchange: Exchange, tokens: Tokens, faults: Faults) -> None:
        self._exchange = exchange
        self._faults = faults
        self._tokens = tokens
        exchange.listeners.append(self._note_end)
        self._routes = AccountApi(exchange).routes | {
            ("GET", "/v1/orders"): self._orders,
            ("GET", "/v1/activeOrders"): self._active_orders,
            ("GET", "/v1/executions"): self._executions,
            ("GET", "/v1/latestExecutions"): self._latest_executions,
            ("GET", "/v1/openPositions"): self._open_positions,
            ("GET", "/v1/positionSummary"): self._position_summary,
            ("POST", "/v1/order"): self._order,
            ("POST", "/v1/changeOrder"): self._change_order,
            ("POST", "/v1/cancelOrder"): self._cancel_order,
            ("POST", "/v1/cancelOrders"): self._cancel_orders,
            ("POST", "/v1/cancelBulkOrder"): self._cancel_bulk,
            ("POST", "/v1/closeOrder"): self._close_order,
            ("POST", "/v1/closeBulkOrder"): self._close_bulk,
            ("POST", "/v1/changeLosscutPrice"): self._change_losscut,
            ("POST", "/v1/ws-auth"): self._new_token,
            ("PUT", "/v1/ws-auth"): self._extend_token,
            ("DELETE", "/v1/ws-auth"): self._revoke_token,
        }

    def knows(self, method: str, path: str) -> bool:
        """Return whether there is such an endpoint."""
        return (method, path) in self._routes

    def answer(self, method: str, path: str, account: Account, values: Values) -> Any:  # noqa: ANN401
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

    def _note_end(self, *news: Any) -> None:  # noqa: ANN401
        order = news[1].order if news[0] == "execution" else news[1]
        if isinstance(order, Order) and not order.active:
            order.ended_ns = order.ended_ns or self._exchange.clock.now_ns()

    def _kept(self, order: Order) -> bool:
        """Return whether it can still be asked after by its number."""
        age_ns = self._exchange.clock.now_ns() - order.ended_ns if order.ended_ns else 0
        return age_ns <= self._exchange.assumptions.finished_orders_kept_seconds * NS_PER_SECOND

    def _orders(self, account: Account, values: Values) -> dict[str, Any]:
        found = [account.orders[i] for i in ids_of(values.get("orderId"), "orderId") if i in account.orders]
        return self._order_list([order for order in found if self._kept(order)], with_cancel_type=True)

    def _active_orders(self, account: Account, values: Values) -> dict[str, Any]:
        page, count = page_of(values)
        active = [order for order in reversed(account.active(self._symbol(values))) if self._visible(order)]
        instruments, chosen = self._exchange.instruments, active[(page - 1) * count : page * count]
        return wire.paged([wire.order_row(o, instruments[o.symbol], with_cancel_type=False) for o in chosen], page, count)

    def _executions(self, account: Account, values: Values) -> dict[str, Any]:
        if ("orderId" in values) == ("executionId" in values):
            raise Refusal("ERR-5208" if "orderId" in values else "ERR-5106", "Invalid request parameter. orderId executionId")
        try:
            if "orderId" in values:
                order = account.orders.get(whole_number(values["orderId"], "orderId"))
                found = order.executions if order is not None and self._kept(order) else []
            else:
                wanted = set(ids_of(values["executionId"], "executionId"))
                found = [execution for execution in account.executions if execution.execution_id in wanted]
        except Refusal:
            raise Refusal("ERR-430", "Invalid orderId or executionId.") from None
        rows = self._execution_rows(self._shown(found))
        return {"list": rows} if rows else {}

    def _latest_executions(self, account: Account, values: Values) -> dict[str, Any]:
        page, count = page_of(values)
        recent = executions_since(account, self._exchange.clock.now_ns() - DAY_NS, self._symbol(values))
        return wire.paged(self._execution_rows(self._shown(recent)[(page - 1) * count : page * count]), page, count)

    def _open_positions(self, account: Account, values: Values) -> dict[str, Any]:
        page, count = page_of(values)
        symbol = self._symbol(values)
        self._exchange.checks.leveraged(symbol)
        newest = account.positions_of(symbol)[::-1][(page - 1) * count : page * count]
        return wire.paged([position_row(self._exchange, position) for position in newest], page, count)

    def _position_summary(self, account: Account, values: Values) -> dict[str, Any]:
        symbol = self._exchange.checks.leveraged(self._symbol(values)).instrument.symbol if "symbol" in values else None
        rows = summary_rows(self._exchange, account, symbol)
        return {"list": rows} if rows else {}

    def _order(self, account: Account, values: Values) -> str:
        new = new_order(values, self._exchange.symbols)
        if new.cancel_before and self._exchange.symbols[new.symbol].leverage:
            raise Refusal("ERR-5106", "Invalid request parameter. cancelBefore")
        return self._taken(self._exchange.place(account, new), "/v1/order")

    def _close_order(self, account: Account, values: Values) -> str:
        settles = values.get("settlePosition")
        if not isinstance(settles, list) or len(settles) != 1 or not isinstance(settles[0], dict):
            raise Refusal("ERR-5106", "Invalid request parameter. settlePosition")
        size = settles[0].get("size")
        new = new_order(values, self._exchange.symbols, size="" if size is None else size)
        position_id = whole_number(settles[0].get("positionId"), "settlePosition")
        self._no_losscut(values)
        return self._taken(self._exchange.close(account, new, position_id), "/v1/closeOrder")

    def _close_bulk(self, account: Account, values: Values) -> str:
        new = new_order(values, self._exchange.symbols)
        self._no_losscut(values)
        if new.cancel_before:
            raise Refusal("ERR-5106", "Invalid request parameter. cancelBefore")
        return self._taken(self._exchange.close(account, new), "/v1/closeBulkOrder")

    def _taken(self, order: Order, path: str) -> str:
        if self._faults.strikes(Fault.HIDDEN, path):
            order.visible_ns += int(self._faults.seconds(Fault.HIDDEN, 0.2, 2.5) * NS_PER_SECOND)
        if order.active and self._faults.strikes(Fault.ACCEPTED_THEN_CANCELLED, path):
            seconds = self._faults.seconds(Fault.ACCEPTED_THEN_CANCELLED, 0.0, 2.0)
            asyncio.get_running_loop().call_later(seconds, self._exchange.cancel_short, order)
        return str(order.order_id)

    @staticmethod
    def _no_losscut(values: Values) -> None:
        if values.get("losscutPrice") is not None:
            raise Refusal("ERR-5118", "losscutPrice is not allowed.")

    def _change_order(self, account: Account, values: Values) -> None:
        order_id, price = whole_number(values.get("orderId"), "orderId"), positive(values.get("price"), "price")
        losscut: Decimal | None = None
        if values.get("losscutPrice") is not None:
            losscut = positive(values["losscutPrice"], "losscutPrice")
        self._exchange.change(account, order_id, price, losscut)

    def _change_losscut(self, account: Account, values: Values) -> None:
        position_id = whole_number(values.get("positionId"), "positionId")
        self._exchange.change_losscut(account, position_id, positive(values.get("losscutPrice"), "losscutPrice"))

    def _cancel_order(self, account: Account, values: Values) -> None:
        self._exchange.cancel(account, whole_number(values.get("orderId"), "orderId"))

    def _cancel_orders(self, account: Account, values: Values) -> dict[str, Any]:
        ids = values.get("orderIds")
        if not isinstance(ids, list) or not 1 <= len(ids) <= MOST_IDS:
            raise Refusal("ERR-5106", "Invalid request parameter. orderIds")
        failed: list[dict[str, Any]] = []
        done: list[int] = []
        for order_id in [whole_number(value, "orderIds") for value in ids]:
            try:
                self._exchange.cancel(account, order_id)
                done.append(order_id)
            except Refusal as refusal:
                failed.append({"message_code": refusal.code, "message_string": refusal.text, "orderId": order_id})
        return {"failed": failed, "success": done}

    def _cancel_bulk(self, account: Account, values: Values) -> list[int]:
        symbols, side, settle = values.get("symbols"), values.get("side"), values.get("settleType")
        wanted = [s for s in symbols if isinstance(s, str) and s in self._exchange.symbols] if isinstance(symbols, list) else []
        refuse(
            (
                ("symbols", not wanted or wanted != symbols),
                ("side", side not in (None, "BUY", "SELL")),
                ("settleType", settle not in (None, "OPEN", "CLOSE")),
                ("desc", not isinstance(values.get("desc", False), bool)),
            )
        )
        chosen = [
            order.order_id
            for order in account.active()
            if order.symbol in wanted and side in (None, order.side) and settle in (None, order.settle_type)
            if order.status in ("ORDERED", "WAITING")
        ]
        chosen = sorted(chosen, reverse=values.get("desc", False))[:MOST_IDS]
        for order_id in chosen:
            self._exchange.cancel(account, order_id)
        return chosen

    def _new_token(self, account: Account, _: Values) -> str:
        return self._tokens.create(account)

    def _extend_token(self, account: Account, values: Values) -> None:
        self._tokens.extend(account, str(values.get("token")))

    def _revoke_token(self, account: Account, values: Values) -> None:
        self._tokens.revoke(account, str(values.get("token")))

    def _symbol(self, values: Values) -> str:
        return word_of(values.get("symbol"), self._exchange.symbols, "symbol")

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
