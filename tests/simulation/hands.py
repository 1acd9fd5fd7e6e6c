"""The owner's own hand: orders beside the bot's, cancels and closes of the bot's own, and money in and out."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from tests.simulation.ours import OurAccount

from gmobot.emulator.engine.checks import NewOrder, Refusal
from gmobot.emulator.engine.exchange import Exchange
from gmobot.emulator.engine.records import Account, Order


class Hands:
    """Does at the exchange what a person would."""

    def __init__(self, exchange: Exchange, account: Account, ours: OurAccount, draw: random.Random) -> None:
        self._exchange = exchange
        self._account = account
        self._ours = ours
        self._draw = draw
        self._last = dict.fromkeys(ours.by_symbol, 0)
        exchange.listeners.append(self._on_news)
        self.place = exchange.place
        self.close = exchange.close
        self.change = exchange.change
        self.cancel = exchange.cancel

    def move_cash(self, yen: int) -> None:
        """Bring yen in, or take them out as far as nothing ties them up."""
        with contextlib.suppress(Refusal):
            if yen > 0:
                self._exchange.cash.deposit(self._account, "JPY", yen * 1_000_000)
            else:
                self._exchange.cash.withdraw(self._account, "JPY", -yen * 1_000_000)

    def act(self, what: str, symbol: str, number: int) -> None:
        """Do something in a symbol; what the exchange refuses is simply not done."""
        with contextlib.suppress(Refusal):
            getattr(self, f"_{what}")(symbol, number)

    def _limit(self, symbol: str, number: int) -> None:
        """An order far from the market, on its own."""
        price = int(self._last[symbol] * Decimal("0.9"))
        self._send(symbol, "BUY", "LIMIT", "FAS", number, price)

    def _market(self, symbol: str, number: int) -> None:
        """A trade of the owner's own: on spot of coins that are not the bot's."""
        self._send(symbol, self._draw.choice(("BUY", "SELL")), "MARKET", "FAK", number)

    def _cancel_ours(self, symbol: str, number: int) -> None:
        """The bot's order is cancelled under its hands."""
        for order in self._bots(symbol)[:number]:
            self.cancel(self._account, order.order_id)

    def _move_ours(self, symbol: str, number: int) -> None:
        """The bot's STOP is moved a little further away."""
        for order in self._bots(symbol)[:number]:
            if order.price:
                price = order.price - 1_000 if order.side == "SELL" else order.price + 1_000
                self.change(self._account, order.order_id, Decimal(price), None)

    def _close_ours(self, symbol: str, number: int) -> None:
        """The bot's position is closed by hand, as far as nothing holds it."""
        ours = self._ours.by_symbol[symbol]
        for position in self._account.positions_of(symbol)[:number]:
            if position.position_id in ours.foreign_positions or not position.free_lots:
                continue
            side = "SELL" if position.side == "BUY" else "BUY"
            new = NewOrder(symbol, side, "MARKET", "FAK", ours.instrument.size(position.free_lots), None)
            with self.by_hand(symbol):
                self.close(self._account, new, position.position_id)

    def _send(self, symbol: str, side: str, kind: str, tif: str, number: int, price: int | None = None) -> None:
        size = self._exchange.instruments[symbol].size_step * 7 * number
        new = NewOrder(symbol, side, kind, tif, size, Decimal(price) if price is not None else None)
        with self.by_hand(symbol):
            self.place(self._account, new)

    @contextlib.contextmanager
    def by_hand(self, symbol: str) -> Iterator[None]:
        """The order that is about to be made is the hand's, unless it is refused; its fills come while it is being placed."""
        number, foreign = self._exchange._order_id + 1, self._ours.by_symbol[symbol].foreign_orders
        foreign.add(number)
        try:
            yield
        except Refusal:
            foreign.discard(number)
            raise

    def _bots(self, symbol: str) -> list[Order]:
        foreign = self._ours.by_symbol[symbol].foreign_orders
        return [order for order in self._account.active(symbol) if order.order_id not in foreign]

    def _on_news(self, *news: Any) -> None:
        if news[0] == "trade":
            self._last[news[1]] = news[2].ticks
