-- Version 3, of the hot database only. How often a monitor had the journal prove that it takes a
-- write: each time the number changes, so that there is something to write.
ALTER TABLE meta ADD COLUMN probes INTEGER NOT NULL DEFAULT 0;
