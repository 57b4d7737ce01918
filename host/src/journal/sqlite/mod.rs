//! The journal in SQLite, one database for each epoch.
//!
//! One thread writes, in groups; readers have connections of their own and wait for nobody.

mod entries;
mod history;
mod known;
mod line;
mod read;
mod rows;
pub(super) mod schema;
mod writer;
mod writes;

pub(super) use history::Archive;
pub(super) use read::View;

use std::{
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use ferryway_core::{Epoch, InstanceName, JobId, PartnerName};
use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};

use super::{
    Durability, Hook, JournalError, JournalStore, NodeName, Receipt, Result,
    current::Ownership,
    fault::{RESTORE, damaged, failed, refused},
    record::{Checkpoint, Entry, Fence, HistoryQuery, Job, JobSpec, Leftover, Staging, Step},
    takeover::{self, Warning},
};

use {
    history::Mover,
    known::Known,
    line::{Line, Reply, Request, Write},
    writer::Writer,
};

/// What a host needs to say to become the owner of a journal.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The install directory; the journal is its folder `journal`, made when it is missing.
    pub install: PathBuf,
    /// The node this host runs on.
    pub node: NodeName,
    /// The instance the journal belongs to.
    pub instance: InstanceName,
    /// Whether to take over from a living host on the same node.
    pub replace: bool,
    /// How to make writes durable; what suits the file system when it is not said.
    pub durability: Option<Durability>,
    /// Finished jobs that stay with those in flight; older ones go to the history's files.
    pub keep_recent: u64,
    /// A write, or a look at the owner, that takes longer than this closes the journal.
    pub unreachable_after: Option<Duration>,
    /// Where tests hold or fail the journal.
    pub hook: Hook,
    /// The clock that stamps what is written.
    pub clock: Clock,
}

impl Options {
    /// Options with the defaults: 1,000 recent jobs, no limit for the disk.
    pub fn new(install: impl Into<PathBuf>, node: NodeName, instance: InstanceName) -> Self {
        Self {
            install: install.into(),
            node,
            instance,
            replace: false,
            durability: None,
            keep_recent: 1000,
            unreachable_after: None,
            hook: Hook::default(),
            clock: Clock::default(),
        }
    }

    /// How writes become durable in the journal's folder.
    ///
    /// # Errors
    /// As [`Durability::of`].
    pub(super) fn durability(&self) -> Result<Durability> {
        match self.durability {
            Some(durability) => Ok(durability),
            None => Durability::of(&self.install.join("journal")),
        }
    }
}

/// Tells the time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

/// What a takeover found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Takeover {
    /// Our epoch.
    pub epoch: Epoch,
    /// The owner before us.
    pub previous: Option<(Epoch, NodeName)>,
    /// The jobs that have not ended, in the order of acceptance.
    pub in_flight: Vec<Job>,
    /// What the operator should know.
    pub warnings: Vec<Warning>,
}

/// The journal of an instance, opened by its owner.
///
/// Dropped without [`close`](JournalStore::close), it fails what is in line; what was
/// acknowledged is durable.
#[derive(Debug)]
pub struct SqliteJournal {
    line: Arc<Line>,
    reads: Arc<Reads>,
    ownership: Arc<Ownership>,
    unreachable_after: Option<Duration>,
}

