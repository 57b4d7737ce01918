//! Why something that a visitor asked for is not done. The text goes to the visitor, so it
//! names no path of this machine; the log has the rest.

use std::io;

use ferryway_core::{Class, Kind, Operation, TransportError, error::Reply};

use super::fence::Outdated;
use crate::{attempt::Failure, config::RootError, journal::JournalError};

/// Why something is not done.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The system, or the rules of the folders, say no.
    Io(io::Error),
    /// A newer owner of the visitor's instance was here.
    Outdated(Outdated),
    /// The visitor may not do that.
    NotAllowed(&'static str),
    /// The path leads out of the folders that the visitor may use.
    Outside(RootError),
    /// It makes no sense.
    Senseless(String),
    /// The visitor's own bytes did not come, or it does not take ours.
    BrokenOff(io::Error),
    /// This host cannot do it now.
    NotNow(String),
    /// A notice is about a job that is not known here. No other answer to a notice says
    /// `NotFound`.
    NotAnnounced,
}

/// What a visitor is told of a path that is not for it; the system's word is not told apart.
const DENIED: &str = "it is not within the folders that visitors may use, or the system denies it";

impl Refusal {
    /// What the visitor has asked for that it may never have, in words that are the same each
    /// time, and with all that this host knows of it.
    pub(super) fn overreach(&self) -> Option<(&'static str, String)> {
        match self {
            Self::NotAllowed(text) => Some((text, (*text).to_owned())),
            Self::Outside(error @ RootError::Escapes { .. }) => Some(("link", error.to_string())),
            Self::Outside(error) => Some(("outside", error.to_string())),
            _ => None,
        }
    }

    /// The error of `operation`. It carries a reply, for it is final: nothing of what was asked
    /// happens any more.
    pub(super) fn into_error(self, operation: Operation) -> TransportError {
        let (class, kind, code, text) = match self {
            // A folder that is not there says nothing of the job: `NotAnnounced` alone does.
            Self::Io(error)
                if operation == Operation::Tell && error.kind() == io::ErrorKind::NotFound =>
            {
                let text = "the folder of the file is not there".to_owned();
                (Class::Retryable { after: None }, Kind::Refused, 450, text)
            }
            Self::Io(error) => of_system(&error),
            Self::Outdated(Outdated { newest }) => {
                let text = format!("ownership {newest} of the instance was seen here");
                (Class::Permanent, Kind::Fenced, 550, text)
            }
            Self::NotAllowed(text) => (Class::Permanent, Kind::Denied, 550, text.to_owned()),
            Self::Outside(_) => (Class::Permanent, Kind::Denied, 550, DENIED.to_owned()),
            Self::Senseless(text) => (Class::Permanent, Kind::Unavailable, 550, text),
            Self::BrokenOff(error) => return TransportError::local(operation, error),
            Self::NotAnnounced => {
                let text = "no such job was announced here".to_owned();
                (Class::Permanent, Kind::NotFound, 550, text)
            }
            Self::NotNow(text) => (Class::Retryable { after: None }, Kind::Refused, 450, text),
        };
        TransportError::new(class, kind, operation, text.clone()).replied(Reply { code, text })
    }
}

fn of_system(error: &io::Error) -> (Class, Kind, u16, String) {
    use io::ErrorKind;
    let later = Class::Retryable { after: None };
    match error.kind() {
        ErrorKind::NotFound => {
            (Class::Permanent, Kind::NotFound, 550, "it is not there".to_owned())
        }
        ErrorKind::PermissionDenied => (Class::Permanent, Kind::Denied, 550, DENIED.to_owned()),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            (later, Kind::Space, 452, "the disk is full".to_owned())
        }
        ErrorKind::AlreadyExists
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory
        | ErrorKind::DirectoryNotEmpty
        | ErrorKind::CrossesDevices
        | ErrorKind::InvalidInput
        | ErrorKind::InvalidFilename => {
            (Class::Permanent, Kind::Unavailable, 550, error.kind().to_string())
        }
        kind => (later, Kind::Refused, 451, kind.to_string()),
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Failure> for Refusal {
    /// Of the work in a local folder.
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::LocalIo { source, .. } => Self::Io(source),
            other => Self::NotNow(other.to_string()),
        }
    }
}

impl From<RootError> for Refusal {
    fn from(error: RootError) -> Self {
        match error {
            RootError::Outside { .. } | RootError::Escapes { .. } => Self::Outside(error),
            other => Self::Io(io::Error::new(other.kind(), other)),
        }
    }
}

impl From<JournalError> for Refusal {
    fn from(error: JournalError) -> Self {
        tracing::warn!(%error, "a notice of a visitor is not recorded");
        Self::NotNow("the journal does not answer".to_owned())
    }
}

impl From<Outdated> for Refusal {
    fn from(outdated: Outdated) -> Self {
        Self::Outdated(outdated)
    }
}
