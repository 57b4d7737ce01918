//! The one thread that writes.
//!
//! For each batch: look at `CURRENT`, commit, look again, answer. An answer therefore says that the
//! write was durable at a moment when no successor had been published. The first look is no part of
//! that: it keeps a former owner from writing into a file that its successor copies.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ferryway_core::JobId;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::journal::{
    Hook, JournalError, Point, Result,
    current::Ownership,
    fault::{damaged, refused},
    lock::Lock,
    record::Checkpoint,
};

use super::{
    Clock,
    history::{Archive, Mover},
    known::Known,
    line::{Answer, Line, Turn, Write},
    writes::{Batch, Change},
};

/// How often an owner without work looks whether it still is the owner.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// After so long without a write, finished jobs are moved to the history: a commit of theirs
/// would hold up the jobs that move.
const LULL: Duration = Duration::from_millis(20);

pub(super) struct Writer {
    pub(super) line: Arc<Line>,
    pub(super) connection: Connection,
    pub(super) database: PathBuf,
    pub(super) ownership: Arc<Ownership>,
    pub(super) archive: Archive,
    pub(super) mover: Mover,
    pub(super) known: Known,
    /// Finished jobs in the hot database.
    pub(super) finished: u64,
    /// How many of them may stay.
    pub(super) keep: u64,
    pub(super) hook: Hook,
    pub(super) clock: Clock,
    /// Released when the writer ends.
    pub(super) lock: Lock,
}

impl Writer {
    /// Writes until the line ends or something fails.
    pub(super) fn run(mut self) {
        // Also when this thread panics, whoever waits must learn that nobody writes any more.
        let _closed_at_the_end = FailOnDrop(Arc::clone(&self.line));
        let cause = loop {
            // What is to be moved is moved when there is a lull.
            let pause = if self.is_untidy() { LULL } else { LOOK_EVERY };
            let turn = match self.line.take(pause) {
                Turn::Write(writes, checkpoints) => {
                    self.commit(writes, &checkpoints).and_then(|()| self.tidy(false))
                }
                Turn::Idle => self.ownership.check().and_then(|()| self.tidy(true)),
                Turn::End => break JournalError::Closed,
            };
            if let Err(cause) = turn {
                break cause;
            }
        };
        let Self { line, connection, mover, lock, .. } = self;
        if !matches!(cause, JournalError::Closed) {
            // Closing may hang on the same disk, so the callers come first.
            line.fail(&cause);
        }
        drop(mover);
        drop(connection);
        drop(lock);
        line.fail(&cause);
    }

    fn commit(
        &mut self,
        writes: Vec<Write>,
        checkpoints: &std::collections::HashMap<JobId, Checkpoint>,
    ) -> Result<()> {
        self.ownership.check()?;
        let database = &self.database;
        let epoch = self.ownership.owner().epoch;
        let sql = |action| move |error| refused(database, action, error);
        let transaction = Transaction::new(&mut self.connection, TransactionBehavior::Immediate)
            .map_err(sql("begin to write"))?;
        check_epoch(&transaction, epoch.number()).map_err(sql("read the epoch"))?.ok_or_else(
            || damaged(database, "it carries another epoch than its owner; keep a copy of it"),
        )?;
        let mut batch = Batch {
            connection: &transaction,
            database,
            archive: &self.archive,
            mover: &mut self.mover,
            known: &mut self.known,
            ownership: &self.ownership,
            epoch,
            now: self.clock.now(),
            change: Change::default(),
        };
        let mut answers: Vec<Result<Answer>> = Vec::with_capacity(writes.len());
        for write in writes {
            match batch.perform(write) {
                Err(error) if error.is_fatal() => return Err(error),
                answer => answers.push(answer),
            }
        }
        batch.checkpoints(checkpoints)?;
        let Change { ended, revived, pruned } = batch.change;
        self.hook.pass(Point::Executed, database)?;
        transaction.commit().map_err(sql("commit"))?;
        self.hook.pass(Point::Committed, database)?;
        self.ownership.check()?;
        self.finished = (self.finished + ended).saturating_sub(revived + pruned);
        self.line.settle(answers);
        Ok(())
    }

    /// Moves finished jobs out of the hot database, a batch between two commits, in a lull, or
    /// when many have piled up. Every job there was looked at by [`Self::commit`]
    /// after it became durable, so what a history file holds was acknowledged, and a successor
    /// has it as well.
    fn tidy(&mut self, lull: bool) -> Result<()> {
        let pressing = self.finished > 8 * (self.keep + self.portion());
        if self.is_untidy() && (pressing || lull) {
            let portion = self.portion();
            let moved = self.mover.move_oldest(&mut self.connection, &self.database, portion)?;
            self.finished = self.finished.saturating_sub(moved);
        }
        Ok(())
    }

    fn is_untidy(&self) -> bool {
        self.finished >= self.keep + self.portion()
    }

    /// How many jobs are moved at a time.
    fn portion(&self) -> u64 {
        Mover::BATCH.min(self.keep).max(1)
    }
}

fn check_epoch(transaction: &Transaction<'_>, ours: u64) -> rusqlite::Result<Option<()>> {
    let on_record: Option<i64> = transaction
        .prepare_cached("SELECT epoch FROM meta")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok((on_record == Some(ours.cast_signed())).then_some(()))
}

struct FailOnDrop(Arc<Line>);

impl Drop for FailOnDrop {
    fn drop(&mut self) {
        self.0.fail(&JournalError::Closed);
    }
}
