//! The newest epoch seen of each visitor's instance: what older ones still try has no effect.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use ferryway_core::{Epoch, InstanceName, PartnerName};

use super::room::Room;
use crate::{
    journal::{self, JournalStore, record},
    locks::lock,
};

/// The fences of all visitors, as the journal has them.
pub(super) struct Fences {
    journal: Arc<dyn JournalStore>,
    known: Mutex<HashMap<(PartnerName, InstanceName), Arc<Fence>>>,
}

/// The fence of one visitor's instance.
#[derive(Debug, Default)]
pub(super) struct Fence {
    /// Whoever has an effect reads, whoever raises the fence writes. On threads that may block.
    effects: RwLock<()>,
    /// The newest epoch's number, 0 before the first. Raised under the lock; to be read without.
    newest: AtomicU64,
    /// Held by whoever brings a newer epoch in: one at a time, and one thread.
    raising: Arc<tokio::sync::Mutex<()>>,
    /// Who has a room, and in which epoch.
    inside: Mutex<Vec<(Epoch, Weak<Room>)>>,
}

/// A visitor's session within its fence.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    fence: Arc<Fence>,
    epoch: Epoch,
}

/// The right to have an effect, as long as it is held: no newer epoch comes in meanwhile.
pub(super) type Effect<'a> = RwLockReadGuard<'a, ()>;

/// A newer epoch was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outdated {
    pub(super) newest: Epoch,
}

/// What became of a visitor at its fence.
pub(super) enum Entry {
    /// It may go on; `new` when its epoch had not been seen.
    Entered { pass: Pass, new: bool },
    /// It may not.
    Outdated(Outdated),
}

impl Fences {
    /// The fences on record.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(super) async fn open(journal: Arc<dyn JournalStore>) -> journal::Result<Self> {
        let mut known = HashMap::new();
        for record::Fence { visitor, instance, epoch } in journal.fences().await? {
            known.insert((visitor, instance), Arc::new(Fence::at(epoch)));
        }
        Ok(Self { journal, known: Mutex::new(known) })
    }

    /// Lets a visitor's epoch in. When it is the newest, that is durable on return, every effect
    /// that an older one had begun is over, and the rooms of older ones are free.
    ///
    /// # Errors
    /// When the journal fails.
    pub(super) async fn enter(&self, who: &record::Fence) -> journal::Result<Entry> {
        let key = (who.visitor.clone(), who.instance.clone());
        let fence = Arc::clone(lock(&self.known).entry(key).or_default());
        let pass = Pass { fence: Arc::clone(&fence), epoch: who.epoch };
        let new = match fence.newest() {
            Some(newest) if newest > who.epoch => return Ok(Entry::Outdated(Outdated { newest })),
            Some(newest) => newest < who.epoch,
            None => true,
        };
        if new {
            let turn = Arc::clone(&fence.raising).lock_owned().await;
            self.journal.raise_fence(who.clone()).await?;
            let epoch = who.epoch;
            // Waits for the effects that are under way, also when the visitor leaves meanwhile.
            let raised = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                fence.raise(epoch);
            });
            raised.await.map_err(|_| journal::JournalError::Closed)?;
        }
        // A newer one may have come in between.
        match pass.check() {
            Ok(()) => Ok(Entry::Entered { pass, new }),
            Err(outdated) => Ok(Entry::Outdated(outdated)),
        }
    }
}

impl Pass {
    /// The right to one effect. Blocks for as long as a newer epoch takes to come in.
    ///
    /// # Errors
    /// When it has come in.
    pub(super) fn effect(&self) -> Result<Effect<'_>, Outdated> {
        let effect = self.fence.effects.read().unwrap_or_else(PoisonError::into_inner);
        self.check()?;
        Ok(effect)
    }

    /// Notes that the session has a room, which is free when a newer epoch comes in.
    pub(super) fn moved_in(&self, room: &Arc<Room>) {
        let mut inside = lock(&self.fence.inside);
        inside.retain(|(_, room)| room.strong_count() > 0);
        inside.push((self.epoch, Arc::downgrade(room)));
        drop(inside);
        // A newer one that came in between has not seen it.
        if self.check().is_err() {
            room.vacate();
        }
    }

    /// Whether the epoch is still the newest. Never waits.
    ///
    /// # Errors
    /// When it is not.
    pub(super) fn check(&self) -> Result<(), Outdated> {
        match self.fence.newest() {
            Some(newest) if newest > self.epoch => Err(Outdated { newest }),
            _ => Ok(()),
        }
    }
}

impl Fence {
    fn at(epoch: Epoch) -> Self {
        Self { newest: AtomicU64::new(epoch.number()), ..Self::default() }
    }

    fn newest(&self) -> Option<Epoch> {
        Epoch::new(self.newest.load(Ordering::Acquire))
    }

    /// Blocks while older epochs have an effect.
    fn raise(&self, epoch: Epoch) {
        let _no_effects = self.effects.write().unwrap_or_else(PoisonError::into_inner);
        self.newest.fetch_max(epoch.number(), Ordering::AcqRel);
        lock(&self.inside).retain(|(theirs, room)| {
            let stays = *theirs >= epoch;
            if let Some(room) = room.upgrade().filter(|_| !stays) {
                room.vacate();
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc,
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    /// An effect under way keeps a newer epoch waiting, and nobody who only looks.
    #[test]
    fn a_look_does_not_wait_for_who_waits() {
        let epoch = |number| Epoch::new(number).unwrap();
        let fence = Arc::new(Fence::at(epoch(1)));
        let pass = Pass { fence: Arc::clone(&fence), epoch: epoch(1) };
        let effect = pass.effect().unwrap();
        let (raising, started) = (Arc::clone(&fence), Instant::now());
        let newer = thread::spawn(move || raising.raise(epoch(2)));
        // Readers alone do not keep a reader out: from here on a writer waits.
        while fence.effects.try_read().is_ok() {
            assert!(started.elapsed() < LIMIT, "nobody raises the fence");
            thread::yield_now();
        }
        let (seen, looked) = mpsc::channel();
        let looking = pass.clone();
        thread::spawn(move || seen.send(looking.check()));
        assert_eq!(looked.recv_timeout(LIMIT), Ok(Ok(())));
        drop(effect);
        newer.join().unwrap();
        assert_eq!(pass.check(), Err(Outdated { newest: epoch(2) }));
        assert_eq!(pass.effect().err(), Some(Outdated { newest: epoch(2) }));
    }
}
