"""A bench whose exchange takes every order, for what the order manager does turn by turn."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.live.bench import PRICE, Bench, book, order

from gmobot.clock import elapsed_ns
from gmobot.errors import Category, Refused, Unavailable, VenueError
from gmobot.venue.models import Order, OrderType, Side

TRIGGER = PRICE - 1_000
TROUBLE = Unavailable("no answer")


class Desk(Bench):
    """A bench whose exchange takes every order, unless it has trouble with the next ones."""

    async def open(self) -> None:
        await super().open()
        self.trouble_with: list[VenueError] = []

        async def take(_: object) -> int:
            if self.trouble_with:
                raise self.trouble_with.pop(0)
            return len(self.rest.placed) + len(self.rest.closed)

        self.rest.answer = self.rest.answer_close = take

    def refuse(self, code: str, category: Category = Category.VALIDATION) -> None:
        """Refuse the next order."""
        self.trouble_with.append(Refused("no", category=category, code=code))


async def passed(bench: Desk, seconds: float) -> None:
    """Let time pass, with a fresh book, and take a turn."""
    bench.clock.advance(seconds)
    bench.market.on_book(book(), elapsed_ns(bench.clock))
    await bench.trader.turn()


def types(bench: Desk) -> list[OrderType]:
    return [request.type for request in bench.rest.placed]


def stop_there(number: int, **changes: Any) -> Order:
    values: dict[str, Any] = {"side": Side.SELL, "type": OrderType.STOP, "price": Decimal(PRICE - 100)}
    return order(number, **(values | changes))
