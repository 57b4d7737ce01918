//! What a try works with: the job as recorded, the partner, the journal.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ferryway_core::{
    Class, Event, JobId, Operation, RemotePath, Status, TransportError, bytes::Meter,
    notice::Standing,
};

use tokio::sync::watch;

use super::{Failure, folders::Folders};
use crate::{
    config::{LocalFile, LocalRoots},
    control::api::Progress,
    durable::CHECKPOINT_BYTES,
    exits::Runner,
    journal::{
        JournalStore, Receipt,
        record::{Checkpoint, Job, JobState, Leftover},
    },
    locks::lock,
    notices::Notices,
    partner::{
        PartnerState,
        pool::{Lease, Paused, Stay},
    },
};

/// A checkpoint is written after this time even when few bytes moved.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(2);

/// A look at the ownership is good for an effect that follows within this time.
const A_MOMENT: Duration = Duration::from_millis(100);

/// What all tries of the host share.
pub struct Context {
    /// The journal.
    pub journal: Arc<dyn JournalStore>,
    /// The local folders that jobs may touch.
    pub roots: LocalRoots,
    /// Tells the operator.
    pub notices: Arc<Notices>,
    /// The folders on our side that jobs deliver into.
    pub folders: Folders,
    /// Runs the user's programs.
    pub exits: Runner,
}

/// One try of a job.
#[derive(Clone)]
pub struct Run {
    /// What it shares with the others.
    pub context: Arc<Context>,
    /// The job's partner.
    pub partner: Arc<PartnerState>,
    /// The partner that is told of the job, where that is open.
    pub told: Option<Arc<PartnerState>>,
    /// How far it is, for whoever looks.
    pub moving: Arc<Moving>,
    job: Arc<Mutex<Job>>,
    /// Whether nobody can have been told of the job, by this owner or an earlier one.
    untold: Arc<AtomicBool>,
    /// How the partner's own job stands, as far as that is not on record.
    heard: Arc<Mutex<Option<Standing>>>,
    /// Whether a program of the user's is at work.
    at_work: watch::Sender<bool>,
}

/// Held from before the start of a user's program is put on record until its end is: a stop waits
/// for that.
#[derive(Debug)]
pub(super) struct Undisturbed(watch::Sender<bool>);

/// How far a try is.
#[derive(Debug, Default)]
pub struct Moving(Mutex<Option<Stream>>);

#[derive(Debug)]
struct Stream {
    meter: Arc<Meter>,
    resumed_at: u64,
    total: u64,
    /// What was counted into the job's record already.
    recorded: AtomicU64,
}

impl Run {
    /// A try of `job`, which nobody else changes meanwhile.
    pub fn new(
        context: Arc<Context>,
        partner: Arc<PartnerState>,
        told: Option<Arc<PartnerState>>,
        job: Arc<Mutex<Job>>,
    ) -> Self {
        Self {
            context,
            partner,
            told,
            moving: Arc::default(),
            job,
            untold: Arc::default(),
            heard: Arc::default(),
            at_work: watch::Sender::new(false),
        }
    }

    /// The same try of a job of which nobody was told as long as `untold` says so.
    #[must_use]
    pub fn untold_by(self, untold: Arc<AtomicBool>) -> Self {
        Self { untold, ..self }
    }

    /// Whether nobody can have been told of the job before. The caller tells it then.
    pub(super) fn is_first_word(&self) -> bool {
        self.untold.swap(false, Ordering::Relaxed)
    }

    /// Keeps how the partner's own job stands for the next write.
    pub(super) fn hear(&self, standing: Standing) {
        *lock(&self.heard) = Some(standing);
    }

    /// Asks a stop to wait until the value is dropped.
    pub(super) fn undisturbed(&self) -> Undisturbed {
        self.at_work.send_replace(true);
        Undisturbed(self.at_work.clone())
    }

    /// Resolves when no program of the user's is at work.
    pub async fn may_be_disturbed(&self) {
        // The sender lives as long as the value.
        let mut at_work = self.at_work.subscribe();
        let _open = at_work.wait_for(|at_work| !at_work).await.is_ok();
    }

    /// The job as it was last put in line for the journal.
    pub fn job(&self) -> Job {
        lock(&self.job).clone()
    }

    /// Where the job stands.
    pub fn status(&self) -> Status {
        lock(&self.job).status
    }

    /// The job's id.
    pub fn id(&self) -> JobId {
        lock(&self.job).id.clone()
    }

    /// Looks at the job without a copy of it.
    pub fn look<T>(&self, at: impl FnOnce(&Job) -> T) -> T {
        at(&lock(&self.job))
    }

