//! From what happened on the wire to the error that the host decides by.

use std::{fmt, io, sync::Arc};

use ferryway_core::{Class, Kind, Operation, TransportError, error::Reply, reception::Cause};

use crate::frame::{Again, Ground, Malformed, Refusal};

/// The longest text that one end sends the other, in bytes.
const TEXT_BYTES: usize = 1024;

/// Why a step failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The connection was lost or could not be made.
    #[error("the connection failed: {0}")]
    Io(Arc<io::Error>),
    /// No word from the other end in time.
    #[error("the other end was silent for too long {0}")]
    Silent(&'static str),
    /// What the other end says is not the protocol.
    #[error("the other end breaks the protocol: {0}")]
    Garbage(String),
    /// The other end speaks another version of the protocol.
    #[error("the other end speaks version {theirs} of the protocol, not {ours}")]
    Version {
        /// Our version.
        ours: u16,
        /// Theirs.
        theirs: u16,
    },
    /// The ends do not agree on how to be safe, or one could not prove who it is.
    #[error("{0}")]
    Proof(String),
    /// The other end has too many visitors.
    #[error("the other end has too many connections")]
    Crowd,
    /// The host at the other end said no.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// Our own source or sink failed.
    #[error("the local file failed: {0}")]
    Local(Arc<io::Error>),
    /// The source address is not one of this machine's.
    #[error("the source address is not one of this machine's: {0}")]
    SourceAddress(Arc<io::Error>),
    /// The stream or the connection was closed.
    #[error("the session is closed")]
    Closed,
}

impl Failure {
    /// A failure of our own source or sink.
    pub(crate) fn local(error: io::Error) -> Self {
        Self::Local(Arc::new(error))
    }

    /// A message that has no place where it came.
    pub(crate) fn out_of_place(what: &impl fmt::Debug) -> Self {
        Self::Garbage(format!("out of place: {}", shortened(&format!("{what:?}"), 80)))
    }

    /// Whether the session is of no use afterwards.
    pub(crate) fn closes_session(&self) -> bool {
        !matches!(self, Self::Refused(_) | Self::Local(_))
    }

    /// Why somebody who failed so is turned away; `None` when it just went.
    pub(crate) fn cause(&self) -> Option<Cause> {
        match self {
            Self::Silent(_) => Some(Cause::Silence),
            Self::Garbage(_) => Some(Cause::Garbage),
            Self::Version { .. } => Some(Cause::Version),
            Self::Proof(_) => Some(Cause::Proof),
            Self::Crowd => Some(Cause::Crowd),
            Self::Io(_)
            | Self::Refused(_)
            | Self::Local(_)
            | Self::SourceAddress(_)
            | Self::Closed => None,
        }
    }

    /// The error of `operation`.
    pub(crate) fn into_error(self, operation: Operation) -> TransportError {
        let text = self.to_string();
        let retryable = |kind| TransportError::retryable(kind, operation, text.clone());
        let permanent = |kind| TransportError::permanent(kind, operation, text.clone());
        match &self {
            Self::Io(error) => {
                TransportError::retryable(Kind::Connection, operation, "the connection failed")
                    .caused_by(io::Error::new(error.kind(), error.to_string()))
            }
            Self::Silent(_) => retryable(Kind::Timeout),
            Self::Garbage(_) => retryable(Kind::Protocol),
            Self::Crowd => retryable(Kind::Connection),
            Self::Version { .. } => permanent(Kind::Protocol),
            Self::Proof(_) => permanent(Kind::Login),
            Self::Local(error) => {
                TransportError::local(operation, io::Error::new(error.kind(), error.to_string()))
            }
            // After a takeover the address may come up later than the host.
            Self::SourceAddress(_) => retryable(Kind::SourceAddress),
            Self::Closed => TransportError::closed(operation),
            Self::Refused(refusal) => refusal.clone().into_error(operation),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        Self::Garbage(malformed.to_string())
    }
}

impl Refusal {
    /// What the host's session said, for the visitor.
    pub(crate) fn of(error: &TransportError) -> Self {
        let again = match error.class() {
            Class::Retryable { after } => {
                let after_ms = after.map(|after| u32::try_from(after.as_millis()));
                Again::Later { after_ms: after_ms.map(|ms| ms.unwrap_or(u32::MAX)) }
            }
            Class::Locked => Again::WhenFree,
            Class::Permanent | Class::Fenced => Again::Never,
        };
        let ground = match error.kind() {
            Kind::NotFound => Ground::NotFound,
            Kind::Unavailable => Ground::Unavailable,
            Kind::Denied => Ground::Denied,
            Kind::Login => Ground::Login,
            Kind::Locked => Ground::Locked,
            Kind::Space => Ground::Space,
            Kind::Unsupported => Ground::Unsupported,
            Kind::Refused => Ground::Refused,
            Kind::Fenced => Ground::OldEpoch,
            _ => Ground::Broken,
        };
        let reply = error.reply().map(|reply| (reply.code, shortened(&reply.text, TEXT_BYTES)));
        Self { ground, again, message: shortened(&error.to_string(), TEXT_BYTES), reply }
    }

    /// A refusal of the plugin's own, before the host is asked.
    pub(crate) fn of_ours(ground: Ground, again: Again, message: impl fmt::Display) -> Self {
        let message = shortened(&message.to_string(), TEXT_BYTES);
        Self { ground, again, reply: Some((550, message.clone())), message }
    }

    /// The error for the host that asked. Its class comes from what the other end chose, beside
    /// the wire. A host that refuses an old epoch gives a permanent error and no `Fenced`: only
    /// our own journal says that the instance is lost, and the next write there asks it.
    fn into_error(self, operation: Operation) -> TransportError {
        let class = match self.again {
            Again::Later { after_ms } => Class::Retryable {
                after: after_ms.map(|ms| std::time::Duration::from_millis(ms.into())),
            },
            Again::Never => Class::Permanent,
            Again::WhenFree => Class::Locked,
        };
        let kind = match self.ground {
            Ground::NotFound => Kind::NotFound,
            Ground::Unavailable => Kind::Unavailable,
            Ground::Denied => Kind::Denied,
            Ground::Login => Kind::Login,
            Ground::Locked => Kind::Locked,
            Ground::Space => Kind::Space,
            Ground::Unsupported => Kind::Unsupported,
            Ground::Refused | Ground::Broken => Kind::Refused,
            Ground::OldEpoch => Kind::Fenced,
        };
        let error = TransportError::new(class, kind, operation, "the partner refused");
        match self.reply {
            Some((code, text)) => error.replied(Reply { code, text }),
            None => error.caused_by(self.message),
        }
    }
}

/// A text of at most so many bytes.
fn shortened(text: &str, bytes: usize) -> String {
    let end = (0..=bytes.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
    text[..end.unwrap_or(0)].to_owned()
}
