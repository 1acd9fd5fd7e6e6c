"""When each invariant is looked at, and why that is as good as after every step.

- *At every step in which time passed, or in which the exchange, the daemon's file or an operator told of anything*: exposure,
  what is foreign, protection, what the tape has traded, where STOPs rest. Nothing else can change them, nor add to the time
  without protection. What the account has lost is looked at four times a second.
- *At every order, change and cancel that reaches the exchange*, before it takes it: intents, latches, foreign orders, why a
  close leaves, the account's leverage, and which outcomes were unknown as it left. There is no other way to raise exposure.
- *After every write of the daemon*: what is booked, against what was executed, and the ledgers against what is booked.
- *At every death and at the end*: the audit chain. It only ever grows, so a link that is wrong stays wrong.
- *At the end*, after a quiet time, a clean stop and a last look: that nothing is missing. Before, a fill may be under way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

import msgspec
from tests.simulation.evidence import ABORTS, Evidence, Prices, Prior
from tests.simulation.invariants import (
    Exits,
    Protection,
    State,
    StopPrices,
    TradeLosses,
    asked_for,
    every_execution_booked_once,
    exposure_within_limits,
    ledger_is_what_is_booked,
    leverage_within_limits,
    no_change_without_a_prior_intent,
    no_entry_after_halt,
    no_foreign_position_named,
    no_intent_with_two_live_orders,
    no_order_without_a_prior_intent,
    no_protection_taken_without_leave,
    nothing_foreign_touched,
    nothing_left_open_by_a_clean_stop,
    nothing_raising_while_unknown,
    nothing_sent_without_leave,
    positions_within_limits,
)
from tests.simulation.ours import Holding, OurAccount, Ours, Violation
from tests.simulation.reasons import Reasons
from tests.simulation.trouble import Trouble
from tests.simulation.worth import Drawdown, Losses

from gmobot.config import Config
from gmobot.emulator.engine.checks import NewOrder
from gmobot.emulator.engine.records import Order
from gmobot.venue.transport import Request

JUDGED_EVERY = 0.25
"""Seconds between two looks at what the account has lost."""
BEHIND_SECONDS = 2.0
"""What the books lacked so lately, a guard may have judged without."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the configuration allows.

    Attributes:
        position: Coins of one symbol.
        positions: Symbols that may be open at once.
        leverage: Worth of all positions over equity, 0 for any.
        collar: Share by which prices may have moved since an entry was sized.
        trade_loss: Yen of one trade, 0 for any.
        losses: What the account may lose.
    """

    position: Decimal
    positions: int
    leverage: Decimal
    collar: Decimal
    trade_loss: Decimal
    losses: Losses

    @classmethod
    def of(cls, config: Config) -> Limits:
        """Return them as configured."""
        risk, most = config.risk, max(instrument.filters.max_positions for instrument in config.instruments)
        losses = Losses(risk.max_drawdown, risk.daily_loss_limit)
        return cls(risk.max_position_size, most, risk.max_leverage, risk.price_collar, risk.max_trade_loss, losses)


class SymbolWatch:
    """Looks at what must hold of one symbol at every step."""

    def __init__(self, ours: Ours, evidence: Evidence, limits: Limits) -> None:
        self._ours = ours
        self._evidence = evidence
        self._limit = ours.instrument.lots(limits.position)
        self.losses = TradeLosses(ours.instrument, limits.trade_loss)
        self._wanted: int | None = None
        self._prices: Prices | None = None
        self._moved: Prices | None = None
        self._reasons = Reasons()
        self._now = 0.0
        self.news = True
        self.protection = Protection()
        self.exits = Exits()
        self.stops = StopPrices()

    def step(self, now: float, state: State) -> None:
        """Look at exposure, protection, exits and losses."""
        holding = self._ours.refresh()
        exposure_within_limits(holding, self._limit)
        self.protection.look(now, holding, state)
        held, wanted = self._looked(now, holding, state)
        self.exits.look(now, held, wanted, state)
        stays = self._prices is not None and held * wanted > 0 and abs(wanted) >= abs(held)
        self.stops.look(now, holding.stops if stays else (), self._prices.stop if self._prices is not None else 0, state)
        self.losses.take(now, self._ours.fills, self._ours.last)
        self.losses.look(now, self._evidence.latches, state)

    def resumed(self, state: State) -> None:
        """An operator resumes."""
        self.losses.acknowledged(state)

    def began(self) -> None:
        """A daemon begins."""
        self._moved, self.news = None, True
        self._reasons.began()

    def moved(self, prices: Prices) -> None:
        """The prices of a decision were changed under the daemon's hands; the next decision takes that back."""
        self._moved, self.news = prices, True

    def closes(self, new: NewOrder, state: State) -> None:
        """Look at an exit that reaches the exchange."""
        self._looked(self._now, self._ours.refresh(), state)
        self._reasons.close(self._now, new)

    def waits(self, side: str, ticks: int) -> None:
        """Look at the price of a STOP that reaches the exchange: where it would fire at once, the daemon closes instead."""
        if self._ours.fires(side, ticks):
            self._reasons.stays("a STOP came too late")

    def _looked(self, now: float, holding: Holding, state: State) -> tuple[int, int]:
        """Return what is held and what is wanted, as :meth:`_to_go`, and take note of why it may be closed."""
        self._now, reasons, ours = now, self._reasons, self._ours
        if not holding.lots:
            reasons.held(now, 0)
            reasons.look(now, ours.taken_prints(), self._prices)
            return 0, 0
        lots = ours.signed
        reasons.held(now, lots)
        readable = state.recording()
        if not readable:
            reasons.stays("nobody can read what is wanted")
        held, wanted = self._to_go(holding, state)
        if held * wanted <= 0 < abs(held) or abs(wanted) < abs(held):
            reasons.lowered(now)
        if reasons.look(now, ours.taken_prints(), self._prices):
            reasons.beyond(now, seen=readable and state.hears(ours.symbol) and state.trouble() is Trouble.NONE)
        due = reasons.due and held and holding.lots >= ours.instrument.min_lots
        return held, 0 if due else wanted

    def _to_go(self, holding: Holding, state: State) -> tuple[int, int]:
        """Return what is held and what is wanted, signed; the same twice where nothing is held or nobody can tell."""
        if not holding.lots or not ("flatten" in self._evidence.commanded or state.recording()):
            return 0, 0
        if self.news:
            self.news, self._wanted = False, self._evidence.wanted(self._ours.symbol)
            self._prices = self._evidence.prices(self._ours.symbol)
            if self._moved is not None and self._prices is not None and self._moved.decision_id == self._prices.decision_id:
                self._prices = self._moved
        held = self._ours.signed
        return held, held if self._wanted is None else self._wanted


