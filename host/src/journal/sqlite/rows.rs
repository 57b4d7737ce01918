//! Jobs as rows.

use ferryway_core::{Epoch, RunNumber};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Params, Row, types::Type};
use serde::{Serialize, de::DeserializeOwned};

use super::entries::Place;
use crate::journal::record::{Checkpoint, Job};

/// The columns of a job, in the order that [`job`] and [`insert`] know.
macro_rules! columns {
    () => {
        "sequence, id, definition, run, key, status, ended_at, version, epoch, accepted_at, \
         updated_at, spec, state, checkpoint_attempt, checkpoint_offset, checkpoint_moved"
    };
}
pub(super) use columns;

/// The condition that picks the jobs of a [`list`], which is the first parameter. One statement for
/// many jobs takes less than one for each.
macro_rules! listed {
    () => {
        "sequence IN (SELECT value FROM json_each(?1))"
    };
}
pub(super) use listed;

/// The sequences of jobs as [`listed`] takes them.
pub(super) fn list(sequences: &[u64]) -> rusqlite::Result<String> {
    text(&sequences)
}

/// A job with what only the database knows of it.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) job: Job,
    pub(super) ended_at: Option<Timestamp>,
}

/// Reads the row of a job.
pub(super) fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let id: String = row.get(1)?;
    let checkpoint = match row.get::<_, Option<u32>>(13)? {
        None => None,
        Some(attempt) => Some(Checkpoint {
            attempt,
            offset: row.get::<_, i64>(14)?.cast_unsigned(),
            moved_bytes: row.get::<_, i64>(15)?.cast_unsigned(),
        }),
    };
    let job = Job {
        id: id.parse().map_err(|error| unreadable(1, error))?,
        run: RunNumber(row.get::<_, i64>(3)?.cast_unsigned()),
        sequence: row.get::<_, i64>(0)?.cast_unsigned(),
        spec: json(row, 11)?,
        status: json(row, 5)?,
        version: row.get::<_, i64>(7)?.cast_unsigned(),
        epoch: epoch(row, 8)?,
        accepted_at: time(row, 9)?,
        updated_at: time(row, 10)?,
        state: json(row, 12)?,
        checkpoint,
    };
    let ended_at = match row.get::<_, Option<i64>>(6)? {
        None => None,
        Some(_) => Some(time(row, 6)?),
    };
    Ok(Stored { job, ended_at })
}

/// Reads the row of a job whose end is of no interest.
pub(super) fn job(row: &Row<'_>) -> rusqlite::Result<Job> {
    stored(row).map(|stored| stored.job)
}

/// The one job that a condition names.
pub(super) fn find(
    connection: &Connection,
    sql: &str,
    key: impl Params,
) -> rusqlite::Result<Option<Stored>> {
    connection.prepare_cached(sql)?.query_row(key, stored).optional()
}

pub(super) const BY_ID: &str = concat!("SELECT ", columns!(), " FROM jobs WHERE id = ?");
pub(super) const BY_KEY: &str = concat!("SELECT ", columns!(), " FROM jobs WHERE key = ?");

/// Writes a job that has no row yet into the hot database, with the place of its newest entry.
pub(super) fn insert(
    connection: &Connection,
    stored: &Stored,
    texts: &Texts<'_>,
    newest: Option<Place>,
) -> rusqlite::Result<()> {
    const SQL: &str = concat!(
        "INSERT INTO jobs (",
        columns!(),
        ", newest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    );
    let job = &stored.job;
    let checkpoint = job.checkpoint.as_ref();
    connection.prepare_cached(SQL)?.execute(rusqlite::params![
        job.sequence.cast_signed(),
        job.id.as_str(),
        job.spec.definition.as_str(),
        job.run.0.cast_signed(),
        job.spec.key.as_deref(),
        text(&job.status)?,
        stored.ended_at.map(nanoseconds),
        job.version.cast_signed(),
        job.epoch.number().cast_signed(),
        nanoseconds(job.accepted_at),
        nanoseconds(job.updated_at),
        texts.spec,
        texts.state,
        checkpoint.map(|checkpoint| checkpoint.attempt),
        checkpoint.map(|checkpoint| checkpoint.offset.cast_signed()),
        checkpoint.map(|checkpoint| checkpoint.moved_bytes.cast_signed()),
        newest,
    ])?;
    Ok(())
}

/// The parts of a job that were put into words before the writer's turn.
pub(super) struct Texts<'a> {
    pub(super) spec: &'a str,
    pub(super) state: &'a str,
}

/// A value as JSON.
pub(super) fn text<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// A time as the database has it, exact from 1677 to 2262.
pub(super) fn nanoseconds(time: Timestamp) -> i64 {
    let exact = time.as_nanosecond();
    i64::try_from(exact).unwrap_or(if exact < 0 { i64::MIN } else { i64::MAX })
}

pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_nanosecond(row.get::<_, i64>(column)?.into())
        .map_err(|error| unreadable(column, error))
}

pub(super) fn epoch(row: &Row<'_>, column: usize) -> rusqlite::Result<Epoch> {
    Epoch::new(row.get::<_, i64>(column)?.cast_unsigned())
        .ok_or_else(|| unreadable(column, std::io::Error::other("0 is no epoch")))
}

pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let value = row.get_ref(column)?;
    let text = value.as_str().map_err(|error| unreadable(column, error))?;
    serde_json::from_str(text).map_err(|error| unreadable(column, error))
}

pub(super) fn name<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.get::<_, String>(column)?.parse().map_err(|error| unreadable(column, error))
}

fn unreadable(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