    /// Puts a change of the job in line, which is in no hurry. The receipt may be dropped when
    /// nothing depends on the change: what follows in line becomes durable after it.
    ///
    /// # Errors
    /// When the status does not allow an event, or the journal takes no more writes.
    pub async fn queue(
        &self,
        events: &[Event],
        note: Option<String>,
        change: impl FnOnce(&mut JobState),
    ) -> Result<Receipt<Job>, Failure> {
        self.put_in_line(events, note, change, true).await
    }

    /// The events of the way from where the job stands to `event`, which follows connecting:
    /// a job that had a session at hand has not been shown on that way.
    pub fn from_connecting(&self, event: Event) -> Vec<Event> {
        let way = self.to_connecting();
        match self.status() {
            Status::Connecting => vec![event],
            _ if way.is_empty() => Vec::new(),
            _ => way.iter().copied().chain([event]).collect(),
        }
    }

    /// Changes what the next write of the job records. It may be lost before.
    pub fn keep(&self, change: impl FnOnce(&mut JobState)) {
        change(&mut lock(&self.job).state);
    }

    /// Notes that what the job waited for is over.
    pub(super) fn waits_no_more(&self) {
        self.keep(|state| state.waits = 0);
    }

    /// Shows the job as connecting, unless it is that, or further, or shows what it waits for.
    pub(super) async fn show_connecting(&self) -> Result<(), Failure> {
        if self.look(|job| job.state.waits > 0) {
            return Ok(());
        }
        let events = self.to_connecting();
        if !events.is_empty() {
            drop(self.queue(events, None, |_| {}).await?);
        }
        Ok(())
    }

    /// The events that show the job as connecting; none when it is that, or further.
    fn to_connecting(&self) -> &'static [Event] {
        match self.status() {
            Status::Accepted => &[Event::Prepare, Event::Connect],
            Status::Preparing => &[Event::Connect],
            _ => &[],
        }
    }

    /// Changes the job; durable on `Ok`.
    ///
    /// # Errors
    /// As [`queue`](Self::queue), and when the journal fails.
    pub async fn record(
        &self,
        events: &[Event],
        note: Option<String>,
        change: impl FnOnce(&mut JobState),
    ) -> Result<(), Failure> {
        self.press(events, note, change).await?.await?;
        Ok(())
    }

    /// Puts a change of the job in line that somebody waits for.
    ///
    /// # Errors
    /// As [`queue`](Self::queue).
    pub async fn press(
        &self,
        events: &[Event],
        note: Option<String>,
        change: impl FnOnce(&mut JobState),
    ) -> Result<Receipt<Job>, Failure> {
        self.put_in_line(events, note, change, false).await
    }

    async fn put_in_line(
        &self,
        events: &[Event],
        note: Option<String>,
        change: impl FnOnce(&mut JobState),
        patient: bool,
    ) -> Result<Receipt<Job>, Failure> {
        let moved = self.moving.take_unrecorded();
        let heard = lock(&self.heard).take();
        let change = |state: &mut JobState| {
            change(state);
            state.moved_bytes += moved;
            if heard.is_some() {
                state.peer = heard;
            }
        };
        let stepped = self.look(|job| job.step(events, note, change));
        let (next, mut step) = stepped.map_err(crate::journal::JournalError::from)?;
        step.patient = patient;
        let receipt = self.context.journal.queue(step).await?;
        *lock(&self.job) = next;
        Ok(receipt)
    }

    /// Puts a file on the partner on record as one to be removed later; durable on `Ok`. What
    /// comes back forgets it.
    ///
    /// # Errors
    /// When the journal fails.
    pub async fn note_leftover(&self, path: RemotePath) -> Result<Leftover, Failure> {
        let leftover = Leftover { partner: self.partner.name.clone(), path, job: self.id() };
        self.context.journal.put_leftover(leftover.clone()).await?;
        Ok(leftover)
    }

    /// The file on the partner's side.
    ///
    /// # Errors
    /// When the name is not usable there.
    pub fn target(&self) -> Result<RemotePath, Failure> {
        Ok(self.look(Job::remote).parse()?)
    }

    /// The file on our side.
    ///
    /// # Errors
    /// When it lies outside of the allowed folders, or its root cannot be opened now.
    pub fn local(&self) -> Result<LocalFile, Failure> {
        let (local, direction) = self.look(|job| (job.local(), job.spec.direction));
        self.context
            .roots
            .resolve(&local, direction)
            .map_err(|error| Failure::of_root("the local file cannot be used", error))
    }

    /// A session with the partner, after former owners are fenced there. The job is shown as
    /// connecting only when that takes more than a moment.
    ///
    /// # Errors
    /// When the partner cannot be reached or does not let us fence.
    pub async fn lend(&self, stay: Stay) -> Result<Lease, Failure> {
        let lease = match self.partner.pool.slot(stay).await?.at_hand().await {
            Ok(lease) => lease,
            Err(slot) => {
                self.show_connecting().await?;
                let lease = slot.connect().await?;
                self.partner.came_back();
                self.context.notices.partner_back(&self.partner.name);
                lease
            }
        };
        self.fenced(lease).await
    }

    /// Goes on with a session after a pause that began with a look at the ownership; looks once
    /// more when it took long to get it.
    ///
    /// # Errors
    /// When the instance is not ours any more, or the session was lost and the partner cannot be
    /// reached.
    pub async fn go_on(&self, paused: Paused) -> Result<Lease, Failure> {
        let begun = Instant::now();
        let lease = paused.go_on().await?;
        if begun.elapsed() > A_MOMENT
            && let Err(failure) = self.still_owner().await
        {
            return conclude(lease, Err(failure));
        }
        Ok(lease)
    }

    async fn fenced(&self, mut lease: Lease) -> Result<Lease, Failure> {
        match self.partner.fence_former_owners(lease.session()).await {
            Ok(()) => Ok(lease),
            Err(failure) => conclude(lease, Err(as_of_connecting(failure))),
        }
    }

    /// Looks whether the instance is still ours, right before an effect that stays.
    ///
    /// # Errors
    /// When it is not: nothing more may be done.
    pub async fn still_owner(&self) -> Result<(), Failure> {
        Ok(self.context.journal.check_ownership().await?)
    }

    /// Shows a new stream to whoever looks, and gives its meter.
    pub fn start_stream(&self, resumed_at: u64, total: u64) -> Arc<Meter> {
        let meter = Meter::new();
        *lock(&self.moving.0) = Some(Stream {
            meter: Arc::clone(&meter),
            resumed_at,
            total,
            recorded: AtomicU64::new(0),
        });
        meter
    }

    /// What a stream calls as it goes, to write checkpoints. For a fetch the offset must be
    /// durable on our side first: `durable` tells how far that is.
    pub fn checkpoints(
        &self,
        attempt: u32,
        durable: impl Fn() -> u64 + Send + 'static,
    ) -> impl FnMut() + Send + 'static {
        let run = self.clone();
        let mut last = (durable(), Instant::now());
        move || {
            let offset = durable();
            let due = offset >= last.0 + CHECKPOINT_BYTES
                || (offset > last.0 && last.1.elapsed() >= CHECKPOINT_EVERY);
            if due {
                run.checkpoint(attempt, offset);
                last = (offset, Instant::now());
            }
        }
    }

    /// Writes one checkpoint, for a successor on another node and for the next try on this one.
    pub fn checkpoint(&self, attempt: u32, offset: u64) {
        let checkpoint = Checkpoint { attempt, offset, moved_bytes: self.moving.bytes() };
        let mut job = lock(&self.job);
        self.context.journal.checkpoint(&job.id, checkpoint.clone());
        job.checkpoint = Some(checkpoint);
    }
}

