//! The writes of one batch, inside its transaction. A write that is refused has changed
//! nothing; any other failure ends the journal, so nothing is ever rolled back singly.

use std::{collections::HashMap, path::Path};

use ferryway_core::{DefinitionId, Epoch, Event, JobId, RunNumber, Status, apply};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::journal::{
    JournalError, Result,
    current::Ownership,
    fault::refused,
    record::{Checkpoint, Entry, Fence, Job, Leftover, Staging, Step},
};

use super::{
    entries::{self, Place},
    history::{Archive, Mover, copy_jobs},
    known::Known,
    line::{Answer, Request, Write},
    rows::{self, BY_ID, BY_KEY, Stored, Texts, nanoseconds, text},
};

pub(super) struct Batch<'a> {
    pub(super) connection: &'a Connection,
    pub(super) database: &'a Path,
    pub(super) archive: &'a Archive,
    pub(super) mover: &'a mut Mover,
    pub(super) known: &'a mut Known,
    pub(super) ownership: &'a Ownership,
    pub(super) epoch: Epoch,
    pub(super) now: Timestamp,
    pub(super) change: Change,
}

/// How a batch changes the number of finished jobs in the hot database.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// Jobs that ended and may go to the history, or came back from there.
    pub(super) ended: u64,
    /// Jobs that go on after that.
    pub(super) revived: u64,
    pub(super) pruned: u64,
}

/// A status that a job came to, and by what: `None` for a job that is new, or stays as it is.
struct Entered {
    event: Option<Event>,
    status: Status,
}

