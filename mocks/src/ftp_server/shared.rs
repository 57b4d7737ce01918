//! What the sessions of a server have in common.

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::{
    User,
    behaviour::Behaviour,
    disk::DiskState,
    faults::{Action, Cut, Fault, FaultPlan},
    ledger::Ledger,
    locks::Locks,
    reply::Reply,
    session::Ended,
    tls::TlsConfig,
    transcript::Transcript,
    wire::Condition,
};

/// Session numbers run on over restarts, since restarted servers share a transcript.
static SESSIONS: AtomicU64 = AtomicU64::new(0);

/// A server without its sockets.
pub(super) struct Shared {
    pub(super) root: PathBuf,
    pub(super) behaviour: Behaviour,
    pub(super) users: Vec<User>,
    pub(super) anonymous: bool,
    pub(super) tls: Option<(TlsConfig, TlsAcceptor)>,
    pub(super) faults: FaultPlan,
    pub(super) transcript: Transcript,
    pub(super) disk: DiskState,
    pub(super) locks: Arc<Locks>,
    /// 0 is no limit.
    pub(super) bytes_per_second: AtomicU64,
    /// A lower limit for uploads; 0 is none.
    pub(super) upload_bytes_per_second: u64,
    pub(super) ledger: Ledger,
    /// How many control connections are open.
    pub(super) open: watch::Sender<usize>,
    /// How often all sessions were cut, and how the last time.
    pub(super) cuts: watch::Sender<(u64, Cut)>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("root", &self.root).finish_non_exhaustive()
    }
}

/// What a fault makes of the point where it fired.
pub(super) enum Turn {
    GoOn,
    Reply(Reply),
    EndOfData,
    Corrupt,
    Size(u64),
}

impl Shared {
    pub(super) fn next_session(&self) -> u64 {
        SESSIONS.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Does what a fault wants to a session in this condition.
    pub(super) async fn perform(
        &self,
        fault: &Fault,
        condition: &Condition,
    ) -> Result<Turn, Ended> {
        Ok(match fault.action() {
            Action::Cut(Cut::Silence) => {
                condition.frozen.store(true, Ordering::Relaxed);
                std::future::pending().await
            }
            Action::Cut(cut) => {
                condition.reset.store(*cut == Cut::Rst, Ordering::Relaxed);
                return Err(Ended);
            }
            Action::Stall => {
                condition.frozen.store(true, Ordering::Relaxed);
                fault.released().await;
                condition.frozen.store(false, Ordering::Relaxed);
                Turn::GoOn
            }
            Action::Mark => Turn::GoOn,
            Action::Reply(code, text) => Turn::Reply(Reply::new(*code, text.clone())),
            Action::EndOfData => Turn::EndOfData,
            Action::Corrupt => Turn::Corrupt,
            Action::WrongSize(size) => Turn::Size(*size),
            Action::Disk(disk) => {
                self.disk.set(*disk);
                Turn::GoOn
            }
        })
    }
}

/// A control connection in the count of open ones.
pub(super) struct Counted(Arc<Shared>);

impl Counted {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        shared.open.send_modify(|open| *open += 1);
        Self(shared)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}