class Watch:
    """Looks at each invariant when it can have changed."""

    def __init__(self, ours: OurAccount, evidence: Evidence, limits: Limits) -> None:
        self._ours = ours
        self._evidence = evidence
        self._limits = limits
        self._sent: set[int] = set()
        self._fills = 0
        self._unknown: dict[str, set[int]] = {}
        self._symbols = {symbol: SymbolWatch(known, evidence, limits) for symbol, known in ours.by_symbol.items()}
        self._drawdown = Drawdown(limits.losses)
        self._judged_at = 0.0
        self._stepped_at = float("-inf")
        self._told = False
        self._news = False
        self._behind_at = float("-inf")
        self._kept: dict[str, int] = {}
        self._latched: dict[str, str] = {}

    @property
    def open_seconds(self) -> dict[Trouble, float]:
        """Seconds of the longest stretch without protection, by cause."""
        return _longest(watch.protection.longest for watch in self._symbols.values())

    @property
    def exit_seconds(self) -> dict[Trouble, float]:
        """Seconds of the longest stretch until an exit was done, by cause."""
        return _longest(watch.exits.longest for watch in self._symbols.values())

    def step(self, now: float, state: State) -> None:
        """Look at what must hold after every step; nothing can have changed where no time passed and nothing was told."""
        if now == self._stepped_at and not self._told and not self._ours.told:
            return
        self._stepped_at, self._told = now, False
        for watch in self._symbols.values():
            watch.step(now, state)
        if now - self._judged_at >= JUDGED_EVERY:
            self._judged_at = now
            self._judge(now, state)
        positions_within_limits(self._ours.open_symbols(), self._limits.positions)

    def commanded(self, command: str) -> None:
        """A command was called done: from now on it is kept, whatever becomes of the daemon and its file."""
        self._told = True
        self._evidence.commanded.add(command)
        for watch in self._symbols.values():
            watch.news = True

    def resumed(self, state: State) -> None:
        """An operator resumes and takes back what is latched: from here on nobody can tell when it is, and the file alone judges."""
        self._told = True
        self._evidence.commanded.clear()
        self._drawdown.resumes()
        for watch in self._symbols.values():
            watch.resumed(state)

    def stopped(self, trouble: Trouble) -> None:
        """Look at what a clean stop left behind: its STOPs, and no entry, unless something stood in its way."""
        if trouble is Trouble.NONE:
            for ours in self._ours.by_symbol.values():
                nothing_left_open_by_a_clean_stop(ours.refresh())

    def accepted(self) -> None:
        """What an operator resumed is resumed."""
        self._drawdown.resumed(self._ours, halted="halt" in self._latched)

    def began(self) -> None:
        """A daemon begins."""
        self._told = True
        self._drawdown.began()
        for watch in self._symbols.values():
            watch.began()

    def moved(self, symbol: str, prices: Prices) -> None:
        """The prices of a symbol's decision were changed under the daemon's hands."""
        self._told = True
        self._symbols[symbol].moved(prices)

    def leaves(self, request: Request) -> None:
        """Take note of what is unknown as an order leaves: of each symbol one is on its way at a time."""
        if request.path.endswith("/v1/order"):
            self._unknown[msgspec.json.decode(request.body)["symbol"]] = self._evidence.unknown()

    def order(self, new: NewOrder, state: State, *, sends: bool, closing: bool, position_id: int | None = None) -> None:
        """Look at an order that reaches the exchange."""
        ours = self._ours.by_symbol[new.symbol]
        nothing_sent_without_leave(sends, new)
        no_foreign_position_named(ours, position_id)
        priors = self._evidence.priors(new, ours.instrument, closing=closing)
        no_order_without_a_prior_intent(priors, new)
        prior = no_intent_with_two_live_orders(priors, self._sent, new)
        if prior.purpose == "entry":
            self._entry(prior, new, state)
        elif prior.purpose == "exit":
            self._symbols[new.symbol].closes(new, state)
        elif new.price is not None:
            self._symbols[new.symbol].waits(new.side, ours.instrument.ticks(new.price))

    def change(self, order_id: int, order: Order | None, price: Decimal, *, sends: bool) -> None:
        """Look at a change that reaches the exchange."""
        nothing_sent_without_leave(sends, f"order {order_id} was changed")
        nothing_foreign_touched(self._ours, order_id)
        if order is None:
            raise Violation(f"no order without a prior intent: order {order_id}, which never was, was changed")
        ticks = self._ours.by_symbol[order.symbol].instrument.ticks(price)
        self._symbols[order.symbol].waits(order.side, ticks)
        no_change_without_a_prior_intent(self._evidence, order_id, ticks)

    def cancel(self, order_id: int, order: Order | None, *, sends: bool) -> None:
        """Look at a cancel that reaches the exchange."""
        nothing_foreign_touched(self._ours, order_id)
        no_protection_taken_without_leave(sends, order)

    def written(self) -> None:
        """Look at the books after the daemon wrote to its database."""
        self._told = self._news = True
        for watch in self._symbols.values():
            watch.news = True
        fills = self._evidence.fills()
        if fills == self._fills:
            return
        if fills < self._fills:
            raise Violation(f"every execution booked exactly once: of {self._fills} fills {fills} are left")
        self._fills = fills
        booked, ledgers = self._evidence.booked(), self._evidence.ledgers()
        every_execution_booked_once(booked, self._ours.executions)
        for symbol, ours in self._ours.by_symbol.items():
            its = {number: fill for number, fill in booked.items() if fill.symbol == symbol}
            ledger_is_what_is_booked(ledgers.get(symbol, {}), its, ours.instrument)
            self._symbols[symbol].losses.book(its)

    def _entry(self, prior: Prior, new: NewOrder, state: State) -> None:
        """Look at an order that opens; what it adds to the account counts as if it had been taken."""
        nothing_raising_while_unknown(self._unknown[new.symbol], prior)
        no_entry_after_halt(self._evidence, prior)
        asked_for(self._evidence, prior, new)
        if self._news:
            # The day may have turned since the last look.
            self._judge(self._judged_at, state)
        self._drawdown.entry(self._judged_at)
        ours, limits = self._ours.by_symbol[new.symbol], self._limits
        positions_within_limits({*self._ours.open_symbols(), new.symbol}, limits.positions)
        gross = self._ours.worst_gross_uyen() + ours.gross_uyen(ours.instrument.lots(new.size))
        leverage_within_limits(gross, self._ours.equity_uyen(self._evidence.capital_uyen()), limits.leverage, limits.collar)

    def _judge(self, now: float, state: State) -> None:
        """Look at what the account has lost, and at a halt that is new."""
        former = self._latched.get("halt")
        if self._news:
            self._news = False
            self._kept, self._latched = self._evidence.account(), self._evidence.latches()
        self._drawdown.look(now, self._ours, self._kept, self._latched, state)
        if self._fills < sum(len(ours.fills) for ours in self._ours.by_symbol.values()):
            self._behind_at = now
        # Guards judge by what is booked; where that was less than what had happened, nobody can tell why.
        tells = state.recording() and now - self._behind_at > BEHIND_SECONDS
        if (reason := self._latched.get("halt")) in ABORTS and reason != former and tells:
            self._halted(reason)

    def _halted(self, reason: str) -> None:
        """Look at why a guard halts."""
        if reason == "max_drawdown_exceeded":
            self._drawdown.halted(reason)
        elif not any(watch.losses.may_halt() for watch in self._symbols.values()):
            raise Violation(f"no guard halts for nothing: {reason}")


def _longest(stretches: Iterable[Mapping[Trouble, float]]) -> dict[Trouble, float]:
    longest: dict[Trouble, float] = {}
    for by_cause in stretches:
        for cause, seconds in by_cause.items():
            longest[cause] = max(seconds, longest.get(cause, 0.0))
    return longest
