//! Sessions kept open between jobs: a login costs ten times a small file.
//!
//! A job that has to wait for the journal in the middle pauses its session. Until it goes on,
//! jobs with little to move may use it, and nobody else: what was paused for a moment must not
//! wait for a long file.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::locks::lock;
use ferryway_core::{
    Kind, Operation, TransportError,
    transport::{Partner, Result, Session, Transport},
};
use tokio::sync::{Mutex as Turns, Notify, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

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
    paused: Mutex<Vec<Weak<Turns<Shared>>>>,
    /// Wakes one who waits with little to move when a session is paused.
    pauses: Notify,
    /// How many wait who may take their time: as long as there is one, no paused session is
    /// used in between, so that its permit becomes free.
    long_waiters: AtomicUsize,
}

struct Idle {
    session: Box<dyn Session>,
    since: Instant,
}

/// How long a session is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// For a few bytes that are at hand: a paused session will do.
    Short,
    /// For as long as it takes.
    Long,
}

/// The right to one session.
pub enum Slot {
    /// To an idle or a new one.
    Own(Arc<Pool>, OwnedSemaphorePermit),
    /// To a paused one, for the moment.
    Between(Lease),
}

/// One of the limit, and the session in it while none of its jobs uses that. `None` when the
/// session was lost; who uses it next connects anew.
struct Shared {
    session: Option<Box<dyn Session>>,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

/// A session lent to one job. Dropped without [`Lease::give_back`], the session is closed:
/// nobody knows what it still has to say.
pub struct Lease {
    session: Box<dyn Session>,
    turn: OwnedMutexGuard<Shared>,
}

/// The right to go on with a session after a pause.
pub struct Paused(Arc<Turns<Shared>>);

impl Pool {
    /// A pool of at most `limit` sessions.
    pub fn new(transport: Arc<dyn Transport>, partner: Partner, limit: usize) -> Arc<Self> {
        Arc::new(Self {
            transport,
            partner: Mutex::new(partner),
            permits: Arc::new(Semaphore::new(limit)),
            idle: Mutex::default(),
            paused: Mutex::default(),
            pauses: Notify::new(),
            long_waiters: AtomicUsize::new(0),
        })
    }

    /// Waits until one of the limit is free, or paused where that will do.
    ///
    /// # Errors
    /// When the pool is closed.
    pub async fn slot(self: &Arc<Self>, stay: Stay) -> Result<Slot> {
        let mut own = pin!(Arc::clone(&self.permits).acquire_owned());
        let _waiting = (stay == Stay::Long).then(|| Waiting::new(&self.long_waiters));
        let permit = loop {
            tokio::select! {
                biased;
                permit = &mut own => break permit,
                () = self.pauses.notified(), if stay == Stay::Short => {
                    if let Some(lease) = self.between() {
                        return Ok(Slot::Between(lease));
                    }
                }
            }
        };
        let permit = permit.map_err(|_| TransportError::closed(Operation::Connect))?;
        Ok(Slot::Own(Arc::clone(self), permit))
    }

    /// Lends a session, waiting until one of the limit is free.
    ///
    /// # Errors
    /// As [`Transport::connect`].
    pub async fn lend(self: &Arc<Self>) -> Result<Lease> {
        self.slot(Stay::Long).await?.connect().await
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

    /// A session that is idle or new.
    async fn session(&self) -> Result<Box<dyn Session>> {
        match self.idle_session().await {
            Some(session) => Ok(session),
            None => self.transport.connect(self.partner()).await,
        }
    }

    /// Shows a paused session to who waits with little to move.
    fn offer(&self, shared: &Arc<Turns<Shared>>) {
        let mut paused = lock(&self.paused);
        paused.retain(|shared| shared.strong_count() > 0);
        paused.push(Arc::downgrade(shared));
        drop(paused);
        self.pauses.notify_one();
    }

    /// A paused session that nobody uses right now.
    fn between(&self) -> Option<Lease> {
        if self.long_waiters.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let mut paused = lock(&self.paused);
        while let Some(shared) = paused.pop() {
            let Some(shared) = shared.upgrade() else { continue };
            let Ok(mut turn) = shared.try_lock_owned() else { continue };
            if let Some(session) = turn.session.take() {
                return Some(Lease { session, turn });
            }
        }
        None
    }
}

impl Slot {
    /// A session that was used a moment ago, if there is one.
    ///
    /// # Errors
    /// The slot, to connect in.
    pub async fn at_hand(self) -> std::result::Result<Lease, Self> {
        let (pool, permit) = match self {
            Self::Own(pool, permit) => (pool, permit),
            Self::Between(lease) => return Ok(lease),
        };
        let fresh = lock(&pool.idle).pop_if(|idle| idle.since.elapsed() < PING_AFTER);
        match fresh {
            Some(idle) => Ok(Lease::new(idle.session, pool, permit).await),
            None => Err(Self::Own(pool, permit)),
        }
    }

