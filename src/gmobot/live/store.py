"""The daemon's own state: one SQLite file, one writer, every effect in one transaction with its cause.

``synchronous=FULL`` in WAL mode fsyncs each commit, so that an intent is on disk before its request
leaves. Everything an operator may ask about later is written to the audit outbox in the same
transaction and copied to the log file after it; after a crash the copy continues where the file ends.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from gmobot.clock import Clock
from gmobot.errors import StoreError
from gmobot.live import schema
from gmobot.live.flows import Flow
from gmobot.live.intents import Fill, Intent, IntentState, Latch
from gmobot.live.positions import Piece
from gmobot.live.workers import Worker

T = TypeVar("T")
_OUTBOX_BATCH = 500
_OUTBOX_KEPT = 20_000
_ABSENT_KEPT = 100
ABSENT = "absent: not found after the visibility delay"
"""Detail of an intent whose absence was concluded."""
_PIECES = """
SELECT f.symbol, f.position_id, MAX(CASE WHEN i.purpose = 'entry' THEN f.side END) AS side,
    SUM(CASE WHEN i.purpose = 'entry' THEN f.lots ELSE -f.lots END) AS lots, MAX(i.losscut) AS losscut
FROM fills AS f JOIN intents AS i USING (intent_id) WHERE f.position_id IS NOT NULL
GROUP BY f.symbol, f.position_id HAVING SUM(CASE WHEN i.purpose = 'entry' THEN f.lots ELSE -f.lots END) > 0
ORDER BY f.position_id
"""


class WroteOff(Protocol):
    """What was written off our position, as the store needs it. Its numbers are given when it is written."""

    @property
    def intent(self) -> Intent: ...

    @property
    def fill(self) -> Fill: ...


class AuditSink(Protocol):
    """The audit log file, as the store needs it."""

    @property
    def last_seq(self) -> int:
        """Sequence number of the last whole line on disk, 0 for none."""
        ...

    def append(self, seq: int, ts_ns: int, run_id: str, event: str, fields: Mapping[str, Any]) -> None:
        """Write one event; an event at or below ``last_seq`` is ignored."""
        ...


class Event(msgspec.Struct, frozen=True):
    """Something for the audit log."""

    name: str
    fields: dict[str, Any]


class EngineRow(msgspec.Struct, frozen=True, kw_only=True):
    """Where one symbol's decision core stands after its last bar."""

    symbol: str
    program: str
    bar_open_ns: int
    state: bytes
    desired: str


