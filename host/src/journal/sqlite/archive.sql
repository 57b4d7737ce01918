-- Version 1, of a history file only.
CREATE INDEX jobs_id ON jobs (id);
CREATE INDEX jobs_key ON jobs (key) WHERE key IS NOT NULL;
