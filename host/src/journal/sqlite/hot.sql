-- Version 1, of the hot database only.
CREATE UNIQUE INDEX jobs_id ON jobs (id);
CREATE UNIQUE INDEX jobs_key ON jobs (key) WHERE key IS NOT NULL;
CREATE INDEX jobs_in_flight ON jobs (sequence) WHERE ended_at IS NULL;
CREATE TABLE meta (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    instance TEXT NOT NULL,
    epoch    INTEGER NOT NULL,
    sequence INTEGER NOT NULL
) STRICT;
CREATE TABLE runs (
    definition TEXT PRIMARY KEY,
    last       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- Jobs that went on after their end: what a history file holds of them below that version is
-- out of date.
CREATE TABLE revived (
    sequence INTEGER PRIMARY KEY,
    version  INTEGER NOT NULL
) STRICT;
CREATE TABLE staging (
    partner TEXT NOT NULL,
    base    TEXT NOT NULL,
    epoch   INTEGER NOT NULL,
    names   TEXT NOT NULL,
    state   TEXT NOT NULL,
    PRIMARY KEY (partner, base, epoch)
) STRICT, WITHOUT ROWID;
CREATE TABLE leftovers (
    partner TEXT NOT NULL,
    path    TEXT NOT NULL,
    job     TEXT NOT NULL,
    PRIMARY KEY (partner, path, job)
) STRICT, WITHOUT ROWID;
