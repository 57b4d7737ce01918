//! Sessions kept open between jobs: a login costs ten times a small file.
//!
//! A job that has to wait for the journal in the middle pauses its session. Until it goes on,
//! jobs with little to move may use it, and nobody else: what was paused for a moment must not
//! wait for a long file. Where the partner has room for more sessions than the limit, such jobs use
//! those as well: `companions`.

mod companions;
mod lease;
#[cfg(test)]
mod tests;

use std::{
    net::IpAddr,
    pin::pin,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::source_address::SourceAddresses;
use crate::{config::source_address::SourceChoice, locks::lock};
use ferryway_core::{
    Operation, TransportError,
    transport::{Partner, Result, Session, Transport},
};
use tokio::sync::{Mutex as Turns, Notify, Semaphore};

use companions::Companions;
pub use lease::{Lease, Paused, Slot};
use lease::{Own, Shared};

/// An idle session older than this is asked for a sign of life before it is used: the partner
/// or a firewall may have dropped it.
const PING_AFTER: Duration = Duration::from_secs(5);

/// A session idle for this long is closed rather than used.
const CLOSE_AFTER: Duration = Duration::from_secs(60);

/// The sessions to one partner.
pub struct Pool {
    transport: Arc<dyn Transport>,
    sources: Arc<SourceAddresses>,
    settings: Mutex<Settings>,
    limit: usize,
    permits: Arc<Semaphore>,
    companions: Companions,
    idle: Mutex<Vec<Idle>>,
    paused: Mutex<Vec<Weak<Turns<Shared>>>>,
    /// Wakes one who waits with little to move when a session is paused.
    pauses: Notify,
    /// How many wait who may take their time: as long as there is one, no paused session is
    /// used in between, so that its permit becomes free.
    long_waiters: AtomicUsize,
}

/// How long a session is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// For a few bytes that are at hand: one beyond the limit will do, or a paused one.
    Short,
    /// For as long as it takes.
    Long,
}

struct Settings {
    partner: Partner,
    source: SourceChoice,
    /// What a new session would be made by, as far as was looked.
    origin: Origin,
}

/// What a session was made by. One that was made by other settings, or leaves from another
/// address, than a new one would serves at most the job that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// How often the settings had been changed.
    edition: u64,
    source: Option<IpAddr>,
}

struct Idle {
    session: Box<dyn Session>,
    origin: Origin,
    since: Instant,
}

impl Pool {
    /// A pool of at most `limit` sessions, and of companions for small files where the partner has
    /// room for them; they leave from the address that `source` chooses.
    pub fn new(
        transport: Arc<dyn Transport>,
        partner: Partner,
        source: SourceChoice,
        sources: Arc<SourceAddresses>,
        limit: usize,
    ) -> Arc<Self> {
        let origin = Origin { edition: 0, source: None };
        Arc::new(Self {
            transport,
            sources,
            settings: Mutex::new(Settings { partner, source, origin }),
            limit,
            permits: Arc::new(Semaphore::new(limit)),
            companions: Companions::beyond(limit),
            idle: Mutex::default(),
            paused: Mutex::default(),
            pauses: Notify::new(),
            long_waiters: AtomicUsize::new(0),
        })
    }

    /// A pool of its own for the same partner, with as many sessions more.
    pub fn beside(&self, limit: usize) -> Arc<Self> {
        let (partner, source) = {
            let settings = lock(&self.settings);
            (settings.partner.clone(), settings.source)
        };
        let (transport, sources) = (Arc::clone(&self.transport), Arc::clone(&self.sources));
        Self::new(transport, partner, source, sources, limit)
    }

    /// Waits until one of the limit is free, or paused where that will do, and looks which
    /// address to leave from.
    ///
    /// # Errors
    /// When the pool is closed, and `SourceAddress` when nothing may connect now.
    pub async fn slot(self: &Arc<Self>, stay: Stay) -> Result<Slot> {
        let mut own = pin!(Arc::clone(&self.permits).acquire_owned());
        let mut beyond = pin!(self.companions.join());
        let _waiting = (stay == Stay::Long).then(|| Waiting::new(&self.long_waiters));
        let (permit, is_companion) = loop {
            tokio::select! {
                biased;
                permit = &mut own => break (permit, false),
                // Before a paused one, whose job would have to wait for this one's round trips.
                permit = &mut beyond, if stay == Stay::Short => break (Ok(permit), true),
                () = self.pauses.notified(), if stay == Stay::Short => {
                    // Whoever paused it may be back already, and a look at the disk costs more.
                    if self.has_between() && let Some(lease) = self.between(self.origin().await?) {
                        return Ok(Slot::Between(lease));
                    }
                }
            }
        };
        let permit = permit.map_err(|_| TransportError::closed(Operation::Connect))?;
        let (pool, origin) = (Arc::clone(self), self.origin().await?);
        Ok(Slot::Own(Own { pool, origin, permit, is_companion }))
    }

