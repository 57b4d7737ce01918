//! What the server did, told by itself: what went through the data connections, and renames.
//! What was done for a client that is gone is in it as well.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// One STOR, APPE or RETR whose data connection was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Number of the session, as in the [`Transcript`](super::Transcript).
    pub session: u64,
    /// The command.
    pub verb: String,
    /// The path as the client named it.
    pub path: String,
    /// What REST said before; 0 for none.
    pub offset: u64,
    /// Bytes that passed the data connection so far.
    pub bytes: u64,
    /// When the first of them had passed.
    pub first_byte_at: Option<Instant>,
    /// When the last of them so far had passed.
    pub last_byte_at: Option<Instant>,
    /// When the data connection was made.
    pub opened_at: Instant,
    /// When the transfer ended, however it did.
    pub ended_at: Option<Instant>,
}

/// One rename that was performed. Paths count from the server's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// The old path.
    pub from: String,
    /// The new one.
    pub to: String,
    /// When it was done.
    pub at: Instant,
}

/// What a server did, in order; a handle on shared state.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger(Arc<Mutex<Pages>>);

#[derive(Debug, Default)]
struct Pages {
    /// In the order of their beginning.
    transfers: Vec<Transfer>,
    renames: Vec<Rename>,
}

/// A transfer in progress. Dropping it, as when its session is cut, ends it.
#[derive(Debug)]
pub(super) struct Line {
    ledger: Ledger,
    index: usize,
}

impl Ledger {
    pub(super) fn transfers(&self) -> Vec<Transfer> {
        self.lock().transfers.clone()
    }

    pub(super) fn renames(&self) -> Vec<Rename> {
        self.lock().renames.clone()
    }

    pub(super) fn renamed(&self, from: String, to: String) {
        self.lock().renames.push(Rename { from, to, at: Instant::now() });
    }

    pub(super) fn open(&self, session: u64, verb: &str, path: &str, offset: u64) -> Line {
        let transfers = &mut self.lock().transfers;
        transfers.push(Transfer {
            session,
            verb: verb.to_owned(),
            path: path.to_owned(),
            offset,
            bytes: 0,
            first_byte_at: None,
            last_byte_at: None,
            opened_at: Instant::now(),
            ended_at: None,
        });
        Line { ledger: self.clone(), index: transfers.len() - 1 }
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    pub(super) fn passed(&self, bytes: usize) {
        self.change(|transfer| {
            let now = Instant::now();
            transfer.bytes += bytes as u64;
            transfer.first_byte_at.get_or_insert(now);
            transfer.last_byte_at = Some(now);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Transfer)) {
        if let Some(transfer) = self.ledger.lock().transfers.get_mut(self.index) {
            change(transfer);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.change(|transfer| transfer.ended_at = Some(Instant::now()));
    }
}
