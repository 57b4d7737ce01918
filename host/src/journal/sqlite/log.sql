-- Version 5, of the hot database only. Entries in the order in which they are written: those of one
-- commit share pages, which the primary key of `entries` scatters. That table keeps what it has.
CREATE TABLE log (
    place    INTEGER PRIMARY KEY,
    previous INTEGER,
    number   INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    event    TEXT,
    status   TEXT NOT NULL,
    note     TEXT
) STRICT;
ALTER TABLE jobs ADD COLUMN newest INTEGER;
