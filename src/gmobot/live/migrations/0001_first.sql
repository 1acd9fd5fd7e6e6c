-- Orders, fills, ledgers, what the core knows, the journal of its inputs, latches, the audit outbox.
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY, config_hash TEXT NOT NULL, started_ns INTEGER NOT NULL,
    ended_ns INTEGER, stop_reason TEXT
) STRICT;
CREATE TABLE intents (
    intent_id INTEGER PRIMARY KEY AUTOINCREMENT, symbol TEXT NOT NULL, purpose TEXT NOT NULL, side TEXT NOT NULL,
    type TEXT NOT NULL, time_in_force TEXT NOT NULL, lots INTEGER NOT NULL CHECK (lots > 0), price INTEGER NOT NULL,
    decision_id INTEGER NOT NULL, created_ns INTEGER NOT NULL, updated_ns INTEGER NOT NULL, state TEXT NOT NULL,
    order_id INTEGER UNIQUE, executed_lots INTEGER NOT NULL DEFAULT 0 CHECK (executed_lots BETWEEN 0 AND lots),
    unknown_since_ns INTEGER NOT NULL DEFAULT 0, detail TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX intents_open ON intents (symbol) WHERE state IN ('intent', 'unknown', 'acknowledged', 'working');
CREATE INDEX intents_decision ON intents (symbol, decision_id);
CREATE TABLE fills (
    execution_id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL, intent_id INTEGER NOT NULL REFERENCES intents,
    symbol TEXT NOT NULL, side TEXT NOT NULL, lots INTEGER NOT NULL, ticks INTEGER NOT NULL, fee_uyen INTEGER NOT NULL,
    at_ns INTEGER NOT NULL, booked_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE ledgers (symbol TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
CREATE TABLE account (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE engines (
    symbol TEXT PRIMARY KEY, program TEXT NOT NULL, bar_open_ns INTEGER NOT NULL, state BLOB NOT NULL, desired TEXT NOT NULL
) STRICT;
CREATE TABLE journal (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, at_ns INTEGER NOT NULL, kind TEXT NOT NULL,
    symbol TEXT NOT NULL, payload TEXT NOT NULL
) STRICT;
CREATE TABLE latches (name TEXT PRIMARY KEY, reason TEXT NOT NULL, at_ns INTEGER NOT NULL) STRICT;
CREATE TABLE foreign_orders (order_id INTEGER PRIMARY KEY, symbol TEXT NOT NULL, seen_ns INTEGER NOT NULL) STRICT;
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, ts_ns INTEGER NOT NULL, run_id TEXT NOT NULL, event TEXT NOT NULL, fields TEXT NOT NULL
) STRICT;
