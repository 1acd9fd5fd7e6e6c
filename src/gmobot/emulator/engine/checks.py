"""What the exchange checks before it takes an order, in the order in which it refuses.

Source: reference/gmo-coin-api.md §5.13, §5.14, §6.2, §6.3, §9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from gmobot.clock import NS_PER_SECOND, trading_day, trading_day_start_ns
from gmobot.core.instrument import InstrumentError
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.engine.ledger import Ledger
from gmobot.emulator.engine.listing import SymbolMarket
from gmobot.emulator.engine.margin import default_losscut
from gmobot.emulator.engine.records import Account, Order, Position

STATE_TEXT = "The request is invalid due to the status of the specified order."
CALL_AFTER_OPENING_NS = 1_800 * NS_PER_SECOND
"""Margin calls are judged at 06:30 JST, half an hour into the trading day (§6.6)."""


class Refusal(Exception):
    """A request the exchange does not carry out, with the wire's code and text."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(f"{code} {text}".strip())
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order as requested: decimals as they came, not yet checked.

    Attributes:
        losscut: Losscut price of the positions it opens.
        cancel_before: Whether older orders give way when they tie up what this one needs.
    """

    symbol: str
    side: str
    execution_type: str
    time_in_force: str
    size: Decimal
    price: Decimal | None
    losscut: Decimal | None = None
    cancel_before: bool = False


@dataclass(frozen=True, slots=True)
class Numbers:
    """A new order's numbers on its symbol's grid; 0 for what was not given."""

    lots: int
    price: int
    losscut: int


class Checks:
    """The rules, over the exchange's state."""

    def __init__(self, symbols: Mapping[str, SymbolMarket], ledger: Ledger, assumptions: Assumptions) -> None:
        self._symbols = symbols
        self._ledger = ledger
        self._assumptions = assumptions

    def known(self, symbol: str) -> SymbolMarket:
        """Return a symbol's market.

        Raises:
            Refusal: ERR-5106, there is none.
        """
        if symbol not in self._symbols:
            raise Refusal("ERR-5106", "Invalid request parameter. symbol")
        return self._symbols[symbol]

    def leveraged(self, symbol: str) -> SymbolMarket:
        """Return a leverage symbol's market.

        Raises:
            Refusal: ERR-5106, there is none.
        """
        market = self.known(symbol)
        if not market.leverage:
            raise Refusal("ERR-5106", "Invalid request parameter. symbol")
        return market

    def numbers(self, new: NewOrder, market: SymbolMarket) -> Numbers:
        """Return an order's numbers on the grid.

        Raises:
            Refusal: Size out of bounds (ERR-5126), too many decimals (ERR-5114), losscutPrice where none may be (ERR-5118).
        """
        instrument = market.instrument
        if not instrument.min_size <= new.size <= instrument.max_size:
            raise Refusal("ERR-5126", "Size is invalid.")
        try:
            lots = instrument.lots(new.size)
        except InstrumentError:
            raise Refusal("ERR-5114", "Decimal digits of size is invalid.") from None
        if new.losscut is not None and (not market.leverage or new.execution_type == "MARKET"):
            raise Refusal("ERR-5118", "losscutPrice is not allowed.")
        return Numbers(lots, self.price(market, new.price, "price"), self.price(market, new.losscut, "losscutPrice"))

    def price(self, market: SymbolMarket, price: Decimal | None, name: str) -> int:
        """Return a price in ticks, 0 for none.

        Raises:
            Refusal: ERR-5114, it has too many decimals.
        """
        if price is None:
            return 0
        try:
            return market.instrument.ticks(price)
        except InstrumentError:
            raise Refusal("ERR-5114", f"Decimal digits of {name} is invalid.") from None

    def rules(self, account: Account, new: NewOrder, market: SymbolMarket, price: int) -> None:
        """Check what holds for every order, opening or closing.

        Raises:
            Refusal: With the code the exchange would give.
        """
        if new.time_in_force not in self._legal(new, market):
            raise Refusal("ERR-5111", "Invalid timeInForce.")
        if len(account.open_orders) >= self._assumptions.most_active_orders:
            raise Refusal("ERR-635", "Too many active orders.")
        self.stop(new.execution_type, new.side, market, price)
        if new.execution_type == "LIMIT" and self.beyond_band(new.side, market, price):
            raise Refusal("ERR-5121", "The price is out of range.")

    def stop(self, kind: str, side: str, market: SymbolMarket, price: int) -> None:
        """Check that a STOP waits.

        Raises:
            Refusal: ERR-5129, it would fire at once.
        """
        if kind == "STOP" and market.matcher.fires(side, price):
            raise Refusal("ERR-5129", "The stop price would be triggered immediately.")

    def beyond_band(self, side: str, market: SymbolMarket, price: int) -> bool:
        """Return whether a limit price lies too far from the market."""
        best = market.book.best_bid if side == "BUY" else market.book.best_ask
        return best > 0 and abs(price - best) > best * self._assumptions.price_band

    def change(self, order: Order, market: SymbolMarket, price: Decimal, losscut: Decimal | None) -> Numbers:
        """Check a change of an order's price and return the new numbers.

        Raises:
            Refusal: With the code the exchange would give.
        """
        if order.status != ("WAITING" if order.execution_type == "STOP" else "ORDERED"):
            raise Refusal("ERR-5122", STATE_TEXT)
        if order.changes >= self._assumptions.most_changes:
            raise Refusal("ERR-5206", "Exceeds the limit of order changes.")
        if losscut is not None and not order.opens:
            raise Refusal("ERR-5118", "losscutPrice is not allowed.")
        ticks = self.price(market, price, "price")
        cut = self.price(market, losscut, "losscutPrice") or order.losscut
        self.stop(order.execution_type, order.side, market, ticks)
        if self._assumptions.change_band_in_reply and self.change_beyond_band(order, market, ticks):
            raise Refusal("ERR-5121", "The price is out of range.")
        self.losscut(order.side, ticks, cut)
        if order.holds_yen:
            self.purse(order, self._ledger.needed(order, ticks))
        return Numbers(order.lots, ticks, cut)

    def change_beyond_band(self, order: Order, market: SymbolMarket, price: int) -> bool:
        """Return whether an order's new price lies too far from the market."""
        return order.execution_type == "LIMIT" and self.beyond_band(order.side, market, price)

    def losscut(self, side: str, price: int, losscut: int) -> None:
        """Check the losscut price of an order, 0 for none.

        Raises:
            Refusal: ERR-5121, it is out of range.
        """
        if losscut:
            self._losscut(side, price, price, losscut)

    def losscut_of(self, position: Position, reference: int, losscut: int) -> None:
        """Check a new losscut price of a position against what it is valued at, and its default.

        Raises:
            Refusal: ERR-5121, it is out of range.
        """
        self._losscut(position.side, position.ticks, reference, losscut)

    def opening(self, account: Account, symbol: str, now_ns: int) -> None:
        """Check that an account may take on more.

        Raises:
            Refusal: A margin call is being processed (ERR-683) or outstanding (ERR-682).
        """
        if not self._symbols[symbol].leverage or not account.totals:
            return
        since = now_ns - trading_day_start_ns(trading_day(now_ns)) - CALL_AFTER_OPENING_NS
        if 0 <= since < int(self._assumptions.margin_call_processing_seconds * NS_PER_SECOND):
            raise Refusal("ERR-683", "Margin calls are being processed.")
        if self._ledger.margins.called(account):
            raise Refusal("ERR-682", "A margin call is outstanding.")

    def caps(self, order: Order, market: SymbolMarket, now_ns: int) -> None:
        """Check the caps of a day's size and of positions; what waits in open orders counts like what was filled.

        Raises:
            Refusal: With the assumed code.
        """
        if order.lots > self.left_today(order.account, order.symbol, order.side, now_ns):
            raise Refusal(self._assumptions.cap_code, "Size is invalid.")
        if order.leverage:
            total = order.account.totals.get((order.symbol, order.side))
            waiting = order.account.waiting.get((order.symbol, order.side), 0)
            if (total.lots if total else 0) + waiting + order.lots > self._assumptions.position_cap * market.instrument.max_lots:
                raise Refusal(self._assumptions.cap_code, "Size is invalid.")

    def left_today(self, account: Account, symbol: str, side: str, now_ns: int) -> int:
        """Return the lots that may still be bought or sold today, or opened on leverage, both sides together."""
        market = self._symbols[symbol]
        multiple = self._assumptions.day_cap_leverage if market.leverage else self._assumptions.day_cap_spot
        sides = ("BUY", "SELL") if market.leverage else (side,)
        used = sum(self._ledger.executed_today(account, symbol, one, now_ns) for one in sides)
        waiting = sum(account.waiting.get((symbol, one), 0) for one in sides)
        return max(0, multiple * market.instrument.max_lots - used - waiting)

    def funds(self, order: Order, market: SymbolMarket) -> None:
        """Check that an account has what an order ties up, or a MARKET order takes.

        Raises:
            Refusal: Coins (ERR-208) or buying power (ERR-201) are short.
        """
        if not order.holds_yen:
            if not order.leverage and order.lots > order.account.free_lots(order.symbol):
                raise Refusal("ERR-208", "Exceeds the available balance.")
            return
        need = market.matcher.cost_uyen(order) if order.execution_type == "MARKET" else self._ledger.needed(order)
        self.purse(order, need)

    def purse(self, order: Order, need_uyen: int) -> None:
        """Check buying power; what the order itself ties up already counts as free.

        Raises:
            Refusal: ERR-201, it is short.
        """
        margins = self._ledger.margins
        free = margins.available_uyen(order.account) if order.leverage else margins.spendable_uyen(order.account)
        if need_uyen > free + order.held:
            raise Refusal("ERR-201", "Trading margin is insufficient.")

    def _losscut(self, side: str, opened: int, reference: int, losscut: int) -> None:
        """Check that a losscut price lies on the losing side of a price, and no looser than the default of the opening."""
        usual = default_losscut(side, opened, self._assumptions.leverage)
        ahead, looser = (losscut >= reference, losscut < usual) if side == "BUY" else (losscut <= reference, losscut > usual)
        if losscut <= 0 or ahead or (looser and not self._assumptions.losscut_may_loosen):
            raise Refusal("ERR-5121", "The losscutPrice is out of range.")

    def _legal(self, new: NewOrder, market: SymbolMarket) -> set[str]:
        if new.execution_type != "LIMIT":
            return {"FAK"}
        legal = {"FAS", "FOK"}
        if self._assumptions.limit_fak_accepted:
            legal.add("FAK")
        if not market.leverage or new.symbol in self._assumptions.sok_leverage_symbols:
            legal.add("SOK")
        return legal
