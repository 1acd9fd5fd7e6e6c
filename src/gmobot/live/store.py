"""The daemon's own state: every effect in one transaction with its cause, durable before anything follows from it.

Everything an operator may ask about later is written to the audit outbox in the same transaction. While the
database cannot be written (full disk, foreign lock, I/O error) what reduces risk goes on: its effects go into the
emergency journal and wait, in order, until the database takes them, in this run or at the next start. What would
raise exposure is refused; decisions wait in memory, and after a crash their bars are simply fed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
import structlog

from gmobot.clock import NS_PER_SECOND, Clock, elapsed_ns
from gmobot.errors import StoreError
from gmobot.live import emergency, saved, statements
from gmobot.live.database import AuditSink, Connect, Database, UnwritableError, connect
from gmobot.live.emergency import EmergencyJournal
from gmobot.live.flows import Flow
from gmobot.live.intents import Fill, Intent, Latch
from gmobot.live.records import EngineRow, Event, JournalRow
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
    def intent(self) -> Intent: ...

    @property
    def fill(self) -> Fill: ...


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
        self._next_record = 1
        self._waiting: list[tuple[int | None, Batch]] = []
        self._tried_ns = 0
        self.trouble: str | None = None

    @property
    def audit_failure(self) -> str | None:
        """Why the audit log file is behind, or ``None``; the events themselves are safe in the outbox."""
        return self._database.audit_failure

    async def open(self) -> None:
        """Open or create the database, merge what an earlier run had to leave beside it, bring the audit log up to date.

        Raises:
            UnwritableError: Not now; open it again.
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

    async def begin_run(self, config_hash: str, events: Sequence[Event]) -> None:
        """Record the start of this run; a backup that was put back is told of with it."""
        batch = [statements.begin_run(self._run_id, config_hash, self._now()), ("DELETE FROM restored", ())]
        await self._commit(batch, events, Way.WAIT)

    async def journal(self, rows: Sequence[JournalRow], events: Sequence[Event] = ()) -> None:
        """Journal inputs of the core that have no effect of their own."""
        await self._commit(self._journaled(rows), events, Way.WAIT)

    async def end_run(self, reason: str, events: Sequence[Event]) -> None:
        """Record the clean end of this run."""
        await self._commit([statements.end_run(self._run_id, reason, self._now())], events, Way.WAIT)

    async def add_intent(self, draft: Intent, event: Callable[[Intent], Event]) -> Intent:
        """Commit an intent; when this returns it is on disk. The draft's id is replaced by a new one."""
        way = Way.REFUSE if draft.opens else Way.EMERGENCY

        def write() -> Intent:
            intent = msgspec.structs.replace(draft, intent_id=self._next_intent)
            row = JournalRow(kind="request", symbol=intent.symbol, payload=msgspec.json.encode(intent).decode())
            self._write([statements.insert_intent(intent), *self._journaled([row]), *self._told([event(intent)])], way)
            self._next_intent += 1
            return intent

        return await self._worker.run(write)

    async def update_intent(self, intent: Intent, events: Sequence[Event]) -> None:
        """Write an intent's new standing."""
        await self._commit(self._standing(intent), events)

    async def book(
        self, fill: Fill, intent: Intent, ledger: Mapping[str, int], account: Mapping[str, int], events: Sequence[Event]
    ) -> None:
        """Book one execution: the fill, its order's standing, the ledger, all or nothing."""
        batch = [*self._fill(fill), *self._standing(intent), statements.write_ledger(fill.symbol, ledger)]
        await self._commit([*batch, *statements.write_account(account)], events)

    async def save_decisions(self, engine: EngineRow, rows: Sequence[JournalRow], events: Sequence[Event]) -> None:
        """Journal bars with their decisions, and where the core stands after them."""
        await self._commit([statements.write_engine(engine), *self._journaled(rows)], events, Way.WAIT)

    async def save_account(self, account: Mapping[str, int], events: Sequence[Event] = ()) -> None:
        """Write account-wide numbers: base cash, peak, day start."""
        await self._commit(statements.write_account(account), events)

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
                number = self._next_intent
                batch.append(statements.insert_intent(msgspec.structs.replace(write_off.intent, intent_id=number)))
                # No exchange counts executions below zero.
                batch += self._fill(msgspec.structs.replace(write_off.fill, execution_id=-number, intent_id=number))
            batch += self._journaled([JournalRow(kind="cash_flow", symbol=flow.symbol, payload=msgspec.json.encode(flow).decode())])
            self._write([*batch, *self._told(events)], Way.EMERGENCY)
            self._next_intent += write_off is not None

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
        await self._commit([statements.set_latch(name, reason, self._now())], events)

    async def unlatch(self, names: Iterable[Latch], events: Sequence[Event]) -> None:
        """Take latches back."""
        await self._commit(statements.release_latches(names), events)

    async def add_foreign(self, order_id: int, symbol: str, event: Event) -> None:
        """Remember an order that is not ours."""
        await self._commit([statements.insert_foreign(order_id, symbol, self._now())], [event])

    async def emit(self, events: Sequence[Event]) -> None:
        """Write audit events that have no other effect."""
        await self._commit([], events)

    async def prune(self, *, journal_days: float) -> int:
        """Let go of a little of what is too old to be kept. Returns how many rows went; 0 when nothing is left to do."""
        before_ns = self._now() - int(journal_days * 86_400 * NS_PER_SECOND)
        return await self._worker.run(lambda: 0 if self.trouble else self._database.prune(before_ns))

    # --- on the writer --------------------------------------------------------------------------------

    def _now(self) -> int:
        return self._clock.now_ns()

    def _told(self, events: Sequence[Event]) -> Batch:
        return statements.insert_events(events, self._run_id, self._now())

    def _journaled(self, rows: Sequence[JournalRow]) -> Batch:
        return statements.insert_journal(rows, self._run_id, self._now())

    def _standing(self, intent: Intent) -> Batch:
        names = ("intent_id", "state", "order_id", "executed_lots", "price", "amending_to", "detail")
        payload = msgspec.json.encode({name: getattr(intent, name) for name in names}).decode()
        return [statements.update_intent(intent), *self._journaled([JournalRow(kind="order", symbol=intent.symbol, payload=payload)])]

    def _fill(self, fill: Fill) -> Batch:
        row = JournalRow(kind="fill", symbol=fill.symbol, payload=msgspec.json.encode(fill).decode())
        return [statements.insert_fill(fill, self._now()), *self._journaled([row])]

    async def _commit(self, batch: Sequence[statements.Statement], events: Sequence[Event], way: Way = Way.EMERGENCY) -> None:
        await self._worker.run(lambda: self._write([*batch, *self._told(events)], way))

    async def _read(self, ask: Callable[..., T]) -> T:
        return await self._worker.run(lambda: self._database.read(ask))

    def _write(self, batch: Batch, way: Way) -> None:
        try:
            if self.trouble is None:
                self._database.apply([batch])
            else:
                self._merge(batch)
        except UnwritableError as error:
            self._stand_in(batch, way, error)

    def _merge(self, batch: Batch) -> None:
        """Write what waits and ``batch`` after it, at most once a second."""
        now = elapsed_ns(self._clock)
        if now - self._tried_ns < _RETRY_NS:
            raise UnwritableError(self.trouble or "")
        self._tried_ns = now
        self._database.reopen()
        self._apply_waiting([batch])
        log.info("the state database can be written again", merged=len(self._waiting))
        self._waiting.clear()
        self.trouble = None

    def _apply_waiting(self, more: Sequence[Batch]) -> None:
        numbers = [number for number, _ in self._waiting if number is not None]
        merged: Batch = [("UPDATE emergency SET merged = ?", (numbers[-1],))] if numbers else []
        self._database.apply([*(batch for _, batch in self._waiting), merged, *more])
        if numbers:
            self._journal.clear()

    def _stand_in(self, batch: Batch, way: Way, error: UnwritableError) -> None:
        if self.trouble is None:
            log.error("the state database cannot be written: exits only, into the emergency journal", error=str(error))
            self.trouble, self._tried_ns = str(error), elapsed_ns(self._clock)
        if way is Way.REFUSE:
            raise error
        number = None
        if way is Way.EMERGENCY and batch:
            number = self._next_record
            self._journal.append(number, batch)
            self._next_record += 1
        self._waiting.append((number, batch))
        if len(self._waiting) > _MOST_WAITING:
            self._waiting = [kept for kept in self._waiting if kept[0] is not None] + self._waiting[-1:]

    def _open(self) -> None:
        self._journal.close()
        self._database.open()
        merged = self._database.read(lambda db: int(db.execute("SELECT merged FROM emergency").fetchone()[0]))
        records = self._journal.open()
        self._waiting = [record for record in records if record[0] > merged]
        if self._waiting:
            self._apply_waiting([])
            log.warning("the emergency journal of an earlier run was merged", records=len(self._waiting))
            self._waiting.clear()
        self._next_record = max([merged, *(number for number, _ in records)]) + 1
        self._next_intent = self._database.read(_next_intent)

    def _close(self) -> None:
        if self._waiting:
            try:
                self._tried_ns = elapsed_ns(self._clock) - _RETRY_NS
                self._merge([])
            except StoreError as error:
                log.error("the state database still cannot be written; the emergency journal keeps what matters", error=str(error))
        self._database.close()
        self._journal.close()


def _next_intent(db: object) -> int:
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'intents'").fetchone()  # type: ignore[attr-defined]
    return int(row[0]) + 1 if row else 1
