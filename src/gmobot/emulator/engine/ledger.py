"""Accounts: balances in integers, holds for open orders, executions, positions, and flows.

Money moves in exactly two places, :meth:`Ledger.book` for fills and :meth:`Ledger.move` for everything else.
What is held is derived from open orders. ``audit.py`` derives all of it a second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gmobot.clock import trading_day
from gmobot.core.instrument import PPM, Instrument, round_fee
from gmobot.emulator.assumptions import Assumptions
from gmobot.emulator.engine.days import trading_week
from gmobot.emulator.engine.margin import Margins, Valuation
from gmobot.emulator.engine.records import Account, Execution, Flow, Order, Position, Settle, Total


@dataclass(frozen=True, slots=True)
class Terms:
    """What one fill of a symbol costs, worked out once.

    Attributes:
        unit_uyen: Micro-yen of one lot at one tick.
    """

    unit_uyen: int
    maker_ppm: int
    taker_ppm: int


class Ledger:
    """All accounts, and what the rest of the world gave and got.

    Attributes:
        margins: Margin arithmetic over the accounts.
        positions: Open positions by symbol and id.
        fees_uyen: Fees collected, rebates subtracted, leverage fees included.
        market_uyen: Yen that other participants received, for coins and as the other side of realised profit.
        market_lots: Coins or positions that other participants got, by symbol.
    """

    def __init__(
        self, accounts: Mapping[str, Account], instruments: Mapping[str, Instrument], assumptions: Assumptions, valuation: Valuation
    ) -> None:
        self.accounts = dict(accounts)
        self.margins = Margins(instruments, assumptions, valuation)
        self.positions: dict[str, dict[int, Position]] = {symbol: {} for symbol in instruments}
        self.fees_uyen = 0
        self.market_uyen = 0
        self.market_lots: dict[str, int] = {}
        self.terms = {symbol: Terms(i.unit_uyen, i.maker_fee_ppm, i.taker_fee_ppm) for symbol, i in instruments.items()}
        self.assumptions = assumptions

    def fee_uyen(self, order: Order, ticks: int, lots: int, *, maker: bool) -> int:
        """Return the signed fee of a fill at the market's rates."""
        terms = self.terms[order.symbol]
        rate = terms.maker_ppm if maker else terms.taker_ppm
        return round_fee(ticks * lots * terms.unit_uyen, rate, int(self.assumptions.fee_rounding))

    def losscut_fee_uyen(self, position: Position, lots: int) -> int:
        """Return the fee of closing by force: a share of what was opened, instead of the market's (§6.6)."""
        opened = self.notional_uyen(position.symbol, position.ticks, lots)
        return round_fee(opened, int(self.assumptions.losscut_fee * PPM), int(self.assumptions.fee_rounding))

    def loss_gain_uyen(self, position: Position, ticks: int, lots: int) -> int:
        """Return what closing lots at a price realises."""
        gain = self.margins.gain_uyen(position.symbol, position.side, ticks, position.ticks * lots, lots)
        return round_fee(abs(gain), PPM if gain >= 0 else -PPM, int(self.assumptions.loss_gain_rounding))

    def notional_uyen(self, symbol: str, ticks: int, lots: int) -> int:
        """Return what lots are worth at a price."""
        return ticks * lots * self.terms[symbol].unit_uyen

    def needed(self, order: Order, price: int | None = None) -> int:
        """Return what an order ties up at its own or another price: lots of a spot SELL, else micro-yen with the taker's fee."""
        if not order.holds_yen:
            return 0 if order.leverage else order.open_lots
        notional = self.notional_uyen(order.symbol, order.price if price is None else price, order.open_lots)
        fee = -(-notional * max(0, self.terms[order.symbol].taker_ppm) // PPM)
        return (self.margins.of_notional(notional) if order.leverage else notional) + fee

    def hold(self, order: Order) -> None:
        """Tie up what an order still needs, and no more."""
        account, now = order.account, self.needed(order)
        change, order.held = now - order.held, now
        if order.holds_yen:
            account.held_uyen += change
        elif not order.leverage:
            account.held_lots[order.symbol] = account.held_lots.get(order.symbol, 0) + change
        if order.settles:
            for settle in order.settles:
                self._reserve(settle, settle.lots if order.active else 0)
        else:
            key, before, order.waiting = (order.symbol, order.side), order.waiting, order.open_lots
            account.waiting[key] = account.waiting.get(key, 0) + order.waiting - before
        if order.active:
            account.open_orders[order.order_id] = order
        else:
            account.open_orders.pop(order.order_id, None)

    def affordable(self, order: Order, ticks: int, lots: int, *, maker: bool) -> int:
        """Return how many of ``lots`` an account can pay for, or give margin for, at a price.

        Coins of a spot SELL and positions of a close are tied up already.
        """
        if not order.holds_yen:
            return lots
        free = order.held + (self.margins.available_uyen(order.account) if order.leverage else self.margins.spendable_uyen(order.account))
        unit = self.notional_uyen(order.symbol, ticks, 1)
        each = self.margins.of_notional(unit) if order.leverage else unit
        lots = min(lots, max(0, free // each + 1))
        while lots > 0 and (excess := self._cost(order, ticks, lots, maker=maker) - free) > 0:
            # One step gets there from above in a moment: the fee is a small share of the notional.
            lots -= max(1, excess // (2 * each))
        return max(0, lots)

    def cost_uyen(self, order: Order, fills: list[tuple[int, int]]) -> int:
        """Return what taking these (price, lots) costs an account: yen or margin, and the taker's fees."""
        return sum(self._cost(order, ticks, lots, maker=False) for ticks, lots in fills)

    def book(self, execution: Execution) -> None:
        """Move yen, coins and positions for one fill."""
        order, account = execution.order, execution.order.account
        notional = self.notional_uyen(order.symbol, execution.ticks, execution.lots)
        account.jpy_uyen -= execution.fee_uyen
        self.fees_uyen += execution.fee_uyen
        # Between customers the two sides of a match cancel out here.
        self.market_lots[order.symbol] = self.market_lots.get(order.symbol, 0) - execution.sign * execution.lots
        if not execution.parts:
            account.jpy_uyen -= execution.sign * notional
            account.coins[order.symbol] = account.coins.get(order.symbol, 0) + execution.sign * execution.lots
            self.market_uyen += execution.sign * notional
        else:
            for position, lots in execution.parts:
                self._book_position(execution.order, position, lots)
            account.jpy_uyen += execution.loss_gain_uyen
            self.market_uyen -= execution.loss_gain_uyen
        order.executed += execution.lots
        order.executions.append(execution)
        account.executions.append(execution)
        if order.executed == order.lots:
            order.status = "EXECUTED"
        self._count(execution, notional)
        self.hold(order)

    def move(self, account: Account, flow: Flow) -> None:
        """Move yen or coins other than by a fill."""
        if flow.asset == "JPY":
            account.jpy_uyen += flow.amount
        else:
            account.coins[flow.asset] = account.coins.get(flow.asset, 0) + flow.amount
        if flow.kind == "leverage_fee":
            self.fees_uyen -= flow.amount
        elif flow.kind == "transfer":
            account.fx_uyen -= flow.amount
        account.flows.append(flow)

    def take_over(self, position: Position) -> None:
        """Hold a position that was opened elsewhere; no money moves."""
        position.account.positions[position.position_id] = self.positions[position.symbol][position.position_id] = position
        self._change_total(position, position.lots)

    def executed_today(self, account: Account, symbol: str, side: str, now_ns: int) -> int:
        """Return lots that count against the day's cap: bought or sold on spot, opened on leverage."""
        day, lots = account.opened_today
        return lots.get((symbol, side), 0) if day == trading_day(now_ns) else 0

    def _cost(self, order: Order, ticks: int, lots: int, *, maker: bool) -> int:
        notional = self.notional_uyen(order.symbol, ticks, lots)
        fee = self.fee_uyen(order, ticks, lots, maker=maker)
        return (self.margins.of_notional(notional) if order.leverage else notional) + fee

    def _book_position(self, order: Order, position: Position, lots: int) -> None:
        """Open a position, or close a part of one."""
        account = position.account
        if order.opens:
            account.positions[position.position_id] = self.positions[position.symbol][position.position_id] = position
            self._change_total(position, lots)
            return
        settle = next(settle for settle in order.settles if settle.position is position)
        settle.lots -= lots
        position.lots -= lots
        position.last_closed = lots
        self._reserve(settle, settle.lots)
        self._change_total(position, -lots)
        if not position.lots:
            del account.positions[position.position_id], self.positions[position.symbol][position.position_id]

    @staticmethod
    def _change_total(position: Position, lots: int) -> None:
        key, totals = (position.symbol, position.side), position.account.totals
        total = totals.setdefault(key, Total())
        total.lots += lots
        total.cost += lots * position.ticks
        if not total.lots:
            del totals[key]

    @staticmethod
    def _reserve(settle: Settle, lots: int) -> None:
        settle.position.reserved += lots - settle.held
        settle.held = lots

    @staticmethod
    def _count(execution: Execution, notional: int) -> None:
        account, order = execution.order.account, execution.order
        week, day = trading_week(execution.at_ns), trading_day(execution.at_ns)
        account.volumes[week] = account.volumes.get(week, 0) + notional
        if account.opened_today[0] != day:
            account.opened_today = (day, {})
        if not order.settles:
            lots, key = account.opened_today[1], (order.symbol, order.side)
            lots[key] = lots.get(key, 0) + execution.lots
