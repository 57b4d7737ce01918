-- Version 4, of the hot database only. Jobs of whose end a partner has not heard. They stay here, so
-- that a new owner finds them without the history.
CREATE TABLE unheard (
    sequence INTEGER PRIMARY KEY
) STRICT;
