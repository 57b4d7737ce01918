//! The scheduler's partners: opened at the start and when the configuration changes, tidied
//! when nothing moves with them, left at the end.

use std::{sync::Arc, time::Duration};

use ferryway_core::{Kind, PartnerName};
use tokio::task::JoinSet;

use super::{End, Scheduler};
use crate::{
    attempt::{Failure, absence},
    journal::{
        JournalStore,
        record::{Staging, StagingState},
    },
    locks::lock,
    notices::Notices,
    partner::{PartnerState, backoff, pace::paced, pool::Pool, staging::locations},
};

/// How the tidying of a partner ended.
#[derive(Debug)]
pub(super) struct Tidied {
    partner: PartnerName,
    done: bool,
}

/// How long a good-bye to a partner may take.
const LEAVE_LIMIT: Duration = Duration::from_secs(3);

impl Scheduler {
    /// Opens the partners of the configuration in force that are not open yet, and gives the
    /// others their current settings.
    pub(super) async fn open_partners(&mut self) -> End {
        let config = self.shared.config();
        self.sources.configure(config.source_address.clone());
        // The operator hears of an unusable address now, not when the first job meets it.
        if let Err(error) = self.sources.now().await {
            tracing::debug!(%error, "partners are opened all the same");
        }
        for (name, partner) in &config.partners {
            let epoch = self.shared.journal.epoch();
            let connection = match config.connection(partner, epoch) {
                Ok(connection) => connection,
                Err(error) => {
                    self.shared.notices.partner_unusable(name, &error.to_string());
                    continue;
                }
            };
            if let Some(open) = self.partners.get(name) {
                open.pool.change(connection, partner.source_address);
                continue;
            }
            let Some(transport) = self.shared.plugins.transport(&partner.transport.name) else {
                let reason =
                    format!("no plugin provides the transport `{}`", partner.transport.name);
                self.shared.notices.partner_unusable(name, &reason);
                continue;
            };
            let (source, sources) = (partner.source_address, Arc::clone(&self.sources));
            let transport = paced(transport, partner.bytes_per_second);
            let pool = Pool::new(transport, connection, source, sources, partner.sessions);
            let open = PartnerState::open(
                name.clone(),
                partner.clone(),
                pool,
                config.instance.clone(),
                Arc::clone(&self.shared.journal),
                Arc::clone(&self.shared.notices),
            );
            self.partners.insert(name.clone(), open.await?);
        }
        Ok(())
    }

    /// The keys of the configuration in force that an open partner does not go by yet.
    pub(super) fn waiting_keys(&self) -> Vec<String> {
        let config = self.shared.config();
        let keys = self.partners.iter().filter_map(|(name, open)| {
            let changed = config.partners.get(name)?.changed_for_next_start(&open.config);
            Some(changed.into_iter().map(move |key| format!("partners.{name}.{key}")))
        });
        keys.flatten().collect()
    }

    /// Removes what lies about on partners with which nothing moves.
    pub(super) fn tidy_up(&mut self) {
        for (name, partner) in &self.partners {
            if self.queue.moving_with(name) > 0 {
                self.tidy.remove(name);
                continue;
            }
            if !self.tidy.insert(name.clone()) {
                continue;
            }
            let ours = self.shared.journal.epoch();
            // A job of an earlier epoch may still have a partial in a revoked folder.
            let clear = self.jobs.values().all(|in_flight| {
                let job = lock(&in_flight.job);
                let state = &job.state;
                job.spec.partner != *name
                    || (state.intent.is_none()
                        && state.unfinished().all(|attempt| attempt.epoch == ours))
            });
            let (partner, shared) = (Arc::clone(partner), Arc::clone(&self.shared));
            let tries = self.untidy.get(name).map_or(1, |failed| failed + 1);
            self.chores.spawn(async move {
                partner.pool.shed().await;
                let tidied = tidy(&partner, &*shared.journal, clear, &shared.notices).await;
                if let Err(failure) = &tidied {
                    tracing::debug!(partner = %partner.name, failure = failure.chain(),
                        "the partner is tidied later");
                    tokio::time::sleep(backoff(&partner.config.retry, tries)).await;
                }
                Tidied { partner: partner.name.clone(), done: tidied.is_ok() }
            });
        }
    }

