//! The history: finished jobs in files of a month and an epoch.
//!
//! A file is written by its epoch's owner alone. A frozen former owner may still be in the
//! middle of a transaction on its file, and no lock says so; therefore a file of another
//! epoch is read without locks and without changing it, between two looks that must find it
//! whole and the same. What such an owner adds late is nothing new: it moves only jobs whose
//! end was acknowledged, and every successor has those.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ferryway_core::{Epoch, JobId};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use rusqlite::{
    Connection, Transaction, TransactionBehavior, params_from_iter, types::ToSqlOutput,
};

use crate::{
    journal::{
        Hook, Point, Result,
        copy::{Look, copy_database, remove_database},
        current::Ownership,
        fault::{failed, refused},
        record::Job,
    },
    platform::files::{self, sync_folder},
};

use super::{
    entries,
    rows::{self, BY_ID, BY_KEY, Stored, columns, listed},
    schema::{self, ARCHIVE},
};

/// The folder of the history files, as one owner or onlooker sees it.
#[derive(Clone, Debug)]
pub(in crate::journal) struct Archive {
    folder: PathBuf,
    /// The epoch whose files are read with locks: its owner is this process, or one on this
    /// node.
    owner: Epoch,
}

/// A file of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ArchiveFile {
    /// Year and month in UTC, as in 202403.
    pub(super) month: i32,
    pub(super) epoch: Epoch,
    pub(super) path: PathBuf,
}

impl Archive {
    pub(in crate::journal) fn new(journal: &Path, owner: Epoch) -> Self {
        Self { folder: journal.join("hist"), owner }
    }

    /// The files that are there, the newest first.
    pub(super) fn files(&self) -> Result<Vec<ArchiveFile>> {
        let list = || -> std::io::Result<Vec<ArchiveFile>> {
            let mut files = Vec::new();
            for entry in fs::read_dir(&self.folder)? {
                let path = entry?.path();
                files.extend(parse(&path).map(|(month, epoch)| ArchiveFile { month, epoch, path }));
            }
            Ok(files)
        };
        let mut files = list().map_err(|error| failed(&self.folder, "list the history", error))?;
        files.sort_by_key(|file| std::cmp::Reverse((file.month, file.epoch)));
        Ok(files)
    }

    /// Reads from a file; `None` when it was pruned meanwhile. `read` may run several times.
    pub(super) fn read<T>(
        &self,
        file: &ArchiveFile,
        read: impl Fn(&Connection) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        const TRIES: u64 = 8;
        let path = &file.path;
        let query = |connection: &Connection| {
            read(connection).map_err(|error| refused(path, "read the history", error))
        };
        if file.epoch == self.owner {
            match schema::open_reader(path).and_then(|connection| query(&connection)) {
                Ok(value) => return Ok(Some(value)),
                Err(_) if !path.exists() => return Ok(None),
                // Its owner died in the middle of a transaction.
                Err(_) => {}
            }
        }
        let fault = |error| failed(path, "look at the file", error);
        for tries in 1..=TRIES {
            let before = Look::before(path).map_err(fault)?;
            if before.is_absent() {
                return Ok(None);
            }
            if !before.is_unfinished() {
                let result = schema::identify(path, &ARCHIVE)
                    .and_then(|_| schema::open_immutable(path))
                    .and_then(|connection| query(&connection));
                if Look::after(path).map_err(fault)? == before {
                    return result.map(Some);
                }
            }
            std::thread::sleep(Duration::from_millis(5 * tries + fastrand::u64(..5)));
        }
        let workshop = tempfile::tempdir()
            .map_err(|error| failed(path, "make room for a copy of the file", error))?;
        let copy = workshop.path().join("copy.db");
        recover(path, &copy)?;
        schema::open_reader(&copy).and_then(|connection| query(&connection)).map(Some)
    }

