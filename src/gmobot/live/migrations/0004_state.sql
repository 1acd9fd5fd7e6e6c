-- The number of the last batch that is in this file, whichever way it came; and a backup that was put back, until the next start has told of it.
CREATE TABLE emergency (id INTEGER PRIMARY KEY CHECK (id = 1), merged INTEGER NOT NULL) STRICT;
INSERT INTO emergency VALUES (1, 0);
CREATE TABLE restored (id INTEGER PRIMARY KEY CHECK (id = 1), source TEXT NOT NULL, at_ns INTEGER NOT NULL) STRICT;
CREATE INDEX journal_by_run ON journal (run_id, seq);
-- What a row belongs to: a bar's open time, an intent's number.
ALTER TABLE journal ADD COLUMN ref INTEGER NOT NULL DEFAULT 0;
CREATE INDEX journal_by_ref ON journal (ref, kind) WHERE ref <> 0;
CREATE INDEX fills_by_intent ON fills (intent_id);
CREATE INDEX journal_starts ON journal (symbol, seq) WHERE kind = 'start';
