//! What the sessions of a server have in common.

use std::{
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
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
    /// Of the system, for a passive data connection.
    pub(super) receive_buffer_bytes: Option<u32>,
    pub(super) ledger: Ledger,
    /// The latest rename of a file or folder.
    pub(super) renamed: Mutex<Option<Renamed>>,
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

/// A rename that a loss of power may undo.
#[derive(Debug)]
pub(super) struct Renamed {
    from: PathBuf,
    to: PathBuf,
    /// The file that it replaced, which lives on while it is open.
    replaced: Option<File>,
}

impl Renamed {
    /// Renames and remembers how to go back.
    pub(super) fn rename(from: &Path, to: &Path) -> io::Result<Self> {
        let replaced = File::open(to).ok();
        fs::rename(from, to)?;
        Ok(Self { from: from.to_owned(), to: to.to_owned(), replaced })
    }

    fn undo(mut self) {
        // What has been moved or removed since stays so.
        if fs::rename(&self.to, &self.from).is_ok()
            && let Some(replaced) = &mut self.replaced
        {
            let copied = File::create(&self.to).and_then(|mut file| io::copy(replaced, &mut file));
            if let Err(error) = copied {
                tracing::error!(%error, to = %self.to.display(), "the replaced file is lost");
            }
        }
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

    /// Undoes the latest rename, and has every session end in this manner. Nothing else is
    /// lost: what other data a disk forgets, [`Disk`](super::Disk) and cuts at a byte show.
    pub(super) fn lose_power(&self, cut: Cut) {
        if let Some(renamed) = self.renamed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            renamed.undo();
        }
        self.cuts.send_modify(|(round, how)| (*round, *how) = (*round + 1, cut));
    }

    /// Ends a session in this manner, which may take for ever.
    pub(super) async fn cut(&self, cut: Cut, condition: &Condition) -> Ended {
        match cut {
            Cut::Fin => {}
            Cut::Rst => condition.reset.store(true, Ordering::Relaxed),
            Cut::Silence => {
                condition.frozen.store(true, Ordering::Relaxed);
                std::future::pending::<()>().await;
            }
            Cut::HalfOpen => {
                condition.frozen.store(true, Ordering::Relaxed);
                let moving = condition.moving.load(Ordering::Relaxed);
                let behaviour = &self.behaviour;
                let limit = if moving { behaviour.data_timeout } else { behaviour.idle_timeout };
                tokio::time::sleep(limit).await;
            }
        }
        Ended
    }

    /// Does what a fault wants to a session in this condition.
    pub(super) async fn perform(
        &self,
        fault: &Fault,
        condition: &Condition,
    ) -> Result<Turn, Ended> {
        Ok(match fault.action() {
            Action::Cut(cut) => return Err(self.cut(*cut, condition).await),
            Action::PowerLoss(cut) => {
                self.lose_power(*cut);
                return Err(self.cut(*cut, condition).await);
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
