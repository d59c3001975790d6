-- What messages are found by: see index.go.

-- +goose Up
CREATE TABLE search (
    term INTEGER NOT NULL, -- begins the SHA-256 of what is searched for
    time INTEGER NOT NULL,
    seq  INTEGER NOT NULL,
    PRIMARY KEY (term, time, seq)
) STRICT, WITHOUT ROWID;
