"""What must hold, one function for each, seen from the exchange and from the daemon's files, never from the daemon.

When each is looked at is told in ``watch.py``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from tests.simulation.evidence import Booked, Evidence, Prior
from tests.simulation.ours import Holding, OurAccount, Ours, Violation
from tests.simulation.trouble import APART, BOUNDS, Trouble

from gmobot.core.instrument import UYEN_PER_YEN, Instrument, to_uyen
from gmobot.emulator.engine.checks import NewOrder
from gmobot.emulator.engine.records import Execution, Order
from gmobot.ops.audit_read import verify

ALIVE_SECONDS = 60.0
"""Longest in all, while a daemon lives, the exchange is open and answers."""


LOSS_ROUNDING_JPY = Decimal(2)
"""What rounding may make of one trade's loss."""
LOSS_SLACK_UYEN = 50 * UYEN_PER_YEN
"""What other prices than the last make of it: the daemon may value by the book."""
JUDGED_SECONDS = 120.0
"""A trade is judged so long after it at the latest: one that ends as the daemon dies, by the next."""
MOVED = Decimal("0.01")
"""Share by which prices may have moved since the daemon compared an entry with what the account may come to.

It compares by the last trades that it knows before the entry is written down; the entry reaches the exchange within its
window of some seconds, and the tape may come as late as an exchange may be silent.
"""


class State(Protocol):
    """What the world tells of itself; asked only while something lies open."""

    def trouble(self) -> Trouble:
        """Return what may keep the daemon from protecting its position now."""
        ...

    def recording(self) -> bool:
        """Return whether what the daemon decides is in its file at once."""
        ...

    def hears(self, symbol: str) -> bool:
        """Return whether the tape of a symbol reaches the daemon."""
        ...


def exposure_within_limits(holding: Holding, limit_lots: int) -> None:
    """Hold worst-case exposure within the limit: the position, and all that is open as if it filled."""
    if holding.lots + holding.opening > limit_lots:
        raise Violation(f"worst-case exposure: {holding.lots} lots held and {holding.opening} on the way, the limit is {limit_lots}")


def nothing_left_open_by_a_clean_stop(holding: Holding) -> None:
    """Leave every lot protected, and no order that opens, at a clean stop: nobody looks after them from then on."""
    if holding.covered < holding.lots or holding.opening:
        raise Violation(
            f"a clean stop leaves its STOPs and no entry: {holding.lots - holding.covered} of {holding.lots} lots lie open, "
            f"{holding.opening} may still be opened"
        )


def positions_within_limits(open_symbols: Collection[str], most: int) -> None:
    """Hold the symbols in which something is held, or may still be opened, within what may be open at once."""
    if len(open_symbols) > most:
        raise Violation(f"worst-case exposure: {', '.join(sorted(open_symbols))} are open at once, the limit is {most}")


def leverage_within_limits(gross_uyen: int, equity_uyen: int, max_leverage: Decimal, collar: Decimal) -> None:
    """Hold the worth of everything, as if all that is open filled, within its multiple of the equity, 0 for any.

    Judged when an entry arrives. Its size comes from the largest leverage itself; what it may come to by then is that and the
    price collar, as the daemon last knew prices, and what they moved since.
    """
    most = equity_uyen * max_leverage * (1 + collar) * (1 + MOVED)
    if max_leverage and gross_uyen > most:
        raise Violation(f"worst-case exposure: {gross_uyen / equity_uyen:.4f} times the equity, the limit is {max_leverage}")


def no_order_without_a_prior_intent(priors: list[Prior], new: NewOrder) -> None:
    """Look for the intent of an order, durable before it arrived."""
    if not priors:
        raise Violation(f"no order without a prior intent: {new}")


def no_intent_with_two_live_orders(priors: list[Prior], sent: set[int], new: NewOrder) -> Prior:
    """Return the intent that this order is: one that has not been sent before."""
    fresh = [prior for prior in priors if prior.intent_id not in sent]
    if not fresh:
        raise Violation(f"no intent with two live orders: {priors[-1].intent_id} was sent twice: {new}")
    sent.add(fresh[-1].intent_id)
    return fresh[-1]


def nothing_raising_while_unknown(unknown: set[int], prior: Prior) -> None:
    """Send no entry while any other outcome is unknown, whatever the symbol.

    Args:
        unknown: Intents whose outcome was not known as the entry left; what leaves right behind it is no matter of the entry.
        prior: The entry's own.
    """
    if others := sorted(unknown - {prior.intent_id}):
        raise Violation(f"nothing that could raise exposure while an outcome is unknown: intent {prior.intent_id} beside {others}")


def no_entry_after_halt(evidence: Evidence, prior: Prior) -> None:
    """Send no entry while a halt, a pause or a close is latched."""
    if latch := evidence.latched():
        raise Violation(f"after {latch} no order raises exposure: intent {prior.intent_id}")


