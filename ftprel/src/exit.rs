//! How the tool ends: the exit codes, and failures with what to do next.

use std::{io, process::ExitCode};

use ferryway_host::control::{
    api::{Reason, Refusal},
    client::ClientError,
};

/// The result of whatever may end the tool.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// The exit codes.
///
/// | code | word | when |
/// |---|---|---|
/// | 0 | `ok` | done as asked |
/// | 1 | `refused` | a job ended or was suspended without being completed, or its status does not allow the order |
/// | 2 | `usage` | the command line or the request makes no sense |
/// | 3 | `host_down` | no host is running, or it is stopping |
/// | 4 | `not_found` | there is no such job or definition |
/// | 5 | `timeout` | the time to wait was over first |
/// | 6 | `failed` | the journal, the connection or something else failed |
/// | 7 | `operator` | a job waits at its post-exit, in 09 or 07, for what an operator says |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done as asked.
    Ok = 0,
    /// A job is not completed, or its status does not allow the order.
    Refused = 1,
    /// The command line or the request makes no sense; clap ends with the same code.
    Usage = 2,
    /// No host is running, or it is stopping.
    HostDown = 3,
    /// There is no such job or definition.
    NotFound = 4,
    /// The time to wait was over first.
    Timeout = 5,
    /// The journal, the connection or something else failed.
    Failed = 6,
    /// A job waits at its post-exit, in 09 or 07, for what an operator says.
    Operator = 7,
}

impl Exit {
    /// Every code, in order.
    pub(crate) const EACH: [Self; 8] = [
        Self::Ok,
        Self::Refused,
        Self::Usage,
        Self::HostDown,
        Self::NotFound,
        Self::Timeout,
        Self::Failed,
        Self::Operator,
    ];

    /// The word that stands for the code in JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Usage => "usage",
            Self::HostDown => "host_down",
            Self::NotFound => "not_found",
            Self::Timeout => "timeout",
            Self::Failed => "failed",
            Self::Operator => "operator",
        }
    }

    /// When the tool ends so, for the help.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done as asked",
            Self::Refused => "a job is not completed, or its status does not allow the order",
            Self::Usage => "the command line or the request makes no sense",
            Self::HostDown => "no host is running, or it is stopping",
            Self::NotFound => "there is no such job or definition",
            Self::Timeout => "the time to wait was over first",
            Self::Failed => "the journal, the connection or something else failed",
            Self::Operator => "a job waits at its post-exit, in 09 or 07, for an operator",
        }
    }

    /// The number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why the tool ends before its work is done.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// What failed; empty when there is nobody to read it any more.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// A failure with its text.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    /// The same failure with what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// No host is running.
    pub(crate) fn host_down(message: impl Into<String>) -> Self {
        Self::new(Exit::HostDown, message).hint(
            "start it with `ferryway run` in the install directory, or through the service or \
             cluster manager; if another node owns the instance, run ftprel there",
        )
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let exit = match refusal.reason {
            Reason::Invalid => Exit::Usage,
            Reason::NotFound => Exit::NotFound,
            Reason::Conflict => Exit::Refused,
            Reason::Unavailable => Exit::HostDown,
        };
        Self::new(exit, refusal.message)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(refusal) => refusal.into(),
            ClientError::NotRunning { .. } => Self::host_down(error.to_string()),
            ClientError::TooLarge { .. } => Self::new(Exit::Usage, error.to_string()),
            ClientError::Timeout { .. } => Self::new(Exit::Failed, error.to_string()).hint(
                "what was asked for may be done: look with `ftprel list` before trying again",
            ),
            ClientError::Connection { .. } => Self::new(Exit::Failed, error.to_string())
                .hint("run ftprel as the user whom the host runs as"),
            _ => Self::new(Exit::Failed, error.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    /// A failed write to the standard output. Whoever closes it has seen enough, which is no
    /// failure.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Exit::Ok, ""),
            _ => Self::new(Exit::Failed, format!("cannot write the output: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_their_places_in_the_table() {
        for (place, exit) in Exit::EACH.into_iter().enumerate() {
            assert_eq!(usize::from(exit.code()), place, "{exit:?}");
        }
    }

    #[test]
    fn a_closed_output_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit, failure.message.as_str()), (Exit::Ok, ""));
        let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.exit, Exit::Failed);
    }
}
