"""Private endpoints about orders and positions. No method repeats a write.

Cancels, closes and moved losscut prices reduce risk: they go before everything else when the rate limit
is near, and so does an order that says it is urgent.

Source: reference/gmo-coin-api.md §5.7–§5.20.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Final

from gmobot.clock import NS_PER_SECOND
from gmobot.errors import Category, NotSent, OutcomeUnknown, Refused
from gmobot.venue.gmo import wire
from gmobot.venue.gmo.limits import Priority
from gmobot.venue.gmo.requester import Requester, accepted, models, one
from gmobot.venue.models import CancelOutcome, CloseRequest, Execution, Order, OrderRequest, Position, PositionSummary, Settle, Side

MOST_IDS: Final = 10
"""Most ids that one question or one cancel may name."""
_MOST_ROUNDS: Final = 100
_SETTLED_NS: Final = 60 * NS_PER_SECOND


class OrderEndpoints(Requester):
    """Orders, their fills, and leverage positions."""

    async def orders(self, order_ids: Sequence[int]) -> list[Order]:
        """Return up to ten orders by id; ids the exchange does not know are missing from the answer."""
        if not order_ids:
            return []
        return await self._private("/v1/orders", _orders, orderId=_joined(order_ids))

    async def active_orders(self, symbol: str) -> list[Order]:
        """Return all orders of a symbol that may still fill."""
        found = await self._pages("/v1/activeOrders", _orders, symbol)
        return list({row.order_id: row for row in found}.values())

    async def executions(self, order_id: int) -> list[Execution]:
        """Return the fills of one order."""
        return await self._private("/v1/executions", _executions, orderId=order_id)

    async def executions_by_id(self, execution_ids: Sequence[int]) -> list[Execution]:
        """Return up to ten fills by their own ids."""
        if not execution_ids:
            return []
        return await self._private("/v1/executions", _executions, executionId=_joined(execution_ids))

    async def latest_executions(self, symbol: str, *, known: Callable[[Execution], bool] = lambda row: False) -> list[Execution]:  # noqa: ARG005  # nothing is known
        """Return the fills of the last day, or as far back as there may be news.

        Args:
            symbol: Whose.
            known: Whether the caller has a fill already. A page that lists the newest first, all of them known and none
                younger than a minute before the youngest, has no news behind it. The exchange documents no order, so a
                page in any other one proves nothing.
        """
        youngest_ns = 0

        def enough(page: list[Execution]) -> bool:
            nonlocal youngest_ns
            times = [row.at_ns for row in page]
            youngest_ns = youngest_ns or times[0]
            newest_first = all(later >= earlier for later, earlier in pairwise(times)) and times[0] <= youngest_ns
            return newest_first and times[-1] < youngest_ns - _SETTLED_NS and all(known(row) for row in page)

        found = await self._pages("/v1/latestExecutions", _executions, symbol, enough=enough)
        return list({row.execution_id: row for row in found}.values())

    async def open_positions(self, symbol: str) -> list[Position]:
        """Return the leverage positions of a symbol, of both sides."""
        found = await self._pages("/v1/openPositions", one(wire.PositionList, lambda data: models(data.list)), symbol)
        return list({row.position_id: row for row in found}.values())

    async def position_summary(self, symbol: str | None = None) -> list[PositionSummary]:
        """Return totals by side of one leverage symbol, or of all."""
        query = {} if symbol is None else {"symbol": symbol}
        return await self._private("/v1/positionSummary", one(wire.SummaryList, lambda data: models(data.list)), **query)

    async def place_order(self, order: OrderRequest, last_word: Callable[[], str | None] = lambda: None) -> int:
        """Place an order and return its id, which says accepted: neither resting nor filled.

        Args:
            order: What to place.
            last_word: Asked after all waiting for the rate limit: why it is not to leave any more, or ``None``.

        Raises:
            Refused: Definitive.
            NotSent: Definitive.
            OutcomeUnknown: It may exist.
            ValueError: Its type or time in force is unknown.
        """
        priority = Priority.URGENT if order.urgent else Priority.ORDER
        return await self._post("/v1/order", wire.OrderBody.of(order), priority, _order_id, last_word)

    async def close_position(self, order: CloseRequest) -> int:
        """Place an order that closes one position, or what is open of the other side, and return its id.

        Raises:
            Refused: Definitive; ERR-254 and ERR-422 say that nothing is open any more.
            NotSent: Definitive.
            OutcomeUnknown: It may exist; it can close no more than is open.
            ValueError: Its type or time in force is unknown.
        """
        path = "/v1/closeBulkOrder" if order.position_id is None else "/v1/closeOrder"
        return await self._post(path, wire.CloseBody.of(order), Priority.URGENT, _order_id)

    async def change_order(self, order_id: int, price: Decimal, losscut_price: Decimal | None = None) -> None:
        """Change the price of a resting order, which keeps its id; returning says accepted, not done."""
        body = wire.ChangeBody(order_id, wire.plain(price), None if losscut_price is None else wire.plain(losscut_price))
        await self._post("/v1/changeOrder", body, Priority.ORDER, accepted)

    async def change_losscut_price(self, position_id: int, losscut_price: Decimal) -> None:
        """Move the price at which the exchange closes a position by force."""
        body = {"positionId": position_id, "losscutPrice": wire.plain(losscut_price)}
        await self._post("/v1/changeLosscutPrice", body, Priority.URGENT, accepted)

    async def cancel_order(self, order_id: int) -> None:
        """Ask for an order to be cancelled; returning says accepted, not done."""
        await self._post("/v1/cancelOrder", {"orderId": order_id}, Priority.URGENT, accepted)

    async def cancel_orders(self, order_ids: Sequence[int]) -> CancelOutcome:
        """Ask for up to ten orders to be cancelled; each has its own outcome."""
        if not order_ids:
            return CancelOutcome(accepted=(), refused={})
        body = {"orderIds": _few(order_ids)}
        return await self._post("/v1/cancelOrders", body, Priority.URGENT, one(wire.CancelData, lambda data: data.model(order_ids)))

    async def cancel_all(
        self, symbols: Sequence[str], *, side: Side | None = None, settle: Settle | None = None, newest_first: bool = False
    ) -> list[int]:
        """Ask for every order of some symbols to be cancelled, and return their ids.

        The exchange takes ten at a time; this goes on until it finds no more.

        Raises:
            Refused: Nothing was cancelled.
            NotSent: Nothing was cancelled.
            OutcomeUnknown: Some may have been.
        """
        body = wire.BulkCancelBody(
            tuple(symbols), side.value if side is not None else None, settle.value if settle is not None else None, newest_first
        )
        done: dict[int, None] = {}
        for _ in range(_MOST_ROUNDS):
            try:
                found = await self._post("/v1/cancelBulkOrder", body, Priority.URGENT, _ids)
            except (Refused, NotSent) as error:
                if not done:
                    raise
                raise OutcomeUnknown(f"after {len(done)} accepted cancels: {error}", category=error.category) from None
            # An order on its way out may be named again: only new ones are a reason to go on.
            if done.keys() >= set(found):
                return list(done)
            done |= dict.fromkeys(found)
        raise OutcomeUnknown("POST /v1/cancelBulkOrder: orders without end", category=Category.EXCHANGE)


def _few(ids: Sequence[int]) -> Sequence[int]:
    if len(ids) > MOST_IDS:
        raise ValueError(f"{len(ids)} ids where at most {MOST_IDS} may be named at once")
    return ids


def _joined(ids: Sequence[int]) -> str:
    return ",".join(str(one_id) for one_id in _few(ids))


def _orders(envelope: wire.Envelope) -> list[Order]:
    return models(wire.decode(envelope.data, wire.OrderList).list)


def _executions(envelope: wire.Envelope) -> list[Execution]:
    return models(wire.decode(envelope.data, wire.ExecutionList).list)


def _order_id(envelope: wire.Envelope) -> int:
    return wire.order_id(envelope.data)


def _ids(envelope: wire.Envelope) -> tuple[int, ...]:
    return wire.decode_rows(envelope.data, wire.Id)