impl Batch<'_> {
    pub(super) fn perform(&mut self, write: Write) -> Result<Answer> {
        match write {
            Write::Accept(requests) => requests
                .into_iter()
                .map(|request| self.accept(request))
                .collect::<Result<_>>()
                .map(Answer::Jobs),
            Write::Step(step, state) => self.step(*step, &state).map(|job| Answer::Job(job.into())),
            Write::PutStaging(staging) => {
                self.sql(|c| put_staging(c, &staging)).map(|()| Answer::Done)
            }
            Write::PutLeftover(leftover) => self
                .sql(|c| {
                    let sql = "INSERT OR IGNORE INTO leftovers (partner, path, job) \
                               VALUES (?, ?, ?)";
                    leftover_row(c, sql, &leftover)
                })
                .map(|()| Answer::Done),
            Write::ForgetLeftover(leftover) => self
                .sql(|c| {
                    let sql = "DELETE FROM leftovers WHERE partner = ? AND path = ? AND job = ?";
                    leftover_row(c, sql, &leftover)
                })
                .map(|()| Answer::Done),
            Write::RaiseFence(fence) => self.sql(|c| raise_fence(c, &fence)).map(|()| Answer::Done),
            Write::Prune(before) => self.prune(before).map(Answer::Count),
            Write::Probe => self.sql(leave_mark).map(Answer::Count),
        }
    }

    /// Records how far jobs got that have not ended. A checkpoint of an older attempt is late.
    pub(super) fn checkpoints(&mut self, checkpoints: &HashMap<JobId, Checkpoint>) -> Result<()> {
        const SQL: &str = "UPDATE jobs SET checkpoint_attempt = ?2, checkpoint_offset = ?3, \
                           checkpoint_moved = ?4 WHERE id = ?1 AND ended_at IS NULL \
                           AND coalesce(checkpoint_attempt, 0) <= ?2";
        for job in checkpoints.keys() {
            self.known.take(job);
        }
        self.sql(|c| {
            let mut update = c.prepare_cached(SQL)?;
            for (job, checkpoint) in checkpoints {
                update.execute(params![
                    job.as_str(),
                    checkpoint.attempt,
                    checkpoint.offset.cast_signed(),
                    checkpoint.moved_bytes.cast_signed(),
                ])?;
            }
            Ok(())
        })
    }

    fn accept(&mut self, request: Request) -> Result<Job> {
        let Request { spec, text: spec_text, known } = request;
        if let Some(key) = &spec.key {
            if let Some(stored) = self.sql(|c| rows::find(c, BY_KEY, [key]))? {
                return Ok(stored.job);
            }
            // Older epochs' history was searched before this turn, and only loses jobs. Ours
            // may have got the job since.
            if let Some(job) = self.mover.find_key(key)? {
                return Ok(job);
            }
            if let Some(job) = known {
                return Ok(*job);
            }
        }
        let (run, id) = self.sql(|c| next_run(c, &spec.definition))?;
        let sequence: i64 = self.sql(|c| {
            c.prepare_cached("UPDATE meta SET sequence = sequence + 1 RETURNING sequence")?
                .query_row([], |row| row.get(0))
        })?;
        let (mut status, events) = spec.beginning();
        let mut statuses = vec![Entered { event: None, status }];
        for &event in events {
            status = apply(status, event)?;
            statuses.push(Entered { event: Some(event), status });
        }
        let by = (self.epoch, self.now);
        let accepted = Job::accepted(spec, run, sequence.cast_unsigned(), by);
        let job = Job { id, status, ..accepted };
        self.sql(|c| {
            let texts = Texts { spec: &spec_text, state: &text(&job.state)? };
            let stored = Stored { job, ended_at: None };
            let newest = self.append(c, &stored.job, statuses, (None, None))?;
            rows::insert(c, &stored, &texts, newest)?;
            Ok((stored.job, newest))
        })
        .map(|(job, newest)| {
            self.known.put(&job, newest);
            job
        })
    }

    fn step(&mut self, step: Step, state: &str) -> Result<Job> {
        let (hot, newest) = match self.known.take(&step.job) {
            Some((job, newest)) => (Some(Stored { job, ended_at: None }), newest),
            None => self.sql(|c| read_row(c, &step.job))?,
        };
        let from_history = hot.is_none();
        let found = match hot {
            Some(stored) => Some(stored),
            None => self.archive.find(|c| rows::find(c, BY_ID, [step.job.as_str()]))?.map(|f| f.0),
        };
        let Some(stored) = found else { return Err(JournalError::Unknown(step.job)) };
        let Stored { mut job, ended_at } = stored;
        if job.version != step.version {
            let (expected, found) = (step.version, job.version);
            return Err(JournalError::Stale { job: step.job, expected, found });
        }
        let mut statuses = Vec::with_capacity(step.events.len());
        for &event in &step.events {
            job.status = apply(job.status, event)?;
            statuses.push(Entered { event: Some(event), status: job.status });
        }
        if statuses.is_empty() {
            statuses.push(Entered { event: None, status: job.status });
        }
        if from_history {
            // A job that ended long ago goes on: it comes back.
            let copy = |old: &Connection, stored: &Stored| {
                copy_jobs(old, self.connection, &[stored.job.sequence])
            };
            if self.archive.find_with(&job.id, copy)?.is_none() {
                return Err(JournalError::Unknown(job.id));
            }
            self.change.ended += 1;
        }
        job.version += 1;
        job.epoch = self.epoch;
        job.updated_at = self.now;
        job.state = step.state;
        let newest = self.sql(|c| {
            let newest = self.append(c, &job, statuses, (newest, step.note))?;
            update(c, &job, state, newest)?;
            Ok(newest)
        })?;
        let unheard = job.is_unheard();
        let was_unheard = self.note_unheard(&job, unheard)?;
        self.end_or_revive(&job, ended_at)?;
        let before = ended_at.is_some() && !was_unheard;
        let now = !job.status.in_flight() && !unheard;
        self.change.ended += u64::from(!before && now);
        self.change.revived += u64::from(before && !now);
        self.known.put(&job, newest);
        Ok(job)
    }

    /// Keeps the list of those whose partners have not heard of their end: whether the job was
    /// there before.
    fn note_unheard(&self, job: &Job, now: bool) -> Result<bool> {
        if job.spec.told.is_none() {
            return Ok(false);
        }
        let sql = match now {
            true => "INSERT OR IGNORE INTO unheard VALUES (?)",
            false => "DELETE FROM unheard WHERE sequence = ?",
        };
        let changed =
            self.sql(|c| c.prepare_cached(sql)?.execute([job.sequence.cast_signed()]))? == 1;
        Ok(changed != now)
    }

    /// Keeps the time of a job's end in step with its status.
    fn end_or_revive(&self, job: &Job, ended_at: Option<Timestamp>) -> Result<()> {
        let sequence = job.sequence.cast_signed();
        match (ended_at, job.status.in_flight()) {
            (None, true) | (Some(_), false) => Ok(()),
            (None, false) => self.sql(|c| {
                c.prepare_cached("UPDATE jobs SET ended_at = ? WHERE sequence = ?")?
                    .execute([nanoseconds(self.now), sequence])
                    .map(drop)
            }),
            (Some(_), true) => self.sql(|c| {
                c.prepare_cached("UPDATE jobs SET ended_at = NULL WHERE sequence = ?")?
                    .execute([sequence])?;
                c.prepare_cached("INSERT OR REPLACE INTO revived VALUES (?, ?)")?
                    .execute([sequence, job.version.cast_signed()])
                    .map(drop)
            }),
        }
    }

    /// Adds the entries of one write to the job's record, whose newest one so far is given; the
    /// note goes with the last. Returns the place of the newest one from now on.
    fn append(
        &self,
        connection: &Connection,
        job: &Job,
        entered: Vec<Entered>,
        (mut newest, mut note): (Option<Place>, Option<String>),
    ) -> rusqlite::Result<Option<Place>> {
        let mut entered = entered.into_iter().peekable();
        // The version orders the writes, the lower bits the entries of one.
        let mut number = job.version.cast_signed() << 16;
        while let Some(Entered { event, status }) = entered.next() {
            let entry = Entry {
                at: self.now,
                epoch: self.epoch,
                event,
                status,
                note: if entered.peek().is_none() { note.take() } else { None },
            };
            newest = Some(entries::append(connection, newest, number, &entry)?);
            number += 1;
        }
        Ok(newest)
    }

    fn prune(&mut self, before: Timestamp) -> Result<u64> {
        let revived: Vec<(i64, i64)> = self.sql(|c| {
            c.prepare_cached("SELECT sequence, version FROM revived")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })?;
        let archived = self.archive.prune(before, &revived, self.mover, self.ownership)?;
        let (unheard, hot) = self.sql(|c| {
            let unheard = c.execute(
                "DELETE FROM unheard WHERE sequence IN \
                 (SELECT sequence FROM jobs WHERE ended_at < ?)",
                [nanoseconds(before)],
            )?;
            entries::prune(c, nanoseconds(before))?;
            let hot = c.execute("DELETE FROM jobs WHERE ended_at < ?", [nanoseconds(before)])?;
            Ok((unheard as u64, hot as u64))
        })?;
        self.change.pruned += hot - unheard;
        Ok(archived + hot)
    }

    fn sql<T>(&self, run: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        run(self.connection).map_err(|error| refused(self.database, "write", error))
    }
}

