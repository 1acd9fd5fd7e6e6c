"""What must hold at the end of a seed: after a quiet time, a clean stop and a last look nothing is missing."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.simulation.evidence import ABORTS, Evidence
from tests.simulation.invariants import audit_chain_verifies, every_execution_booked_once
from tests.simulation.ours import OurAccount, Violation

from gmobot.clock import trading_day
from gmobot.emulator.engine.exchange import Exchange
from gmobot.emulator.engine.records import Account, Order
from gmobot.ops.audit_read import events

LATEST_NS = 30_000_000_000
"""How long after its sending an order may be accepted, as far as the daemon believes."""
FORGETS_SECONDS = 60.0
"""An exchange that keeps orders that have ended no longer than this may have forgotten one before anybody could ask."""


def check_end(exchange: Exchange, account: Account, ours: OurAccount, var: Path, *, began_ns: int) -> None:
    """Our books must be the exchange's, to the unit.

    Raises:
        Violation: All that differs.
    """
    exchange.check()
    evidence = Evidence(var / "state" / "gmobot.db")
    try:
        booked, forced = evidence.booked(), evidence.forced()
    finally:
        evidence.forget_connection()
    executions = ours.executions
    every_execution_booked_once(booked, executions)
    executed = {number for number, execution in executions.items() if ours.includes(execution, forced)}
    problems = [f"every execution booked exactly once: {booked.keys() ^ executed}"] if booked.keys() != executed else []
    with closing(sqlite3.connect(var / "state" / "gmobot.db")) as db:
        problems += (
            _orders(db, account, ours, forced, forgets=exchange.assumptions.finished_orders_kept_seconds <= FORGETS_SECONDS)
            + _money(db, account, ours)
            + _days(db, began_ns, exchange.clock.now_ns())
        )
        problems += _told(db, var / "logs")
    if problems:
        raise Violation("; ".join(problems))
    audit_chain_verifies(var / "logs")


def _orders(db: sqlite3.Connection, account: Account, ours: OurAccount, forced: set[int], *, forgets: bool) -> list[str]:
    by_hand = ours.foreign_orders
    unresolved = db.execute("SELECT intent_id, state FROM intents WHERE state IN ('intent', 'unknown')").fetchall()
    live = {row[0] for row in db.execute("SELECT order_id FROM intents WHERE state IN ('acknowledged', 'working')")}
    known = {row[0] for row in db.execute("SELECT order_id FROM intents WHERE order_id IS NOT NULL AND purpose <> 'forced'")}
    foreign = {row[0] for row in db.execute("SELECT order_id FROM foreign_orders")} - forced
    halted = db.execute("SELECT reason FROM latches WHERE name = 'halt'").fetchone()
    sent = {number for number, order in account.orders.items() if number not in by_hand and order.order_type != "LOSSCUT"}
    # An order that ended without a fill before anybody could see it cannot be told from one that never arrived.
    lost = {number for number in sent - known if account.orders[number].executed or account.orders[number].active}
    strange = {number for number in known - sent if not _cannot_be_told_apart(db, account.orders[number], ours, forgets=forgets)}
    there = {order.order_id for order in account.active() if order.order_id not in by_hand}
    problems = {
        f"unresolved intents {unresolved}": bool(unresolved),
        f"orders without an owner {lost}": bool(lost),
        f"owned orders that are not there {strange}": bool(strange),
        f"open orders differ: {live} of {there}": there != live,
        f"ours taken for foreign {foreign & sent}": bool(foreign & sent),
        f"halted {halted}": halted is not None and halted[0] not in ABORTS,
    }
    return [problem for problem, holds in problems.items() if holds]


def _cannot_be_told_apart(db: sqlite3.Connection, order: Order, ours: OurAccount, *, forgets: bool) -> bool:
    """Return whether another's close of our position looks in every word like the lost close of ours that it was taken for.

    Where the exchange forgets orders that have ended, there is no word of it but its fills.
    """
    query = "SELECT side, type, lots, server_ns FROM intents WHERE order_id = ?"
    side, kind, lots, sent_ns = db.execute(query, (order.order_id,)).fetchone()
    closed_ours = bool(order.settles) and all(ours.includes(execution, set()) for execution in order.executions)
    alike = (side, kind, lots) == (order.side, order.execution_type, order.lots)
    if forgets and not order.active:
        alike = side == order.side and order.executed <= lots
    return closed_ours and alike and order.at_ns <= sent_ns + LATEST_NS


def _money(db: sqlite3.Connection, account: Account, ours: OurAccount) -> list[str]:
    ledgers = {symbol: json.loads(record) for symbol, record in db.execute("SELECT symbol, record FROM ledgers")}
    held = {symbol: (ledgers.get(symbol, {}).get("position", 0), known.signed) for symbol, known in ours.by_symbol.items()}
    problems = [f"our ledger = the exchange's, to the unit: {lots} lots of {there}" for lots, there in held.values() if lots != there]
    base = db.execute("SELECT value FROM account WHERE key = 'base_cash'").fetchone()
    if base is None:
        return [*problems, "the capital was never recorded"]
    # On leverage no yen moves for the notional.
    yen = (ledger["reported_uyen" if symbol.endswith("_JPY") else "cash_uyen"] for symbol, ledger in ledgers.items())
    if difference := base[0] + sum(yen) - account.jpy_uyen:
        problems.append(f"our ledger = the exchange's, to the unit: cash differs by {difference} uyen")
    return problems


def _days(db: sqlite3.Connection, began_ns: int, now_ns: int) -> list[str]:
    """Look whether the account's day is today, and whether each day that ended left its totals behind."""
    today = trading_day(now_ns)
    row = db.execute("SELECT value FROM account WHERE key = 'day'").fetchone()
    ended = [number for (number,) in db.execute("SELECT day FROM days WHERE day > 0 ORDER BY day")]
    expected = list(range(trading_day(began_ns), today))
    problems = {
        f"the account's day is {row}, it is {today}": row is None or row[0] != today,
        f"days {ended} left totals behind, {expected} have ended": ended != expected,
    }
    return [problem for problem, holds in problems.items() if holds]


def _told(db: sqlite3.Connection, logs: Path) -> list[str]:
    """Look whether the audit log tells of every fill that is booked and of every order that was accepted, and of no other."""
    told: dict[str, set[int]] = {"fill": set(), "order_intent": set()}
    for event in events(logs):
        if event["event"] in told and event.get("sent", True):
            told[event["event"]].add(int(event["execution_id" if event["event"] == "fill" else "intent_id"]))
    there = {
        "fill": {row[0] for row in db.execute("SELECT execution_id FROM fills")},
        "order_intent": {row[0] for row in db.execute("SELECT intent_id FROM intents WHERE purpose <> 'forced'")},
    }
    return [f"the audit log tells of each {kind}: {told[kind] ^ there[kind]}" for kind in told if told[kind] != there[kind]]
