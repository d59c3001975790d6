-- Times are microseconds since 1970 UTC; NULL where the thing has not happened.
-- Keys, transactions and digests are hashes of fixed length. Identifiers that
-- peers choose have any length: their indexes are of hashes, for a B-tree takes
-- no value of more than 2.7 kB.

-- +goose Up

-- Whoever writes locks this table first, and so the nodes write one after the
-- other, as SQLite has it: nothing that a step has read changes before its
-- commit, and each row of the log has the next seq.
CREATE TABLE turn ();

-- The log has a partition for each month of the rows' time, in UTC, so that whole
-- months can go when their 30 months are over, and one for all other rows.
CREATE TABLE events (
    seq          BIGINT NOT NULL,
    node         TEXT NOT NULL,
    hash         BYTEA NOT NULL, -- SHA-256 over the hash before of the node, and this row
    time         BIGINT NOT NULL,
    kind         TEXT NOT NULL,
    door         TEXT NOT NULL,
    queue_id     TEXT NOT NULL,
    id           TEXT NOT NULL,
    reference    TEXT NOT NULL,
    notice       TEXT NOT NULL,
    notice_id    TEXT NOT NULL,
    notice_to    TEXT NOT NULL,
    related      TEXT NOT NULL, -- JSON: [id …]
    sender       TEXT NOT NULL,
    recipients   TEXT NOT NULL, -- JSON: [{"address": …, "kind": …}]
    reply_to     TEXT NOT NULL,
    subject      TEXT NOT NULL,
    provider     TEXT NOT NULL,
    size         BIGINT NOT NULL,
    receipt_type TEXT NOT NULL,
    delivered    TEXT NOT NULL,
    taken_for    TEXT NOT NULL, -- JSON: [address …]
    error        TEXT NOT NULL,
    error_detail TEXT NOT NULL,
    virus        TEXT NOT NULL,
    detail       TEXT NOT NULL,
    PRIMARY KEY (seq, time)
) PARTITION BY RANGE (time);
CREATE TABLE events_other PARTITION OF events DEFAULT;
CREATE INDEX events_node ON events (node, seq);
CREATE INDEX events_id ON events USING hash (id) WHERE id <> '';
CREATE INDEX events_notice ON events USING hash (notice_id) WHERE notice_id <> '';

-- The legal log is append-only. The owner of the table may drop this: it keeps
-- his mistakes out. The daemon's role has no right to try.
-- +goose StatementBegin
CREATE FUNCTION events_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the legal log is append-only: % refused', TG_OP;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE ON events
    FOR EACH ROW EXECUTE FUNCTION events_refuse(); -- in each partition too
CREATE TRIGGER events_no_truncate BEFORE TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION events_refuse();

-- events_month makes the partition of the month that begins at a time, and tells
-- whether it is there: it cannot be made any more for a month that has rows in
-- the partition for all others. With the rights of the owner, for the daemon makes
-- the partitions ahead of time.
-- +goose StatementBegin
CREATE FUNCTION events_month(first BIGINT) RETURNS BOOLEAN
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    month TIMESTAMP := date_trunc('month', to_timestamp(first / 1000000) AT TIME ZONE 'UTC');
    low   BIGINT := extract(epoch FROM month AT TIME ZONE 'UTC')::BIGINT * 1000000;
    high  BIGINT := extract(epoch FROM (month + INTERVAL '1 month') AT TIME ZONE 'UTC')::BIGINT * 1000000;
    name  TEXT := 'events_' || to_char(month, 'YYYYMM');
BEGIN
    IF to_regclass(name) IS NOT NULL THEN
        RETURN true;
    END IF;
    IF EXISTS (SELECT 1 FROM events_other WHERE time >= low AND time < high) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I PARTITION OF events FOR VALUES FROM (%L) TO (%L)', name, low, high);
    RETURN true;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION events_month(BIGINT) FROM PUBLIC;

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
