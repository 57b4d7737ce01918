//! What holds the first node at its moment, until the failover has come.

use std::time::Duration;

use ferryway_mocks::{ftp_server::Fault, program::Program};
use tokio::time::timeout;

use crate::laboratory::{Failure, relay::Gate};

/// Something that stands still.
#[derive(Clone)]
pub(super) enum Held {
    /// An FTP server's session.
    Session(Fault),
    /// A connection of two hosts.
    Connection(Gate),
    /// A user's program.
    Exit(Program),
}

impl Held {
    /// Waits until it stands still.
    ///
    /// # Errors
    /// When it does not within `limit`.
    pub(super) async fn reached(&self, limit: Duration) -> Result<(), Failure> {
        match self {
            Self::Session(fault) => {
                fault.wait(limit).await.map_err(|error| Failure(error.to_string()))
            }
            Self::Connection(gate) => gate.reached(limit).await,
            Self::Exit(program) => {
                let late = |_| Failure(format!("no post-exit runs after {limit:?}"));
                timeout(limit, program.held()).await.map_err(late)
            }
        }
        .map_err(|error| Failure(format!("the moment never came: {error}")))
    }

    /// Lets it go on.
    pub(super) fn release(&self) {
        match self {
            Self::Session(fault) => fault.release(),
            Self::Connection(gate) => gate.release(),
            Self::Exit(program) => program.let_go(),
        }
    }
}
