//! Partners are told of jobs that end without delivering, or before their own job does, beside
//! everything else: no end of a job waits for that. The journal knows who has not heard of it, for
//! the next start of a host and the next reload.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ferryway_core::{JobId, Status, notice::Standing, status::Outcome};

use super::{End, Scheduler};
use crate::{
    attempt::{Context, Run, withdraw},
    config::RetryPolicy,
    journal::record::Job,
    locks::lock,
    partner::{PartnerState, backoff},
};

/// Withdrawals that may be under way.
const LIMIT: usize = 1000;

/// How often one is told who does not answer: for about ten minutes.
const RETRY: RetryPolicy = RetryPolicy {
    attempts: 15,
    first: Duration::from_secs(1),
    max: Duration::from_secs(60),
    factor: 2.0,
};

/// What became of a withdrawal.
#[derive(Debug)]
pub(super) struct Withdrawn {
    /// As it was told of.
    job: Job,
    told: Told,
}

#[derive(Debug)]
enum Told {
    /// How the partner's own job stands then, if it has one.
    Heard(Option<Standing>),
    /// It goes on meanwhile.
    GoesOn,
    /// Why nobody could be told.
    Unheard(String),
}

impl Scheduler {
    /// Tells of the jobs whose partners have not heard of their end, those of former owners
    /// among them.
    pub(super) async fn withdraw_unheard(&mut self) -> End {
        for job in self.shared.journal.unheard().await? {
            self.withdraw(&job);
        }
        Ok(())
    }

    /// Tells whoever was told of the job that it is withdrawn, if that is so.
    pub(super) fn withdraw(&mut self, job: &Job) {
        let Some(told) = job.spec.told.clone().filter(|_| job.is_unheard()) else { return };
        if self.withdrawing.contains_key(&job.id) {
            return;
        }
        let Some(partner) = self.partners.get(&told).cloned() else {
            let reason = "it is not configured, or its transport is not loaded";
            self.shared.notices.withdrawal_untold(job, &told, reason);
            return;
        };
        if self.withdrawals.len() >= LIMIT {
            self.shared.notices.withdrawal_untold(job, &told, "too many wait to be told");
            return;
        }
        self.withdrawing.insert(job.id.clone(), job.clone());
        self.withdrawals.spawn(until_told(Arc::clone(&self.context), partner, job.clone()));
    }

    /// Hears of the end of a withdrawal, and puts it on record unless the job goes on meanwhile.
    pub(super) async fn withdrawn(&mut self, Withdrawn { job, told }: Withdrawn) -> End {
        self.withdrawing.remove(&job.id);
        let standing = match told {
            Told::Heard(standing) => standing,
            Told::GoesOn => return Ok(()),
            Told::Unheard(reason) => {
                self.untold(&job, &reason);
                return Ok(());
            }
        };
        let in_flight = self.jobs.get(&job.id);
        let current = match in_flight {
            Some(in_flight) if in_flight.attempt.is_some() => return Ok(()),
            Some(in_flight) => Some(lock(&in_flight.job).clone()),
            None => self.shared.journal.job(&job.id).await?,
        };
        let Some(current) = current.filter(Job::is_unheard) else { return Ok(()) };
        if current.reference() != job.reference() || current.state.starts != job.state.starts {
            // It has gone on and ended again.
            self.withdraw(&current);
            return Ok(());
        }
        let note = Some("the partner was told that the job is withdrawn".to_owned());
        let (next, step) = current.step(&[], note, |state| {
            state.withdrawn = true;
            if standing.is_some() {
                state.peer = standing;
            }
        })?;
        self.shared.journal.queue(step).await?.await?;
        if let Some(in_flight) = self.jobs.get(&job.id) {
            *lock(&in_flight.job) = next;
        }
        Ok(())
    }

    /// Says of each withdrawal under way that the partner has not heard of it.
    pub(super) fn leave_withdrawals(&mut self) {
        self.withdrawals.abort_all();
        for job in std::mem::take(&mut self.withdrawing).into_values() {
            self.untold(&job, "this host stops");
        }
    }

    fn untold(&self, job: &Job, reason: &str) {
        if let Some(told) = &job.spec.told {
            self.shared.notices.withdrawal_untold(job, told, reason);
        }
    }
}

async fn until_told(context: Arc<Context>, partner: Arc<PartnerState>, mut job: Job) -> Withdrawn {
    let mut last = String::new();
    for number in 1..=RETRY.attempts {
        match unheard(&context, &job.id).await {
            Some(current) => job = current,
            None => return Withdrawn { job, told: Told::GoesOn },
        }
        // The bytes are over: the word alone goes to a partner.
        let (told, reason) = (Some(Arc::clone(&partner)), reason(&job));
        let shared = Arc::new(Mutex::new(job.clone()));
        let run = Run::new(Arc::clone(&context), Arc::clone(&partner), told, shared);
        match withdraw(&run, reason).await {
            Ok(standing) => return Withdrawn { job, told: Told::Heard(standing) },
            Err(failure) => last = failure.chain(),
        }
        tokio::time::sleep(backoff(&RETRY, number)).await;
    }
    Withdrawn { job, told: Told::Unheard(last) }
}

/// The job as it is on record; `None` when an operator has let it go on meanwhile, or nobody can
/// tell any more.
async fn unheard(context: &Context, id: &JobId) -> Option<Job> {
    context.journal.job(id).await.ok().flatten().filter(Job::is_unheard)
}

fn reason(job: &Job) -> String {
    match job.status {
        Status::Idle(Outcome::Cancelled) => "cancelled by an operator".to_owned(),
        Status::Idle(Outcome::Completed) => "ended by an operator before the answer".to_owned(),
        _ => job.state.last_error.clone().unwrap_or_else(|| "suspended".to_owned()),
    }
}
