-- Leverage: what an order closes, at which price the exchange would close it by force; and prices that are being changed.
ALTER TABLE intents ADD COLUMN settle TEXT NOT NULL DEFAULT 'OPEN';
ALTER TABLE intents ADD COLUMN position_id INTEGER;
ALTER TABLE intents ADD COLUMN losscut INTEGER NOT NULL DEFAULT 0;
ALTER TABLE intents ADD COLUMN server_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE intents ADD COLUMN amending_to INTEGER NOT NULL DEFAULT 0;
ALTER TABLE fills ADD COLUMN position_id INTEGER;
ALTER TABLE fills ADD COLUMN realized_uyen INTEGER NOT NULL DEFAULT 0;
