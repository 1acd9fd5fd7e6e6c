-- What came and went other than by our trading, each booked once; and from when on a database that has begun explains it.
CREATE TABLE cash_flows (
    key TEXT PRIMARY KEY, kind TEXT NOT NULL, asset TEXT NOT NULL, amount TEXT NOT NULL, yen_uyen INTEGER NOT NULL,
    symbol TEXT NOT NULL, at_ns INTEGER NOT NULL, evidence TEXT NOT NULL, booked_ns INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO account SELECT 'flows_from_ns', CAST(strftime('%s', 'now') AS INTEGER) * 1000000000
    WHERE EXISTS (SELECT 1 FROM account WHERE key = 'base_cash');
INSERT OR IGNORE INTO account SELECT 'level_ns', value FROM account WHERE key = 'flows_from_ns';
DELETE FROM account WHERE key LIKE 'base_lots:%';