impl SqliteJournal {
    /// Becomes the owner: fences every former one, and lists what it left. Blocks for as long
    /// as the copy of the jobs in flight takes. Done twice, the second has the first as its
    /// predecessor.
    ///
    /// # Errors
    /// [`JournalError::Held`] by a living host on the same node; [`JournalError::Newer`] and
    /// [`JournalError::Damaged`] for a journal that this program must not touch;
    /// [`JournalError::Fenced`] when somebody else took over meanwhile; [`JournalError::Io`].
    pub fn take_over(options: Options) -> Result<(Self, Takeover)> {
        let taken = takeover::take(&options)?;
        let takeover::Taken { ownership, database, previous, lock, warnings } = taken;
        let ownership = Arc::new(ownership);
        let epoch = ownership.owner().epoch;
        let journal = options.install.join("journal");
        let archive = Archive::new(&journal, epoch);
        let connection = schema::open_writer(&database, options.durability()?)?;
        let view = View { connection: &connection, database: &database, archive: &archive };
        let in_flight = view.in_flight()?;
        let finished: i64 = connection
            .query_row(
                "SELECT count(*) FROM jobs WHERE ended_at IS NOT NULL \
                 AND sequence NOT IN (SELECT sequence FROM unheard)",
                [],
                |row| row.get(0),
            )
            .map_err(|error| refused(&database, "count the finished jobs", error))?;

        let line = Arc::new(Line::new());
        let writer = Writer {
            line: Arc::clone(&line),
            connection,
            database: database.clone(),
            ownership: Arc::clone(&ownership),
            archive: archive.clone(),
            mover: Mover::new(archive.clone(), options.hook.clone()),
            known: Known::default(),
            finished: finished.cast_unsigned(),
            keep: options.keep_recent,
            hook: options.hook.clone(),
            clock: options.clock.clone(),
            lock,
        };
        let thread = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(work)
                .map(drop)
                .map_err(|error| failed(&database, "start a thread", error))
                .inspect_err(|cause| line.fail(cause))
        };
        thread("journal", Box::new(move || writer.run()))?;
        if let Some(limit) = options.unreachable_after {
            let (line, path) = (Arc::clone(&line), database.clone());
            thread("journal-watch", Box::new(move || watch(&line, limit, &path)))?;
        }
        thread("journal-mend", {
            let (archive, ownership) = (archive.clone(), Arc::clone(&ownership));
            Box::new(move || mend(&archive, &ownership))
        })?;
        let reads = Arc::new(Reads::new(database.clone(), archive));
        let unreachable_after = options.unreachable_after;
        let journal = Self { line, reads, ownership, unreachable_after };
        Ok((journal, Takeover { epoch, previous, in_flight, warnings }))
    }

    /// A value as JSON; made by the caller, to keep the writer's turn short.
    fn to_text(&self, value: &impl serde::Serialize) -> Result<String> {
        serde_json::to_string(value)
            .map_err(|error| failed(&self.reads.database, "put a value into words", error.into()))
    }

    fn prepare(&self, requests: Vec<JobSpec>) -> Result<Vec<Request>> {
        let prepare = |spec| Ok(Request { text: self.to_text(&spec)?, spec, known: None });
        requests.into_iter().map(prepare).collect()
    }

    async fn write<T>(
        &self,
        write: Write,
        reply: impl FnOnce(oneshot::Sender<Result<T>>) -> Reply,
    ) -> Result<T> {
        let (sender, receipt) = Receipt::pair();
        self.line.push(write, reply(sender)).await?;
        receipt.await
    }
}

#[async_trait]
impl JournalStore for SqliteJournal {
    fn epoch(&self) -> Epoch {
        self.ownership.owner().epoch
    }

    async fn accept(&self, requests: Vec<JobSpec>) -> Result<Vec<Job>> {
        let mut prepared = self.prepare(requests)?;
        if prepared.iter().any(|request| request.spec.key.is_some()) {
            // Searching the history takes the disk; the writer must not wait for that.
            prepared = self.reads.run(move |view| find_known(view, prepared)).await?;
        }
        self.write(Write::Accept(prepared), Reply::Jobs).await
    }

    async fn accept_first(&self, requests: Vec<JobSpec>) -> Result<Vec<Job>> {
        self.write(Write::Accept(self.prepare(requests)?), Reply::Jobs).await
    }

    async fn queue(&self, step: Step) -> Result<Receipt<Job>> {
        let state = self.to_text(&step.state)?;
        let (sender, receipt) = Receipt::pair();
        self.line.push(Write::Step(step.into(), state), Reply::Job(sender)).await?;
        Ok(receipt)
    }

    fn checkpoint(&self, job: &JobId, checkpoint: Checkpoint) {
        self.line.note(job, checkpoint);
    }

    async fn job(&self, id: &JobId) -> Result<Option<Job>> {
        let id = id.clone();
        self.reads.run(move |view| view.job(&id)).await
    }

    async fn jobs(&self, ids: &[JobId]) -> Result<Vec<Option<Job>>> {
        let ids = ids.to_vec();
        self.reads.run(move |view| ids.iter().map(|id| view.job(id)).collect()).await
    }

    async fn job_by_key(&self, key: &str) -> Result<Option<Job>> {
        let key = key.to_owned();
        self.reads.run(move |view| Ok(view.by_keys(&[&key])?.remove(&key))).await
    }

    async fn in_flight(&self) -> Result<Vec<Job>> {
        self.reads.run(|view| view.in_flight()).await
    }

    async fn unheard(&self) -> Result<Vec<Job>> {
        self.reads.run(|view| view.unheard()).await
    }

    async fn history(&self, query: HistoryQuery) -> Result<Vec<Job>> {
        self.reads.run(move |view| view.history(&query)).await
    }

    async fn entries(&self, id: &JobId) -> Result<Vec<Entry>> {
        let id = id.clone();
        self.reads.run(move |view| view.entries(&id)).await
    }

    async fn prune(&self, before: Timestamp) -> Result<u64> {
        self.write(Write::Prune(before), Reply::Count).await
    }

    async fn staging(&self, partner: &PartnerName) -> Result<Vec<Staging>> {
        let partner = partner.clone();
        self.reads.run(move |view| view.staging(&partner)).await
    }

    async fn put_staging(&self, staging: Staging) -> Result<()> {
        self.write(Write::PutStaging(staging), Reply::Done).await
    }

