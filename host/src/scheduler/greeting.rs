//! Partners are told that this host is back, and what is waited for here when one of them says
//! so: after a takeover nobody sits out a back-off that has lost its reason.

use std::{sync::Arc, time::Duration};

use ferryway_core::{Class, Operation, PartnerName, TransportError, notice::Notice};
use jiff::Timestamp;
use tokio::{sync::Semaphore, time::timeout};

use super::Scheduler;
use crate::{
    attempt::Run,
    config::{RetryPolicy, Told},
    partner::{PartnerState, backoff, pool::Pool},
};

/// Partners that are told at the same time.
const AT_ONCE: usize = 16;

/// How long it may take to tell one of them, once.
const LIMIT: Duration = Duration::from_secs(10);

/// How often one is told who does not answer: for about two minutes. A partner that comes back
/// later says so itself.
const RETRY: RetryPolicy = RetryPolicy {
    attempts: 8,
    first: Duration::from_secs(1),
    max: Duration::from_secs(30),
    factor: 2.0,
};

impl Scheduler {
    /// Tells each partner whose transport carries notices that this host is back.
    pub(super) fn greet(&mut self) {
        let gate = Arc::new(Semaphore::new(AT_ONCE));
        // An earlier round that is still under way has become needless.
        self.greetings.abort_all();
        for partner in self.partners.values() {
            let transport = self.shared.plugins.transport(&partner.config.transport.name);
            if transport.is_some_and(|transport| transport.capabilities().notices) {
                self.greetings.spawn(greet(Arc::clone(partner), Arc::clone(&gate)));
            }
        }
    }

    /// Waits no longer for a system that is back: the partner of this name, and those whose
    /// notices it takes.
    pub(super) fn returned(&mut self, system: &PartnerName) {
        let (mut was_out, mut waited) = (false, 0);
        let told = Some(Told::Partner(system.clone()));
        let config = self.shared.config();
        for (name, partner) in &config.partners {
            if name == system || partner.notices == told {
                was_out |= self.partners.get(name).is_some_and(|open| open.came_back());
                waited += self.queue.partner_back(name, Timestamp::now());
            }
        }
        for attempt in self.jobs.values_mut().filter_map(|job| job.attempt.as_mut()) {
            let Run { partner, told, .. } = &attempt.run;
            let with = [Some(partner), told.as_ref()];
            attempt.outlived |= with.into_iter().flatten().any(|partner| partner.name == *system);
        }
        // Who says so again and again tells the operator nothing new.
        if was_out || waited > 0 {
            self.shared.notices.returned(system, waited);
        }
    }
}

async fn greet(partner: Arc<PartnerState>, gate: Arc<Semaphore>) {
    for number in 1..=RETRY.attempts {
        let told = {
            // Nobody closes the gate.
            let _place = gate.acquire().await;
            timeout(LIMIT, tell(&partner)).await
        };
        let error = match told {
            Ok(Ok(())) => return,
            Ok(Err(error)) if error.class() == Class::Permanent => {
                tracing::debug!(partner = %partner.name, %error, "it is not told that we are back");
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(late) => late.to_string(),
        };
        tracing::debug!(partner = %partner.name, error, "it is told later that we are back");
        tokio::time::sleep(backoff(&RETRY, number)).await;
    }
}

/// # Errors
/// `Unsupported` when this partner takes no notices, else why it could not be told.
async fn tell(partner: &PartnerState) -> Result<(), TransportError> {
    let mut lease = Pool::lend(&partner.pool).await?;
    let told = match lease.session().capabilities().notices {
        true => lease.session().tell(Notice::Back).await.map(drop),
        false => Err(TransportError::unsupported(Operation::Tell, "it takes no notices")),
    };
    match &told {
        Ok(()) => lease.give_back(),
        Err(error) => lease.give_back_after(error),
    }
    told
}
