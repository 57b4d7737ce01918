//! Following jobs until they have ended, are suspended or wait for an operator.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ferryway_core::{JobId, Outcome, Status};
use ferryway_host::control::{
    api::{JobView, WAIT_JOBS_LIMIT},
    client::{Client, ClientError},
};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::{
    exit::{Exit, Failure, Result},
    progress::{self, Show},
    source::recorded,
};

/// How often the host is asked.
const POLL: Duration = Duration::from_millis(400);

/// Up to so many jobs are asked for one by one, which spares the list of all.
const FEW: usize = 16;

/// How long a host may be away before following ends: a restart, or a takeover to this node.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which jobs to follow.
pub(crate) enum Which {
    /// These.
    Named(Vec<JobId>),
    /// All in flight, also those that come while others move.
    All,
}

/// Jobs as they were seen last.
pub(crate) struct Followed {
    /// The jobs.
    pub(crate) views: Vec<JobView>,
    /// Why not all of them ended or are suspended.
    pub(crate) broken_off: Option<Failure>,
}

impl Followed {
    /// How the tool ends for them.
    pub(crate) fn finish(self) -> Result<Exit> {
        if let Some(failure) = self.broken_off {
            return Err(failure);
        }
        let completed = |view: &JobView| view.job.status.outcome() == Some(Outcome::Completed);
        if self.views.iter().all(completed) {
            return Ok(Exit::Ok);
        }
        let text = format!("not every job is completed: {}", progress::summary(&self.views));
        let Some(other) = self.views.iter().find(|view| !completed(view)) else {
            return Err(Failure::new(Exit::Refused, text));
        };
        let id = &other.job.id;
        Err(match progress::waits(other) {
            true => Failure::new(Exit::Operator, text).hint(format!(
                "`ftprel show {id}` tells what its post-exit came to, `ftprel restart {id}` runs \
                 it again"
            )),
            false => {
                Failure::new(Exit::Refused, text).hint(format!("`ftprel show {id}` tells why"))
            }
        })
    }
}

/// Follows jobs and shows them until each has ended, is suspended or waits for an operator, or the
/// deadline is there.
///
/// # Errors
/// When the output cannot be written. All else is in [`Followed::broken_off`].
pub(crate) async fn follow(
    client: &Client,
    which: Which,
    deadline: Option<Instant>,
    show: &mut Show,
) -> Result<Followed> {
    let mut order = match &which {
        Which::Named(ids) => ids.clone(),
        Which::All => Vec::new(),
    };
    let mut seen = BTreeSet::new();
    order.retain(|id| seen.insert(id.clone()));
    let mut follower = Follower {
        client,
        all: matches!(which, Which::All),
        order,
        known: BTreeMap::new(),
        away: None,
    };
    loop {
        let looked = match deadline {
            Some(deadline) => timeout_at(deadline, follower.look(show)).await,
            None => Ok(follower.look(show).await),
        };
        let views = follower.views();
        show.update(&views)?;
        let broken_off = match looked {
            Ok(Ok(())) if views.iter().all(settled) => None,
            Ok(Ok(())) if deadline.is_none_or(|deadline| Instant::now() < deadline) => {
                follower.pause(deadline).await;
                continue;
            }
            Ok(Err(failure)) => Some(failure),
            Ok(Ok(())) | Err(_) => Some(late(&views)),
        };
        return Ok(Followed { views, broken_off });
    }
}

fn late(views: &[JobView]) -> Failure {
    let text = format!("the time is over: {}", progress::summary(views));
    Failure::new(Exit::Timeout, text).hint("the jobs go on; `ftprel watch` follows them")
}

/// Whether nothing more happens to the job by itself.
fn settled(view: &JobView) -> bool {
    view.at_rest || !view.job.status.in_flight() || view.job.status == Status::Suspended
}

struct Follower<'a> {
    client: &'a Client,
    all: bool,
    order: Vec<JobId>,
    known: BTreeMap<JobId, JobView>,
    away: Option<Instant>,
}

impl Follower<'_> {
    fn views(&self) -> Vec<JobView> {
        self.order.iter().filter_map(|id| self.known.get(id).cloned()).collect()
    }

    /// The jobs that were not seen to have ended.
    fn open(&self) -> Vec<JobId> {
        let ended =
            |id: &JobId| self.known.get(id).is_some_and(|view| !view.job.status.in_flight());
        self.order.iter().filter(|id| !ended(id)).cloned().collect()
    }

    /// Asks the host once; a host that is away is no failure for a while.
    async fn look(&mut self, show: &Show) -> Result<()> {
        match self.ask().await {
            Ok(()) => self.away = None,
            Err(
                error @ (ClientError::NotRunning { .. }
                | ClientError::Connection { .. }
                | ClientError::Timeout { .. }),
            ) if !self.known.is_empty() => {
                let since = *self.away.get_or_insert_with(|| {
                    let limit = PATIENCE.as_secs();
                    show.note(&format!("{error}; looking for it for {limit} s"));
                    Instant::now()
                });
                if since.elapsed() >= PATIENCE {
                    return Err(error.into());
                }
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn ask(&mut self) -> Result<(), ClientError> {
        let open = self.open();
        if !self.all && open.len() <= FEW {
            for id in &open {
                let view = self.client.job(id).await?;
                self.known.insert(id.clone(), view);
            }
            return Ok(());
        }
        let wanted: BTreeSet<&JobId> = open.iter().collect();
        let mut found = BTreeSet::new();
        for view in self.client.jobs().await? {
            let id = view.job.id.clone();
            if self.all && !self.known.contains_key(&id) {
                self.order.push(id.clone());
            } else if !wanted.contains(&id) {
                continue;
            }
            found.insert(id.clone());
            self.known.insert(id, view);
        }
        // What is no longer in flight has ended, which a wait without patience tells.
        let gone: Vec<JobId> = open.into_iter().filter(|id| !found.contains(id)).collect();
        for ids in gone.chunks(WAIT_JOBS_LIMIT) {
            for job in self.client.wait(ids, Duration::ZERO).await? {
                self.known.insert(job.id.clone(), recorded(job));
            }
        }
        Ok(())
    }

    /// Lets some time pass; less when the jobs settle early.
    async fn pause(&self, deadline: Option<Instant>) {
        let poll = Instant::now() + POLL;
        let until = deadline.map_or(poll, |deadline| deadline.min(poll));
        if self.all || self.away.is_some() {
            return sleep_until(until).await;
        }
        let restless = |id: &&JobId| !self.known.get(*id).is_some_and(settled);
        // Jobs start in the order of their acceptance: when the last few have settled, the
        // others probably have as well.
        let mut last: Vec<JobId> =
            self.order.iter().rev().filter(restless).take(FEW).cloned().collect();
        last.reverse();
        let limit = until.saturating_duration_since(Instant::now());
        if self.client.wait(&last, limit).await.is_err() {
            sleep(POLL).await;
        }
    }
}
