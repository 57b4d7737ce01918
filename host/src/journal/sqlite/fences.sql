-- Version 2, of the hot database only.
CREATE TABLE fences (
    visitor  TEXT NOT NULL,
    instance TEXT NOT NULL,
    epoch    INTEGER NOT NULL,
    PRIMARY KEY (visitor, instance)
) STRICT, WITHOUT ROWID;
