//! Why a try ended before its job was delivered.

use ferryway_core::{
    Class, Kind, Operation, PartnerName, TransportError, notice::Standing, path::InvalidPath,
};

use super::told;
use crate::{causes, config::RootError, journal::JournalError};

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
    /// The partner that is told of the job cannot be told.
    #[error("partner {partner} cannot be told of the job")]
    Untold {
        /// The partner.
        partner: PartnerName,
        /// The cause.
        source: TransportError,
    },
    /// The partner's own job has something to do before this one can go on, or does not take
    /// the file.
    #[error("{}", told::in_words(.0))]
    PartnerJob(Standing),
    /// The user's pre-exit does not let the job go on.
    #[error("the pre-exit {}: {how}", if *.again { "asks for another try" } else { "failed" })]
    PreExit {
        /// How it ended.
        how: String,
        /// Whether it is to run again after a while.
        again: bool,
    },
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
    /// Asks again, for as long as it takes: the job is not to blame.
    Wait,
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
            Self::PreExit { again: true, .. } => Verdict::Retry,
            Self::LocalFile(_) | Self::Path(_) | Self::PreExit { .. } => Verdict::Fail,
            Self::PartnerJob(standing) if standing.status.in_flight() => Verdict::Wait,
            Self::PartnerJob(_) => Verdict::Fail,
            Self::Untold { source, .. } => match source.class() {
                Class::Fenced => Verdict::Fenced,
                Class::Permanent => Verdict::Suspend,
                Class::Retryable { .. } | Class::Locked => match source.kind() {
                    Kind::SourceAddress => Verdict::NoSourceAddress,
                    _ => Verdict::Wait,
                },
            },
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

    /// What keeps a path of ours from being used. What may pass by itself is tried again: a disk
    /// that is mounted a moment after a takeover, or one that is full.
    pub fn of_root(what: &str, error: RootError) -> Self {
        match error {
            RootError::Io { operation, path, source } => {
                Self::LocalIo { what: format!("{what}: cannot {operation} `{path}`"), source }
            }
            other => Self::LocalFile(format!("{what}: {other}")),
        }
    }

    /// Whether the line to the partner broke: how far the try got says something for the job.
    pub fn is_lost_line(&self) -> bool {
        let lost = [Kind::Connection, Kind::Timeout, Kind::Tls, Kind::Closed];
        matches!(self, Self::Transport(error) if lost.contains(&error.kind()))
    }

    /// Whether the partner's host has heard a word and does not take it.
    pub fn is_refused_word(&self) -> bool {
        matches!(self, Self::Untold { source, .. } if source.reply().is_some())
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

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_long_way_speaks_for_a_job_only_when_its_line_broke() {
        let transport = |kind| {
            Failure::Transport(TransportError::retryable(kind, Operation::Store, "as planned"))
        };
        assert!(transport(Kind::Connection).is_lost_line());
        assert!(transport(Kind::Timeout).is_lost_line());
        assert!(!transport(Kind::Space).is_lost_line());
        assert!(!Failure::Void("the partner holds something else".to_owned()).is_lost_line());
    }

    #[test]
    fn a_disk_that_is_not_there_yet_is_waited_for_and_a_forbidden_path_is_not() {
        let absent = RootError::Io {
            operation: "open",
            path: "/data".to_owned(),
            source: io::ErrorKind::NotFound.into(),
        };
        assert_eq!(Failure::of_root("the source", absent).verdict(), Verdict::Retry);
        let forbidden = RootError::Escapes { path: "/data/a".to_owned() };
        assert_eq!(Failure::of_root("the source", forbidden).verdict(), Verdict::Fail);
    }
}