impl Moving {
    /// How far the stream is, if there is one.
    pub fn progress(&self) -> Option<Progress> {
        lock(&self.0).as_ref().map(|stream| Progress {
            done: (stream.resumed_at + stream.meter.bytes()).min(stream.total),
            total: stream.total,
            resumed_at: stream.resumed_at,
        })
    }

    fn bytes(&self) -> u64 {
        lock(&self.0).as_ref().map_or(0, |stream| stream.meter.bytes())
    }

    fn take_unrecorded(&self) -> u64 {
        lock(&self.0).as_ref().map_or(0, |stream| {
            let bytes = stream.meter.bytes();
            bytes - stream.recorded.swap(bytes, Ordering::Relaxed)
        })
    }
}

/// A partner on which former owners cannot be fenced is of no use to any job: that is not the
/// fault of the one that came first.
fn as_of_connecting(failure: Failure) -> Failure {
    match failure {
        Failure::Transport(error) if error.class() == Class::Permanent => {
            TransportError::permanent(
                error.kind(),
                Operation::Connect,
                "the staging folder of a former owner cannot be taken away",
            )
            .caused_by(error)
            .into()
        }
        other => other,
    }
}

/// Gives a session back after steps that ended with `result`, unless it is out of step.
pub(super) fn conclude<T>(lease: Lease, result: Result<T, Failure>) -> Result<T, Failure> {
    match &result {
        Err(Failure::Transport(error) | Failure::Untold { source: error, .. }) => {
            lease.give_back_after(error);
        }
        _ => lease.give_back(),
    }
    result
}

impl Drop for Undisturbed {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}
