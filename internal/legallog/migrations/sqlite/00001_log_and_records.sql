-- Times are microseconds since 1970 UTC; NULL where the thing has not happened.
-- Keys, transactions and digests are hashes of fixed length.

-- +goose Up
CREATE TABLE events (
    seq          INTEGER PRIMARY KEY,
    node         TEXT NOT NULL,
    hash         BLOB NOT NULL, -- SHA-256 over the hash before of the node, and this row
    time         INTEGER NOT NULL,
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
    size         INTEGER NOT NULL,
    receipt_type TEXT NOT NULL,
    delivered    TEXT NOT NULL,
    taken_for    TEXT NOT NULL, -- JSON: [address …]
    error        TEXT NOT NULL,
    error_detail TEXT NOT NULL,
    virus        TEXT NOT NULL,
    detail       TEXT NOT NULL
) STRICT;
CREATE INDEX events_id ON events (id, seq) WHERE id <> '';
CREATE INDEX events_notice ON events (notice_id, kind) WHERE notice_id <> '';

-- The legal log is append-only. Who may write the file may drop these: they
-- keep a mistake out, not an attacker.
-- +goose StatementBegin
CREATE TRIGGER events_no_update BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'the legal log is append-only: UPDATE refused');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER events_no_delete BEFORE DELETE ON events
BEGIN
    SELECT RAISE(ABORT, 'the legal log is append-only: DELETE refused');
END;
-- +goose StatementEnd
-- INSERT OR REPLACE deletes without asking the trigger above.
-- +goose StatementBegin
CREATE TRIGGER events_no_replace BEFORE INSERT ON events
WHEN EXISTS (SELECT 1 FROM events WHERE seq = NEW.seq)
BEGIN
    SELECT RAISE(ABORT, 'the legal log is append-only: REPLACE refused');
END;
-- +goose StatementEnd

CREATE TABLE intents (
    id           BLOB PRIMARY KEY,
    key          BLOB NOT NULL,
    generation   INTEGER NOT NULL,
    door         TEXT NOT NULL,
    time         INTEGER NOT NULL,
    sent_at      INTEGER,
    committed_at INTEGER,
    facts        TEXT NOT NULL, -- JSON
    UNIQUE (key, generation)
) STRICT;
CREATE INDEX intents_unfinished ON intents (sent_at)
    WHERE sent_at IS NOT NULL AND committed_at IS NULL;

CREATE TABLE claims (
    key            BLOB PRIMARY KEY,
    transaction_id BLOB NOT NULL
) STRICT;

CREATE TABLE verdicts (
    digest       BLOB NOT NULL,
    certificate  BLOB NOT NULL,
    own          INTEGER NOT NULL,
    kind         TEXT NOT NULL,
    ordinary     INTEGER NOT NULL,
    mail_receipt TEXT NOT NULL,
    time         INTEGER NOT NULL,
    PRIMARY KEY (digest, certificate)
) STRICT;

CREATE TABLE outcomes (
    key     BLOB PRIMARY KEY,
    outcome TEXT NOT NULL -- JSON
) STRICT;
