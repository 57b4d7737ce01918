//! A session in the hands of a job, alone or by turns.

use std::sync::Arc;

use ferryway_core::{
    Kind, TransportError,
    transport::{Result, Session},
};
use tokio::sync::{Mutex as Turns, OwnedMutexGuard, OwnedSemaphorePermit};

use super::{Origin, Pool};

/// The right to one session.
pub enum Slot {
    /// To an idle or a new one.
    Own(Own),
    /// To a paused one, for the moment.
    Between(Lease),
}

/// The right to an idle or a new session.
pub struct Own {
    pub(super) pool: Arc<Pool>,
    /// What the session is to be made by.
    pub(super) origin: Origin,
    /// One of the limit, or of the companions.
    pub(super) permit: OwnedSemaphorePermit,
    /// Which of them.
    pub(super) is_companion: bool,
}

/// A session lent to one job. Dropped without [`Lease::give_back`], the session is closed:
/// nobody knows what it still has to say.
pub struct Lease {
    session: Box<dyn Session>,
    turn: OwnedMutexGuard<Shared>,
}

/// The right to go on with a session after a pause.
pub struct Paused(Arc<Turns<Shared>>);

/// One of the limit or of the companions, and the session in it while none of its jobs uses that.
/// `None` when the session was lost; who uses it next connects anew.
pub(super) struct Shared {
    session: Option<Box<dyn Session>>,
    /// What the session was made by, also while a job uses it.
    origin: Origin,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Slot {
    /// A session that was used a moment ago, if there is one.
    ///
    /// # Errors
    /// The slot, to connect in.
    pub async fn at_hand(self) -> std::result::Result<Lease, Self> {
        let own = match self {
            Self::Own(own) => own,
            Self::Between(lease) => return Ok(lease),
        };
        match own.pool.pop_fresh(own.origin) {
            Some(session) => Ok(Lease::new(session, own).await),
            None => Err(Self::Own(own)),
        }
    }

    /// A session: an idle one that answers, or a new one. Where there is none beyond the limit, it
    /// is one of the limit, after a wait.
    ///
    /// # Errors
    /// As [`Transport::connect`](ferryway_core::transport::Transport::connect).
    pub async fn connect(self) -> Result<Lease> {
        let own = match self {
            Self::Own(own) => own,
            Self::Between(lease) => return Ok(lease),
        };
        match own.pool.session(own.origin).await {
            Ok(session) => Ok(Lease::new(session, own).await),
            Err(error) if own.is_companion => {
                own.pool.companions.refused(own.permit, &error);
                Box::pin(own.pool.lend()).await
            }
            Err(error) => Err(error),
        }
    }
}

impl Lease {
    async fn new(session: Box<dyn Session>, own: Own) -> Self {
        let Own { pool, origin, permit, .. } = own;
        let shared = Shared { session: None, origin, pool, _permit: permit };
        Self { session, turn: Arc::new(Turns::new(shared)).lock_owned().await }
    }

    /// A paused session, if it is of this origin, not lost, and nobody uses it right now.
    pub(super) fn between(shared: Arc<Turns<Shared>>, origin: Origin) -> Option<Self> {
        let mut turn = shared.try_lock_owned().ok()?;
        if turn.origin != origin {
            return None;
        }
        Some(Self { session: turn.session.take()?, turn })
    }

    /// The session.
    pub fn session(&mut self) -> &mut dyn Session {
        &mut *self.session
    }

    /// Gives the session back for the next job, or to those who paused it.
    pub fn give_back(self) {
        let (shared, pool) = self.put_down();
        if Arc::strong_count(&shared) > 1 {
            pool.offer(&shared);
        }
    }

    /// Lets jobs with little to move use the session until this one goes on.
    pub fn pause(self) -> Paused {
        let (shared, pool) = self.put_down();
        pool.offer(&shared);
        Paused(shared)
    }

    fn put_down(self) -> (Arc<Turns<Shared>>, Arc<Pool>) {
        let Self { session, mut turn } = self;
        turn.session = Some(session);
        (Arc::clone(OwnedMutexGuard::mutex(&turn)), Arc::clone(&turn.pool))
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

impl Paused {
    /// The session again, before anybody else who waits, once whoever uses it has finished with
    /// its few bytes; another one if it was lost meanwhile, made by what counts by then.
    ///
    /// # Errors
    /// As [`Pool::lend`].
    pub async fn go_on(self) -> Result<Lease> {
        let mut turn = self.0.lock_owned().await;
        let session = match turn.session.take() {
            Some(session) => session,
            None => {
                turn.origin = turn.pool.origin().await?;
                turn.pool.session(turn.origin).await?
            }
        };
        Ok(Lease { session, turn })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.pool.keep(session, self.origin);
        }
    }
}