def asked_for(evidence: Evidence, prior: Prior, new: NewOrder) -> None:
    """Send no entry that no journaled decision of its symbol asked for."""
    if not evidence.asked(new.symbol, prior.decision_id, 1 if new.side == "BUY" else -1):
        raise Violation(f"an entry that no decision asked for: {new}")


def no_change_without_a_prior_intent(evidence: Evidence, order_id: int, ticks: int) -> None:
    """Look for the note, durable before it was asked, that an order is to be moved."""
    if not evidence.amends(order_id, ticks):
        raise Violation(f"no order without a prior intent: order {order_id} was moved to {ticks}")


def nothing_foreign_touched(ours: Ours | OurAccount, order_id: int) -> None:
    """Cancel and change no order that is not ours."""
    if order_id in ours.foreign_orders:
        raise Violation(f"nothing foreign touched: order {order_id} was cancelled or changed")


def nothing_sent_without_leave(sends: bool, what: object) -> None:  # it is what is judged
    """Send no order and change none while orders may not be sent."""
    if not sends:
        raise Violation(f"nothing leaves while it may not send: {what}")


def no_protection_taken_without_leave(sends: bool, order: Order | None) -> None:  # it is what is judged
    """Take no close away while nothing could be put in its place; an entry may go."""
    if not sends and order is not None and not (order.opens if order.leverage else order.side == "BUY"):
        raise Violation(f"nothing leaves while it may not send: order {order.order_id}, which closes, was cancelled")


def no_foreign_position_named(ours: Ours, position_id: int | None) -> None:
    """Send no close that names a position that is not ours, however young."""
    if position_id in ours.foreign_positions:
        raise Violation(f"nothing foreign touched: a close names position {position_id}")


def every_execution_booked_once(booked: Mapping[int, Booked], executions: Mapping[int, Execution]) -> None:
    """Compare what is booked with what was executed: each at most once, and exactly as the exchange reports it.

    A negative number is a write-off: what another hand took away, which halts. At the end none may be left over.
    """
    for number, fill in booked.items():
        if number < 0:
            continue
        execution = executions.get(number)
        if execution is None:
            raise Violation(f"every execution booked exactly once: {number} never happened")
        order = execution.order
        there = Booked(
            order.order_id, order.symbol, order.side, execution.lots, execution.ticks, execution.fee_uyen, execution.loss_gain_uyen
        )
        if fill != there:
            raise Violation(f"every execution booked exactly once: {number} is booked as {fill}, it was {there}")


def ledger_is_what_is_booked(ledger: Mapping[str, int], booked: Mapping[int, Booked], instrument: Instrument) -> None:
    """Add the fills up again: lots and yen are the ledger's, to the unit."""
    # What nights cost is no fill; whether it is what the exchange took, the end compares in yen.
    lots, cash = 0, -ledger.get("leverage_fees_uyen", 0)
    for fill in booked.values():
        signed = fill.lots if fill.side == "BUY" else -fill.lots
        lots += signed
        cash -= instrument.notional_uyen(fill.ticks, signed) + fill.fee_uyen
    kept = (ledger.get("position", 0), ledger.get("cash_uyen", 0))
    if kept != (lots, cash):
        raise Violation(f"our ledger = the exchange's, to the unit: it has {kept}, the fills come to {(lots, cash)}")


def audit_chain_verifies(logs: Path) -> None:
    """Follow the chain from its beginning to its end."""
    verdict = verify(logs)
    if not verdict.ok:
        raise Violation(f"the audit chain verifies: {verdict.problem}")


class Patience:
    """How long something may last, by cause.

    Attributes:
        longest: Seconds of the longest stretch so far, by cause.
    """

    def __init__(self) -> None:
        self._seconds: dict[Trouble, float] = {}
        self._looked_at = 0.0
        self.longest: dict[Trouble, float] = {}

    def bear(self, now: float, state: State, what: str) -> None:
        """Add up the time since the last look.

        Args:
            now: Seconds.
            state: Tells the cause.
            what: What must not last, empty when it is not so now.
        """
        passed, self._looked_at = now - self._looked_at, now
        if not what:
            if self._seconds:
                self._seconds = {}
            return
        cause = state.trouble()
        apart = cause in APART
        self._seconds = {
            known: seconds for known, seconds in self._seconds.items() if (known in APART) is apart and (known is cause or not apart)
        }
        seconds = self._seconds[cause] = self._seconds.get(cause, 0.0) + passed
        self.longest[cause] = max(self.longest.get(cause, 0.0), seconds)
        alive = sum(seconds for known, seconds in self._seconds.items() if known not in APART and known is not Trouble.UNANSWERED)
        if seconds > BOUNDS[cause] or alive > ALIVE_SECONDS:
            raise Violation(f"{what}: " + ", ".join(f"{known} {seconds:.1f} s" for known, seconds in self._seconds.items()))


