"""The store's effects as data: SQL with its values. What can be applied to the database now can be written down and applied later."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from gmobot.live.flows import Flow
from gmobot.live.intents import Fill, Intent, Latch
from gmobot.live.records import ClosedDay, EngineRow, Event, JournalRow

Value = int | float | str | bytes | None
Statement = tuple[str, tuple[Value, ...]]
Batch = list[Statement]
"""The statements of one transaction, in order."""
PlainBatch = list[tuple[str, tuple[int | float | str | None, ...]]]
"""A batch that can be written as JSON and read back: without bytes."""
INSERT_EVENT = "INSERT INTO audit (ts_ns, run_id, event, fields) VALUES (?, ?, ?, ?)"


def insert_intent(intent: Intent) -> Statement:
    """Write down what is about to be sent."""
    return _insert("INSERT", "intents", msgspec.to_builtins(intent))


def update_intent(intent: Intent) -> Statement:
    """Write an intent's new standing."""
    sql = (
        "UPDATE intents SET state = ?, price = ?, amending_to = ?, order_id = ?, executed_lots = ?, unknown_since_ns = ?, detail = ?, "
        "updated_ns = ? WHERE intent_id = ?"
    )
    standing = (intent.state.value, intent.price, intent.amending_to, intent.order_id, intent.executed_lots, intent.unknown_since_ns)
    return sql, (*standing, intent.detail, intent.updated_ns, intent.intent_id)


def insert_fill(fill: Fill, now_ns: int) -> Statement:
    """Book an execution."""
    return _insert("INSERT", "fills", msgspec.to_builtins(fill) | {"booked_ns": now_ns})


def insert_flow(flow: Flow, now_ns: int) -> Statement:
    """Book something that came or went."""
    values = (flow.key, flow.kind, flow.asset, str(flow.amount), flow.yen_uyen, flow.symbol, flow.at_ns, flow.evidence, now_ns)
    return f"INSERT INTO cash_flows VALUES ({', '.join('?' * len(values))})", values  # noqa: S608  # only question marks


def write_ledger(symbol: str, ledger: Mapping[str, int]) -> Statement:
    """Keep a symbol's ledger."""
    return "INSERT OR REPLACE INTO ledgers VALUES (?, ?)", (symbol, json.dumps(dict(ledger)))


def write_account(account: Mapping[str, int | str]) -> list[Statement]:
    """Keep account-wide numbers."""
    return [("INSERT OR REPLACE INTO account VALUES (?, ?)", item) for item in account.items()]


def forget_account() -> Statement:
    """Forget all account-wide numbers: they are of another account."""
    return "DELETE FROM account", ()


def write_engine(engine: EngineRow) -> Statement:
    """Keep where a symbol's core stands."""
    return _insert("INSERT OR REPLACE", "engines", msgspec.structs.asdict(engine))


def set_latch(name: Latch, reason: str, now_ns: int) -> Statement:
    """Set a latch."""
    return "INSERT OR REPLACE INTO latches VALUES (?, ?, ?)", (name.value, reason, now_ns)


def release_latches(names: Iterable[Latch]) -> list[Statement]:
    """Take latches back."""
    return [("DELETE FROM latches WHERE name = ?", (name.value,)) for name in names]


def insert_foreign(order_id: int, symbol: str, now_ns: int) -> Statement:
    """Remember an order that is not ours."""
    return "INSERT OR IGNORE INTO foreign_orders VALUES (?, ?, ?)", (order_id, symbol, now_ns)


def begin_run(run_id: str, config_hash: str, now_ns: int) -> Statement:
    """Record the start of a run."""
    return "INSERT INTO runs (run_id, config_hash, started_ns) VALUES (?, ?, ?)", (run_id, config_hash, now_ns)


def end_run(run_id: str, reason: str, now_ns: int) -> Statement:
    """Record the clean end of a run."""
    return "UPDATE runs SET ended_ns = ?, stop_reason = ? WHERE run_id = ?", (now_ns, reason, run_id)


def close_day(day: ClosedDay) -> Statement:
    """Keep what a trading day left behind; what the ledgers came to is read from themselves."""
    totals = ("realized_uyen", "fees_uyen", "closed_trades")
    sums = ", ".join(f"COALESCE(SUM(json_extract(record, '$.{name}')), 0)" for name in totals)
    sql = f"INSERT OR IGNORE INTO days SELECT ?, ?, ?, ?, ?, ?, {sums}, (SELECT COUNT(*) FROM fills) FROM ledgers"  # noqa: S608  # our own words
    return sql, (day.day, day.closed_ns, day.equity_uyen, day.profit_uyen, day.drawdown, json.dumps(day.positions))


def write_notified(target: str, seq: int, state: str) -> Statement:
    """Keep how far a channel has been told."""
    return "INSERT OR REPLACE INTO notified VALUES (?, ?, ?)", (target, seq, state)


def forget_notified(known: Sequence[str]) -> Statement:
    """Forget the channels that are no more; one that comes back begins anew."""
    return f"DELETE FROM notified WHERE target NOT IN ({', '.join('?' * len(known))})", tuple(known)  # noqa: S608  # only question marks


def insert_events(events: Sequence[Event], run_id: str, now_ns: int) -> list[Statement]:
    """Put events into the audit outbox."""
    return [(INSERT_EVENT, (now_ns, run_id, event.name, _text(event.fields))) for event in events]


def insert_journal(rows: Sequence[JournalRow], run_id: str, now_ns: int) -> list[Statement]:
    """Journal inputs of the core, and words about orders."""
    sql = "INSERT INTO journal (run_id, at_ns, kind, symbol, payload, ref) VALUES (?, ?, ?, ?, ?, ?)"
    return [(sql, (run_id, now_ns, row.kind, row.symbol, row.payload, row.ref)) for row in rows]


def _text(fields: Mapping[str, Any]) -> str:
    """Return fields as JSON that any database and log takes: a lone surrogate of a file's name is none of it."""
    return json.dumps(fields, ensure_ascii=False, default=str).encode(errors="replace").decode()


def _insert(verb: str, table: str, values: Mapping[str, Value]) -> Statement:
    sql = f"{verb} INTO {table} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"
    return sql, tuple(values.values())