    /// Lends a session, waiting until one of the limit is free.
    ///
    /// # Errors
    /// As [`slot`](Self::slot) and [`Transport::connect`].
    pub async fn lend(self: &Arc<Self>) -> Result<Lease> {
        self.slot(Stay::Long).await?.connect().await
    }

    /// Says good-bye on every idle session.
    pub async fn close(&self) {
        self.keep_idle(0).await;
    }

    /// Says good-bye on the idle sessions beyond the limit: others may want their rooms.
    pub async fn shed(&self) {
        self.keep_idle(self.limit).await;
    }

    /// Says good-bye on the oldest idle sessions, down to this number.
    async fn keep_idle(&self, number: usize) {
        let leaving: Vec<_> = {
            let mut idle = lock(&self.idle);
            let beyond = idle.len().saturating_sub(number);
            idle.drain(..beyond).collect()
        };
        for mut idle in leaving {
            if let Err(error) = idle.session.close().await {
                tracing::debug!(%error, "a session did not close politely");
            }
        }
    }

    /// The settings for sessions from now on; those made by the former ones are not used again.
    pub fn change(&self, partner: Partner, source: SourceChoice) {
        let mut settings = lock(&self.settings);
        let origin = Origin { edition: settings.origin.edition + 1, ..settings.origin };
        *settings = Settings { partner, source, origin };
        lock(&self.idle).clear();
    }

    /// Looks what a session would be made by now.
    async fn origin(&self) -> Result<Origin> {
        let (choice, Origin { edition, .. }) = {
            let settings = lock(&self.settings);
            (settings.source, settings.origin)
        };
        let source = match choice {
            SourceChoice::Virtual => self.sources.now().await?,
            SourceChoice::Fixed => None,
        };
        let origin = Origin { edition, source };
        let mut settings = lock(&self.settings);
        if settings.origin.edition == edition {
            settings.origin = origin;
        }
        Ok(origin)
    }

    /// A session of this origin that is idle or new.
    async fn session(&self, origin: Origin) -> Result<Box<dyn Session>> {
        if let Some(session) = self.idle_session(origin).await {
            return Ok(session);
        }
        let partner = lock(&self.settings).partner.clone();
        let partner = Partner { source_address: origin.source, ..partner };
        let session = self.transport.connect(partner).await?;
        self.companions.fill(session.capabilities().rooms);
        Ok(session)
    }

    async fn idle_session(&self, origin: Origin) -> Option<Box<dyn Session>> {
        loop {
            let Idle { mut session, since, .. } = self.pop_idle(origin)?;
            let age = since.elapsed();
            if age < PING_AFTER {
                return Some(session);
            }
            if age < CLOSE_AFTER && session.ping().await.is_ok() {
                return Some(session);
            }
        }
    }

    /// The youngest idle session of this origin; those of others are closed.
    fn pop_idle(&self, origin: Origin) -> Option<Idle> {
        let mut idle = lock(&self.idle);
        idle.retain(|idle| idle.origin == origin);
        idle.pop()
    }

    /// The youngest idle session of this origin, if it was used a moment ago.
    fn pop_fresh(&self, origin: Origin) -> Option<Box<dyn Session>> {
        let fresh = |idle: &mut Idle| idle.origin == origin && idle.since.elapsed() < PING_AFTER;
        lock(&self.idle).pop_if(fresh).map(|idle| idle.session)
    }

    /// Keeps a session for others when one made now would be no other; else it is closed.
    fn keep(&self, session: Box<dyn Session>, origin: Origin) {
        let settings = lock(&self.settings);
        if origin == settings.origin {
            lock(&self.idle).push(Idle { session, origin, since: Instant::now() });
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

    /// Whether there is a paused session that nobody uses right now.
    fn has_between(&self) -> bool {
        let free = |shared: Arc<Turns<Shared>>| shared.try_lock().is_ok();
        self.long_waiters.load(Ordering::Relaxed) == 0
            && lock(&self.paused).iter().filter_map(Weak::upgrade).any(free)
    }

    /// A paused session of this origin that nobody uses right now.
    fn between(&self, origin: Origin) -> Option<Lease> {
        if self.long_waiters.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let mut paused = lock(&self.paused);
        while let Some(shared) = paused.pop() {
            if let Some(lease) = shared.upgrade().and_then(|shared| Lease::between(shared, origin))
            {
                return Some(lease);
            }
        }
        None
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
