//! The disk below the server's folder.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How the disk behaves. It can change while the server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// As the real one below.
    Normal,
    /// So many bytes can still be written; then an upload ends with 451 (or the behaviour's
    /// `write_failure`), its data connection closed.
    FullAfter(u64),
    /// Nothing can be changed: STOR gets the behaviour's `store_refusal`, the rest 550.
    ReadOnly,
    /// The file system has gone: transfers end with `write_failure`, all else is refused.
    Vanished,
    /// Every write and read of a chunk takes this much longer.
    Slow(Duration),
}

/// The disk of a server, shared by its sessions.
#[derive(Debug)]
pub(super) struct DiskState(Mutex<Disk>);

/// The disk takes or gives no more bytes.
pub(super) struct DiskFailure;

impl DiskState {
    pub(super) fn new(disk: Disk) -> Self {
        Self(Mutex::new(disk))
    }

    pub(super) fn set(&self, disk: Disk) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = disk;
    }

    pub(super) fn mode(&self) -> Disk {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether files and folders can be looked at.
    pub(super) fn readable(&self) -> bool {
        self.mode() != Disk::Vanished
    }

    /// Whether files and folders can be changed.
    pub(super) fn writable(&self) -> bool {
        !matches!(self.mode(), Disk::Vanished | Disk::ReadOnly)
    }

    /// Takes room for `wanted` bytes and tells how many of them there is room for.
    pub(super) fn take(&self, wanted: usize) -> Result<usize, DiskFailure> {
        let mut disk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *disk {
            Disk::Normal | Disk::Slow(_) => Ok(wanted),
            Disk::ReadOnly | Disk::Vanished => Err(DiskFailure),
            Disk::FullAfter(room) => {
                let granted = usize::try_from(*room).map_or(wanted, |room| room.min(wanted));
                *room -= granted as u64;
                Ok(granted)
            }
        }
    }

    /// Waits as long as a slow disk needs for a chunk.
    pub(super) async fn pace(&self) {
        if let Disk::Slow(delay) = self.mode() {
            tokio::time::sleep(delay).await;
        }
    }
}
