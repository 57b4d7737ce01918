//! The newest epoch seen of each visitor's instance: what older ones still try has no effect.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
};

use ferryway_core::{Epoch, InstanceName, PartnerName};

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
pub(super) struct Fence(RwLock<Option<Epoch>>);

/// A visitor's session within its fence.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    fence: Arc<Fence>,
    epoch: Epoch,
}

/// The right to have an effect, as long as it is held: no newer epoch comes in meanwhile.
pub(super) type Effect<'a> = RwLockReadGuard<'a, Option<Epoch>>;

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
            known.insert((visitor, instance), Arc::new(Fence(RwLock::new(Some(epoch)))));
        }
        Ok(Self { journal, known: Mutex::new(known) })
    }

    /// Lets a visitor's epoch in. When it is the newest, that is durable on return, and every
    /// effect that an older one had begun is over.
    ///
    /// # Errors
    /// When the journal fails.
    pub(super) async fn enter(&self, who: &record::Fence) -> journal::Result<Entry> {
        let key = (who.visitor.clone(), who.instance.clone());
        let fence = Arc::clone(lock(&self.known).entry(key).or_default());
        let pass = Pass { fence: Arc::clone(&fence), epoch: who.epoch };
        let new = match pass.standing() {
            Some(newest) if newest > who.epoch => return Ok(Entry::Outdated(Outdated { newest })),
            Some(newest) => newest < who.epoch,
            None => true,
        };
        if new {
            self.journal.raise_fence(who.clone()).await?;
            let epoch = who.epoch;
            // Waits for the effects that are under way.
            let raised = tokio::task::spawn_blocking(move || fence.raise(epoch)).await;
            raised.map_err(|_| journal::JournalError::Closed)?;
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
        let newest = self.fence.0.read().unwrap_or_else(PoisonError::into_inner);
        match *newest {
            Some(newest) if newest > self.epoch => Err(Outdated { newest }),
            _ => Ok(newest),
        }
    }

    /// Whether the epoch is still the newest.
    ///
    /// # Errors
    /// When it is not.
    pub(super) fn check(&self) -> Result<(), Outdated> {
        self.effect().map(drop)
    }

    fn standing(&self) -> Option<Epoch> {
        *self.fence.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fence {
    fn raise(&self, epoch: Epoch) {
        let mut newest = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *newest = (*newest).max(Some(epoch));
    }
}
