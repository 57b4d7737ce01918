//! Sessions kept open between jobs: a login costs ten times a small file.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::locks::lock;
use ferryway_core::{
    Kind, TransportError,
    transport::{Partner, Result, Session, Transport},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// An idle session older than this is asked for a sign of life before it is used: the partner
/// or a firewall may have dropped it.
const PING_AFTER: Duration = Duration::from_secs(5);

/// A session idle for this long is closed rather than used.
const CLOSE_AFTER: Duration = Duration::from_secs(60);

/// The sessions to one partner.
pub struct Pool {
    transport: Arc<dyn Transport>,
    partner: Mutex<Partner>,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    session: Box<dyn Session>,
    since: Instant,
}

/// The right to one session.
pub struct Slot {
    pool: Arc<Pool>,
    permit: OwnedSemaphorePermit,
}

/// A session lent to one job. Dropped without [`Lease::give_back`], the session is closed:
/// nobody knows what it still has to say.
pub struct Lease {
    session: Box<dyn Session>,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    /// A pool of at most `limit` sessions.
    pub fn new(transport: Arc<dyn Transport>, partner: Partner, limit: usize) -> Arc<Self> {
        Arc::new(Self {
            transport,
            partner: Mutex::new(partner),
            permits: Arc::new(Semaphore::new(limit)),
            idle: Mutex::default(),
        })
    }

    /// Waits until one of the limit is free.
    ///
    /// # Errors
    /// When the pool is closed.
    pub async fn slot(self: &Arc<Self>) -> Result<Slot> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit =
            permit.map_err(|_| TransportError::closed(ferryway_core::Operation::Connect))?;
        Ok(Slot { pool: Arc::clone(self), permit })
    }

    /// Lends a session, waiting until one of the limit is free.
    ///
    /// # Errors
    /// As [`Transport::connect`].
    pub async fn lend(self: &Arc<Self>) -> Result<Lease> {
        self.slot().await?.connect().await
    }

    /// Says good-bye on every idle session.
    pub async fn close(&self) {
        let idle = std::mem::take(&mut *lock(&self.idle));
        for mut idle in idle {
            if let Err(error) = idle.session.close().await {
                tracing::debug!(%error, "a session did not close politely");
            }
        }
    }

    /// The settings for sessions from now on; idle sessions are closed.
    pub fn change(&self, partner: Partner) {
        *lock(&self.partner) = partner;
        lock(&self.idle).clear();
    }

    fn partner(&self) -> Partner {
        lock(&self.partner).clone()
    }

    async fn idle_session(&self) -> Option<Box<dyn Session>> {
        loop {
            let Idle { mut session, since } = lock(&self.idle).pop()?;
            let age = since.elapsed();
            if age < PING_AFTER {
                return Some(session);
            }
            if age < CLOSE_AFTER && session.ping().await.is_ok() {
                return Some(session);
            }
        }
    }
}

impl Slot {
    /// A session that was used a moment ago, if there is one.
    ///
    /// # Errors
    /// The slot, to connect in.
    pub fn at_hand(self) -> std::result::Result<Lease, Self> {
        let fresh = lock(&self.pool.idle).pop_if(|idle| idle.since.elapsed() < PING_AFTER);
        match fresh {
            Some(idle) => Ok(self.lease(idle.session)),
            None => Err(self),
        }
    }

    /// A session: an idle one that answers, or a new one.
    ///
    /// # Errors
    /// As [`Transport::connect`].
    pub async fn connect(self) -> Result<Lease> {
        let session = match self.pool.idle_session().await {
            Some(session) => session,
            None => self.pool.transport.connect(self.pool.partner()).await?,
        };
        Ok(self.lease(session))
    }

    fn lease(self, session: Box<dyn Session>) -> Lease {
        Lease { session, pool: self.pool, _permit: self.permit }
    }
}

impl Lease {
    /// The session.
    pub fn session(&mut self) -> &mut dyn Session {
        &mut *self.session
    }

    /// Gives the session back for the next job.
    pub fn give_back(self) {
        lock(&self.pool.idle).push(Idle { session: self.session, since: Instant::now() });
    }

    /// Gives the session back when it is still in step with the partner after `error`.
    pub fn give_back_after(self, error: &TransportError) {
        let in_step = error.reply().is_some()
            && !matches!(
                error.kind(),
                Kind::Connection
                    | Kind::Timeout
                    | Kind::Protocol
                    | Kind::Tls
                    | Kind::Closed
                    | Kind::Panicked
                    | Kind::Local
            );
        if in_step {
            self.give_back();
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("idle", &lock(&self.idle).len()).finish_non_exhaustive()
    }
}
