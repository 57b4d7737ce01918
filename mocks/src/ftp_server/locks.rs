//! Which files are being stored.

use std::{
    collections::HashSet,
    fs::Metadata,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// The files under upload. A lock is on the file, not on its name: it follows a rename, as
/// flock and fcntl locks do.
#[derive(Debug, Default)]
pub(super) struct Locks {
    held: Mutex<HashSet<FileId>>,
    freed: Notify,
}

/// A file, whatever its name: device and inode.
pub(super) type FileId = (u64, u64);

/// The identity of an open file, which is not reused while it is open.
pub(super) fn identity(metadata: &Metadata) -> FileId {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

/// A held lock; dropping it frees it.
#[derive(Debug)]
pub(super) struct Guard {
    locks: Arc<Locks>,
    file: FileId,
}

impl Locks {
    /// The lock, unless another session has it.
    pub(super) fn try_acquire(self: &Arc<Self>, file: FileId) -> Option<Guard> {
        self.lock().insert(file).then(|| Guard { locks: Arc::clone(self), file })
    }

    /// The lock, however long it takes.
    pub(super) async fn acquire(self: &Arc<Self>, file: FileId) -> Guard {
        loop {
            let mut freed = pin!(self.freed.notified());
            // Enlisted before the look, so that no release between the two is missed.
            freed.as_mut().enable();
            if let Some(guard) = self.try_acquire(file) {
                return guard;
            }
            freed.await;
        }
    }

    /// Waits until nobody has the lock.
    pub(super) async fn free(self: &Arc<Self>, file: FileId) {
        drop(self.acquire(file).await);
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<FileId>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.locks.lock().remove(&self.file);
        self.locks.freed.notify_waiters();
    }
}