/// The next run of a definition. A number whose id a run of another definition has got, here or in
/// the history, is passed over: `PRDY0` has no run 17 after run 7 of `PRDY01`.
fn next_run(
    connection: &Connection,
    definition: &DefinitionId,
) -> rusqlite::Result<(RunNumber, JobId)> {
    let mut next = last_run(connection, definition)?.unwrap_or(RunNumber(0));
    loop {
        next.0 += 1;
        let id = JobId::new(definition, next);
        if !is_taken(connection, &id)? {
            connection
                .prepare_cached("INSERT OR REPLACE INTO runs VALUES (?, ?)")?
                .execute(params![definition.as_str(), next.0.cast_signed()])?;
            return Ok((next, id));
        }
    }
}

/// Whether a run of any definition has got an id. Only those are looked at whose run it could be:
/// there are few, however many definitions there have been.
fn is_taken(connection: &Connection, id: &JobId) -> rusqlite::Result<bool> {
    for length in 1..=DefinitionId::LIMIT {
        let Some(Ok(definition)) = id.as_str().get(..length).map(str::parse) else { continue };
        if let Some(run) = id.run_of(&definition)
            && last_run(connection, &definition)?.is_some_and(|last| run <= last)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn last_run(
    connection: &Connection,
    definition: &DefinitionId,
) -> rusqlite::Result<Option<RunNumber>> {
    connection
        .prepare_cached("SELECT last FROM runs WHERE definition = ?")?
        .query_row([definition.as_str()], |row| row.get(0))
        .optional()
        .map(|last| last.map(|last: i64| RunNumber(last.cast_unsigned())))
}

/// A job of the hot database and the place of its newest entry.
fn read_row(
    connection: &Connection,
    id: &JobId,
) -> rusqlite::Result<(Option<Stored>, Option<Place>)> {
    let stored = rows::find(connection, BY_ID, [id.as_str()])?;
    let newest = match &stored {
        Some(stored) => entries::newest(connection, stored.job.sequence)?,
        None => None,
    };
    Ok((stored, newest))
}

fn update(
    connection: &Connection,
    job: &Job,
    state: &str,
    newest: Option<Place>,
) -> rusqlite::Result<()> {
    // No column of an index changes here; that keeps the common write short.
    let changed = connection
        .prepare_cached(
            "UPDATE jobs SET status = ?3, version = ?4, epoch = ?5, updated_at = ?6, state = ?7, \
             newest = ?8 WHERE sequence = ?1 AND version = ?2",
        )?
        .execute(params![
            job.sequence.cast_signed(),
            job.version.cast_signed() - 1,
            text(&job.status)?,
            job.version.cast_signed(),
            job.epoch.number().cast_signed(),
            nanoseconds(job.updated_at),
            state,
            newest,
        ])?;
    // The row was read with this version in the same transaction.
    if changed == 1 { Ok(()) } else { Err(rusqlite::Error::StatementChangedRows(changed)) }
}

fn put_staging(connection: &Connection, staging: &Staging) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO staging (partner, base, epoch, names, state) \
             VALUES (?, ?, ?, ?, ?)",
        )?
        .execute(params![
            staging.partner.as_str(),
            staging.base.as_str(),
            staging.epoch.number().cast_signed(),
            text(&staging.names)?,
            text(&staging.state)?,
        ])
        .map(drop)
}

