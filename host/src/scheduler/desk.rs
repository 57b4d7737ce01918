//! The scheduler's side of its orders: what becomes of a job when an operator says so.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use ferryway_core::{Epoch, Event, JobId, Status};
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::{End, Halt, Scheduler, Waiter, attempt_task, orders::Order, queue::Target};
use crate::{
    attempt::{Failure, Run},
    control::api::{Command, Reason, Refusal},
    journal::{
        JournalError,
        record::{Attempt, Fingerprint, HistoryQuery, Intent, Job, JobState, Token},
    },
    locks::lock,
};

/// Jobs of the history that are looked at in one go.
const PAGE: usize = 1000;

/// An operator's order, and where its answer goes.
pub(super) struct Ordered {
    pub(super) job: JobId,
    pub(super) command: Command,
    pub(super) reply: oneshot::Sender<Result<Job, Refusal>>,
}

impl Scheduler {
    pub(super) async fn carry_out(&mut self, order: Order) -> End {
        // Whoever asked may have gone; then nobody misses the answer.
        match order {
            Order::Add(jobs) => self.add(jobs).await?,
            Order::Command(ordered) => self.command(ordered).await?,
            Order::View { reply } => {
                let _gone = reply.send(self.jobs.values().map(|job| self.view(job)).collect());
            }
            Order::ViewOne { id, reply } => {
                let _gone = reply.send(self.jobs.get(&id).map(|job| self.view(job)));
            }
            Order::Wait { jobs, done } => self.wait(jobs, done),
            Order::Count { reply } => {
                let _gone = reply.send((self.queue.moving(), self.jobs.len()));
            }
            Order::Partner { name, reply } => {
                let _gone = reply.send(self.partners.get(&name).cloned());
            }
            Order::Returned { system, done } => {
                self.returned(&system);
                let _gone = done.send(());
            }
            Order::Greet => self.greet(),
            Order::Move { on, done } => self.let_move(on, done),
            Order::Reloaded { waiting } => {
                self.open_partners().await?;
                self.withdraw_unheard().await?;
                let _gone = waiting.send(self.waiting_keys());
            }
            Order::Stop { .. } => {}
        }
        Ok(())
    }

    /// Takes accepted jobs in. A request with a key may have got a job that is long known, and
    /// may have ended since the answer.
    async fn add(&mut self, jobs: Vec<Job>) -> End {
        for job in jobs {
            if job.spec.key.is_none() {
                self.take_in(job);
            } else if !self.jobs.contains_key(&job.id)
                && let Some(current) = self.shared.journal.job(&job.id).await?
                && current.status.in_flight()
            {
                self.take_in(current);
            }
        }
        Ok(())
    }

    fn wait(&mut self, jobs: Vec<JobId>, done: oneshot::Sender<()>) {
        let remaining: HashSet<_> = jobs.into_iter().filter(|id| !self.queue.rests(id)).collect();
        if remaining.is_empty() {
            let _gone = done.send(());
        } else {
            self.waiters.retain(|waiter| !waiter.done.is_closed());
            self.waiters.push(Waiter { remaining, done });
        }
    }

