//! Questions to the journal: short reads, a page at a time.

use std::{collections::HashMap, path::Path};

use ferryway_core::{Epoch, JobId, PartnerName};
use rusqlite::{Connection, ToSql};

use crate::journal::{
    Result,
    fault::refused,
    record::{Entry, Fence, HistoryQuery, Job, Leftover, Origin, Staging},
};

use super::{
    entries,
    history::{Archive, ArchiveFile},
    rows::{self, BY_ID, BY_KEY, Stored, columns, epoch, json, name, nanoseconds},
};

/// Jobs in one read of a listing.
const PAGE: usize = 1000;

/// Hot database and history, for one question.
pub(in crate::journal) struct View<'a> {
    pub(in crate::journal) connection: &'a Connection,
    pub(in crate::journal) database: &'a Path,
    pub(in crate::journal) archive: &'a Archive,
}

/// What the hot database says of the history's copies: from which version on they count.
type Revived = HashMap<u64, u64>;

impl View<'_> {
    // Each question asks the hot database first: a job on its way from there to the history
    // is found in one of them, or in both.

    pub(in crate::journal) fn job(&self, id: &JobId) -> Result<Option<Job>> {
        if let Some(stored) = self.sql(|c| rows::find(c, BY_ID, [id.as_str()]))? {
            return Ok(Some(stored.job));
        }
        let found = self.archive.find(|c| rows::find(c, BY_ID, [id.as_str()]))?;
        Ok(found.map(|(stored, _)| stored.job))
    }

    /// The jobs of earlier requests, by their keys. The history is searched for those that the
    /// hot database does not have; each file is opened once for all.
    pub(super) fn by_keys(&self, keys: &[&str]) -> Result<HashMap<String, Job>> {
        let read = |c: &Connection, keys: &[&str]| {
            let mut found = Vec::new();
            for &key in keys {
                let mut stored = rows::find(c, BY_KEY, [key])?;
                if stored.is_none()
                    && let Some(former) = Origin::former_key(key)
                {
                    let received = |stored: &Stored| stored.job.spec.origin.is_some();
                    stored = rows::find(c, BY_KEY, [former])?.filter(received);
                }
                found.extend(stored.map(|stored| (key.to_owned(), stored.job)));
            }
            Ok(found)
        };
        let mut known: HashMap<String, Job> = self.sql(|c| read(c, keys))?.into_iter().collect();
        let missing: Vec<_> =
            keys.iter().copied().filter(|&key| !known.contains_key(key)).collect();
        if missing.is_empty() {
            return Ok(known);
        }
        let mut newest: HashMap<String, (Epoch, Job)> = HashMap::new();
        for (file, found) in self.archive.read_all(|_| true, |c| read(c, &missing))? {
            for (key, job) in found {
                let rank = |epoch: Epoch, job: &Job| (epoch, job.version);
                match newest.get(&key) {
                    Some((epoch, other)) if rank(*epoch, other) >= rank(file.epoch, &job) => {}
                    _ => drop(newest.insert(key, (file.epoch, job))),
                }
            }
        }
        known.extend(newest.into_iter().map(|(key, (_, job))| (key, job)));
        Ok(known)
    }

    pub(in crate::journal) fn in_flight(&self) -> Result<Vec<Job>> {
        const SQL: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM jobs WHERE ended_at IS NULL AND sequence > ? ORDER BY sequence LIMIT ?"
        );
        let mut jobs: Vec<Job> = Vec::new();
        loop {
            let (before, after) = (jobs.len(), jobs.last().map_or(0, |job| job.sequence));
            self.sql(|c| {
                let mut select = c.prepare_cached(SQL)?;
                let mut page = select.query([after.cast_signed(), PAGE as i64])?;
                while let Some(row) = page.next()? {
                    jobs.push(rows::job(row)?);
                }
                Ok(())
            })?;
            if jobs.len() - before < PAGE {
                return Ok(jobs);
            }
        }
    }

    pub(super) fn unheard(&self) -> Result<Vec<Job>> {
        const SQL: &str = concat!(
            "SELECT ",
            columns!(),
            " FROM jobs WHERE sequence IN (SELECT sequence FROM unheard) ORDER BY sequence"
        );
        self.sql(|c| c.prepare_cached(SQL)?.query_map([], rows::job)?.collect())
    }

    pub(in crate::journal) fn entries(&self, id: &JobId) -> Result<Vec<Entry>> {
        if let Some(stored) = self.sql(|c| rows::find(c, BY_ID, [id.as_str()]))? {
            let entries = self.sql(|c| entries::read(c, stored.job.sequence))?;
            // The job may have left between the two reads.
            if !entries.is_empty() {
                return Ok(entries);
            }
        }
        let found =
            self.archive.find_with(id, |c, stored| entries::read(c, stored.job.sequence))?;
        Ok(found.map(|(_, entries)| entries).unwrap_or_default())
    }

    pub(in crate::journal) fn history(&self, query: &HistoryQuery) -> Result<Vec<Job>> {
        let mut jobs: Vec<Job> = Vec::new();
        let mut before = query.before_sequence.unwrap_or(i64::MAX.cast_unsigned());
        while jobs.len() < query.limit {
            let limit = query.limit - jobs.len();
            let hot = self.sql(|c| page(c, query, before, limit))?;
            let revived = self.sql(revived)?;
            let mut pages = vec![(None, hot)];
            let wanted = |file: &ArchiveFile| file.overlaps(query.since, query.until);
            let archived = self.archive.read_all(wanted, |c| page(c, query, before, limit))?;
            pages.extend(archived.into_iter().map(|(file, page)| (Some(file), page)));
            // A full page says nothing of what lies below its last job.
            let low = pages
                .iter()
                .filter(|(_, page)| page.len() == limit)
                .filter_map(|(_, page)| page.last().map(|stored| stored.job.sequence))
                .max();
            jobs.extend(merge(pages, &revived, low.unwrap_or_default()));
            match low {
                None => break,
                Some(low) => before = low,
            }
        }
        jobs.truncate(query.limit);
        Ok(jobs)
    }

    pub(super) fn staging(&self, partner: &PartnerName) -> Result<Vec<Staging>> {
        self.sql(|c| {
            c.prepare_cached(
                "SELECT partner, base, epoch, names, state FROM staging \
                 WHERE partner = ? AND state <> '\"removed\"' ORDER BY base, epoch",
            )?
            .query_map([partner.as_str()], |row| {
                Ok(Staging {
                    partner: name(row, 0)?,
                    base: name(row, 1)?,
                    epoch: epoch(row, 2)?,
                    names: json(row, 3)?,
                    state: json(row, 4)?,
                })
            })?
            .collect()
        })
    }

    pub(super) fn leftovers(&self, partner: &PartnerName) -> Result<Vec<Leftover>> {
        self.sql(|c| {
            c.prepare_cached(
                "SELECT partner, path, job FROM leftovers WHERE partner = ? ORDER BY path, job",
            )?
            .query_map([partner.as_str()], |row| {
                Ok(Leftover { partner: name(row, 0)?, path: name(row, 1)?, job: name(row, 2)? })
            })?
            .collect()
        })
    }

    pub(super) fn fences(&self) -> Result<Vec<Fence>> {
        self.sql(|c| {
            c.prepare_cached("SELECT visitor, instance, epoch FROM fences ORDER BY visitor")?
                .query_map([], |row| {
                    let (visitor, instance) = (name(row, 0)?, name(row, 1)?);
                    Ok(Fence { visitor, instance, epoch: epoch(row, 2)? })
                })?
                .collect()
        })
    }

    /// The newest mark that a probe left.
    pub(super) fn mark(&self) -> Result<u64> {
        let mark: i64 = self.sql(|c| {
            c.prepare_cached("SELECT probes FROM meta")?.query_row([], |row| row.get(0))
        })?;
        Ok(mark.cast_unsigned())
    }

    fn sql<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        read(self.connection).map_err(|error| refused(self.database, "read", error))
    }
}

