//! The journal: the only truth about the instance's jobs.
//!
//! Intent is durable before an effect, the fact after it. Every write is conditional on the
//! epoch still being ours; after a write that was refused or failed, every further one fails
//! with the same cause, and the host ends.

mod copy;
mod current;
mod fault;
mod filesystem;
mod lock;
pub mod reader;
pub mod record;
mod sqlite;
mod takeover;

pub use current::Owner;
pub use fault::{Hook, Point};
pub use filesystem::Durability;
pub use sqlite::{Clock, Options, SqliteJournal, Takeover};
pub use takeover::Warning;

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use async_trait::async_trait;
use ferryway_core::{Epoch, IllegalTransition, JobId, PartnerName};
use jiff::Timestamp;
use tokio::sync::oneshot;

use record::{Checkpoint, Entry, Fence, HistoryQuery, Job, JobSpec, Leftover, Staging, Step};

/// The result of an operation on the journal.
pub type Result<T, E = JournalError> = std::result::Result<T, E>;

/// An instance's journal, opened by its owner.
#[async_trait]
pub trait JournalStore: Send + Sync + 'static {
    /// The epoch of this ownership.
    fn epoch(&self) -> Epoch;

    /// Accepts requests, all or none, and gives each its id and its place in the order. A
    /// request whose key is on record in a job that is kept gets that job. Durable on `Ok`.
    ///
    /// # Errors
    /// Nothing was accepted, except when [`JournalError::is_fatal`]: then the jobs may exist.
    async fn accept(&self, requests: Vec<JobSpec>) -> Result<Vec<Job>>;

    /// As [`accept`](Self::accept), for requests with keys that no earlier owner can have seen:
    /// the history of earlier owners, which grows, is not searched for them.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    async fn accept_first(&self, requests: Vec<JobSpec>) -> Result<Vec<Job>>;

    /// Puts a write in line; writes of one caller become durable in the order of their calls.
    /// `Ok` says nothing of durability: the receipt does. A receipt may be dropped.
    ///
    /// # Errors
    /// The journal takes no more writes.
    async fn queue(&self, step: Step) -> Result<Receipt<Job>>;

    /// Records how far an attempt got, some time soon; of several in line for one job only the
    /// newest is written. Its loss costs bytes sent again, nothing else.
    fn checkpoint(&self, job: &JobId, checkpoint: Checkpoint);

    /// One job, finished ones included.
    async fn job(&self, id: &JobId) -> Result<Option<Job>>;

    /// Several jobs in the order of their ids, finished ones included; `None` where there is
    /// no such job.
    async fn jobs(&self, ids: &[JobId]) -> Result<Vec<Option<Job>>>;

    /// The job of an earlier request with this key, finished ones included.
    async fn job_by_key(&self, key: &str) -> Result<Option<Job>>;

    /// All jobs that have not ended, in the order of acceptance.
    async fn in_flight(&self) -> Result<Vec<Job>>;

    /// Jobs that do not deliver, or ended before their partner's own did, and of which a partner
    /// that was told of them has not heard so; in the order of acceptance. The history is not
    /// searched for them.
    async fn unheard(&self) -> Result<Vec<Job>>;

    /// Jobs that ended, the newest first.
    async fn history(&self, query: HistoryQuery) -> Result<Vec<Job>>;

    /// A job's record, the oldest entry first.
    async fn entries(&self, id: &JobId) -> Result<Vec<Entry>>;

    /// Forgets jobs that ended before a time, and tells how many. Works in whole months'
    /// files where it can, so it may keep more than asked for; never less.
    async fn prune(&self, before: Timestamp) -> Result<u64>;

    /// The staging folders on a partner that are not [removed](record::StagingState::Removed).
    async fn staging(&self, partner: &PartnerName) -> Result<Vec<Staging>>;

    /// Writes what is known of a staging folder; durable on `Ok`. A folder is known by its
    /// partner, base and epoch.
    async fn put_staging(&self, staging: Staging) -> Result<()>;

    /// What lies about on a partner.
    async fn leftovers(&self, partner: &PartnerName) -> Result<Vec<Leftover>>;

    /// Notes a file to be removed later; durable on `Ok`.
    async fn put_leftover(&self, leftover: Leftover) -> Result<()>;

    /// Forgets a leftover that is gone.
    async fn forget_leftover(&self, leftover: Leftover) -> Result<()>;

    /// The newest epoch seen of each visitor's instance.
    async fn fences(&self) -> Result<Vec<Fence>>;

    /// Notes that an epoch was seen, unless a newer one of the same instance was; durable on
    /// `Ok`.
    async fn raise_fence(&self, fence: Fence) -> Result<()>;

    /// Looks whether the instance is still ours; called right before an effect that cannot be
    /// taken back.
    ///
    /// # Errors
    /// [`JournalError::Fenced`] when another owner has taken over, [`JournalError::Io`] when
    /// the look itself fails.
    async fn check_ownership(&self) -> Result<()>;

    /// Proves that the journal works: writes a mark, durable before a look that still saw our
    /// epoch, and reads it back through a connection of its own.
    ///
    /// # Errors
    /// Those of any write; [`JournalError::Damaged`] when the mark is not there.
    async fn probe(&self) -> Result<()>;

    /// Resolves, with the cause, when the journal takes no more writes.
    async fn closed(&self) -> JournalError;

    /// Writes what is in line and closes the files.
    ///
    /// # Errors
    /// What was in line may be lost.
    async fn close(&self) -> Result<()>;
}

