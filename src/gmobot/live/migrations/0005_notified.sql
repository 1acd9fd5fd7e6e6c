-- How far each channel to people has been told; and what each trading day left behind: totals since the beginning, for good.
CREATE TABLE notified (target TEXT PRIMARY KEY, seq INTEGER NOT NULL, state TEXT NOT NULL) STRICT;
CREATE TABLE days (
    day INTEGER PRIMARY KEY, closed_ns INTEGER NOT NULL, equity_uyen INTEGER NOT NULL, profit_uyen INTEGER NOT NULL,
    drawdown REAL NOT NULL, positions TEXT NOT NULL,
    realized_uyen INTEGER NOT NULL, fees_uyen INTEGER NOT NULL, trades INTEGER NOT NULL, fills INTEGER NOT NULL
) STRICT;
INSERT INTO days SELECT 0, 0, 0, 0, 0.0, '{}',
    COALESCE(SUM(json_extract(record, '$.realized_uyen')), 0), COALESCE(SUM(json_extract(record, '$.fees_uyen')), 0),
    COALESCE(SUM(json_extract(record, '$.closed_trades')), 0), (SELECT COUNT(*) FROM fills) FROM ledgers;