    /// Carries out an operator's order, at once or when the job's try has stopped.
    pub(super) async fn command(&mut self, ordered: Ordered) -> End {
        if let Some(in_flight) = self.jobs.get_mut(&ordered.job)
            && let Some(attempt) = &mut in_flight.attempt
        {
            let runs_exit = lock(&in_flight.job).status == Status::PostExit;
            let refused = match ordered.command {
                Command::Restart { .. } | Command::Release => Some("is moving already"),
                // It is delivered: what could be held or cancelled is over.
                _ if runs_exit => Some("runs its post-exit, and ends when that has ended"),
                Command::Hold | Command::Cancel => None,
            };
            if let Some(why) = refused {
                let refusal = conflict(format!("job {} {why}", ordered.job));
                let _gone = ordered.reply.send(Err(refusal));
                return Ok(());
            }
            if let Some(stop) = attempt.stop.take() {
                // The try may end by itself in this moment; then its end is what it stops at.
                let _ended = stop.send(Halt::Now);
            }
            attempt.then.push(ordered);
            return Ok(());
        }
        let Ordered { job: id, command, reply } = ordered;
        let result = match self.jobs.get(&id).map(|in_flight| lock(&in_flight.job).clone()) {
            Some(job) => self.command_in_flight(job, command).await,
            None => self.command_ended(&id, command).await,
        };
        let answer = match result {
            Ok(job) => Ok(job),
            Err(Trouble::Refused(refusal)) => Err(refusal),
            Err(Trouble::Journal(error)) if error.is_fatal() => {
                let _gone = reply.send(Err(unavailable(&error)));
                return Err(error);
            }
            Err(Trouble::Journal(error)) => Err(conflict(error.to_string())),
        };
        let _gone = reply.send(answer);
        Ok(())
    }

    async fn command_in_flight(&mut self, job: Job, command: Command) -> Result<Job, Trouble> {
        let (event, note) = match command {
            Command::Hold => (Event::Suspend, "held by an operator"),
            Command::Release if job.status == Status::PostExit => {
                (Event::Complete, "released by an operator: its post-exit is taken for done")
            }
            Command::Release => (Event::Release, "released by an operator"),
            Command::Restart { force: false } if job.status == Status::Confirming => {
                (Event::Retry, "asked again by an operator")
            }
            Command::Cancel if job.status == Status::Confirming => {
                (Event::Complete, "ended by an operator without the partner's word")
            }
            Command::Restart { force } => (restart(force), "restarted by an operator"),
            Command::Cancel => (Event::Cancel, "cancelled by an operator"),
        };
        if command == Command::Cancel
            && let Some(intent) = &job.state.intent
        {
            let id = &job.id;
            return Err(Trouble::Refused(conflict(match intent.tokens.is_empty() {
                true => format!(
                    "the old target of job {id} may be moved aside; `ftprel restart {id}` puts it \
                     back and sends the file once more"
                ),
                false => format!(
                    "job {id} may have been published already; `ftprel restart {id}` finds out, \
                     then it ends by itself"
                ),
            })));
        }
        let next = self.write(&job, event, note, command).await?;
        if command == Command::Cancel {
            self.note_leftovers(&job).await?;
            self.withdraw(&next);
        }
        if next.status.in_flight() {
            if let Some(in_flight) = self.jobs.get_mut(&job.id) {
                *lock(&in_flight.job) = next.clone();
            }
            let due = (next.status != Status::Suspended).then(Timestamp::now);
            self.queue.put_back(&job.id, due);
            if due.is_none() {
                self.tell_waiters(&job.id);
            }
        } else {
            self.leave_out(&job.id);
        }
        Ok(next)
    }

    async fn command_ended(&mut self, id: &JobId, command: Command) -> Result<Job, Trouble> {
        let Some(job) = self.shared.journal.job(id).await? else {
            let message =
                format!("there is no job {id}; `ftprel list --all` shows those there are");
            return Err(Trouble::Refused(Refusal::new(Reason::NotFound, message)));
        };
        let Command::Restart { force } = command else {
            let message = format!("job {id} has ended ({})", job.status);
            return Err(Trouble::Refused(conflict(message)));
        };
        if !force {
            self.refuse_overtaken(&job).await?;
        }
        let next = self.write(&job, restart(force), "restarted by an operator", command).await?;
        self.take_in(next.clone());
        Ok(next)
    }