    /// Reads from all files that `wanted` picks.
    pub(super) fn read_all<T>(
        &self,
        wanted: impl Fn(&ArchiveFile) -> bool,
        read: impl Fn(&Connection) -> rusqlite::Result<T>,
    ) -> Result<Vec<(ArchiveFile, T)>> {
        const TRIES: u32 = 5;
        let mut tries = 1;
        'listing: loop {
            let mut answers = Vec::new();
            for file in self.files()? {
                if !wanted(&file) {
                    continue;
                }
                match self.read(&file, &read)? {
                    Some(answer) => answers.push((file, answer)),
                    // A file that is gone may have got another name by being mended.
                    None if tries < TRIES => {
                        tries += 1;
                        continue 'listing;
                    }
                    None => {}
                }
            }
            return Ok(answers);
        }
    }

    /// Finds a job in the files; of several copies the newest.
    pub(super) fn find(
        &self,
        find: impl Fn(&Connection) -> rusqlite::Result<Option<Stored>>,
    ) -> Result<Option<(Stored, ArchiveFile)>> {
        let found = self.read_all(|_| true, find)?;
        let copies = found.into_iter().filter_map(|(file, stored)| Some((stored?, file)));
        Ok(copies.max_by_key(|(stored, file)| (file.epoch, stored.job.version)))
    }

    /// Finds a job and reads more of it from the same file.
    pub(super) fn find_with<T>(
        &self,
        id: &JobId,
        read: impl Fn(&Connection, &Stored) -> rusqlite::Result<T>,
    ) -> Result<Option<(Stored, T)>> {
        while let Some((stored, file)) =
            self.find(|connection| rows::find(connection, BY_ID, [id.as_str()]))?
        {
            // Otherwise the file was pruned or mended in between.
            if let Some(more) = self.read(&file, |connection| read(connection, &stored))? {
                return Ok(Some((stored, more)));
            }
        }
        Ok(None)
    }

    /// Removes the files of the months that were over before a time, and counts the jobs in
    /// them, except those out of date: `revived` has their sequence and the version from
    /// which on they are not. Nobody who lost the instance removes anything.
    pub(super) fn prune(
        &self,
        before: Timestamp,
        revived: &[(i64, i64)],
        mover: &mut Mover,
        ownership: &Ownership,
    ) -> Result<u64> {
        let mut pruned = 0;
        for file in self.files()? {
            if end_of_month(file.month).is_none_or(|end| end > before) {
                continue;
            }
            let count = self.read(&file, |connection| {
                let mut count: i64 =
                    connection.query_row("SELECT count(*) FROM jobs", [], |row| row.get(0))?;
                let mut outdated = connection
                    .prepare_cached("SELECT 1 FROM jobs WHERE sequence = ? AND version < ?")?;
                for &(sequence, version) in revived {
                    count -= i64::from(outdated.exists([sequence, version])?);
                }
                Ok(count)
            })?;
            ownership.check()?;
            mover.close(&file);
            remove_database(&file.path)
                .and_then(|()| sync_folder(&self.folder))
                .map_err(|error| failed(&file.path, "remove a month of the history", error))?;
            pruned += count.unwrap_or_default().cast_unsigned();
        }
        Ok(pruned)
    }

    /// Makes files whole that a former owner left in the middle of a transaction, under a new
    /// name: the old one may not be changed, its writer may only be frozen.
    pub(super) fn mend(&self, ownership: &Arc<Ownership>) -> Result<()> {
        for file in self.files()? {
            let look = Look::before(&file.path)
                .map_err(|error| failed(&file.path, "look at the file", error))?;
            if file.epoch == self.owner || !look.is_unfinished() {
                continue;
            }
            let new = self.folder.join(format!("mend.{}", self.owner));
            let name = format!("{}.{}-{}.db", file.month, file.epoch, self.owner);
            recover(&file.path, &new)?;
            ownership.check()?;
            let publish = || {
                files::sync(&new)?;
                fs::rename(&new, self.folder.join(name))?;
                sync_folder(&self.folder)?;
                // The database goes before its rollback journal: without that, it would pass
                // for whole.
                remove_database(&file.path)?;
                sync_folder(&self.folder)
            };
            publish().map_err(|error| failed(&file.path, "mend the file", error))?;
        }
        Ok(())
    }
}

