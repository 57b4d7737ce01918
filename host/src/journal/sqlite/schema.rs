//! The formats of the journal's databases: making, recognizing, checking and migrating them.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    time::Duration,
};

use ferryway_core::{Epoch, InstanceName};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, config::DbConfig};

use crate::{
    journal::{
        Durability, JournalError, Result,
        copy::remove_database,
        fault::{RESTORE, damaged, failed, refused},
    },
    platform::files::{self, sync_folder},
};

/// A format of database: who it belongs to and how it came to be what it is.
pub(in crate::journal) struct Format {
    /// SQLite's `application_id`.
    application_id: u32,
    /// What leads from version n to n + 1; version 0 is the empty database. Steps are only
    /// ever added.
    steps: &'static [&'static str],
}

/// The database of the jobs in flight and the recent ones; its id reads "FWjh".
pub(in crate::journal) const JOURNAL: Format = Format {
    application_id: 0x4657_6a68,
    steps: &[
        concat!(include_str!("jobs.sql"), include_str!("hot.sql")),
        include_str!("fences.sql"),
        include_str!("probes.sql"),
        include_str!("unheard.sql"),
        include_str!("log.sql"),
    ],
};

/// A database of finished jobs; its id reads "FWja".
pub(in crate::journal) const ARCHIVE: Format = Format {
    application_id: 0x4657_6a61,
    steps: &[concat!(include_str!("jobs.sql"), include_str!("archive.sql"))],
};

impl Format {
    fn newest(&self) -> i64 {
        i64::try_from(self.steps.len()).unwrap_or(i64::MAX)
    }
}

/// Tells the version of a database from its header, without SQLite, which might change it.
///
/// Never called on a database that this process has open in SQLite: closing the file here
/// would drop SQLite's locks on it (POSIX, `fcntl`).
///
/// # Errors
/// [`JournalError::Newer`], and [`JournalError::Damaged`] when it is no database of ours.
pub(in crate::journal) fn identify(path: &Path, format: &Format) -> Result<i64> {
    let mut header = [0; 100];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(damaged(path, format!("it is too short; {RESTORE}")));
        }
        read => read.map_err(|error| failed(path, "read the header", error))?,
    }
    let field = |at: usize| {
        u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    if !header.starts_with(b"SQLite format 3\0") {
        return Err(damaged(path, format!("it is no SQLite database; {RESTORE}")));
    }
    if field(68) != format.application_id {
        return Err(damaged(
            path,
            format!("another program made it (application id {:#010x}); {RESTORE}", field(68)),
        ));
    }
    let found = i64::from(field(60));
    if found > format.newest() {
        return Err(JournalError::Newer {
            path: path.display().to_string(),
            found,
            supported: format.newest(),
        });
    }
    Ok(found)
}

/// Makes a hot database ready for its owner: checks it, or makes it when `fresh`, brings it to
/// the newest version and gives it the epoch. On `Ok` it is a single file that still has to be
/// synchronized.
pub(in crate::journal) fn prepare(
    path: &Path,
    fresh: bool,
    (epoch, instance): (Epoch, &InstanceName),
    durability: Durability,
) -> Result<()> {
    if fresh {
        remove_database(path).map_err(|error| failed(path, "remove a half-made file", error))?;
    } else {
        identify(path, &JOURNAL)?;
    }
    let sql = |action| move |error| refused(path, action, error);
    let mut connection = Connection::open(path).map_err(sql("open the database"))?;
    // Nobody relies on this file before it is synchronized as a whole.
    connection
        .execute_batch("PRAGMA trusted_schema = OFF; PRAGMA synchronous = OFF;")
        .map_err(sql("open the database"))?;
    if fresh {
        connection
            .pragma_update(None, "application_id", JOURNAL.application_id)
            .map_err(sql("make the database"))?;
    } else {
        check(&connection, path)?;
    }
    migrate(&mut connection, path, &JOURNAL)?;
    if fresh {
        connection
            .execute(
                "INSERT INTO meta (one, instance, epoch, sequence) VALUES (1, ?, 0, 0)",
                [instance.as_str()],
            )
            .map_err(sql("make the database"))?;
    }
    let of: String = connection
        .query_row(
            "UPDATE meta SET epoch = ? RETURNING instance",
            [epoch.number().cast_signed()],
            |row| row.get(0),
        )
        .map_err(sql("record the epoch"))?;
    if of != instance.as_str() {
        return Err(damaged(
            path,
            format!(
                "it is the journal of instance `{of}`, not of `{instance}`; look at the \
                     instance's name and install directory in the configuration"
            ),
        ));
    }
    // Out of the write-ahead mode, so that no log belongs to the file.
    connection.pragma_update(None, "journal_mode", "DELETE").map_err(sql("close the log"))?;
    if durability == Durability::WriteAhead {
        // The owner's mode is a mark in the file: set here, it is synced with the rest.
        connection.pragma_update(None, "journal_mode", "WAL").map_err(sql("mark the database"))?;
    }
    connection.close().map_err(|(_, error)| refused(path, "close the database", error))
}