    /// A session: an idle one that answers, or a new one.
    ///
    /// # Errors
    /// As [`Transport::connect`].
    pub async fn connect(self) -> Result<Lease> {
        match self {
            Self::Own(pool, permit) => {
                let session = pool.session().await?;
                Ok(Lease::new(session, pool, permit).await)
            }
            Self::Between(lease) => Ok(lease),
        }
    }
}

impl Lease {
    async fn new(session: Box<dyn Session>, pool: Arc<Pool>, permit: OwnedSemaphorePermit) -> Self {
        let shared = Arc::new(Turns::new(Shared { session: None, pool, _permit: permit }));
        Self { session, turn: shared.lock_owned().await }
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
    /// its few bytes; another one if it was lost meanwhile.
    ///
    /// # Errors
    /// As [`Transport::connect`].
    pub async fn go_on(self) -> Result<Lease> {
        let mut turn = self.0.lock_owned().await;
        let session = match turn.session.take() {
            Some(session) => session,
            None => turn.pool.session().await?,
        };
        Ok(Lease { session, turn })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            lock(&self.pool.idle).push(Idle { session, since: Instant::now() });
        }
    }
}

/// Counts somebody who waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("idle", &lock(&self.idle).len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use ferryway_mocks::memory_transport::{MemoryPartner, MemoryTransport};
    use tokio::task::yield_now;

    use super::*;

    fn pool(limit: usize) -> Arc<Pool> {
        let transport = Arc::new(MemoryTransport::new(MemoryPartner::new()));
        let name = "BANK".parse().unwrap();
        let partner = Partner { name, settings: toml::Table::new(), source_address: None };
        Pool::new(transport, partner, limit)
    }

    async fn lend(pool: &Arc<Pool>, stay: Stay) -> Lease {
        pool.slot(stay).await.unwrap().connect().await.unwrap()
    }

    /// Asks for a session, and goes as far as it gets without one.
    async fn ask(pool: &Arc<Pool>, stay: Stay) -> tokio::task::JoinHandle<Lease> {
        let pool = Arc::clone(pool);
        let asking = tokio::spawn(async move { lend(&pool, stay).await });
        settle().await;
        asking
    }

    /// On a runtime of one thread every other task gets its turns.
    async fn settle() {
        for _ in 0..16 {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_paused_session_serves_who_has_little_and_comes_back_first() {
        let pool = pool(1);
        let first = lend(&pool, Stay::Long).await;
        let second = ask(&pool, Stay::Short).await;
        assert!(!second.is_finished());
        let paused = first.pause();
        let second = second.await.unwrap();
        let third = ask(&pool, Stay::Short).await;
        let back = tokio::spawn(paused.go_on());
        settle().await;
        assert!(!third.is_finished() && !back.is_finished());
        let paused = second.pause();
        let first = back.await.unwrap().unwrap();
        settle().await;
        assert!(!third.is_finished());
        first.give_back();
        third.await.unwrap().give_back();
        assert_eq!(pool.permits.available_permits(), 0);
        paused.go_on().await.unwrap().give_back();
        assert_eq!(lock(&pool.idle).len(), 1);
        assert_eq!(pool.permits.available_permits(), 1);
    }

    #[tokio::test]
    async fn nobody_uses_a_paused_session_for_long_or_while_somebody_waits_for_that() {
        let pool = pool(1);
        let paused = lend(&pool, Stay::Long).await.pause();
        let long = ask(&pool, Stay::Long).await;
        let short = ask(&pool, Stay::Short).await;
        assert!(!long.is_finished() && !short.is_finished());
        paused.go_on().await.unwrap().give_back();
        long.await.unwrap().give_back();
        short.await.unwrap().give_back();
    }

    #[tokio::test]
    async fn a_session_lost_in_between_is_made_anew() {
        let pool = pool(1);
        let paused = lend(&pool, Stay::Long).await.pause();
        drop(lend(&pool, Stay::Short).await);
        let mut again = paused.go_on().await.unwrap();
        again.session().ping().await.unwrap();
        again.give_back();
        assert_eq!(lock(&pool.idle).len(), 1);
    }
}