impl ArchiveFile {
    /// Whether a job that ended in a span of time can be in the file.
    pub(super) fn overlaps(&self, since: Option<Timestamp>, until: Option<Timestamp>) -> bool {
        let too_old = since.zip(end_of_month(self.month)).is_some_and(|(since, end)| end <= since);
        let too_new = until.is_some_and(|until| month_of(until) < self.month);
        !too_old && !too_new
    }
}

/// Moves finished jobs out of the hot database; one per owner.
#[derive(Debug)]
pub(super) struct Mover {
    archive: Archive,
    hook: Hook,
    /// This epoch's files, by month.
    open: HashMap<i32, Connection>,
}

impl Mover {
    /// The most jobs moved at a time; it bounds how long a write may have to wait.
    pub(super) const BATCH: u64 = 256;

    pub(super) fn new(archive: Archive, hook: Hook) -> Self {
        Self { archive, hook, open: HashMap::new() }
    }

    /// Moves the jobs that ended first, and tells how many. They are durable in a file before
    /// they leave the hot database; a job found in both is the same in both.
    pub(super) fn move_oldest(
        &mut self,
        hot: &mut Connection,
        database: &Path,
        limit: u64,
    ) -> Result<u64> {
        let sql = |action| move |error| refused(database, action, error);
        let mut months: HashMap<i32, Vec<u64>> = HashMap::new();
        let oldest = oldest(hot, limit).map_err(sql("list the finished jobs"))?;
        let moved = oldest.len() as u64;
        for (sequence, ended_at) in oldest {
            months.entry(month_of(ended_at)).or_default().push(sequence);
        }
        for (&month, sequences) in &months {
            let path = self.path(month);
            let target = self.file(month)?;
            let mut store = || -> rusqlite::Result<()> {
                let transaction = Transaction::new(target, TransactionBehavior::Immediate)?;
                copy_jobs(hot, &transaction, sequences)?;
                transaction.commit()
            };
            store().map_err(|error| refused(&path, "move finished jobs to the history", error))?;
        }
        self.hook.pass(Point::Archived, database)?;
        let mut remove = || -> rusqlite::Result<()> {
            let transaction = Transaction::new(hot, TransactionBehavior::Immediate)?;
            for sequences in months.values() {
                let jobs = rows::list(sequences)?;
                entries::remove(&transaction, &jobs)?;
                transaction
                    .prepare_cached(concat!("DELETE FROM jobs WHERE ", listed!()))?
                    .execute([jobs])?;
            }
            transaction.commit()
        };
        remove().map_err(sql("remove jobs that are in the history"))?;
        Ok(moved)
    }

    /// Finds a job by its key in this epoch's files.
    pub(super) fn find_key(&self, key: &str) -> Result<Option<Job>> {
        for (&month, connection) in &self.open {
            let found = rows::find(connection, BY_KEY, [key])
                .map_err(|error| refused(&self.path(month), "look for a request's key", error))?;
            if let Some(stored) = found {
                return Ok(Some(stored.job));
            }
        }
        Ok(None)
    }

    fn close(&mut self, file: &ArchiveFile) {
        if file.epoch == self.archive.owner {
            self.open.remove(&file.month);
        }
    }

    fn file(&mut self, month: i32) -> Result<&mut Connection> {
        use std::collections::hash_map::Entry;
        let path = self.path(month);
        match self.open.entry(month) {
            Entry::Occupied(open) => Ok(open.into_mut()),
            Entry::Vacant(vacant) => {
                if !path.exists() {
                    schema::make_archive(&path)?;
                }
                Ok(vacant.insert(schema::open_archive(&path)?))
            }
        }
    }

    fn path(&self, month: i32) -> PathBuf {
        self.archive.folder.join(format!("{month}.{}.db", self.archive.owner))
    }
}