/// A mark that no probe has left before, so that the commit has something to write.
fn leave_mark(connection: &Connection) -> rusqlite::Result<u64> {
    let mark: i64 = connection
        .prepare_cached("UPDATE meta SET probes = probes + 1 RETURNING probes")?
        .query_row([], |row| row.get(0))?;
    Ok(mark.cast_unsigned())
}

fn raise_fence(connection: &Connection, fence: &Fence) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO fences (visitor, instance, epoch) VALUES (?, ?, ?) \
             ON CONFLICT (visitor, instance) DO UPDATE SET epoch = max(epoch, excluded.epoch)",
        )?
        .execute(params![
            fence.visitor.as_str(),
            fence.instance.as_str(),
            fence.epoch.number().cast_signed(),
        ])
        .map(drop)
}

fn leftover_row(connection: &Connection, sql: &str, leftover: &Leftover) -> rusqlite::Result<()> {
    connection
        .prepare_cached(sql)?
        .execute([leftover.partner.as_str(), leftover.path.as_str(), leftover.job.as_str()])
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Durability, sqlite::schema};

    #[test]
    fn the_next_run_takes_no_look_at_other_definitions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        schema::prepare(
            &path,
            true,
            (Epoch::FIRST, &"night".parse().unwrap()),
            Durability::Rollback,
        )
        .unwrap();
        let connection = schema::open_writer(&path, Durability::Rollback).unwrap();
        // Whoever reads the second row fails.
        connection.execute("INSERT INTO runs VALUES ('A1', 7), ('no id', 1)", []).unwrap();
        let ids = ["A", "A1", "A", "B"].map(|definition| {
            let (_, id) = next_run(&connection, &definition.parse().unwrap()).unwrap();
            id.as_str().to_owned()
        });
        assert_eq!(ids, ["A1", "A18", "A2", "B1"]);
        connection.execute("UPDATE runs SET last = 10 WHERE definition = 'A'", []).unwrap();
        let (run, _) = next_run(&connection, &"A".parse().unwrap()).unwrap();
        assert_eq!(run, RunNumber(19), "11 to 18 are those of `A1`");
    }
}
