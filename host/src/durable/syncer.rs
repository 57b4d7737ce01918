//! Makes a file durable behind its writer, so that what a crash costs stays small and the last
//! sync short.

use std::{
    fs::File,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{runtime::Handle, sync::Semaphore};

use super::CHECKPOINT_BYTES;

/// The writer waits when so much of what it wrote is not durable. The rest of what a failover
/// may cost is for bytes that pass until their checkpoint is durable as well.
const AHEAD_BYTES: u64 = CHECKPOINT_BYTES + CHECKPOINT_BYTES / 2;

/// A disk that does not answer for so long in the background keeps the writer no longer: the transfer's own
/// time limit, or the last sync, tells.
const WAIT: Duration = Duration::from_secs(60);

/// Syncs in the background, of all files together. Where more files come in at a time each is synced by its
/// writer: a disk that hangs or is slow takes no thread more than these and the writers', and no file waits
/// for the disk of another.
static IN_BACKGROUND: Semaphore = Semaphore::const_new(AT_A_TIME as usize);

const AT_A_TIME: u32 = 16;

pub(crate) struct Syncer {
    file: File,
    handle: Handle,
    state: Mutex<State>,
    synced: Condvar,
}

struct State {
    /// What is durable.
    durable: u64,
    /// What is durable when the sync under way has ended.
    begun: u64,
    busy: bool,
    /// A failed sync is reported once only: a later one may say that all is well.
    failed: Option<io::Error>,
}

impl Syncer {
    /// A syncer of a file whose first `durable` bytes are durable. Must be called on a runtime.
    pub(crate) fn new(file: File, durable: u64) -> Arc<Self> {
        let state = State { durable, begun: durable, busy: false, failed: None };
        Arc::new(Self {
            file,
            handle: Handle::current(),
            state: Mutex::new(state),
            synced: Condvar::new(),
        })
    }

    /// The offset up to which the file is durable.
    pub(crate) fn durable(&self) -> u64 {
        self.lock().durable
    }

    /// Hears that the file is written up to `offset`: syncs it when enough is new, in the background if that
    /// has room, and keeps the writer waiting when too much is not durable. Blocks.
    pub(crate) fn written(self: &Arc<Self>, offset: u64) {
        let mut state = self.lock();
        loop {
            if !state.busy && offset >= state.begun + CHECKPOINT_BYTES {
                state.begun = offset;
                state.busy = true;
                let Ok(turn) = IN_BACKGROUND.try_acquire() else {
                    drop(state);
                    return self.sync(offset);
                };
                let this = Arc::clone(self);
                let sync = move || {
                    let _turn = turn;
                    this.sync(offset);
                };
                drop(self.handle.spawn_blocking(sync));
            }
            if !state.busy || offset < state.durable + AHEAD_BYTES {
                return;
            }
            let (waited, late) =
                self.synced.wait_timeout(state, WAIT).unwrap_or_else(PoisonError::into_inner);
            if late.timed_out() {
                return;
            }
            state = waited;
        }
    }

    /// Makes all of the file durable. Blocks.
    ///
    /// # Errors
    /// When this sync or an earlier one failed.
    pub(crate) fn finish(&self) -> io::Result<()> {
        let mut state = self.lock();
        // A sync under way may take the report of a failure that this one would miss.
        while state.busy {
            state = self.synced.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(error) = state.failed.take() {
            return Err(error);
        }
        self.file.sync_all()
    }

    fn sync(&self, offset: u64) {
        let result = self.file.sync_data();
        let mut state = self.lock();
        state.busy = false;
        match result {
            // After a failure nobody knows what is on the disk: later syncs prove nothing.
            Ok(()) if state.failed.is_some() => {}
            Ok(()) => state.durable = offset,
            Err(error) => {
                state.failed.get_or_insert(error);
            }
        }
        self.synced.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn a_writer_never_gets_far_ahead_of_what_is_durable() {
        write_all(AHEAD_BYTES).await;
    }

    #[tokio::test]
    async fn who_finds_no_room_in_the_background_makes_its_file_durable_itself() {
        let _all = IN_BACKGROUND.acquire_many(AT_A_TIME).await.unwrap();
        // Nobody else's sync could keep so close behind.
        write_all(CHECKPOINT_BYTES).await;
    }

    async fn write_all(behind: u64) {
        let mut file = tempfile::tempfile().unwrap();
        let syncer = Syncer::new(file.try_clone().unwrap(), 0);
        let writer = Arc::clone(&syncer);
        let furthest = tokio::task::spawn_blocking(move || {
            let chunk = vec![7; 512 * 1024];
            let (mut offset, mut furthest) = (0, 0);
            for _ in 0..128 {
                file.write_all(&chunk).unwrap();
                offset += chunk.len() as u64;
                writer.written(offset);
                furthest = furthest.max(offset - writer.durable());
            }
            furthest
        });
        let furthest = furthest.await.unwrap();
        assert!(furthest < behind, "{furthest}");
        assert!(syncer.durable() > 0);
        syncer.finish().unwrap();
    }
}
