//! The records of jobs.
//!
//! The hot database keeps entries in the order in which they were written, so that those of one
//! commit share a few pages, whichever jobs they belong to; each knows the place of the one before
//! it, and the job's row that of the newest. A history file has them job by job, and so has the hot
//! database those that came back from there, or are older than format 5.

use rusqlite::{Connection, params};

use crate::journal::record::Entry;

use super::rows::{epoch, json, list, listed, nanoseconds, text, time};

/// Where an entry is in the order of all.
pub(super) type Place = i64;

/// The columns of an entry, in the order that [`entry`] and [`append`] know.
macro_rules! columns {
    () => {
        "number, at, epoch, event, status, note"
    };
}

/// The places of the entries of the jobs that a condition picks; empty ones among them.
macro_rules! places {
    ($($condition:tt)+) => {
        concat!(
            "WITH RECURSIVE places (sequence, place) AS (SELECT sequence, newest FROM jobs WHERE ",
            $($condition)+,
            " UNION ALL SELECT sequence, log.previous FROM places CROSS JOIN log USING (place)) "
        )
    };
}

/// Writes a row of [`select`] as one that lies job by job; one that is there already stays one.
pub(super) const INSERT_BY_JOB: &str = concat!(
    "INSERT OR REPLACE INTO entries (sequence, ",
    columns!(),
    ") VALUES (?, ?, ?, ?, ?, ?, ?)"
);

/// Selects, of a [`list`] of jobs, the sequences with the [`columns`] of the entries, job by job, the
/// oldest first.
pub(super) fn select(connection: &Connection) -> rusqlite::Result<&'static str> {
    const BY_JOB: &str = concat!(
        "SELECT sequence, ",
        columns!(),
        " FROM entries WHERE ",
        listed!(),
        " ORDER BY sequence, number"
    );
    const BY_PLACE_TOO: &str = concat!(
        places!(listed!()),
        "SELECT sequence, ",
        columns!(),
        " FROM entries WHERE ",
        listed!(),
        " UNION ALL SELECT sequence, ",
        columns!(),
        " FROM places CROSS JOIN log USING (place) ORDER BY sequence, number"
    );
    // A history file has no log, and no hot database before format 5.
    Ok(if connection.table_exists(None, "log")? { BY_PLACE_TOO } else { BY_JOB })
}

/// The place of a job's newest entry in the hot database, if it has any there.
pub(super) fn newest(hot: &Connection, sequence: u64) -> rusqlite::Result<Option<Place>> {
    hot.prepare_cached("SELECT newest FROM jobs WHERE sequence = ?")?
        .query_row([sequence.cast_signed()], |row| row.get(0))
}

/// Adds an entry to the record whose newest one so far is at `previous`. The number orders the
/// entries of a job. Returns the place, which the job's row has to get.
pub(super) fn append(
    hot: &Connection,
    previous: Option<Place>,
    number: i64,
    entry: &Entry,
) -> rusqlite::Result<Place> {
    let event = entry.event.as_ref().map(text).transpose()?;
    hot.prepare_cached(concat!(
        "INSERT INTO log (previous, ",
        columns!(),
        ") VALUES (?, ?, ?, ?, ?, ?, ?)"
    ))?
    .insert(params![
        previous,
        number,
        nanoseconds(entry.at),
        entry.epoch.number().cast_signed(),
        event,
        text(&entry.status)?,
        entry.note,
    ])
}

/// A job's record, the oldest entry first.
pub(super) fn read(connection: &Connection, sequence: u64) -> rusqlite::Result<Vec<Entry>> {
    connection
        .prepare_cached(select(connection)?)?
        .query_map([list(&[sequence])?], entry)?
        .collect()
}

/// Removes the records of a [`list`] of jobs from the hot database; the jobs' rows still have to be
/// there.
pub(super) fn remove(hot: &Connection, jobs: &str) -> rusqlite::Result<()> {
    const LOG: &str =
        concat!(places!(listed!()), "DELETE FROM log WHERE place IN (SELECT place FROM places)");
    for sql in [LOG, concat!("DELETE FROM entries WHERE ", listed!())] {
        hot.prepare_cached(sql)?.execute([jobs])?;
    }
    Ok(())
}

/// Removes the records of jobs that ended before a time, in nanoseconds, from the hot database;
/// the jobs' rows still have to be there.
pub(super) fn prune(hot: &Connection, before: i64) -> rusqlite::Result<()> {
    const LOG: &str = concat!(
        places!("ended_at < ?"),
        "DELETE FROM log WHERE place IN (SELECT place FROM places)"
    );
    const ENTRIES: &str =
        "DELETE FROM entries WHERE sequence IN (SELECT sequence FROM jobs WHERE ended_at < ?)";
    for sql in [LOG, ENTRIES] {
        hot.execute(sql, [before])?;
    }
    Ok(())
}

/// Reads a row of [`select`].
fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
    let event = match row.get_ref(4)? {
        rusqlite::types::ValueRef::Null => None,
        _ => Some(json(row, 4)?),
    };
    Ok(Entry {
        event,
        status: json(row, 5)?,
        at: time(row, 2)?,
        epoch: epoch(row, 3)?,
        note: row.get(6)?,
    })
}
