//! Sessions beyond the limit, for who has little to move. With a partner whose sessions share a
//! connection they cost a room there and nothing else, and over a long line it counts how many
//! small files are under way.

use std::sync::{Arc, Mutex};

use ferryway_core::TransportError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::locks::lock;

/// The most sessions with a partner, whatever that says: as many as can be configured.
const MOST: usize = 256;

/// How many sessions beyond the limit there may be. None until a partner says that it has room.
pub(super) struct Companions {
    limit: usize,
    free: Arc<Semaphore>,
    granted: Mutex<usize>,
}

impl Companions {
    /// Those of a pool with so many sessions of its own.
    pub(super) fn beyond(limit: usize) -> Self {
        Self { limit, free: Arc::new(Semaphore::new(0)), granted: Mutex::default() }
    }

    /// Waits for the right to one; for ever, where there is none.
    pub(super) async fn join(&self) -> OwnedSemaphorePermit {
        match Arc::clone(&self.free).acquire_owned().await {
            Ok(permit) => permit,
            // It is never closed.
            Err(_closed) => std::future::pending().await,
        }
    }

    /// Goes by what the partner says: it has so many rooms for us.
    pub(super) fn fill(&self, rooms: usize) {
        let wanted = rooms.min(MOST).saturating_sub(self.limit);
        let mut granted = lock(&self.granted);
        if let Some(more) = wanted.checked_sub(*granted) {
            self.free.add_permits(more);
            *granted = wanted;
        } else {
            // Those that are at work stay until then.
            *granted -= self.free.forget_permits(*granted - wanted);
        }
    }

    /// Hears that there is no session for one of them. Where the partner refuses it, there is one
    /// less until the partner lets another session in.
    pub(super) fn refused(&self, permit: OwnedSemaphorePermit, error: &TransportError) {
        tracing::debug!(%error, "a small file waits for one of the sessions");
        if error.reply().is_some() {
            permit.forget();
            *lock(&self.granted) -= 1;
        }
    }
}
