//! Why a try ended before its job was delivered.

use ferryway_core::{Class, Kind, Operation, TransportError, path::InvalidPath};

use crate::{causes, journal::JournalError};

/// Why a try ended before its job was delivered.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The journal refused or failed: mostly the end of the host.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The partner or the way to it failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The local file is not as it must be; trying again changes nothing.
    #[error("{0}")]
    LocalFile(String),
    /// The local file could not be read or written this time.
    #[error("{what}: {source}")]
    LocalIo {
        /// What was being done, with the path.
        what: String,
        /// The cause.
        source: std::io::Error,
    },
    /// What the partner holds is not the source: the attempt is void and a new one starts
    /// from nothing.
    #[error("{0}")]
    Void(String),
    /// A name on the partner cannot be made.
    #[error(transparent)]
    Path(#[from] InvalidPath),
}

/// What the host does after a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Tries again after a back-off.
    Retry,
    /// Waits until the partner can be reached; the job is not to blame.
    PartnerOut,
    /// Waits until the source address is this machine's; nobody is to blame.
    NoSourceAddress,
    /// Leaves it to an operator: what is wrong concerns all jobs of the partner.
    Suspend,
    /// Ends the job.
    Fail,
    /// Ends the host.
    Fenced,
}

impl Failure {
    /// What to do about it.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Journal(error) if error.is_fatal() => Verdict::Fenced,
            Self::Journal(_) | Self::LocalIo { .. } | Self::Void(_) => Verdict::Retry,
            Self::LocalFile(_) | Self::Path(_) => Verdict::Fail,
            Self::Transport(error) => match error.class() {
                Class::Fenced => Verdict::Fenced,
                // Who cannot connect has nothing against this job in particular.
                Class::Permanent if error.operation() == Operation::Connect => Verdict::Suspend,
                // A partner that has seen a newer owner. Whether there is one, our journal says:
                // it is asked by the write that suspends the job.
                Class::Permanent if error.kind() == Kind::Fenced => Verdict::Suspend,
                Class::Permanent => Verdict::Fail,
                Class::Retryable { .. } | Class::Locked => {
                    match (error.kind(), error.operation()) {
                        (Kind::SourceAddress, _) => Verdict::NoSourceAddress,
                        (_, Operation::Connect) => Verdict::PartnerOut,
                        _ => Verdict::Retry,
                    }
                }
            },
        }
    }

    /// The delay that the partner asked for.
    pub fn after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Transport(error) => match error.class() {
                Class::Retryable { after } => after,
                _ => None,
            },
            _ => None,
        }
    }

    /// The failure with all its causes, in one line.
    pub fn chain(&self) -> String {
        causes::chain(self)
    }
}
