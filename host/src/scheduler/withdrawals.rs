//! Partners are told of jobs that end without delivering, or before their own job does, beside
//! everything else: no end of a job waits for that. The journal knows who has not heard of it, for
//! the next start of a host and the next reload.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, Mutex},
    time::Duration,
};

use ferryway_core::{JobId, PartnerName, Status, notice::Standing, status::Outcome};

use super::{End, Scheduler};
use crate::{
    attempt::{Context, Run, withdraw},
    config::RetryPolicy,
    journal::{JournalError, record::Job},
    locks::lock,
    partner::{PartnerState, backoff},
};

/// Withdrawals that may be under way to a partner.
const LIMIT: usize = 1000;

/// How often one is told who does not answer: for about ten minutes.
const RETRY: RetryPolicy = RetryPolicy {
    attempts: 15,
    first: Duration::from_secs(1),
    max: Duration::from_secs(60),
    factor: 2.0,
};

/// A withdrawal under way.
pub(super) struct UnderWay {
    job: Job,
    /// The operator has heard that nobody could be told of it by then.
    said: bool,
}

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
    /// Why nobody could be told, and whether it is the partner's host that refuses the word.
    Unheard { reason: String, refused: bool },
}

impl Scheduler {
    /// Tells of the jobs whose partners have not heard of their end, those of former owners
    /// among them.
    pub(super) async fn withdraw_unheard(&mut self) -> End {
        let mut left: BTreeMap<_, Vec<Job>> = BTreeMap::new();
        for job in self.shared.journal.unheard().await? {
            if let Err(why) = self.begin_withdrawal(&job) {
                left.entry(why).or_default().push(job);
            }
        }
        for ((told, reason), jobs) in left {
            if let [job, others @ ..] = &*jobs {
                self.untold(job, others.len(), &told, reason);
            }
        }
        Ok(())
    }

    /// Tells whoever was told of the job that it is withdrawn, if that is so.
    pub(super) fn withdraw(&mut self, job: &Job) {
        if let Err((told, reason)) = self.begin_withdrawal(job) {
            self.untold(job, 0, &told, reason);
        }
    }

    /// Begins to tell of a job, if there is something to tell; else who is not told, and why.
    fn begin_withdrawal(&mut self, job: &Job) -> Result<(), (PartnerName, &'static str)> {
        let Some(told) = job.spec.told.clone().filter(|_| job.is_unheard()) else { return Ok(()) };
        let under_way = self.withdrawing.entry(told.clone()).or_default();
        if under_way.contains_key(&job.id) {
            return Ok(());
        }
        let Some(partner) = self.partners.get(&told).cloned() else {
            return Err((told, "it is not configured, or its transport is not loaded"));
        };
        if under_way.len() >= LIMIT {
            return Err((told, "too many wait to be told"));
        }
        under_way.insert(job.id.clone(), UnderWay { job: job.clone(), said: false });
        self.withdrawals.spawn(until_told(Arc::clone(&self.context), partner, job.clone()));
        Ok(())
    }

    /// Hears of the end of a withdrawal, and puts it on record unless the job goes on meanwhile.
    pub(super) async fn withdrawn(&mut self, Withdrawn { job, told }: Withdrawn) -> End {
        let Some(partner) = job.spec.told.clone() else { return Ok(()) };
        let under_way = self.withdrawing.entry(partner.clone()).or_default();
        let said = under_way.remove(&job.id).is_some_and(|withdrawal| withdrawal.said);
        let standing = match told {
            Told::Heard(standing) => standing,
            Told::GoesOn => return Ok(()),
            // Who refuses the word has a reason of this job's own.
            Told::Unheard { reason, refused: true } => {
                self.untold(&job, 0, &partner, &reason);
                return Ok(());
            }
            Told::Unheard { .. } if said => return Ok(()),
            Told::Unheard { reason, refused: false } => {
                // Who cannot be reached has not heard of the others, either: one line for all.
                let others = under_way.values_mut();
                let said = others.map(|other| mem::replace(&mut other.said, true));
                let others = said.filter(|said| !said).count();
                self.untold(&job, others, &partner, &reason);
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
        match self.shared.journal.queue(step).await?.await {
            Ok(_) => {
                if let Some(in_flight) = self.jobs.get(&job.id) {
                    *lock(&in_flight.job) = next;
                }
                Ok(())
            }
            Err(error) if error.is_fatal() => Err(error),
            // A job that ended long ago may be forgotten while its partner is told.
            Err(JournalError::Unknown(_)) => Ok(()),
            Err(error) => {
                // The journal still has it as unheard: the next start tells the partner again.
                tracing::warn!(%error, job = %job.id, "a withdrawal is not recorded");
                Ok(())
            }
        }
    }

    /// Says of the withdrawals under way that their partners have not heard of them.
    pub(super) fn leave_withdrawals(&mut self) {
        self.withdrawals.abort_all();
        for (told, under_way) in mem::take(&mut self.withdrawing) {
            let others = under_way.len().saturating_sub(1);
            if let Some(UnderWay { job, .. }) = under_way.into_values().next() {
                self.untold(&job, others, &told, "this host stops");
            }
        }
    }

    /// One line for a job, and so many others of which the same partner has not heard.
    fn untold(&self, job: &Job, others: usize, told: &PartnerName, reason: &str) {
        let reason = match others {
            0 => reason.to_owned(),
            _ => format!("{reason}; it has not heard of {others} other jobs, either"),
        };
        self.shared.notices.withdrawal_untold(job, told, &reason);
    }
}

async fn until_told(context: Arc<Context>, partner: Arc<PartnerState>, mut job: Job) -> Withdrawn {
    let mut last = (String::new(), false);
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
            Err(failure) => last = (failure.chain(), failure.is_refused_word()),
        }
        tokio::time::sleep(backoff(&RETRY, number)).await;
    }
    let (reason, refused) = last;
    Withdrawn { job, told: Told::Unheard { reason, refused } }
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

#[cfg(test)]
mod tests;