class Protection(Patience):
    """Every position older than the grace is protected, or its cause is listed and bounded."""

    def look(self, now: float, holding: Holding, state: State) -> None:
        """Look at what lies open."""
        open_lots = holding.lots - holding.covered
        what = f"every position is protected: {open_lots} of {holding.lots} lots lie open" if open_lots > 0 else ""
        self.bear(now, state, what)


class Exits(Patience):
    """What is to be closed gets closed: by decision, or because everything is to go."""

    def look(self, now: float, held: int, wanted: int, state: State) -> None:
        """Look at what is held beyond what is wanted; both are signed, and what is missing is nobody's hurry."""
        kept = min(abs(held), abs(wanted)) if held * wanted > 0 else 0
        over = abs(held) - kept
        self.bear(now, state, f"every exit happens: {over} of {abs(held)} lots are to go" if over > 0 else "")


class StopPrices(Patience):
    """A STOP rests where the decision wants it, not only somewhere."""

    def look(self, now: float, resting: Collection[int], wanted: int, state: State) -> None:
        """Look at the prices at which STOPs rest, all of them in ticks."""
        wrong = [price for price in resting if price != wanted]
        self.bear(now, state, f"every STOP is where it is wanted: {wrong} instead of {wanted}" if wrong else "")


class Trade:
    """Fills added up from one that opens until nothing is held.

    Attributes:
        lots: What is held, signed.
        cash_uyen: What the fills since it opened did to the yen.
    """

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self.lots = self.cash_uyen = 0

    def add(self, signed: int, ticks: int, fee_uyen: int) -> int | None:
        """Add a fill. Returns what the trade brought if that closed it."""
        self.lots += signed
        self.cash_uyen -= self._instrument.notional_uyen(ticks, signed) + fee_uyen
        if self.lots:
            return None
        brought, self.cash_uyen = self.cash_uyen, 0
        return brought

    def worth_uyen(self, ticks: int) -> int:
        """Return what the trade brings, with what is held at a price."""
        return self.cash_uyen + self._instrument.notional_uyen(ticks, self.lots)


class TradeLosses(Patience):
    """A trade that lost more than it may is followed by a halt.

    It is one as the books tell it, fill by fill as they were booked: an entry's second fill that is heard of only after the
    first was closed is a trade of its own. The open position's loss is the daemon's to value. No halt is due for it, but one
    that names it needs one that was there, at the exchange or in the books.
    """

    def __init__(self, instrument: Instrument, limit_jpy: Decimal) -> None:
        super().__init__()
        self._executed, self._booked = Trade(instrument), Trade(instrument)
        self._worst: deque[tuple[float, int]] = deque()
        self._limit = to_uyen(limit_jpy + LOSS_ROUNDING_JPY) if limit_jpy else 0
        self._seen = self._ticks = 0
        self._known: set[int] = set()
        self._last = self._acknowledged = 0
        self._now = 0.0
        self._beyond = 0

    def take(self, now: float, fills: Sequence[Execution], ticks: int) -> None:
        """Add up what is new of our fills, and value what is open at a price."""
        self._now = now
        if not self._limit or (ticks == self._ticks and len(fills) == self._seen):
            return
        self._ticks = ticks
        for fill in fills[self._seen :]:
            brought = self._executed.add(fill.lots * fill.sign, fill.ticks, fill.fee_uyen)
            self._last = max(self._last, fill.execution_id)
            if brought is not None:
                self._worst.append((now, brought))
        self._seen = len(fills)
        if self._executed.lots:
            self._worst.append((now, self._executed.worth_uyen(ticks)))
        while self._worst and self._worst[0][0] < now - JUDGED_SECONDS:
            self._worst.popleft()

    def book(self, booked: Mapping[int, Booked]) -> None:
        """Add up what is new among the fills that are booked; the daemon books those that it hears of together by number."""
        for number in sorted(booked.keys() - self._known):
            self._known.add(number)
            fill = booked[number]
            brought = self._booked.add(fill.lots if fill.side == "BUY" else -fill.lots, fill.ticks, fill.fee_uyen)
            if brought is not None and self._limit:
                self._worst.append((self._now, brought))
                if -brought > self._limit and number > self._acknowledged:
                    self._beyond = max(self._beyond, -brought)

    def may_halt(self) -> bool:
        """Return whether a trade has lost about what it may, as far as it matters."""
        return bool(self._limit) and any(loss < LOSS_SLACK_UYEN - self._limit for _, loss in self._worst)

    def acknowledged(self, state: State) -> None:
        """An operator resumes. What the file could not tell until now, whether a halt had followed, it will not tell any more."""
        if not state.recording():
            self._beyond, self._acknowledged = 0, self._last

    def look(self, now: float, latched: Callable[[], Container[str]], state: State) -> None:
        """Look whether a halt has followed."""
        if not self._limit:
            return
        due = self._beyond > 0 and state.recording()
        if due and "halt" in latched():
            self._beyond, due = 0, False
        self.bear(now, state, f"a guard halts: a trade has lost {self._beyond // UYEN_PER_YEN} yen" if due else "")
