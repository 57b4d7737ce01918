//! What the demo and the simulator are made of: hosts as real processes, install directories
//! made on the spot, the network between them, what a partner's server and the kernel saw, and
//! pictures.

pub(crate) mod hosts;
pub(crate) mod install;
pub(crate) mod numbers;
pub(crate) mod relay;
pub(crate) mod svg;
pub(crate) mod watch;
pub(crate) mod wire;

use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

use ferryway_core::words;
use tokio::signal::unix::{SignalKind, signal};

/// How often the hosts are asked how they are.
pub(crate) const POLL: Duration = Duration::from_millis(15);

words! {
    /// How the file goes to the partner.
    Transport {
        /// To an FTP server.
        Ftp = "ftp",
        /// To another host of ours.
        Socket = "socket",
    }
}

/// What went wrong, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(pub(crate) String);

impl Failure {
    pub(crate) fn io(action: &str, path: &Path, error: io::Error) -> Self {
        Self(format!("cannot {action} {}: {error}", path.display()))
    }
}

/// The end of our patience.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    /// So much time from now on.
    pub(crate) fn after(limit: Duration) -> Self {
        Self { at: Instant::now() + limit, limit }
    }

    /// Sees that there is time left to wait for something.
    ///
    /// # Errors
    /// When there is not; the message names `what`.
    pub(crate) fn check(self, what: &str) -> Result<(), Failure> {
        if Instant::now() < self.at {
            return Ok(());
        }
        Err(Failure(format!("waited in vain for {what}: {} s are over", self.limit.as_secs())))
    }

    /// The time that is left.
    pub(crate) fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }
}

/// Resolves when the visitor or the system wants us to end.
pub(crate) async fn interrupted() {
    let wait = async |kind| match signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::hangup()) => {}
    }
}