    async fn leftovers(&self, partner: &PartnerName) -> Result<Vec<Leftover>> {
        let partner = partner.clone();
        self.reads.run(move |view| view.leftovers(&partner)).await
    }

    async fn put_leftover(&self, leftover: Leftover) -> Result<()> {
        self.write(Write::PutLeftover(leftover), Reply::Done).await
    }

    async fn forget_leftover(&self, leftover: Leftover) -> Result<()> {
        self.write(Write::ForgetLeftover(leftover), Reply::Done).await
    }

    async fn fences(&self) -> Result<Vec<Fence>> {
        self.reads.run(|view| view.fences()).await
    }

    async fn raise_fence(&self, fence: Fence) -> Result<()> {
        self.write(Write::RaiseFence(fence), Reply::Done).await
    }

    async fn check_ownership(&self) -> Result<()> {
        if let Some(cause) = self.line.cause() {
            return Err(cause);
        }
        let ownership = Arc::clone(&self.ownership);
        let look = tokio::task::spawn_blocking(move || ownership.check());
        let result = match self.unreachable_after {
            None => look.await,
            Some(limit) => match tokio::time::timeout(limit, look).await {
                Ok(result) => result,
                Err(_) => Ok(Err(unreachable(limit, &self.reads.database))),
            },
        };
        let result = result.unwrap_or_else(|error| {
            Err(failed(&self.reads.database, "look for the owner", error.into()))
        });
        if let Err(cause) = &result {
            self.line.fail(cause);
        }
        result
    }

    async fn probe(&self) -> Result<()> {
        let written = self.write(Write::Probe, Reply::Count).await?;
        let read = self.reads.run(|view| view.mark()).await?;
        // Another probe may have come in between.
        match read >= written {
            true => Ok(()),
            false => {
                let reason = format!("mark {written} was written and {read} is there; {RESTORE}");
                Err(damaged(&self.reads.database, reason))
            }
        }
    }

    async fn closed(&self) -> JournalError {
        self.line.closed().await
    }

    async fn close(&self) -> Result<()> {
        self.reads.close();
        self.line.end();
        match self.line.closed().await {
            JournalError::Closed => Ok(()),
            cause => Err(cause),
        }
    }
}

impl Drop for SqliteJournal {
    fn drop(&mut self) {
        self.line.fail(&JournalError::Closed);
    }
}

/// Connections for questions.
#[derive(Debug)]
struct Reads {
    database: PathBuf,
    archive: Archive,
    /// How many questions may be asked at a time.
    room: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

impl Reads {
    const CONNECTIONS: usize = 4;

    fn new(database: PathBuf, archive: Archive) -> Self {
        let room = Semaphore::new(Self::CONNECTIONS);
        Self { database, archive, room, idle: Mutex::default() }
    }

    async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&View<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let _permit = self.room.acquire().await.map_err(|_| JournalError::Closed)?;
        let reads = Arc::clone(self);
        let answer = tokio::task::spawn_blocking(move || {
            let idle = reads.idle().pop();
            let connection = match idle {
                Some(connection) => connection,
                None => schema::open_reader(&reads.database)?,
            };
            let Self { database, archive, .. } = &*reads;
            let answer = question(&View { connection: &connection, database, archive });
            if !reads.room.is_closed() {
                reads.idle().push(connection);
            }
            answer
        });
        answer
            .await
            .unwrap_or_else(|error| Err(failed(&self.database, "read", io::Error::other(error))))
    }

    /// Refuses further questions and closes the files.
    fn close(&self) {
        self.room.close();
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock {
    /// A clock of one's own.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(Timestamp::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

fn find_known(view: &View<'_>, mut requests: Vec<Request>) -> Result<Vec<Request>> {
    let keys: Vec<&str> =
        requests.iter().filter_map(|request| request.spec.key.as_deref()).collect();
    let known = view.by_keys(&keys)?;
    for request in &mut requests {
        if let Some(key) = &request.spec.key {
            request.known = known.get(key).cloned().map(Box::new);
        }
    }
    Ok(requests)
}

/// Closes the journal towards its callers when the writer does not come back from the disk.
fn watch(line: &Line, limit: Duration, database: &std::path::Path) {
    while let Some(busy) = line.watch(limit / 4) {
        if busy > limit {
            line.fail(&unreachable(limit, database));
        }
    }
}

fn unreachable(limit: Duration, database: &std::path::Path) -> JournalError {
    let source = io::Error::new(
        io::ErrorKind::TimedOut,
        format!("the disk did not answer for {} s", limit.as_secs_f32()),
    );
    failed(database, "reach the journal", source)
}

/// A file that cannot be mended now is read by way of a copy, and tried again by a successor.
fn mend(archive: &Archive, ownership: &Arc<Ownership>) {
    if let Err(error) = archive.mend(ownership) {
        tracing::warn!(%error, "a file of the job history stays unfinished");
    }
}
