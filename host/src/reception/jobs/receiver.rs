//! One job of the receiving side on its way.

use std::sync::Mutex;

use ferryway_core::{Event, JobId, Outcome, Status, notice::Standing};
use tokio::sync::{MutexGuard, watch};

use crate::{
    control::api::JobView,
    journal::{
        self, JournalStore, Receipt,
        record::{Job, JobState},
    },
    locks::lock,
    reception::arrival::Proof,
};

/// A job of the receiving side. What changes it has its turn.
pub(in crate::reception) struct Receiver {
    /// As last put in line for the journal.
    job: watch::Sender<Job>,
    turn: tokio::sync::Mutex<()>,
    /// What the visitor's session has hashed of its file.
    proof: Mutex<Option<Proof>>,
}

/// The right to change the job, as long as it is held.
pub(super) struct Turn<'a> {
    receiver: &'a Receiver,
    journal: &'a dyn JournalStore,
    _held: MutexGuard<'a, ()>,
}

impl Receiver {
    /// A job as it is on record.
    pub(super) fn new(job: Job) -> Self {
        Self {
            job: watch::Sender::new(job),
            turn: tokio::sync::Mutex::default(),
            proof: Mutex::default(),
        }
    }

    /// The job.
    pub(super) fn job(&self) -> Job {
        self.job.borrow().clone()
    }

    /// The job's id.
    pub(in crate::reception) fn id(&self) -> JobId {
        self.look(|job| job.id.clone())
    }

    /// Looks at the job without a copy of it.
    pub(super) fn look<T>(&self, at: impl FnOnce(&Job) -> T) -> T {
        at(&self.job.borrow())
    }

    /// The job for whoever looks.
    pub(super) fn view(&self) -> JobView {
        JobView { job: self.job(), progress: None, waits_for: None }
    }

    /// Waits for the right to change the job.
    pub(super) async fn turn<'a>(&'a self, journal: &'a dyn JournalStore) -> Turn<'a> {
        Turn { receiver: self, journal, _held: self.turn.lock().await }
    }

    /// Waits until the job has ended or waits for an operator.
    pub(super) async fn at_rest(&self) {
        let rests = |status: Status| !status.in_flight() || status == Status::ReceiverPostExit;
        // The sender is held right here.
        let mut job = self.job.subscribe();
        let _seen = job.wait_for(|job| rests(job.status)).await;
    }

    /// Keeps what was hashed of the file.
    pub(in crate::reception) fn prove(&self, proof: Option<Proof>) {
        *lock(&self.proof) = proof;
    }

    /// What was hashed of the file.
    pub(super) fn proof(&self) -> Option<Proof> {
        lock(&self.proof).clone()
    }
}

impl Turn<'_> {
    /// Where the job stands.
    pub(super) fn status(&self) -> Status {
        self.receiver.look(|job| job.status)
    }

    /// Puts a change in line that nobody waits for.
    ///
    /// # Errors
    /// When the status does not allow an event, or the journal takes no more writes.
    pub(super) async fn queue(
        &self,
        events: &[Event],
        note: Option<String>,
        change: impl FnOnce(&mut JobState),
    ) -> journal::Result<Receipt<Job>> {
        self.put_in_line(events, note, change, true).await
    }

    /// Changes the job; durable on `Ok`.
    ///
    /// # Errors
    /// As [`queue`](Self::queue), and when the journal fails.
    pub(super) async fn record(
        &self,
        events: &[Event],
        note: Option<String>,
        change: impl FnOnce(&mut JobState),
    ) -> journal::Result<Job> {
        self.put_in_line(events, note, change, false).await?.await
    }

    async fn put_in_line(
        &self,
        events: &[Event],
        note: Option<String>,
        change: impl FnOnce(&mut JobState),
        patient: bool,
    ) -> journal::Result<Receipt<Job>> {
        let (next, mut step) = self.receiver.look(|job| job.step(events, note, change))?;
        step.patient = patient;
        let receipt = self.journal.queue(step).await?;
        self.receiver.job.send_replace(next);
        Ok(receipt)
    }
}

/// What a visitor is told of a job.
pub(super) fn standing(job: &Job) -> Standing {
    let open = match job.status {
        Status::ReceiverIdle(Outcome::Completed) => None,
        Status::ReceiverIdle(Outcome::Cancelled) => Some("cancelled by an operator".to_owned()),
        _ => job.state.last_error.clone(),
    };
    Standing { job: job.id.clone(), status: job.status, open }
}
