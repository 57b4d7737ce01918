//! What can go wrong on the wire.

use std::{error::Error, fmt, io, time::Duration};

/// What the host does about an error. Set once, beside the wire, from the reply's digits or
/// the system's error code, never from message text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Try again after a back-off, not before `after` if the partner named a delay.
    Retryable {
        /// The delay that the partner asked for.
        after: Option<Duration>,
    },
    /// The same try cannot succeed until a person or the partner changes something.
    Permanent,
    /// Another session holds the file; trying again makes sense, overwriting does not.
    Locked,
    /// This node no longer owns the instance. Only the journal decides so; a transport
    /// passes it through and never creates it.
    Fenced,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The path does not exist, as a look that can tell has shown.
    NotFound,
    /// The partner refused the path without telling whether it is absent, busy or denied
    /// (FTP 450 and 550).
    Unavailable,
    /// The partner denies the operation on this path.
    Denied,
    /// The login was refused.
    Login,
    /// Another session holds the file.
    Locked,
    /// The partner has no space left, or could not write.
    Space,
    /// The connection could not be made or was lost.
    Connection,
    /// A step took longer than its time limit.
    Timeout,
    /// The partner broke the protocol.
    Protocol,
    /// The secure channel could not be made.
    Tls,
    /// The partner or the transport cannot do this.
    Unsupported,
    /// The partner refused for another reason; the reply says which.
    Refused,
    /// The host's own source or sink failed.
    Local,
    /// The settings are unusable.
    Config,
    /// Nothing may connect: the source address is not one of this machine's now, or what says
    /// which it is cannot be understood. Neither the partner nor the job is to blame.
    SourceAddress,
    /// An earlier operation on the session was cancelled or failed: connect again.
    Closed,
    /// The transport's code panicked.
    Panicked,
    /// The journal refused our epoch; or a partner that keeps the epochs it has seen refused
    /// it, which is no proof: a partner's word ends no host.
    Fenced,
}

/// The operation that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// [`connect`](crate::transport::Transport::connect)
    Connect,
    /// [`stat`](crate::transport::Session::stat)
    Stat,
    /// [`list`](crate::transport::Session::list)
    List,
    /// [`fetch`](crate::transport::Session::fetch)
    Fetch,
    /// [`store`](crate::transport::Session::store)
    Store,
    /// [`rename`](crate::transport::Session::rename)
    Rename,
    /// [`remove`](crate::transport::Session::remove)
    Remove,
    /// [`make_folder`](crate::transport::Session::make_folder)
    MakeFolder,
    /// [`remove_folder`](crate::transport::Session::remove_folder)
    RemoveFolder,
    /// [`checksum`](crate::transport::Session::checksum)
    Checksum,
    /// [`tell`](crate::transport::Session::tell)
    Tell,
    /// [`ping`](crate::transport::Session::ping)
    Ping,
    /// [`close`](crate::transport::Session::close)
    Close,
    /// [`listen`](crate::reception::Listener::listen)
    Listen,
}

/// An operation on a partner that failed.
///
/// `Display` leaves out the source: whoever logs the error prints the chain once.
#[derive(Debug)]
pub struct TransportError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    class: Class,
    kind: Kind,
    operation: Operation,
    path: Option<String>,
    reply: Option<Reply>,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// A partner's reply: three digits and a text (RFC 959 section 4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The code.
    pub code: u16,
    /// The text, without line ends.
    pub text: String,
}

impl TransportError {
    /// An error of this class and kind, said in `message`, which starts in lower case and
    /// names neither the operation nor the path.
    pub fn new(class: Class, kind: Kind, operation: Operation, message: impl Into<String>) -> Self {
        let message = message.into();
        let inner =
            Inner { class, kind, operation, path: None, reply: None, message, source: None };
        Self(Box::new(inner))
    }

    /// An error that a later try may not meet.
    pub fn retryable(kind: Kind, operation: Operation, message: impl Into<String>) -> Self {
        Self::new(Class::Retryable { after: None }, kind, operation, message)
    }

    /// An error that a later try meets again.
    pub fn permanent(kind: Kind, operation: Operation, message: impl Into<String>) -> Self {
        Self::new(Class::Permanent, kind, operation, message)
    }

    /// The host's own source or sink failed.
    pub fn local(operation: Operation, error: io::Error) -> Self {
        Self::retryable(Kind::Local, operation, "the local file failed").caused_by(error)
    }

    /// The session is closed.
    pub fn closed(operation: Operation) -> Self {
        Self::retryable(Kind::Closed, operation, "the session is closed")
    }

    /// The operation is beyond the partner or the transport.
    pub fn unsupported(operation: Operation, message: impl Into<String>) -> Self {
        Self::permanent(Kind::Unsupported, operation, message)
    }

    /// The same error with the path it happened on.
    #[must_use]
    pub fn at(mut self, path: impl fmt::Display) -> Self {
        self.0.path = Some(path.to_string());
        self
    }

    /// The same error with the partner's reply.
    #[must_use]
    pub fn replied(mut self, reply: Reply) -> Self {
        self.0.reply = Some(reply);
        self
    }

    /// The same error with its cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What to do about it.
    pub fn class(&self) -> Class {
        self.0.class
    }

    /// What went wrong.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The operation that failed.
    pub fn operation(&self) -> Operation {
        self.0.operation
    }

    /// The path on the partner, if one was involved.
    pub fn path(&self) -> Option<&str> {
        self.0.path.as_deref()
    }

    /// The partner's reply, if it gave one.
    pub fn reply(&self) -> Option<&Reply> {
        self.0.reply.as_ref()
    }

    /// Whether the operation may have taken effect all the same: the partner gave no answer.
    pub fn outcome_unknown(&self) -> bool {
        self.0.reply.is_none()
            && !matches!(self.0.kind, Kind::Unsupported | Kind::Config | Kind::SourceAddress)
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        write!(f, "{}", inner.operation)?;
        if let Some(path) = &inner.path {
            write!(f, " `{path}`")?;
        }
        write!(f, ": {}", inner.message)?;
        match &inner.reply {
            Some(reply) => write!(f, " (reply {} {})", reply.code, reply.text),
            None => Ok(()),
        }
    }
}

impl Error for TransportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Stat => "stat",
            Self::List => "list",
            Self::Fetch => "fetch",
            Self::Store => "store",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::MakeFolder => "make folder",
            Self::RemoveFolder => "remove folder",
            Self::Checksum => "checksum",
            Self::Tell => "tell",
            Self::Ping => "ping",
            Self::Close => "close",
            Self::Listen => "listen",
        })
    }
}
