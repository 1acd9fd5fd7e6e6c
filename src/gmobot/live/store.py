"""The daemon's own state: every effect in one transaction with its cause, durable before anything follows from it.

Everything an operator may ask about later is written to the audit outbox in the same transaction. While the
database cannot be written (full disk, foreign lock, I/O error) what reduces risk goes on: its effects go into the
emergency journal and wait, in order, until the database takes them, in this run or at the next start. What would
raise exposure is refused; decisions wait in memory, and after a crash their bars are simply fed again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
import structlog

from gmobot.clock import NS_PER_SECOND, Clock, elapsed_ns
from gmobot.errors import StoreError
from gmobot.live import emergency, saved, statements
from gmobot.live.database import AuditSink, Connect, Database, Numbered, UnwritableError, connect
from gmobot.live.emergency import EmergencyJournal
from gmobot.live.flows import Flow
from gmobot.live.intents import Fill, Intent, IntentState, Latch
from gmobot.live.records import ClosedDay, EngineRow, Event, JournalRow
from gmobot.live.saved import Saved
from gmobot.live.statements import Batch
from gmobot.live.workers import Worker

T = TypeVar("T")
_RETRY_NS = NS_PER_SECOND
_MOST_WAITING = 50_000
"""Batches that wait in memory for the database; beyond it the oldest decisions are let go."""
log = structlog.get_logger("gmobot.store")


class Way(Enum):
    """What becomes of an effect while the database cannot be written."""

    REFUSE = "refuse"
    """It raises exposure: it must not happen."""
    EMERGENCY = "emergency"
    """It goes into the emergency journal."""
    WAIT = "wait"
    """It waits in memory, and may be lost with it."""


class WroteOff(Protocol):
    """What was written off our position, as the store needs it. Its numbers are given when it is written."""

    @property
    def intent(self) -> Intent:
        """The order it is kept as."""

    @property
    def fill(self) -> Fill:
        """What filled of it: all."""


class Store:
    """The state database and what stands in for it. Every method is one transaction; all of them run on the one writer.

    Attributes:
        trouble: Why the database cannot be written now, ``None`` while it can.

    Raises:
        StoreError: From every method, when an effect could be kept nowhere; nothing of that transaction is kept.
    """

    def __init__(self, path: Path, *, audit: AuditSink, run_id: str, clock: Clock, worker: Worker, connect: Connect = connect) -> None:
        self._database = Database(path, audit, connect=connect)
        self._journal = EmergencyJournal(path.with_name(emergency.NAME))
        self._run_id = run_id
        self._clock = clock
        self._worker = worker
        self._next_intent = 1
        self._next_number = 1
        self._waiting: list[Numbered] = []
        self._kept: set[int] = set()
        self._tried_ns = 0
        self.trouble: str | None = None

    @property
    def audit_failure(self) -> str | None:
        """Why the audit log file is behind, or ``None``; the events themselves are safe in the outbox."""
        return self._database.audit_failure

    async def open(self) -> None:
        """Open or create the database, merge what an earlier run had to leave beside it, bring the audit log up to date.

        One that can be read and not written is opened too, with :attr:`trouble`: what we own can be closed.

        Raises:
            UnwritableError: It cannot even be read now; open it again.
        """
        await self._worker.run(self._open)

    async def close(self) -> None:
        """Finish what is queued and close the files."""
        await self._worker.run(self._close)

    def abandon(self) -> None:
        """Let go of the files without finishing anything, as a killed process does."""
        self._database.close()
        self._journal.close()

    async def load(self) -> Saved:
        """Read what the last run left."""
        return await self._read(saved.load)

    async def begin_run(self, config_hash: str, events: Sequence[Event], *, tells_of_restore: bool = False) -> None:
        """Record the start of this run; once its events tell of a backup that was put back, none needs to any more."""
        batch = [statements.begin_run(self._run_id, config_hash, self._now())]
        told: Batch = [("DELETE FROM restored", ())] if tells_of_restore else []
        await self._commit([*batch, *told], events, Way.WAIT)

    async def end_run(self, reason: str, events: Sequence[Event]) -> None:
        """Record the clean end of this run."""
        await self._commit([statements.end_run(self._run_id, reason, self._now())], events, Way.WAIT)

    async def add_intent(self, draft: Intent, event: Callable[[Intent], Event], *, request: str = "") -> Intent:
        """Commit an intent; when this returns it is on disk. The draft's id is replaced by a new one.

        Args:
            draft: What is meant.
            event: What the audit log is told of it.
            request: The request in which it is about to leave, as JSON.
        """
        way = Way.REFUSE if draft.opens else Way.EMERGENCY

        def write() -> Intent:
            intent = msgspec.structs.replace(draft, intent_id=self._numbered())
            rows = [JournalRow(kind="request", symbol=intent.symbol, payload=request, ref=intent.intent_id)] if request else []
            batch = [statements.insert_intent(intent), *self._journaled([*rows, _standing(intent)]), *self._told([event(intent)])]
            try:
                self._write(batch, way)
            except UnwritableError as error:
                self._withdraw(intent, event(intent), str(error))
                raise
            return intent

        return await self._worker.run(write)

    async def update_intent(self, intent: Intent, events: Sequence[Event], rows: Sequence[JournalRow] = ()) -> None:
        """Write an intent's new standing."""
        await self._commit([*self._journaled([*rows, _standing(intent)]), statements.update_intent(intent)], events)

    async def book(
        self, fill: Fill, intent: Intent, ledger: Mapping[str, int], events: Sequence[Event], rows: Sequence[JournalRow] = ()
    ) -> None:
        """Book one execution: the fill, its order's standing, the ledger, all or nothing."""
        batch = [*self._journaled([*rows, _standing(intent)]), *self._fill(fill), statements.update_intent(intent)]
        await self._commit([*batch, statements.write_ledger(fill.symbol, ledger)], events)

    async def save_decisions(self, engine: EngineRow, rows: Sequence[JournalRow], events: Sequence[Event]) -> None:
        """Journal bars with their decisions, and where the core stands after them."""
        await self._commit([statements.write_engine(engine), *self._journaled(rows)], events, Way.WAIT)

    async def save_account(self, account: Mapping[str, int], events: Sequence[Event] = (), *, anew: bool = False) -> None:
        """Write account-wide numbers: base cash, peak, day start.

        Args:
            account: The numbers.
            events: For the audit log.
            anew: Whether they are another account's: none of those that were kept stays.
        """
        forgotten = [statements.forget_account()] if anew else []
        await self._commit([*forgotten, *statements.write_account(account)], events)

    async def close_day(self, day: ClosedDay, account: Mapping[str, int]) -> None:
        """Write what a trading day left behind, with the numbers the next one begins with."""
        await self._commit([statements.close_day(day), *statements.write_account(account)], [])

    async def keep_notified(self, batch: Batch, events: Sequence[Event] = ()) -> None:
        """Write how far people were told: nothing follows from it, so it may wait."""
        await self._commit(batch, events, Way.WAIT)

    async def take_flow(
        self,
        flow: Flow,
        account: Mapping[str, int],
        ledgers: Mapping[str, Mapping[str, int]],
        write_off: WroteOff | None,
        events: Sequence[Event],
    ) -> None:
        """Book something that came or went: the flow, the account, ledgers, and what was written off, all or nothing."""

        def write() -> None:
            batch = [statements.insert_flow(flow, self._now()), *statements.write_account(account)]
            batch += [statements.write_ledger(symbol, ledger) for symbol, ledger in ledgers.items()]
            if write_off is not None:
                number = self._numbered()
                batch.append(statements.insert_intent(msgspec.structs.replace(write_off.intent, intent_id=number)))
                # No exchange counts executions below zero.
                batch += self._fill(msgspec.structs.replace(write_off.fill, execution_id=-number, intent_id=number))
            batch += self._journaled([JournalRow(kind="cash_flow", symbol=flow.symbol, payload=msgspec.json.encode(flow).decode())])
            self._write([*batch, *self._told(events)], Way.EMERGENCY)

        await self._worker.run(write)

    async def own_positions(self) -> dict[int, str]:
        """Return the leverage positions that are or were ours, with their symbols."""
        query = "SELECT DISTINCT position_id, symbol FROM fills WHERE position_id IS NOT NULL"
        return await self._read(lambda db: {row[0]: row[1] for row in db.execute(query)})

    async def positions_at(self, at_ns: int) -> dict[str, int]:
        """Return the lots that were held of each symbol at a moment, by what had filled before."""
        query = "SELECT symbol, SUM(CASE side WHEN 'BUY' THEN lots ELSE -lots END) FROM fills WHERE at_ns < ? GROUP BY symbol"
        return await self._read(lambda db: {row[0]: row[1] for row in db.execute(query, (at_ns,))})

    async def latch(self, name: Latch, reason: str, events: Sequence[Event]) -> None:
        """Set a latch."""
        row = self._commanded(f"{name.value}: {reason}")
        await self._commit([statements.set_latch(name, reason, self._now()), *row], events)

    async def unlatch(self, names: Sequence[Latch], events: Sequence[Event]) -> None:
        """Take latches back."""
        row = self._commanded(f"released: {', '.join(names)}")
        await self._commit([*statements.release_latches(names), *row], events)

    async def add_foreign(self, order_id: int, symbol: str, event: Event) -> None:
        """Remember an order that is not ours."""
        await self._commit([statements.insert_foreign(order_id, symbol, self._now())], [event])

    async def emit(self, events: Sequence[Event]) -> None:
        """Write audit events that have no other effect."""
        await self._commit([], events)

    async def prune(self, *, journal_days: float) -> int:
        """Let go of a little of what is too old to be kept. Returns how many rows were looked at; 0 when nothing is left to do."""
        before_ns = self._now() - int(journal_days * 86_400 * NS_PER_SECOND)

        def prune() -> int:
            try:
                return 0 if self.trouble else self._database.prune(before_ns)
            except UnwritableError as error:
                # Nothing is lost by that: whatever must be written finds out for itself.
                log.warning("nothing could be let go", error=str(error))
                return 0

        return await self._worker.run(prune)

    # --- on the writer --------------------------------------------------------------------------------

    def _now(self) -> int:
        return self._clock.now_ns()

    def _numbered(self) -> int:
        """Return the number of a new intent. One whose commit failed is not given again: it may turn out to be in the file."""
        self._next_intent += 1
        return self._next_intent - 1

    def _told(self, events: Sequence[Event]) -> Batch:
        return statements.insert_events(events, self._run_id, self._now())

    def _journaled(self, rows: Sequence[JournalRow]) -> Batch:
        return statements.insert_journal(rows, self._run_id, self._now())

    def _commanded(self, text: str) -> Batch:
        return self._journaled([JournalRow(kind="latch", symbol="", payload=msgspec.json.encode(text).decode())])

    def _fill(self, fill: Fill) -> Batch:
        row = JournalRow(kind="fill", symbol=fill.symbol, payload=msgspec.json.encode(fill).decode(), ref=fill.intent_id)
        return [statements.insert_fill(fill, self._now()), *self._journaled([row])]

    async def _commit(self, batch: Sequence[statements.Statement], events: Sequence[Event], way: Way = Way.EMERGENCY) -> None:
        await self._worker.run(lambda: self._write([*batch, *self._told(events)], way))

    async def _read(self, ask: Callable[..., T]) -> T:
        return await self._worker.run(lambda: self._database.read(ask, self._waiting))

    def _write(self, batch: Batch, way: Way) -> None:
        mine = (self._next_number, batch)
        try:
            if self.trouble is None:
                self._database.apply([mine])
            else:
                self._merge([mine])
        except UnwritableError as error:
            self._stand_in(mine, way, error)
        finally:
            self._next_number += 1

    def _withdraw(self, intent: Intent, event: Event, why: str) -> None:
        """It is not sent. Its commit failed and may turn out to be in the file all the same, where it is not to stay unknown."""
        refused = msgspec.structs.replace(intent, state=IntentState.REJECTED, detail=f"not sent: {why}", updated_ns=self._now())
        rejected = Event("order_rejected", event.fields | {"state": refused.state.value, "detail": refused.detail})
        batch = [*self._journaled([_standing(refused)]), statements.update_intent(refused), *self._told([rejected])]
        self._waiting.append((self._next_number, batch))
        self._next_number += 1

    def _merge(self, more: Sequence[Numbered]) -> None:
        """Write what waits and ``more`` after it, at most once a second."""
        now = elapsed_ns(self._clock)
        if now - self._tried_ns < _RETRY_NS:
            raise UnwritableError(self.trouble or "")
        self._tried_ns = now
        self._database.reopen()
        self._apply_waiting(more)
        log.info("the state database can be written again")

    def _apply_waiting(self, more: Sequence[Numbered]) -> None:
        self._database.apply([*self._waiting, *more])
        log.info("what waited for the state database is in it", batches=len(self._waiting))
        self._waiting.clear()
        self._kept.clear()
        self.trouble = None
        try:
            self._journal.clear()
        except StoreError as error:
            log.warning("the emergency journal could not be cleared; what is in it is known to be merged", error=str(error))

    def _stand_in(self, mine: Numbered, way: Way, error: UnwritableError) -> None:
        self._in_trouble(error)
        if way is Way.REFUSE:
            raise error
        if way is Way.EMERGENCY and mine[1]:
            self._journal.append(*mine)
            self._kept.add(mine[0])
        self._waiting.append(mine)
        if len(self._waiting) > _MOST_WAITING:
            self._waiting = [batch for batch in self._waiting if batch[0] in self._kept] + [mine] * (mine[0] not in self._kept)

    def _in_trouble(self, error: UnwritableError) -> None:
        if self.trouble is None:
            log.error("the state database cannot be written: exits only, into the emergency journal", error=str(error))
            self.trouble, self._tried_ns = str(error), elapsed_ns(self._clock)

    def _open(self) -> None:
        self._journal.close()
        self._database.open()
        records, applied = self._journal.open(), self._database.applied()
        self._waiting = [record for record in records if record[0] > applied]
        self._kept = {number for number, _ in self._waiting}
        self._next_number = max([applied, *(number for number, _ in records)]) + 1
        self._next_intent = self._database.read(_next_intent, self._waiting)
        try:
            self._database.prepare()
            if self._waiting:
                self._apply_waiting([])
        except UnwritableError as error:
            # It can be read: what we own is known, and can be closed.
            self._in_trouble(error)

    def _close(self) -> None:
        if self._waiting:
            try:
                self._tried_ns = elapsed_ns(self._clock) - _RETRY_NS
                self._merge([])
            except StoreError as error:
                log.error("the state database still cannot be written; the emergency journal keeps what matters", error=str(error))
        self._database.close()
        self._journal.close()


def _standing(intent: Intent) -> JournalRow:
    """Return where an order stands from now on, for its story."""
    names = ("state", "order_id", "executed_lots", "price", "amending_to", "detail")
    payload = msgspec.json.encode({name: getattr(intent, name) for name in names}).decode()
    return JournalRow(kind="order", symbol=intent.symbol, payload=payload, ref=intent.intent_id)


def _next_intent(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'intents'").fetchone()
    return int(row[0]) + 1 if row else 1
