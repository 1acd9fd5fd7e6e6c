"""``python -m tests.simulation.lost_replies --cases N``: one reply lost, over every kind of write and every way to lose it.

A case is a daemon in full activity whose next write of a kind is struck once: the reply lost before or after the
exchange took it, a reply that comes too late, a gateway's error page, a busy server. Meanwhile what was accepted
may stay invisible for a while, and the stream may be silent about it.

* Within the assumed visibility delay every outcome is found out by itself: one order for each intent and one
  intent for each order, everything booked, nothing halted.
* Beyond it, and where an order by hand looks exactly like ours, the bot halts and raises the alarm rather than guess.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sqlite3
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass, field

from tests.simulation.__main__ import program
from tests.simulation.invariants import Violation, check_end
from tests.simulation.loop import VirtualLoop
from tests.simulation.plan import Plan
from tests.simulation.world import World, strategy_of

from gmobot.emulator.engine.checks import NewOrder, Refusal
from gmobot.emulator.faults import Fault

DELAY_SECONDS = 3.0
"""What the daemon is told is the longest that an accepted order may stay invisible."""
REPLY_SECONDS = 2.5
WARM_SECONDS, STRIKE_SECONDS, AFTER_SECONDS, QUIET_SECONDS = 6.0, 20.0, 12.0, 24.0
SPOT_WRITES = ("/v1/order", "/v1/order", "/v1/cancelOrder", "/v1/changeOrder")
LEVERAGE_WRITES = ("/v1/order", "/v1/closeOrder", "/v1/closeBulkOrder", "/v1/cancelOrder", "/v1/changeOrder")
TAKEN = (Fault.REPLY_LOST_AFTER, Fault.REPLY_SLOW, Fault.SERVER_ERROR)
"""Losses of a reply to what the exchange has taken."""
LOSSES = (*TAKEN, Fault.REPLY_LOST_BEFORE, Fault.SERVER_ERROR_BEFORE, Fault.SERVER_BUSY)


@dataclass(frozen=True, slots=True)
class Case:
    """One way to lose one reply.

    Attributes:
        hidden_seconds: How long what was accepted stays invisible to questions.
        silent: Whether the stream tells nothing about it.
        twin: Whether a hand places the same order at the same moment.
    """

    number: int
    product: str
    entry: str
    path: str
    loss: Fault
    hidden_seconds: float
    silent: bool
    twin: bool

    @classmethod
    def drawn(cls, number: int) -> Case:
        """Draw a case."""
        draw = random.Random(f"lost:{number}")
        product = draw.choice(("spot", "leverage"))
        path = draw.choice(SPOT_WRITES if product == "spot" else LEVERAGE_WRITES)
        beyond = draw.random() < 0.1
        hidden = draw.uniform(6.0, 12.0) if beyond else draw.choice((0.0, 0.0, 1.0, 2.9))
        entry = draw.choice(("market", "marketable_limit", "passive_limit"))
        twin = draw.random() < 0.1 and not beyond and path == "/v1/order"
        # Of an order that never arrived, the hand's would be the only one: no evidence could tell them apart.
        loss = draw.choice(TAKEN if twin else LOSSES)
        return cls(number, product, entry, path, loss, hidden, draw.random() < 0.3, twin)


@dataclass
class Outcome:
    """What came of a case.

    Attributes:
        struck: Whether the write happened at all.
        halted: Why it halted, ``None`` when it did not.
        resolved_seconds: From when a reply was given up until its outcome was known, for each.
        kind: What was struck, in words.
    """

    number: int
    struck: bool = False
    halted: str | None = None
    resolved_seconds: list[float] = field(default_factory=list)
    kind: str = ""
    trouble: str = ""


class Trial(World):
    """A world in which one reply is lost."""

    def __init__(self, case: Case, loop: VirtualLoop) -> None:
        plan = Plan(
            seed=case.number,
            product=case.product,
            assumptions={"visibility_seconds": case.hidden_seconds},
            entry={"method": case.entry, "rest_seconds": 4.0},
            happenings=(),
        )
        super().__init__(plan, program(strategy_of(plan)), loop)
        self.case = case
        self.outcome = Outcome(case.number)
        self._unknown_since: dict[int, float] = {}
        self._struck_kinds: list[str] = []
        self._twin_due = False

    def alive(self) -> bool:
        """Whether a daemon runs that was not halted: where it called a person, the rest is theirs."""
        guards = self.process.daemon.guards if self.process is not None else None
        return super().alive() and guards is not None and not guards.halted

    def check(self) -> None:
        """Measure how long outcomes stay unknown, besides the invariants that a delay as assumed keeps."""
        if self.case.hidden_seconds <= DELAY_SECONDS:
            super().check()
        books = self.process.daemon.books if self.process is not None else None
        if books is None:
            return
        now = {intent.intent_id for intent in books.unresolved(self.symbol) if intent.unknown_since_ns}
        for number in now - self._unknown_since.keys():
            self._unknown_since[number] = self.loop.time()
        for number in self._unknown_since.keys() - now:
            self.outcome.resolved_seconds.append(self.loop.time() - self._unknown_since.pop(number))

    async def trial(self) -> Outcome:
        """Play the case."""
        case, faults = self.case, self.api.faults
        self.exchange.start()
        running = asyncio.create_task(self.api.run())
        self.loop.on_step = self.check
        self._start()
        await self._sleep_until(WARM_SECONDS)
        if case.silent:
            faults.arm(Fault.EVENT_LOST, where="*Events", times=None)
        faults.arm(case.loss, where=case.path, times=1, seconds=REPLY_SECONDS + 1.0 if case.loss is Fault.REPLY_SLOW else None)
        await self._until_struck()
        if self.outcome.struck:
            if case.twin:
                self._place_twin()
            await self._sleep_until(self.loop.time() + AFTER_SECONDS + case.hidden_seconds)
            faults.disarm()
            await self._sleep_until(self.loop.time() + QUIET_SECONDS)
        self._judge_halt()
        await self._stop()
        if self.failure is None:
            self._one_order_each()
        self.loop.on_step = None
        await self._look_again()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        if self.failure is not None:
            raise self.failure
        if self.outcome.struck and self.outcome.halted is None:
            check_end(self.exchange, self.account, self.ours, self.var, self.hands.orders)
        return self.outcome

    async def _until_struck(self) -> None:
        name = self.case.loss.value
        give_up = self.loop.time() + STRIKE_SECONDS
        while self.loop.time() < give_up and self.failure is None:
            if self.case.path == "/v1/changeOrder":
                self.hands.act("move_ours", 1)
            for _ in range(100):
                await asyncio.sleep(0.01)
                if self.api.faults.struck.get(name):
                    self.outcome.struck = True
                    return

    def _place_twin(self) -> None:
        """A hand sends the same order, within the same breath."""
        books = self.process.daemon.books if self.process is not None else None
        sent = [i for i in books.open_intents(self.symbol) if i.order_id is None] if books is not None else []
        if not sent:
            return
        instrument = self.exchange.instruments[self.symbol]
        intent = sent[-1]
        tif = {"GTC": "FAS", "IOC": "FAK", "POST_ONLY": "SOK"}[intent.time_in_force.value]
        price = instrument.price(intent.price) if intent.price else None
        new = NewOrder(self.symbol, intent.side.value, intent.type.value, tif, instrument.size(intent.lots), price)
        self.watch.excess_lots += intent.lots
        try:
            with self.hands.by_hand():
                self.hands.place(self.account, new)
        except Refusal:
            return
        self._twin_due = True

    def _judge_halt(self) -> None:
        guards = self.process.daemon.guards if self.process is not None else None
        reason = guards.halt_reason if guards is not None else None
        self.outcome.halted = reason
        may_halt = self._twin_due or self.case.hidden_seconds > DELAY_SECONDS
        if reason is not None and not may_halt:
            raise Violation(f"halted ({reason}) within the visibility delay")

    def _one_order_each(self) -> None:
        with closing(sqlite3.connect(self.var / "state" / "gmobot.db")) as db:
            owners = Counter(row[0] for row in db.execute("SELECT order_id FROM intents WHERE order_id IS NOT NULL"))
            unknown = db.execute("SELECT COUNT(*) FROM intents WHERE state IN ('intent', 'unknown')").fetchone()[0]
        if any(count > 1 for count in owners.values()):
            raise Violation("an order has two intents")
        if unknown and self.outcome.halted is None:
            raise Violation(f"{unknown} outcomes are unknown and nobody was called")
        strays = [n for n in self.account.orders if n not in owners and n not in self.hands.orders and self.account.orders[n].executed]
        if strays and self.outcome.halted is None:
            raise Violation(f"orders {strays} are nobody's and nobody was called")


def play(number: int) -> Outcome:
    """Play one case on a loop of its own."""
    loop = VirtualLoop(number)
    asyncio.set_event_loop(loop)
    trial = Trial(Case.drawn(number), loop)
    try:
        return loop.run_until_complete(trial.trial())
    except Violation as violation:
        trial.outcome.trouble = f"{trial.case}: {violation}"
        return trial.outcome
    finally:
        loop.on_step = None
        trial.close()
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        if pending:
            loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        asyncio.set_event_loop(None)
        loop.close()


def silent(number: int) -> Outcome:
    """Play one case without a word."""
    import logging

    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    return play(number)


def main() -> int:
    """Play cases until enough were struck; exit code 1 when one fails."""
    parser = argparse.ArgumentParser(prog="tests.simulation.lost_replies")
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    started, struck, halted, troubles, seconds = time.monotonic(), 0, Counter[str](), list[str](), list[float]()
    kinds = Counter[str]()
    with ProcessPoolExecutor(options.jobs) as pool:
        number = options.first
        while struck < options.cases:
            batch = [pool.submit(silent, n) for n in range(number, number + min(400, 2 * (options.cases - struck) + 10))]
            number += len(batch)
            for future in as_completed(batch):
                outcome = future.result()
                case = Case.drawn(outcome.number)
                if outcome.trouble:
                    troubles.append(outcome.trouble)
                if outcome.struck:
                    struck += 1
                    kinds[f"{case.product} {case.path} {case.loss.value}"] += 1
                    seconds += outcome.resolved_seconds if case.hidden_seconds <= DELAY_SECONDS and not case.twin else []
                    if outcome.halted is not None:
                        halted["twin" if case.twin else "beyond the delay"] += 1
            sys.stdout.write(f"{struck} cases, {len(troubles)} failed, {time.monotonic() - started:.0f} s\n")
            sys.stdout.flush()
    seconds.sort()
    shown = {f"p{share}": round(seconds[min(len(seconds) - 1, len(seconds) * share // 100)], 2) for share in (50, 90, 99, 100)}
    sys.stdout.write(f"{len(kinds)} kinds, fewest {min(kinds.values())}; halted: {dict(halted)}\n")
    sys.stdout.write(f"seconds from giving a reply up to knowing its outcome, {len(seconds)} of them: {shown}\n")
    for trouble in troubles[:10]:
        sys.stdout.write(f"FAILED {trouble}\n")
    sys.stdout.write("no violation\n" if not troubles else f"{len(troubles)} failed\n")
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
