"""Leverage as a bookkeeper would do it: one bar after the other, in plain Python and exact fractions, from the rules alone.

Nothing of the core is used here. What to do is read from a bar's volume, by :data:`SCRIPT` compiled and by
:func:`wish` here, so that any list of bars leads through entries, flips, exits, stops and losscuts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

SCRIPT = '''
from gmobot.core.decision import buy, close, hold, sell
from gmobot.core.reasons import NO_SETUP
from gmobot.strategies.declaration import Strategy


class Script(Strategy):
    """Does what the bar's volume says."""

    @staticmethod
    def decide(state, bar, params, position):
        code = int(bar.volume * 1000.0 + 0.5)
        what, stop, target = code % 6, code // 6 % 4, code // 24 % 3
        away = 0.0 if stop == 0 else (0.01 if stop == 1 else (0.05 if stop == 2 else 0.4))
        goal = 0.0 if target == 0 else (0.02 if target == 1 else 0.1)
        if what == 2:
            below = bar.close - bar.close * away if away > 0.0 else 0.0
            return buy(1.0, NO_SETUP, stop=below, take_profit=bar.close + bar.close * goal if goal > 0.0 else 0.0)
        if what == 3:
            above = bar.close + bar.close * away if away > 0.0 else 0.0
            return sell(1.0, NO_SETUP, stop=above, take_profit=bar.close - bar.close * goal if goal > 0.0 else 0.0)
        if what == 4:
            return close(1.0, NO_SETUP)
        return hold()
