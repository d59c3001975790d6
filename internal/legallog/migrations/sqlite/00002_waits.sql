-- What the sender's provider waits for, for each certified recipient of a
-- message (RFC 6109 section 3.1.6), and the PEC msgid of each intent.

-- +goose Up
CREATE TABLE waits (
    id             TEXT NOT NULL,
    recipient      TEXT NOT NULL,
    transaction_id BLOB NOT NULL,
    since          INTEGER NOT NULL,
    taken_at       INTEGER, -- presa-in-carico came
    first_at       INTEGER, -- date of the 12 h notice
    last_at        INTEGER, -- date of the 24 h notice
    over_at        INTEGER, -- delivery or failure came, or all was notified
    PRIMARY KEY (id, recipient)
) STRICT;
CREATE INDEX waits_open ON waits (since) WHERE over_at IS NULL;

ALTER TABLE intents ADD COLUMN msgid TEXT NOT NULL DEFAULT '';
UPDATE intents SET msgid = COALESCE(json_extract(facts, '$.data.id'), '');
CREATE INDEX intents_msgid ON intents (msgid, door) WHERE msgid <> '';