    /// Hears that a partner was tidied, or that the time has come to try again.
    pub(super) fn tidied(&mut self, Tidied { partner, done }: Tidied) {
        if done {
            self.untidy.remove(&partner);
        } else {
            *self.untidy.entry(partner.clone()).or_default() += 1;
            self.tidy.remove(&partner);
        }
    }

    /// Ends the sessions with the partners, now that nothing moves, and tells who waits for that.
    /// What partials need stays there.
    pub(super) async fn stand_still(&mut self) {
        if self.standstill.is_empty() {
            return;
        }
        self.chores.shutdown().await;
        self.tidy.clear();
        let mut leaving = JoinSet::new();
        for partner in self.partners.values().cloned() {
            leaving.spawn(async move {
                if let Err(error) = tokio::time::timeout(LEAVE_LIMIT, partner.pool.close()).await {
                    let partner = &partner.name;
                    tracing::debug!(%partner, %error, "sessions ended without a good-bye");
                }
            });
        }
        leaving.join_all().await;
        for done in self.standstill.drain(..) {
            let _gone = done.send(());
        }
    }

    /// Leaves no trace of an instance at rest on the partners, and closes their sessions.
    pub(super) async fn leave_partners(&mut self) {
        self.greetings.shutdown().await;
        self.chores.shutdown().await;
        for (name, partner) in &self.partners {
            // What an open intent needs to be settled stays.
            let clear = self.jobs.values().all(|in_flight| {
                let job = lock(&in_flight.job);
                job.spec.partner != *name || job.state.intent.is_none()
            });
            if let Err(error) = tokio::time::timeout(LEAVE_LIMIT, leave(partner, clear)).await {
                tracing::debug!(partner = %name, %error, "left without a good-bye");
            }
        }
    }
}

/// Removes leftovers and, when `clear`, former owners' folders. Connects only when there is
/// something to do.
async fn tidy(
    partner: &PartnerState,
    journal: &dyn JournalStore,
    clear: bool,
    notices: &Notices,
) -> Result<(), Failure> {
    let leftovers = journal.leftovers(&partner.name).await?;
    let records = partner.staging_records().await;
    let spent = records.iter().any(|record| record.is_spent(journal.epoch()));
    if leftovers.is_empty() && !(clear && spent) {
        return Ok(());
    }
    let mut lease = Pool::lend(&partner.pool).await?;
    partner.fence_former_owners(lease.session()).await?;
    for leftover in leftovers {
        let mut kept = None;
        for path in locations(&records, &leftover.path) {
            match lease.session().remove(path.clone()).await {
                Ok(()) => {}
                // A lost connection says nothing of the file.
                Err(error) if error.reply().is_none() && error.kind() != Kind::NotFound => {
                    return Err(error.into());
                }
                Err(error) => {
                    if !absence::is_absent(lease.session(), &path, None).await.unwrap_or(false) {
                        kept = Some(error.to_string());
                    }
                }
            }
        }
        let path = leftover.path.to_string();
        match kept {
            Some(reason) => notices.leftover_kept(&partner.name, path, reason),
            None => {
                journal.forget_leftover(leftover).await?;
                notices.leftover_removed(&partner.name, path);
            }
        }
    }
    if clear {
        partner.sweep(lease.session()).await?;
    }
    lease.give_back();
    Ok(())
}

async fn leave(partner: &PartnerState, clear: bool) {
    let records = partner.staging_records().await;
    let left = |r: &Staging| matches!(r.state, StagingState::Open | StagingState::Mark);
    if clear
        && records.iter().any(left)
        && let Ok(mut lease) = Pool::lend(&partner.pool).await
    {
        if let Err(failure) = partner.leave(lease.session()).await {
            tracing::debug!(partner = %partner.name, failure = failure.chain(), "left untidy");
        }
        lease.give_back();
    }
    partner.pool.close().await;
}