/// Copies jobs and their records from one database to another.
pub(super) fn copy_jobs(
    from: &Connection,
    to: &Connection,
    sequences: &[u64],
) -> rusqlite::Result<()> {
    const JOB: &str = concat!("SELECT ", columns!(), " FROM jobs WHERE ", listed!());
    const NEW_JOB: &str = concat!(
        "INSERT OR REPLACE INTO jobs (",
        columns!(),
        ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    );
    let jobs = rows::list(sequences)?;
    for (select, insert) in [(JOB, NEW_JOB), (entries::select(from)?, entries::INSERT_BY_JOB)] {
        let mut select = from.prepare_cached(select)?;
        let mut insert = to.prepare_cached(insert)?;
        let width = select.column_count();
        let mut rows = select.query([&jobs])?;
        while let Some(row) = rows.next()? {
            let value = |at| row.get_ref(at).map(ToSqlOutput::Borrowed);
            let values = (0..width).map(value).collect::<rusqlite::Result<Vec<_>>>()?;
            insert.execute(params_from_iter(values))?;
        }
    }
    Ok(())
}

/// The month, in UTC, of a time.
fn month_of(time: Timestamp) -> i32 {
    let date = time.to_zoned(TimeZone::UTC).date();
    i32::from(date.year()) * 100 + i32::from(date.month())
}

/// The first moment after a month.
fn end_of_month(month: i32) -> Option<Timestamp> {
    let year = i16::try_from(month / 100).ok()?;
    let first = Date::new(year, i8::try_from(month % 100).ok()?, 1).ok()?;
    let next = first.last_of_month().tomorrow().ok()?;
    Some(next.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// The month and the epoch in the name of a history file, `<yyyymm>.<epoch>.db`, or
/// `<yyyymm>.<epoch>-<mended by>.db`.
fn parse(path: &Path) -> Option<(i32, Epoch)> {
    let (month, epoch) = path.file_name()?.to_str()?.strip_suffix(".db")?.split_once('.')?;
    let epoch = epoch.split_once('-').map_or(epoch, |(epoch, _)| epoch);
    Some((month.parse().ok()?, Epoch::new(epoch.parse().ok()?)?))
}

const OLDEST: &str = "SELECT sequence, ended_at FROM jobs WHERE ended_at IS NOT NULL \
                      AND sequence NOT IN (SELECT sequence FROM unheard) ORDER BY ended_at LIMIT ?";

fn oldest(hot: &Connection, limit: u64) -> rusqlite::Result<Vec<(u64, Timestamp)>> {
    hot.prepare_cached(OLDEST)?
        .query_map([limit.cast_signed()], |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), rows::time(row, 1)?))
        })?
        .collect()
}

/// Copies a database and finishes what its writer left unfinished in the copy.
fn recover(path: &Path, copy: &Path) -> Result<()> {
    copy_database(path, copy).map_err(|error| failed(path, "copy the file", error))?;
    schema::identify(copy, &ARCHIVE)?;
    schema::open_archive(copy).map(drop)
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::journal::Durability;

    #[test]
    fn no_statement_is_planned_anew_for_another_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let night = "night".parse().unwrap();
        schema::prepare(&path, true, (Epoch::FIRST, &night), Durability::Rollback).unwrap();
        let hot = schema::open_writer(&path, Durability::Rollback).unwrap();
        for limit in 1..4 {
            assert_eq!(oldest(&hot, limit).unwrap(), []);
        }
        let select = hot.prepare_cached(OLDEST).unwrap();
        assert_eq!(select.get_status(StatementStatus::RePrepare), 0);
    }

    #[test]
    fn a_file_s_name_tells_its_month_and_epoch() {
        let epoch = Epoch::new(7).unwrap();
        assert_eq!(parse(Path::new("/h/202403.7.db")), Some((202_403, epoch)));
        assert_eq!(parse(Path::new("/h/202403.7-12.db")), Some((202_403, epoch)));
        for name in ["202403.7.db-journal", "mend.7", "202403.db", "202403.0.db", "x.7.db"] {
            assert_eq!(parse(Path::new(name)), None, "{name}");
        }
    }

    #[test]
    fn a_month_ends_where_the_next_begins() {
        let end: Timestamp = "2025-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(end_of_month(202_412), Some(end));
        assert_eq!(month_of(end), 202_501);
        assert_eq!(end_of_month(202_413), None);
    }
}