/// Resolves when a write is durable.
#[derive(Debug)]
pub struct Receipt<T>(oneshot::Receiver<Result<T>>);

impl<T> Receipt<T> {
    /// A receipt and the end that settles it.
    pub fn pair() -> (oneshot::Sender<Result<T>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }
}

impl<T> Future for Receipt<T> {
    type Output = Result<T>;

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|result| result.unwrap_or(Err(JournalError::Closed)))
    }
}

/// Why the journal refused or failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Another owner has taken over.
    #[error("epoch {ours} no longer owns the instance: epoch {current} does, on node {owner}")]
    Fenced {
        /// Our epoch.
        ours: Epoch,
        /// The epoch on record.
        current: Epoch,
        /// The node on record.
        owner: String,
    },
    /// The file system failed. Nothing is tried again: after a failed fsync nobody knows what
    /// is on the disk.
    #[error("the journal failed at `{path}`: {action}")]
    Io {
        /// The file.
        path: String,
        /// What was being done, and what to do about it.
        action: String,
        /// The cause.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The journal was written by a newer version of the product.
    #[error(
        "the journal `{path}` has format {found}, newer than format {supported} of this program; \
         it is left untouched: install the version that wrote it, or a later one"
    )]
    Newer {
        /// The file.
        path: String,
        /// Its format.
        found: i64,
        /// The newest format this program knows.
        supported: i64,
    },
    /// The file is no journal, or is damaged.
    #[error("`{path}` is not a usable journal: {reason}; it is left untouched")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// Another host serves the instance on this node.
    #[error(
        "another host (process {pid}) serves the instance `{install}` on this node; stop it \
         first, or run this one with --takeover to replace it"
    )]
    Held {
        /// The install directory.
        install: String,
        /// The other host's process id.
        pid: u32,
    },
    /// The job was changed by somebody else in between.
    #[error("job {job} was changed meanwhile (version {found}, not {expected})")]
    Stale {
        /// The job.
        job: JobId,
        /// The version that the write named.
        expected: u64,
        /// The version on record.
        found: u64,
    },
    /// There is no such job in flight.
    #[error("there is no job {0} in flight")]
    Unknown(JobId),
    /// The job's status does not allow the event.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
}

impl JournalError {
    /// Whether the host must end: it cannot know or change what is on record any more.
    pub fn is_fatal(&self) -> bool {
        !matches!(self, Self::Stale { .. } | Self::Unknown(_) | Self::Illegal(_))
    }
}

/// A name for the owner of an epoch, on record in `CURRENT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeName(pub String);

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
