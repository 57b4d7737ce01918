//! Partners are told of jobs that end without delivering, beside everything else: no end of a
//! job waits for that.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ferryway_core::{
    JobId, Status,
    notice::Standing,
    status::{Outcome, Side},
};

use super::{End, Scheduler};
use crate::{
    attempt::{Run, withdraw},
    config::RetryPolicy,
    journal::record::Job,
    locks::lock,
    partner::backoff,
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
    job: Job,
    told: Result<Option<Standing>, String>,
}

impl Scheduler {
    /// Tells whoever was told of the job that it is withdrawn, if that is so.
    pub(super) fn withdraw(&mut self, job: &Job) {
        let Some(told) = &job.spec.told else { return };
        if !is_withdrawn(job) {
            return;
        }
        let Some(partner) = self.partners.get(&job.spec.partner) else { return };
        if self.withdrawals.len() >= LIMIT {
            self.shared.notices.withdrawal_untold(job, told, "too many wait to be told");
            return;
        }
        let told = self.partners.get(told).cloned();
        let shared = Arc::new(Mutex::new(job.clone()));
        let run = Run::new(Arc::clone(&self.context), Arc::clone(partner), told, shared);
        self.withdrawals.spawn(until_told(run, job.clone()));
    }

    /// Hears of the end of a withdrawal, and puts it on record unless the job goes on meanwhile.
    pub(super) async fn withdrawn(&mut self, Withdrawn { job, told }: Withdrawn) -> End {
        let standing = match told {
            Ok(Some(standing)) => standing,
            Ok(None) => return Ok(()),
            Err(reason) => {
                if let Some(partner) = &job.spec.told {
                    self.shared.notices.withdrawal_untold(&job, partner, &reason);
                }
                return Ok(());
            }
        };
        let in_flight = self.jobs.get(&job.id);
        let current = match in_flight {
            Some(in_flight) if in_flight.attempt.is_some() => return Ok(()),
            Some(in_flight) => Some(lock(&in_flight.job).clone()),
            None => self.shared.journal.job(&job.id).await?,
        };
        let Some(current) = current.filter(is_withdrawn) else { return Ok(()) };
        let note = Some("the partner was told that the job is withdrawn".to_owned());
        let (next, step) = current.step(&[], note, |state| state.peer = Some(standing))?;
        self.shared.journal.queue(step).await?.await?;
        if let Some(in_flight) = self.jobs.get(&job.id) {
            *lock(&in_flight.job) = next;
        }
        Ok(())
    }
}

/// Whether the job does not deliver, unless an operator says so.
fn is_withdrawn(job: &Job) -> bool {
    job.status.row().side == Side::Sender
        && job.state.intent.is_none()
        && matches!(
            job.status,
            Status::Suspended | Status::Idle(Outcome::Failed | Outcome::Cancelled)
        )
}

async fn until_told(run: Run, job: Job) -> Withdrawn {
    let reason = match job.status {
        Status::Idle(Outcome::Cancelled) => "cancelled by an operator".to_owned(),
        _ => job.state.last_error.clone().unwrap_or_else(|| "suspended".to_owned()),
    };
    let mut last = String::new();
    for number in 1..=RETRY.attempts {
        if goes_on(&run, &job.id).await {
            return Withdrawn { job, told: Ok(None) };
        }
        match withdraw(&run, reason.clone()).await {
            Ok(standing) => return Withdrawn { job, told: Ok(standing) },
            Err(failure) => last = failure.chain(),
        }
        tokio::time::sleep(backoff(&RETRY, number)).await;
    }
    Withdrawn { job, told: Err(last) }
}

/// Whether an operator lets the job go on meanwhile, or nobody can tell any more.
async fn goes_on(run: &Run, id: &JobId) -> bool {
    let recorded = run.context.journal.job(id).await;
    !matches!(recorded, Ok(Some(job)) if is_withdrawn(&job))
}
