-- Times are microseconds since 1970 UTC; NULL where the thing has not happened.
-- Keys, transactions and digests are hashes of fixed length. Identifiers that
-- peers choose have any length: their indexes are of hashes, for a B-tree takes
-- no value of more than 2.7 kB.

-- +goose Up

-- Whoever writes locks this table first, and so the nodes write one after the
-- other, as SQLite has it: nothing that a step has read changes before its
-- commit, and seq rises in the order of the commits.
CREATE TABLE turn ();

CREATE TABLE events (
    seq        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time       BIGINT NOT NULL,
    kind       TEXT NOT NULL,
    door       TEXT NOT NULL,
    queue_id   TEXT NOT NULL,
    id         TEXT NOT NULL,
    reference  TEXT NOT NULL,
    notice     TEXT NOT NULL,
    notice_id  TEXT NOT NULL,
    sender     TEXT NOT NULL,
    recipients TEXT NOT NULL, -- JSON: [{"address": …, "kind": …}]
    subject    TEXT NOT NULL,
    provider   TEXT NOT NULL,
    delivered  TEXT NOT NULL,
    taken_for  TEXT NOT NULL, -- JSON: [address …]
    detail     TEXT NOT NULL
);
CREATE INDEX events_id ON events USING hash (id) WHERE id <> '';
CREATE INDEX events_notice ON events USING hash (notice_id) WHERE notice_id <> '';

-- The legal log is append-only. The owner of the table may drop this: it keeps a
-- mistake out, not an attacker.
-- +goose StatementBegin
CREATE FUNCTION events_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the legal log is append-only: % refused', TG_OP;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION events_refuse();

CREATE TABLE intents (
    id           BYTEA PRIMARY KEY,
    key          BYTEA NOT NULL,
    generation   INTEGER NOT NULL,
    door         TEXT NOT NULL,
    time         BIGINT NOT NULL,
    sent_at      BIGINT,
    committed_at BIGINT,
    facts        TEXT NOT NULL, -- JSON
    msgid        TEXT NOT NULL,
    UNIQUE (key, generation)
);
CREATE INDEX intents_unfinished ON intents (sent_at)
    WHERE sent_at IS NOT NULL AND committed_at IS NULL;
CREATE INDEX intents_msgid ON intents USING hash (msgid) WHERE msgid <> '';

CREATE TABLE claims (
    key            BYTEA PRIMARY KEY,
    transaction_id BYTEA NOT NULL
);

CREATE TABLE verdicts (
    digest       BYTEA NOT NULL,
    certificate  BYTEA NOT NULL,
    own          BOOLEAN NOT NULL,
    kind         TEXT NOT NULL,
    ordinary     BOOLEAN NOT NULL,
    mail_receipt TEXT NOT NULL,
    time         BIGINT NOT NULL,
    PRIMARY KEY (digest, certificate)
);

CREATE TABLE outcomes (
    key     BYTEA PRIMARY KEY,
    outcome TEXT NOT NULL -- JSON
);

-- What the sender's provider waits for, for each certified recipient of a
-- message (RFC 6109 section 3.1.6). Both columns of the key are ours and short.
CREATE TABLE waits (
    id             TEXT NOT NULL,
    recipient      TEXT NOT NULL,
    transaction_id BYTEA NOT NULL,
    since          BIGINT NOT NULL,
    taken_at       BIGINT, -- presa-in-carico came
    first_at       BIGINT, -- date of the 12 h notice
    last_at        BIGINT, -- date of the 24 h notice
    over_at        BIGINT, -- delivery or failure came, or all was notified
    PRIMARY KEY (id, recipient)
);
CREATE INDEX waits_open ON waits (since) WHERE over_at IS NULL;