'''
DAY = 86_400 * 10**9
SIX_JST = 21 * 3_600 * 10**9


@dataclass
class Bar:
    """Prices in yen (the tick is one yen), time in nanoseconds, and the code of what to do after it."""

    time: int
    open: int
    high: int
    low: int
    close: int
    code: int


@dataclass
class Terms:
    """The market's terms and the trader's size, in yen, lots and shares."""

    yen_per_lot: Fraction
    """A lot's worth at a price of one yen."""
    taker: Fraction
    rounded: str
    size: int
    cash: int
    slippage: int
    cooldown: int


@dataclass
class Wish:
    """Where to be, from the next open on."""

    side: int = 0
    lots: int = 0
    stop: int = 0
    goal: int = 0


@dataclass
class Bookkeeper:
    """The account, and what happened to it."""

    terms: Terms
    balance: Fraction = Fraction(0)
    side: int = 0
    lots: int = 0
    entry: int = 0
    wish: Wish = field(default_factory=Wish)
    quiet: int = 0
    nights: Fraction = Fraction(0)
    cuts: int = 0
    results: list[Fraction] = field(default_factory=list)
    fills: list[tuple[int, str, int, int]] = field(default_factory=list)
    equity: list[Fraction] = field(default_factory=list)
    last: Bar | None = None
    _trade_start: Fraction = Fraction(0)

    def run(self, bars: list[Bar]) -> Bookkeeper:
        self.balance = Fraction(self.terms.cash)
        for number, bar in enumerate(bars):
            self.nights_until(bar)
            before = len(self.results)
            self.at_open(number, bar)
            self.inside(number, bar)
            self.equity.append(self.balance + self.gain(bar.close))
            self.decide(bar, ended=len(self.results) > before)
            self.last = bar
        return self

    def gain(self, price: int) -> Fraction:
        return self.side * self.lots * (price - self.entry) * self.terms.yen_per_lot

    def fee(self, worth: Fraction, share: Fraction) -> Fraction:
        exact = worth * share
        if self.terms.rounded == "none":
            return Fraction(math.floor(exact * 10**6 + Fraction(1, 2)), 10**6)
        how = {"half_up": lambda x: math.floor(x + Fraction(1, 2)), "floor": math.floor, "ceil": math.ceil}[self.terms.rounded]
        return Fraction(how(exact))

    def nights_until(self, bar: Bar) -> None:
        """Pay for each 06:00 JST that came and went while the position was open."""
        if self.last is None or self.side == 0:
            return
        moment = self.last.time - (self.last.time - SIX_JST) % DAY + DAY
        while moment <= bar.time:
            fee = self.fee(self.lots * self.last.close * self.terms.yen_per_lot, Fraction(4, 10_000))
            self.balance -= fee
            self.nights += fee
            moment += DAY

    def at_open(self, number: int, bar: Bar) -> None:
        wish = self.wish
        if self.side and wish.side != self.side:
            self.leave(number, "exit", bar.open)
        if wish.side and not self.side:
            price = max(1, bar.open + wish.side * self.terms.slippage)
            lots = min(wish.lots, self.carried(self.balance, price))
            if lots >= 1:
                self._trade_start = self.balance
                self.side, self.lots, self.entry = wish.side, lots, price
                self.balance -= self.fee(lots * price * self.terms.yen_per_lot, self.terms.taker)
                self.fills.append((number, "entry", price, lots * wish.side))

    def carried(self, power: Fraction, price: int) -> int:
        """Lots whose margin (half of the worth) and fee fit into the money, in whole millionths, a yen kept."""
        micro = int(price * self.terms.yen_per_lot * 10**6)
        each = -(-micro // 2) + int(micro * self.terms.taker) + 1
        return int(max(int(power * 10**6) - 10**6, 0) // each)

    def inside(self, number: int, bar: Bar) -> None:
        """Walk to the adverse extreme first, then to the favourable one; the open is there before both."""
        if not self.side:
            return
        cut = math.ceil(Fraction(self.entry * 3, 4)) if self.side > 0 else math.floor(Fraction(self.entry * 5, 4))
        ahead = {"cut": cut} | ({"stop": self.wish.stop} if self.wish.stop else {})
        # The nearer comes first; where both stand at one price, the trader's own.
        kind = min(ahead, key=lambda name: (-self.side * ahead[name], name == "cut"))
        adverse, kindly = (bar.low, bar.high) if self.side > 0 else (bar.high, bar.low)
        goal = self.wish.goal
        if goal and self.side * (bar.open - goal) >= 0:
            self.leave(number, "goal", bar.open)
        elif self.side * (bar.open - ahead[kind]) <= 0:
            self.leave(number, kind, bar.open)
        elif self.side * (adverse - ahead[kind]) <= 0:
            self.leave(number, kind, ahead[kind])
        elif goal and self.side * (kindly - goal) >= 0:
            self.leave(number, "goal", goal)

    def leave(self, number: int, kind: str, at: int) -> None:
        price = max(1, at - self.side * self.terms.slippage)
        self.balance += self.gain(price)
        worth = self.entry if kind == "cut" else price
        share = Fraction(5, 1_000) if kind == "cut" else self.terms.taker
        self.balance -= self.fee(self.lots * worth * self.terms.yen_per_lot, share)
        self.fills.append((number, kind, price, -self.side * self.lots))
        self.results.append(self.balance - self._trade_start)
        self.cuts += kind == "cut"
        self.side = self.lots = self.entry = 0

    def decide(self, bar: Bar, *, ended: bool) -> None:
        self.quiet = self.terms.cooldown if ended else max(self.quiet - 1, 0)
        if not self.side:
            self.wish = Wish()
        asked = wish(bar)
        side = {"buy": 1, "sell": -1, "close": 0}.get(asked.what, self.side)
        if side == self.side:
            return
        self.wish = Wish()
        held, flips = self.side, self.side != 0
        quiet = self.quiet > 0 or (flips and self.terms.cooldown > 0)
        if side == 0 or side == held or quiet or not asked.good(bar.close, side):
            return
        power = min(self.balance, self.balance + self.gain(bar.close))
        lots = min(self.terms.size, self.carried(power, bar.close))
        if lots >= 1:
            self.wish = Wish(side, lots, asked.stop(bar.close, side), asked.goal(bar.close, side))


@dataclass
class Asked:
    """What a bar's code asks for."""

    what: str
    away: float
    profit: float

    def stop(self, close: int, side: int) -> int:
        if not self.away:
            return 0
        price = float(close) - side * (float(close) * self.away)
        return math.floor(price) if side > 0 else math.ceil(price)

    def goal(self, close: int, side: int) -> int:
        if not self.profit:
            return 0
        price = float(close) + side * (float(close) * self.profit)
        return math.ceil(price) if side > 0 else math.floor(price)

    def good(self, close: int, side: int) -> bool:
        stop, goal = self.stop(close, side), self.goal(close, side)
        return (not self.away or (stop > 0 and side * (close - stop) > 0)) and (not self.profit or (goal > 0 and side * (goal - close) > 0))


def wish(bar: Bar) -> Asked:
    what = ("hold", "hold", "buy", "sell", "close", "hold")[bar.code % 6]
    return Asked(what, (0.0, 0.01, 0.05, 0.4)[bar.code // 6 % 4], (0.0, 0.02, 0.1)[bar.code // 24 % 3])