class JournalRow(msgspec.Struct, frozen=True, kw_only=True):
    """One input of the core, with what came of it."""

    kind: str
    symbol: str
    payload: str


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a restart needs."""

    open_intents: list[Intent]
    absent_intents: list[Intent]
    ledgers: dict[str, dict[str, int]]
    account: dict[str, int]
    engines: dict[str, EngineRow]
    latches: dict[Latch, str]
    foreign_orders: set[int]
    known_orders: set[int]
    known_executions: set[int]
    known_flows: set[str]
    used_decisions: set[tuple[str, int, int]]
    pieces: list[Piece]
    counts: dict[str, int]
    unfinished_run: str | None


class Store:
    """The state database. Every method is one transaction; all of them run on the one writer.

    Raises:
        StoreError: From every method, when the disk refuses; nothing of that transaction is kept.
    """

    def __init__(self, path: Path, *, audit: AuditSink, run_id: str, clock: Clock, worker: Worker) -> None:
        self._path = path
        self._audit = audit
        self._run_id = run_id
        self._clock = clock
        self._worker = worker
        self._connection: sqlite3.Connection | None = None
        self.audit_failure: str | None = None
        """Why the audit log file is behind, or ``None``; the events themselves are safe in the outbox."""

    async def open(self) -> None:
        """Open or create the database and bring the audit log up to date."""
        await self._worker.run(self._open)

    async def close(self) -> None:
        """Finish what is queued and close the file."""
        await self._worker.run(self._close)

    def abandon(self) -> None:
        """Let go of the file without finishing anything, as a killed process does."""
        self._close()

    async def load(self) -> Saved:
        """Read what the last run left."""
        return await self._transact(_load)

    async def begin_run(self, config_hash: str, events: Sequence[Event]) -> None:
        """Record the start of this run."""

        def change(db: sqlite3.Connection) -> None:
            db.execute("INSERT INTO runs (run_id, config_hash, started_ns) VALUES (?, ?, ?)", (self._run_id, config_hash, self._now()))

        await self._transact(change, events)

    async def end_run(self, reason: str, events: Sequence[Event]) -> None:
        """Record the clean end of this run."""

        def change(db: sqlite3.Connection) -> None:
            db.execute("UPDATE runs SET ended_ns = ?, stop_reason = ? WHERE run_id = ?", (self._now(), reason, self._run_id))

        await self._transact(change, events)

    async def add_intent(self, draft: Intent, event: Callable[[Intent], Event]) -> Intent:
        """Commit an intent; when this returns it is on disk. The draft's id is replaced by a new one."""

        def change(db: sqlite3.Connection) -> Intent:
            intent = msgspec.structs.replace(draft, intent_id=_insert_intent(db, draft))
            self._emit(db, [event(intent)])
            return intent

        return await self._transact(change)

    async def update_intent(self, intent: Intent, events: Sequence[Event]) -> None:
        """Write an intent's new standing."""
        await self._transact(lambda db: _write_intent(db, intent), events)

    async def book(
        self, fill: Fill, intent: Intent, ledger: Mapping[str, int], account: Mapping[str, int], events: Sequence[Event]
    ) -> None:
        """Book one execution: the fill, its order's standing, the ledger, all or nothing."""

        def change(db: sqlite3.Connection) -> None:
            self._insert_fill(db, fill)
            _write_intent(db, intent)
            _write_ledger(db, fill.symbol, ledger)
            _write_account(db, account)

        await self._transact(change, events)

    def _insert_fill(self, db: sqlite3.Connection, fill: Fill) -> None:
        values = msgspec.to_builtins(fill) | {"booked_ns": self._now()}
        db.execute(f"INSERT INTO fills ({', '.join(values)}) VALUES ({_marks(values)})", tuple(values.values()))  # noqa: S608
        self._journal(db, [JournalRow(kind="fill", symbol=fill.symbol, payload=msgspec.json.encode(fill).decode())])

    async def save_decisions(self, engine: EngineRow, rows: Sequence[JournalRow], events: Sequence[Event]) -> None:
        """Journal bars with their decisions, and where the core stands after them."""

        def change(db: sqlite3.Connection) -> None:
            values = msgspec.structs.asdict(engine)
            db.execute(f"INSERT OR REPLACE INTO engines ({', '.join(values)}) VALUES ({_marks(values)})", tuple(values.values()))  # noqa: S608
            self._journal(db, rows)

        await self._transact(change, events)

    async def save_account(self, account: Mapping[str, int], events: Sequence[Event] = ()) -> None:
        """Write account-wide numbers: base cash, peak, day start."""
        await self._transact(lambda db: _write_account(db, account), events)

    async def take_flow(
        self,
        flow: Flow,
        account: Mapping[str, int],
        ledgers: Mapping[str, Mapping[str, int]],
        write_off: WroteOff | None,
        events: Sequence[Event],
    ) -> None:
        """Book something that came or went: the flow, the account, ledgers, and what was written off, all or nothing."""

        def change(db: sqlite3.Connection) -> None:
            values = (flow.key, flow.kind, flow.asset, str(flow.amount), flow.yen_uyen, flow.symbol, flow.at_ns, flow.evidence, self._now())
            db.execute(f"INSERT INTO cash_flows VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608
            if write_off is not None:
                intent_id = _insert_intent(db, write_off.intent)
                # No exchange counts executions below zero.
                fill = msgspec.structs.replace(write_off.fill, execution_id=-intent_id, intent_id=intent_id)
                self._insert_fill(db, fill)
            for symbol, ledger in ledgers.items():
                _write_ledger(db, symbol, ledger)
            _write_account(db, account)
            self._journal(db, [JournalRow(kind="cash_flow", symbol=flow.symbol, payload=msgspec.json.encode(flow).decode())])

        await self._transact(change, events)

    async def own_positions(self) -> dict[int, str]:
        """Return the leverage positions that are or were ours, with their symbols."""
        query = "SELECT DISTINCT position_id, symbol FROM fills WHERE position_id IS NOT NULL"
        return await self._transact(lambda db: {row[0]: row[1] for row in db.execute(query)})

    async def positions_at(self, at_ns: int) -> dict[str, int]:
        """Return the lots that were held of each symbol at a moment, by what had filled before."""
        query = "SELECT symbol, SUM(CASE side WHEN 'BUY' THEN lots ELSE -lots END) FROM fills WHERE at_ns < ? GROUP BY symbol"
        return await self._transact(lambda db: {row[0]: row[1] for row in db.execute(query, (at_ns,))})

    async def latch(self, name: Latch, reason: str, events: Sequence[Event]) -> None:
        """Set a latch."""

        def change(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR REPLACE INTO latches VALUES (?, ?, ?)", (name.value, reason, self._now()))

        await self._transact(change, events)

    async def unlatch(self, names: Iterable[Latch], events: Sequence[Event]) -> None:
        """Take latches back."""

        def change(db: sqlite3.Connection) -> None:
            db.executemany("DELETE FROM latches WHERE name = ?", [(name.value,) for name in names])

        await self._transact(change, events)

    async def add_foreign(self, order_id: int, symbol: str, event: Event) -> None:
        """Remember an order that is not ours."""

        def change(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR IGNORE INTO foreign_orders VALUES (?, ?, ?)", (order_id, symbol, self._now()))

        await self._transact(change, [event])

    async def emit(self, events: Sequence[Event]) -> None:
        """Write audit events that have no other effect."""
        await self._transact(lambda _: None, events)

    def _now(self) -> int:
        return self._clock.now_ns()

    async def _transact(self, change: Callable[[sqlite3.Connection], T], events: Sequence[Event] = ()) -> T:
        def work() -> T:
            db = self._connection
            if db is None:
                raise StoreError(f"{self._path} is not open")
            try:
                with db:
                    db.execute("BEGIN IMMEDIATE")
                    result = change(db)
                    self._emit(db, events)
            except sqlite3.Error as error:
                raise StoreError(f"{self._path}: {error}") from error
            self._drain(db)
            return result

        return await self._worker.run(work)

    def _emit(self, db: sqlite3.Connection, events: Sequence[Event]) -> None:
        now = self._now()
        db.executemany(
            "INSERT INTO audit (ts_ns, run_id, event, fields) VALUES (?, ?, ?, ?)",
            [(now, self._run_id, event.name, json.dumps(event.fields, ensure_ascii=False)) for event in events],
        )

    def _journal(self, db: sqlite3.Connection, rows: Sequence[JournalRow]) -> None:
        now = self._now()
        db.executemany(
            "INSERT INTO journal (run_id, at_ns, kind, symbol, payload) VALUES (?, ?, ?, ?, ?)",
            [(self._run_id, now, row.kind, row.symbol, row.payload) for row in rows],
        )

    def _drain(self, db: sqlite3.Connection) -> None:
        """Copy committed events to the log file, in order, from where the file ends.

        What cannot be copied now stays in the outbox: the effect it tells of is committed already.
        """
        try:
            self._copy(db)
            self.audit_failure = None
        except (sqlite3.Error, OSError) as error:
            self.audit_failure = str(error)

    def _copy(self, db: sqlite3.Connection) -> None:
        while True:
            rows = db.execute(
                "SELECT seq, ts_ns, run_id, event, fields FROM audit WHERE seq > ? ORDER BY seq LIMIT ?",
                (self._audit.last_seq, _OUTBOX_BATCH),
            ).fetchall()
            for seq, ts_ns, run_id, event, fields in rows:
                self._audit.append(seq, ts_ns, run_id, event, json.loads(fields))
            if len(rows) < _OUTBOX_BATCH:
                return

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=5.0)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA foreign_keys = ON")
            self._migrate(db)
            _number_on(db, self._audit.last_seq)
            db.execute("DELETE FROM audit WHERE seq <= ? - ?", (self._audit.last_seq, _OUTBOX_KEPT))
            self._drain(db)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self._path}: {error}") from error
        self._connection = db

    def _migrate(self, db: sqlite3.Connection) -> None:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > schema.VERSION:
            raise StoreError(
                f"{self._path} was written by a newer gmobot (schema {version}, this one knows {schema.VERSION}); run that version again"
            )
        for step in schema.STEPS[version:]:
            db.executescript(f"BEGIN IMMEDIATE;{step.sql}PRAGMA user_version = {step.version};COMMIT;")

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _number_on(db: sqlite3.Connection, last_seq: int) -> None:
    """Number events on from the log file: of a new database beside an old log, it would take the first ones for copies."""
    db.execute("INSERT INTO sqlite_sequence SELECT 'audit', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'audit')")
    db.execute("UPDATE sqlite_sequence SET seq = MAX(seq, ?) WHERE name = 'audit'", (last_seq,))


def _marks(values: Mapping[str, object]) -> str:
    return ", ".join("?" * len(values))


def _row_id(cursor: sqlite3.Cursor) -> int:
    if cursor.lastrowid is None:
        raise StoreError("the database gave no row id")
    return cursor.lastrowid


def _insert_intent(db: sqlite3.Connection, draft: Intent) -> int:
    values = msgspec.to_builtins(draft)
    del values["intent_id"]
    cursor = db.execute(f"INSERT INTO intents ({', '.join(values)}) VALUES ({_marks(values)})", tuple(values.values()))  # noqa: S608
    return _row_id(cursor)


def _write_intent(db: sqlite3.Connection, intent: Intent) -> None:
    db.execute(
        "UPDATE intents SET state = ?, price = ?, amending_to = ?, order_id = ?, executed_lots = ?, unknown_since_ns = ?, detail = ?, "
        "updated_ns = ? WHERE intent_id = ?",
        (
            intent.state.value,
            intent.price,
            intent.amending_to,
            intent.order_id,
            intent.executed_lots,
            intent.unknown_since_ns,
            intent.detail,
            intent.updated_ns,
            intent.intent_id,
        ),
    )


def _write_ledger(db: sqlite3.Connection, symbol: str, ledger: Mapping[str, int]) -> None:
    db.execute("INSERT OR REPLACE INTO ledgers VALUES (?, ?)", (symbol, json.dumps(ledger)))


def _write_account(db: sqlite3.Connection, account: Mapping[str, int]) -> None:
    db.executemany("INSERT OR REPLACE INTO account VALUES (?, ?)", list(account.items()))


def _load(db: sqlite3.Connection) -> Saved:
    finals = [state.value for state in IntentState if state.is_final]
    db.row_factory = sqlite3.Row
    try:
        intents = db.execute(f"SELECT * FROM intents WHERE state NOT IN ({', '.join('?' * len(finals))})", finals).fetchall()  # noqa: S608
        absent = db.execute(
            "SELECT * FROM (SELECT * FROM intents WHERE state = 'rejected' AND detail = ? ORDER BY intent_id DESC LIMIT ?) "
            "ORDER BY intent_id",
            (ABSENT, _ABSENT_KEPT),
        ).fetchall()
        engines = [msgspec.convert(dict(row), EngineRow) for row in db.execute("SELECT * FROM engines")]
        unfinished = db.execute("SELECT run_id FROM runs ORDER BY started_ns DESC LIMIT 1").fetchone()
        ended = db.execute(
            "SELECT 1 FROM runs WHERE run_id = ? AND ended_ns IS NOT NULL", (unfinished[0] if unfinished else "",)
        ).fetchone()
        return Saved(
            open_intents=[msgspec.convert(dict(row), Intent) for row in intents],
            absent_intents=[msgspec.convert(dict(row), Intent) for row in absent],
            ledgers={row[0]: json.loads(row[1]) for row in db.execute("SELECT symbol, record FROM ledgers")},
            account={row[0]: row[1] for row in db.execute("SELECT key, value FROM account")},
            engines={engine.symbol: engine for engine in engines},
            latches={Latch(row[0]): row[1] for row in db.execute("SELECT name, reason FROM latches")},
            foreign_orders={row[0] for row in db.execute("SELECT order_id FROM foreign_orders")},
            known_orders={row[0] for row in db.execute("SELECT order_id FROM intents WHERE order_id IS NOT NULL")},
            known_executions={row[0] for row in db.execute("SELECT execution_id FROM fills")},
            known_flows={row[0] for row in db.execute("SELECT key FROM cash_flows")},
            used_decisions={
                (row[0], row[1], row[2])
                for row in db.execute(
                    "SELECT symbol, decision_id, SUM(lots) FROM intents AS i WHERE purpose = 'entry' AND decision_id = "
                    "(SELECT MAX(decision_id) FROM intents WHERE purpose = 'entry' AND symbol = i.symbol) GROUP BY symbol, decision_id"
                )
            },
            pieces=[msgspec.convert(dict(row), Piece) for row in db.execute(_PIECES)],
            counts={
                "orders": db.execute("SELECT COUNT(*) FROM intents").fetchone()[0],
                "fills": db.execute("SELECT COUNT(*) FROM fills").fetchone()[0],
            },
            unfinished_run=unfinished[0] if unfinished and not ended else None,
        )
    finally:
        db.row_factory = None
