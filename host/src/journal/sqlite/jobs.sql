-- Version 1, of both databases. Times are nanoseconds since 1970, status, event, spec and
-- state are JSON.
CREATE TABLE jobs (
    sequence           INTEGER PRIMARY KEY,
    id                 TEXT NOT NULL,
    definition         TEXT NOT NULL,
    run                INTEGER NOT NULL,
    key                TEXT,
    status             TEXT NOT NULL,
    ended_at           INTEGER,
    version            INTEGER NOT NULL,
    epoch              INTEGER NOT NULL,
    accepted_at        INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    spec               TEXT NOT NULL,
    state              TEXT NOT NULL,
    checkpoint_attempt INTEGER,
    checkpoint_offset  INTEGER,
    checkpoint_moved   INTEGER
) STRICT;
CREATE TABLE entries (
    sequence INTEGER NOT NULL,
    number   INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    event    TEXT,
    status   TEXT NOT NULL,
    note     TEXT,
    PRIMARY KEY (sequence, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX jobs_ended ON jobs (ended_at) WHERE ended_at IS NOT NULL;