/// Opens a database for its only writer.
pub(in crate::journal) fn open_writer(path: &Path, durability: Durability) -> Result<Connection> {
    let open = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        configure(&connection)?;
        match durability {
            // 4,000 pages of 4 KiB: the log stays at about 16 MiB.
            Durability::WriteAhead => connection.execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                 PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864;",
            )?,
            Durability::Rollback => connection.execute_batch(
                "PRAGMA journal_mode = PERSIST; PRAGMA synchronous = EXTRA;
                 PRAGMA journal_size_limit = 67108864;",
            )?,
        }
        Ok(connection)
    };
    open().map_err(|error| refused(path, "open the database", error))
}

/// Opens a history file of the owner's epoch, or a copy of another one, for writing.
pub(in crate::journal) fn open_archive(path: &Path) -> Result<Connection> {
    let open = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        configure(&connection)?;
        // An empty rollback journal tells every reader, without locks, that the file is whole.
        connection.execute_batch("PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = EXTRA;")?;
        Ok(connection)
    };
    open().map_err(|error| refused(path, "open the database", error))
}

/// Makes an empty history file; durable on `Ok`. It appears under its name when it is whole.
pub(in crate::journal) fn make_archive(path: &Path) -> Result<()> {
    let new = path.with_extension("new");
    remove_database(&new).map_err(|error| failed(&new, "remove a half-made file", error))?;
    let sql = |error| refused(&new, "make the database", error);
    let mut connection = Connection::open(&new).map_err(sql)?;
    connection.pragma_update(None, "application_id", ARCHIVE.application_id).map_err(sql)?;
    migrate(&mut connection, &new, &ARCHIVE)?;
    connection.close().map_err(|(_, error)| sql(error))?;
    let publish = || {
        files::sync(&new)?;
        std::fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), sync_folder)
    };
    publish().map_err(|error| failed(path, "make the database", error))
}

/// Opens a database for reading.
pub(in crate::journal) fn open_reader(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)
        .map_err(|error| refused(path, "open the database", error))?;
    configure(&connection).map_err(|error| refused(path, "open the database", error))?;
    Ok(connection)
}

/// Opens a database for reading that nobody writes to: neither locks nor files beside it are
/// made or looked at.
pub(in crate::journal) fn open_immutable(path: &Path) -> Result<Connection> {
    let mut uri = "file:".to_owned();
    for byte in files::uri_bytes(path) {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri, flags)
        .map_err(|error| refused(path, "open the database", error))?;
    configure(&connection).map_err(|error| refused(path, "open the database", error))?;
    Ok(connection)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(64);
    connection.busy_timeout(Duration::from_secs(10))?;
    // A plan is made once, and not again for each value that is bound: that takes longer than the rest.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;")
}

fn check(connection: &Connection, path: &Path) -> Result<()> {
    let fault: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| refused(path, "check the database", error))?;
    if fault == "ok" { Ok(()) } else { Err(damaged(path, format!("{fault}; {RESTORE}"))) }
}

