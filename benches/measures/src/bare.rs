//! The rows of a transition in bare SQLite: what a journal in SQLite cannot fall below, whatever
//! it does around its two statements.

use std::path::Path;

use rusqlite::{Connection, params};

use crate::{
    Failure,
    log::{Log, Record},
};

/// A row for each job, with what was asked for and its state, and one for each of its entries.
const ROWS: &str = "
    PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;
    CREATE TABLE jobs (
        sequence INTEGER PRIMARY KEY, status TEXT NOT NULL, version INTEGER NOT NULL,
        updated_at INTEGER NOT NULL, spec TEXT NOT NULL, state TEXT NOT NULL, newest INTEGER
    ) STRICT;
    CREATE TABLE log (
        place INTEGER PRIMARY KEY, previous INTEGER, number INTEGER NOT NULL, at INTEGER NOT NULL,
        epoch INTEGER NOT NULL, event TEXT, status TEXT NOT NULL, note TEXT
    ) STRICT;";

/// Opens a database in a folder in place of a log: so many jobs, of each of which a
/// [`Record`] is a transition.
///
/// # Errors
/// When the system refuses.
pub fn open(folder: &Path, jobs: usize, spec: &str) -> Result<Log, Failure> {
    let database = Connection::open(folder.join("bare.db"))?;
    database.execute_batch(ROWS)?;
    for job in 0..jobs {
        database.execute(
            "INSERT INTO jobs VALUES (?, '\"accepted\"', 0, 0, ?, '', NULL)",
            params![i64::try_from(job)?, spec],
        )?;
    }
    let mut newest = vec![None; jobs];
    Log::start(move |group| {
        database.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for record in group {
            let newest = newest.get_mut(record.job).ok_or("there is no such job")?;
            *newest = Some(write(&database, record, *newest)?);
        }
        database.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    })
}

fn write(database: &Connection, record: &Record, newest: Option<i64>) -> Result<i64, Failure> {
    const TIME: i64 = 1_750_000_000_000_000_000;
    let (job, version) = (i64::try_from(record.job)?, i64::try_from(record.number)?);
    let place = database
        .prepare_cached(
            "INSERT INTO log VALUES (NULL, ?, ?, ?, 1, '\"prepare\"', '\"preparing\"', NULL)",
        )?
        .insert(params![newest, version << 16, TIME + version])?;
    let state = str::from_utf8(&record.bytes)?;
    database
        .prepare_cached(
            "UPDATE jobs SET status = '\"preparing\"', version = ?3, updated_at = ?4, state = ?5, \
             newest = ?6 WHERE sequence = ?1 AND version = ?2",
        )?
        .execute(params![job, version - 1, version, TIME + version, state, place])?;
    Ok(place)
}