/// Jobs of one database that a query asks for, the newest first.
fn page(
    connection: &Connection,
    query: &HistoryQuery,
    before: u64,
    limit: usize,
) -> rusqlite::Result<Vec<Stored>> {
    let mut sql =
        concat!("SELECT ", columns!(), " FROM jobs WHERE ended_at IS NOT NULL AND sequence < ?1")
            .to_owned();
    let (before, limit) = (before.cast_signed(), i64::try_from(limit).unwrap_or(i64::MAX));
    let definition = query.definition.as_ref().map(|definition| definition.as_str());
    let (since, until) = (query.since.map(nanoseconds), query.until.map(nanoseconds));
    let mut values: Vec<&dyn ToSql> = vec![&before, &limit];
    let mut condition = |text: &str, value| {
        values.push(value);
        sql.push_str(&format!(" AND {text} ?{}", values.len()));
    };
    // The sign keeps the planner on the order of sequence.
    if let Some(definition) = &definition {
        condition("definition =", definition);
    }
    if let Some(since) = &since {
        condition("+ended_at >=", since);
    }
    if let Some(until) = &until {
        condition("+ended_at <", until);
    }
    sql.push_str(" ORDER BY sequence DESC LIMIT ?2");
    connection.prepare_cached(&sql)?.query_map(values.as_slice(), rows::stored)?.collect()
}

fn revived(connection: &Connection) -> rusqlite::Result<Revived> {
    connection
        .prepare_cached("SELECT sequence, version FROM revived")?
        .query_map([], |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned()))
        })?
        .collect()
}

/// The jobs of several pages from a sequence on, the newest first, each once and up to date.
fn merge(pages: Vec<(Option<ArchiveFile>, Vec<Stored>)>, revived: &Revived, low: u64) -> Vec<Job> {
    let mut found = Vec::new();
    for (file, page) in pages {
        for Stored { job, .. } in page {
            let outdated =
                file.is_some() && revived.get(&job.sequence).is_some_and(|&v| job.version < v);
            if job.sequence >= low && !outdated {
                // The hot database comes before the files, a later epoch before an earlier.
                let rank = (file.is_none(), file.as_ref().map(|file| file.epoch), job.version);
                found.push((job.sequence, rank, job));
            }
        }
    }
    found.sort_by_key(|&(sequence, rank, _)| std::cmp::Reverse((sequence, rank)));
    found.dedup_by_key(|&mut (sequence, ..)| sequence);
    found.into_iter().map(|(.., job)| job).collect()
}