/// Brings a database to its format's newest version, each step with its number in one
/// transaction.
fn migrate(connection: &mut Connection, path: &Path, format: &Format) -> Result<()> {
    let mut migrate = || -> rusqlite::Result<()> {
        let mut version: usize = connection
            .pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))?
            as usize;
        while let Some(step) = format.steps.get(version) {
            let step_transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
            step_transaction.execute_batch(step)?;
            version += 1;
            step_transaction.pragma_update(None, "user_version", version as u32)?;
            step_transaction.commit()?;
        }
        Ok(())
    };
    migrate().map_err(|error| refused(path, "migrate the database", error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::sqlite::entries;

    const NEXT: Format = Format {
        application_id: JOURNAL.application_id,
        steps: &[
            JOURNAL.steps[0],
            JOURNAL.steps[1],
            JOURNAL.steps[2],
            JOURNAL.steps[3],
            JOURNAL.steps[4],
            "ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 5;",
            "UPDATE jobs SET priority = priority + 1;",
        ],
    };

    #[test]
    fn a_journal_goes_through_every_version_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        prepare(&path, true, (Epoch::FIRST, &"night".parse().unwrap()), Durability::Rollback)
            .unwrap();
        assert_eq!(identify(&path, &JOURNAL).unwrap(), 5);
        let mut connection = open_writer(&path, Durability::Rollback).unwrap();
        let row = "INSERT INTO jobs VALUES (7,'A1','A',1,NULL,'\"x\"',NULL,1,1,0,0,'{}','{}',\
                   NULL,NULL,NULL,NULL)";
        connection.execute(row, []).unwrap();
        migrate(&mut connection, &path, &NEXT).unwrap();
        migrate(&mut connection, &path, &NEXT).unwrap();
        let priority: i64 =
            connection.query_row("SELECT priority FROM jobs", [], |row| row.get(0)).unwrap();
        assert_eq!(priority, 6);
        drop(connection);
        assert_eq!(identify(&path, &NEXT).unwrap(), 7);
        // What the older program says of it.
        let refusal = identify(&path, &JOURNAL).unwrap_err();
        assert!(matches!(refusal, JournalError::Newer { found: 7, supported: 5, .. }));
    }

    #[test]
    fn a_step_that_fails_changes_nothing() {
        const BROKEN: Format = Format {
            application_id: JOURNAL.application_id,
            steps: &[
                JOURNAL.steps[0],
                JOURNAL.steps[1],
                JOURNAL.steps[2],
                JOURNAL.steps[3],
                JOURNAL.steps[4],
                "CREATE TABLE extra (a); SELECT nothing;",
            ],
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        prepare(&path, true, (Epoch::FIRST, &"night".parse().unwrap()), Durability::Rollback)
            .unwrap();
        let mut connection = open_writer(&path, Durability::Rollback).unwrap();
        migrate(&mut connection, &path, &BROKEN).unwrap_err();
        let extra = "SELECT count(*) FROM sqlite_schema WHERE name = 'extra'";
        assert_eq!(connection.query_row(extra, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
        drop(connection);
        assert_eq!(identify(&path, &JOURNAL).unwrap(), 5);
    }

    #[test]
    fn a_journal_of_the_first_version_gets_what_it_lacks() {
        const FIRST: Format =
            Format { application_id: JOURNAL.application_id, steps: &[JOURNAL.steps[0]] };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let mut old = Connection::open(&path).unwrap();
        old.pragma_update(None, "application_id", FIRST.application_id).unwrap();
        migrate(&mut old, &path, &FIRST).unwrap();
        old.execute("INSERT INTO meta VALUES (1, 'night', 3, 0)", []).unwrap();
        let rows = "INSERT INTO jobs VALUES (7,'A1','A',1,NULL,'\"x\"',NULL,1,1,0,0,'{}','{}',\
                    NULL,NULL,NULL);
                    INSERT INTO entries VALUES (7,65536,0,3,NULL,'\"accepted\"','old');";
        old.execute_batch(rows).unwrap();
        let notes = |connection: &Connection| -> Vec<_> {
            let entries = entries::read(connection, 7).unwrap();
            entries.into_iter().map(|entry| entry.note.unwrap()).collect()
        };
        assert_eq!(notes(&old), ["old"], "as an onlooker reads it");
        drop(old);
        assert_eq!(identify(&path, &JOURNAL).unwrap(), 1);
        prepare(&path, false, (Epoch::FIRST, &"night".parse().unwrap()), Durability::Rollback)
            .unwrap();
        assert_eq!(identify(&path, &JOURNAL).unwrap(), 5);
        let connection = open_writer(&path, Durability::Rollback).unwrap();
        let count = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(count("SELECT count(*) FROM fences"), 0);
        assert_eq!(count("SELECT probes FROM meta"), 0);
        let mut entry = entries::read(&connection, 7).unwrap().remove(0);
        let mut newest = entries::newest(&connection, 7).unwrap();
        for number in 1..3 {
            entry.note = Some(format!("new {number}"));
            newest =
                Some(entries::append(&connection, newest, (2 << 16) + number, &entry).unwrap());
        }
        connection.execute("UPDATE jobs SET newest = ?", [newest]).unwrap();
        assert_eq!(notes(&connection), ["old", "new 1", "new 2"]);
        entries::remove(&connection, "[7]").unwrap();
        assert_eq!(notes(&connection), [""; 0]);
        assert_eq!(count("SELECT count(*) FROM log"), 0);
    }

    /// Who changes the mode of a file that is in use syncs it four times for that.
    #[test]
    fn a_prepared_journal_is_one_file_in_the_mode_of_its_owner() {
        for (durability, mode) in [(Durability::WriteAhead, 2), (Durability::Rollback, 1)] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("journal.db");
            let instance = "night".parse().unwrap();
            for fresh in [true, false] {
                prepare(&path, fresh, (Epoch::FIRST, &instance), durability).unwrap();
                assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
                assert_eq!(std::fs::read(&path).unwrap()[18..20], [mode, mode]);
            }
            drop(open_writer(&path, durability).unwrap());
            assert_eq!(std::fs::read(&path).unwrap()[18..20], [mode, mode]);
        }
    }

    #[test]
    fn a_path_with_odd_characters_opens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("50% ? #月.db");
        prepare(&path, true, (Epoch::FIRST, &"night".parse().unwrap()), Durability::Rollback)
            .unwrap();
        let connection = open_immutable(&path).unwrap();
        let epoch: i64 =
            connection.query_row("SELECT epoch FROM meta", [], |row| row.get(0)).unwrap();
        assert_eq!(epoch, 1);
    }
}
