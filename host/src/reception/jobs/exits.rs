//! The user's programs around what comes in: the pre-exit in 02, the post-exit in 07.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ferryway_core::{Event, Status, policy::OnFailure};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{Receiver, Register, receiver::Turn};
use crate::{
    exits::{Ended, Onward, Verdict, When, after_takeover},
    journal::{self, record::JobState},
    reception::refusal::Refusal,
};

/// How long a notice waits for an exit that it started before it is answered with how the job
/// stands.
const PATIENCE: Duration = Duration::from_secs(10);

impl Register {
    /// A place for an exit, or for the file that is read before it starts.
    ///
    /// # Errors
    /// When all are taken.
    pub(super) fn place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let taken = "too many exits run here at once, or files are read for them";
        place.map_err(|_| Refusal::NotNow(taken.to_owned()))
    }

    /// Puts the start of an exit on record, after `events` and with the reason for them, and lets
    /// it run in its place. Durable on `Ok`.
    ///
    /// # Errors
    /// When the journal fails.
    pub(super) async fn start_exit(
        self: &Arc<Self>,
        place: OwnedSemaphorePermit,
        turn: &Turn<'_>,
        receiver: &Arc<Receiver>,
        (events, when, why): (&[Event], When, Option<String>),
        change: impl FnOnce(&mut JobState),
    ) -> journal::Result<()> {
        let change = |state: &mut JobState| {
            change(state);
            when.begin(state);
            state.last_error = None;
        };
        let starts =
            format!("{}the {when}-exit starts", why.map(|why| why + "; ").unwrap_or_default());
        // Before the change is shown: who sees the job at its exit is to see that it runs.
        receiver.set_busy(true);
        if let Err(error) = turn.record(events, Some(starts), change).await {
            receiver.set_busy(false);
            return Err(error);
        }
        let (register, receiver) = (Arc::clone(self), Arc::clone(receiver));
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = register.run_exit(&receiver, when).await {
                tracing::error!(%error, job = %receiver.id(), "the end of an exit is not recorded");
            }
        });
        Ok(())
    }

    /// Waits a moment for an exit that runs.
    pub(super) async fn await_exit(&self, receiver: &Receiver) {
        // The answer says how far it is when the moment is over.
        let _in_time = timeout(PATIENCE, receiver.not_busy()).await;
    }

    /// Waits until no exit runs. What has waited for its place does not start any more.
    pub async fn exits_ended(&self) {
        self.ending.store(true, Ordering::Release);
        let all = u32::try_from(self.places_in_all).unwrap_or(u32::MAX);
        // Nobody closes the places.
        drop(self.places.acquire_many(all).await);
    }

    /// Goes on with the jobs whose post-exit a former owner had started.
    ///
    /// # Errors
    /// When the journal fails.
    pub async fn resume_exits(self: &Arc<Self>) -> journal::Result<()> {
        for receiver in self.all() {
            let turn = Turn::of(&receiver, self).await;
            if turn.status() != Status::ReceiverPostExit {
                continue;
            }
            match receiver.look(after_takeover) {
                Onward::Ask | Onward::Failed => {}
                Onward::Rerun => {
                    // There may be more of them than places.
                    receiver.set_busy(true);
                    drop(turn);
                    tokio::spawn(Arc::clone(self).rerun(receiver));
                }
                Onward::Skip => {
                    let note = "the post-exit is taken for done".to_owned();
                    self.confirm(&turn, Some(note), |_| {}).await?;
                }
                Onward::GoOn => self.confirm(&turn, None, |_| {}).await?,
            }
        }
        Ok(())
    }

    /// Runs the post-exit of a busy job again when there is a place for it.
    async fn rerun(self: Arc<Self>, receiver: Arc<Receiver>) {
        // Nobody closes the places.
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
        if self.ending.load(Ordering::Acquire) {
            return;
        }
        let turn = Turn::of(&receiver, &self).await;
        let what: (&[Event], _, _) = (&[Event::RerunExit], When::Post, None);
        if let Err(error) = self.start_exit(place, &turn, &receiver, what, |_| {}).await {
            tracing::error!(%error, job = %receiver.id(), "an exit is not run again");
        }
    }

    /// Has a job wait for its visitor to ask how it stands; one that nobody asks for ends.
    async fn confirm(
        &self,
        turn: &Turn<'_>,
        note: Option<String>,
        change: impl FnOnce(&mut JobState),
    ) -> journal::Result<()> {
        let events: &[Event] = match turn.is_withdrawn() {
            true => &[Event::Confirm, Event::Complete],
            false => &[Event::Confirm],
        };
        let job = turn.record(events, note, change).await?;
        if job.status.outcome().is_some() {
            self.notices.completed(&job);
        }
        Ok(())
    }

    async fn run_exit(&self, receiver: &Arc<Receiver>, when: When) -> journal::Result<()> {
        let job = receiver.job();
        let Some(exit) = when.exit(&job.spec) else { return Ok(()) };
        let ended = self.runner.run(&job, when, exit).await;
        let turn = Turn::of(receiver, self).await;
        let follows = match (when, ended.verdict) {
            (When::Pre, Verdict::Success) => Some(Event::Connect),
            (When::Pre, Verdict::Again) => Some(Event::Retry),
            (When::Pre, Verdict::Failure) => Some(Event::Fail),
            (When::Post, Verdict::Success) => Some(Event::Confirm),
            (When::Post, _) => (exit.on_failure == OnFailure::Continue).then_some(Event::Confirm),
        };
        // The job may have been ended meanwhile: then the exit's end is all there is to record.
        let stands = turn.status() == job.status;
        let Ended { verdict, end } = ended;
        let how = format!("the {when}-exit ended: {}", end.how);
        let hint = match follows {
            None => format!("; `ftprel restart {}` runs it again", job.id),
            Some(_) => String::new(),
        };
        let open = (verdict != Verdict::Success).then(|| format!("{how}{hint}"));
        let change = |state: &mut JobState| {
            when.end(state, end);
            state.last_error = open.clone();
        };
        let recorded = match follows.filter(|_| stands) {
            Some(Event::Confirm) => self.confirm(&turn, Some(how), change).await,
            event => turn.record(event.as_slice(), Some(how), change).await.map(drop),
        };
        receiver.set_busy(false);
        recorded
    }
}