    /// Refuses to put an older file over a newer one that was delivered since, or may be.
    async fn refuse_overtaken(&self, job: &Job) -> Result<(), Trouble> {
        let target = Target::of(job);
        // A receiving job's file is its visitor's, whatever its path looks like.
        let ours = |other: &Job| other.spec.origin.is_none();
        let newer = |other: &Job| {
            ours(other) && other.sequence > job.sequence && Target::of(other) == target
        };
        let on_its_way = self.jobs.values().find_map(|in_flight| {
            let other = lock(&in_flight.job);
            let publishes = in_flight.attempt.is_some() || other.state.intent.is_some();
            (publishes && newer(&other)).then(|| other.id.clone())
        });
        if let Some(newer) = on_its_way {
            return Err(Trouble::Refused(conflict(format!(
                "the newer job {newer} is on its way to the same target; `ftprel restart {} \
                 --force` puts the older file over it",
                job.id
            ))));
        }
        let mut query =
            HistoryQuery { limit: PAGE, since: Some(job.accepted_at), ..Default::default() };
        loop {
            let page = self.shared.journal.history(query.clone()).await?;
            let delivered = page.iter().find(|other| other.state.published > 0 && newer(other));
            if let Some(newer) = delivered {
                return Err(Trouble::Refused(conflict(format!(
                    "the newer job {} was delivered to the same target since; `ftprel restart \
                     {} --force` puts the older file over it",
                    newer.id, job.id
                ))));
            }
            match page.last() {
                Some(last) if page.len() == PAGE && last.sequence > job.sequence => {
                    query.before_sequence = Some(last.sequence);
                }
                _ => return Ok(()),
            }
        }
    }

    async fn write(
        &self,
        job: &Job,
        event: Event,
        note: &str,
        command: Command,
    ) -> Result<Job, JournalError> {
        let forced = command == Command::Restart { force: true };
        let starts = matches!(command, Command::Restart { .. } | Command::Release);
        let change = |state: &mut JobState| {
            if starts {
                state.start_again();
            }
            (state.failures, state.waits) = (0, 0);
            state.not_before = None;
            state.held = command == Command::Hold;
            if forced && let Some(Intent { tokens, displaced, barred }) = state.intent.take() {
                // It delivers once more, whatever became of the tokens; the next try removes
                // them. An old target that was moved away, or may yet be, is not theirs: it is
                // seen to before.
                if let Some(prepared) = prepared(tokens, state.attempts, job.epoch) {
                    state.begin_attempt(prepared);
                }
                let rest = Intent { tokens: Vec::new(), displaced, barred };
                state.intent = (rest != Intent::default()).then_some(rest);
            }
        };
        let (_, step) = job.step(&[event], Some(note.to_owned()), change)?;
        let job = self.shared.journal.queue(step).await?.await?;
        self.shared.notices.ordered(&job, command);
        Ok(job)
    }

    async fn note_leftovers(&self, job: &Job) -> Result<(), JournalError> {
        let Some(partner) = self.partners.get(&job.spec.partner) else { return Ok(()) };
        let run = Run::new(
            Arc::clone(&self.context),
            Arc::clone(partner),
            None,
            Arc::new(Mutex::new(job.clone())),
        );
        match attempt_task::note_leftovers(&run).await {
            Err(Failure::Journal(error)) => Err(error),
            _ => Ok(()),
        }
    }
}

/// The partials of tokens that are given up, as an attempt from which nothing is resumed.
fn prepared(tokens: Vec<Token>, number: u32, epoch: Epoch) -> Option<Attempt> {
    let size = tokens.last()?.size;
    let fingerprint = Fingerprint { size, modified_ns: None, identity: None };
    let names = tokens.into_iter().flat_map(|token| token.names).collect();
    Some(Attempt { number, epoch, fingerprint, names })
}

fn restart(force: bool) -> Event {
    if force { Event::ForceRestart } else { Event::Restart }
}

enum Trouble {
    Refused(Refusal),
    Journal(JournalError),
}

impl From<JournalError> for Trouble {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

fn conflict(message: String) -> Refusal {
    Refusal::new(Reason::Conflict, message)
}

pub(super) fn unavailable(error: &JournalError) -> Refusal {
    Refusal::new(Reason::Unavailable, error.to_string())
}
