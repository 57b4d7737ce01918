//! One job of the receiving side on its way.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use ferryway_core::{Event, JobId, Outcome, Status, notice::Standing};
use tokio::sync::{MutexGuard, watch};

use super::Register;
use crate::{
    control::api::JobView,
    journal::{
        self, Receipt,
        record::{Job, JobState},
    },
    locks::lock,
    reception::hashed::Proof,
};

/// A job of the receiving side. What changes it has its turn.
pub(in crate::reception) struct Receiver {
    /// As last put in line for the journal.
    job: watch::Sender<Job>,
    turn: tokio::sync::Mutex<()>,
    /// What the visitor's session has hashed of its file.
    proof: Mutex<Option<Proof>>,
    /// Whether one of its exits runs here, or waits for its place.
    busy: AtomicBool,
    /// Whether its file is read as a whole, which may take long.
    comparing: AtomicBool,
}

/// Whoever compares the job's file, as long as it does.
pub(super) struct Comparing<'a>(&'a Receiver);

/// The right to change the job, as long as it is held. The register has the job meanwhile, and
/// from there on as long as it has not ended.
pub(super) struct Turn<'a> {
    receiver: &'a Arc<Receiver>,
    register: &'a Register,
    _held: MutexGuard<'a, ()>,
}

impl Receiver {
    /// A job as it is on record.
    pub(super) fn new(job: Job) -> Self {
        Self {
            job: watch::Sender::new(job),
            turn: tokio::sync::Mutex::default(),
            proof: Mutex::default(),
            busy: AtomicBool::new(false),
            comparing: AtomicBool::new(false),
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
        let (job, at_rest) = (self.job(), self.is_at_rest());
        JobView { job, progress: None, waits_for: None, at_rest }
    }

    /// What the visitor is told of the job, once that is durable.
    pub(super) fn standing(&self) -> Standing {
        let job = self.job();
        let open = match job.status {
            Status::ReceiverIdle(Outcome::Completed) => None,
            Status::ReceiverIdle(Outcome::Cancelled) => Some("cancelled by an operator".to_owned()),
            _ if self.is_busy() => Some("its exit runs".to_owned()),
            Status::ReceiverPostExit if job.state.last_error.is_none() => Some(format!(
                "nobody knows whether its post-exit has run; `ftprel restart {}` there runs it \
                 again",
                job.id
            )),
            _ => job.state.last_error,
        };
        Standing { job: job.id, status: job.status, open }
    }

    /// Waits until the job has ended or waits for an operator.
    pub(super) async fn at_rest(&self) {
        // The sender is held right here.
        let mut job = self.job.subscribe();
        let _seen = job.wait_for(|job| self.rests(job.status)).await;
    }

    /// Whether the job has ended or waits for an operator.
    fn is_at_rest(&self) -> bool {
        self.rests(self.look(|job| job.status))
    }

    fn rests(&self, status: Status) -> bool {
        match status {
            Status::ReceiverPostExit => !self.is_busy(),
            status => !status.in_flight(),
        }
    }

    /// Says that the job's file is read as a whole, until what comes back is dropped.
    pub(super) fn comparing(&self) -> Comparing<'_> {
        self.set_comparing(true);
        Comparing(self)
    }

    /// Waits until the job's file is read as a whole.
    pub(super) async fn until_comparing(&self) {
        let mut job = self.job.subscribe();
        let _seen = job.wait_for(|_| self.comparing.load(Ordering::Acquire)).await;
    }

    fn set_comparing(&self, comparing: bool) {
        self.comparing.store(comparing, Ordering::Release);
        // Wakes whoever waits for that.
        self.job.send_modify(|_| {});
    }

    /// Whether one of its exits runs here, or waits for its place.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    pub(super) fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Release);
        // Wakes whoever waits for that.
        self.job.send_modify(|_| {});
    }

    /// Waits until no exit runs, and what became of the last is durable.
    pub(super) async fn not_busy(&self) {
        let mut job = self.job.subscribe();
        let _seen = job.wait_for(|_| !self.is_busy()).await;
    }

    /// Keeps what was hashed of the file.
    pub(in crate::reception) fn prove(&self, proof: Option<Proof>) {
        *lock(&self.proof) = proof;
    }

    /// What was hashed of the file.
    pub(in crate::reception) fn proof(&self) -> Option<Proof> {
        lock(&self.proof).clone()
    }
}

impl<'a> Turn<'a> {
    /// Waits for the right to change a job.
    pub(super) async fn of(receiver: &'a Arc<Receiver>, register: &'a Register) -> Self {
        let held = receiver.turn.lock().await;
        // Before the first write: whoever looks for the job must not find it in the journal only,
        // and move it beside us.
        drop(register.enter(Arc::clone(receiver)));
        Self { receiver, register, _held: held }
    }

    /// Where the job stands.
    pub(super) fn status(&self) -> Status {
        self.receiver.look(|job| job.status)
    }

    /// Whether the visitor asks for the job no more.
    pub(super) fn is_withdrawn(&self) -> bool {
        self.receiver.look(|job| job.state.withdrawn)
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
        let receipt = self.register.journal.queue(step).await?;
        self.receiver.job.send_replace(next);
        Ok(receipt)
    }
}

impl Drop for Comparing<'_> {
    fn drop(&mut self) {
        self.0.set_comparing(false);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.register.settle(self.receiver);
    }
}
