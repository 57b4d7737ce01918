//! From what happened on the wire to the error that the host decides by: digits and error
//! types only, never texts.

use std::io;

use ferryway_core::{Class, Kind, Operation, TransportError, error::Reply};

use crate::tls::refused_certificate;

/// Why a step failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The partner said no.
    Reply(Reply),
    /// The partner said no to the offset of a transfer (REST, RFC 3659 section 5).
    Restart(Reply),
    /// The partner said no to the login.
    Login(Reply),
    /// The partner said no to the secure channel.
    Insecure(Reply),
    /// The partner refused a secured data connection that we could open.
    DataRefused(Reply),
    /// A connection was lost or could not be made.
    Io(io::Error),
    /// No word, or no byte, from the partner in time.
    Timeout(&'static str),
    /// No word at all in reply to STOR: servers that lock files wait for the lock before they
    /// answer (vsftpd `lock_upload_files`).
    LockedOut,
    /// The TLS handshake failed.
    Tls(io::Error),
    /// The partner's words make no sense.
    Protocol(String),
    /// The host's source or sink failed.
    Local(io::Error),
    /// The same, and the partner is out of reach since.
    LocalAndLost(io::Error),
    /// Beyond the partner.
    Unsupported(&'static str),
    /// A listing of its folder lacks the path.
    NotFound,
    /// The path may or may not be there.
    Unavailable(&'static str),
    /// The source address is not one of this machine's.
    SourceAddress(io::Error),
    /// Unusable settings that only showed at run time.
    Config(io::Error),
}

impl Failure {
    /// The error of `operation`.
    pub(crate) fn into_error(self, operation: Operation) -> TransportError {
        let retryable = |kind, message| TransportError::retryable(kind, operation, message);
        let permanent = |kind, message| TransportError::permanent(kind, operation, message);
        match self {
            Self::Reply(reply) => refused(operation, reply),
            Self::Restart(reply) => permanent(Kind::Unsupported, NO_RESTART).replied(reply),
            Self::Login(reply) => login(operation, reply),
            Self::DataRefused(reply) => retryable(Kind::Connection, NOT_RESUMED).replied(reply),
            Self::Insecure(reply) => {
                let class = temporary_or_permanent(reply.code);
                TransportError::new(class, Kind::Tls, operation, NO_TLS).replied(reply)
            }
            Self::Io(error) => broken(operation, error),
            Self::Timeout(step) => {
                let message = format!("the partner was silent for too long {step}");
                TransportError::retryable(Kind::Timeout, operation, message)
            }
            Self::LockedOut => {
                TransportError::new(Class::Locked, Kind::Timeout, operation, LOCKED_OUT)
            }
            Self::Tls(error) if refused_certificate(&error) => {
                permanent(Kind::Tls, BAD_CERTIFICATE).caused_by(error)
            }
            Self::Tls(error) => {
                retryable(Kind::Tls, "the secure channel could not be made").caused_by(error)
            }
            Self::Protocol(message) => {
                TransportError::retryable(Kind::Protocol, operation, message)
            }
            Self::Local(error) | Self::LocalAndLost(error) => {
                TransportError::local(operation, error)
            }
            Self::Unsupported(message) => permanent(Kind::Unsupported, message),
            Self::NotFound => permanent(Kind::NotFound, "the folder does not have it"),
            Self::Unavailable(message) => permanent(Kind::Unavailable, message),
            // After a takeover the address may come up later than the host.
            Self::SourceAddress(error) => retryable(Kind::SourceAddress, NOT_OURS).caused_by(error),
            Self::Config(error) => {
                permanent(Kind::Config, "the settings of the secure channel are unusable")
                    .caused_by(error)
            }
        }
    }
}

const NO_RESTART: &str = "the partner does not start a transfer at an offset";
const NOT_RESUMED: &str = "the partner refused a secured data connection; if it wants TLS \
                           sessions resumed (proftpd), tls_max = \"1.2\" helps";
const NO_TLS: &str = "the partner does not offer FTPS; ask its operator, or set tls = \"off\" if \
                      plain text is acceptable";
const LOCKED_OUT: &str =
    "the partner did not answer STOR; another session may hold a lock on the file";
const BAD_CERTIFICATE: &str = "the partner's certificate is not acceptable; check tls_ca_file \
                               and the name in the certificate";
const NOT_OURS: &str = "the source address is not one of this machine's; correct it, or bring \
                        the address up here first";

/// Whether the session must not be used after an error of this kind.
pub(crate) fn closes_session(kind: Kind) -> bool {
    use Kind::{Closed, Connection, Panicked, Protocol, Timeout, Tls};
    matches!(kind, Connection | Timeout | Protocol | Tls | Closed | Panicked)
}

/// The meaning of a negative reply (RFC 959 section 4.2; RFC 2228, 2428, 3659, 4217 for the
/// codes that they add).
fn class_of(code: u16, operation: Operation) -> (Class, Kind) {
    let stores = operation == Operation::Store;
    let kind = match code {
        421 | 425 | 426 => Kind::Connection,
        430 | 530 | 532 => Kind::Login,
        431 | 533..=537 => Kind::Tls,
        450 | 550 => Kind::Unavailable,
        // The argument of MLST or MLSD names nothing that they can list (RFC 3659 section 7.2.1).
        501 if matches!(operation, Operation::Stat | Operation::List) => Kind::Unavailable,
        // The folder exists; elsewhere 521 and 522 are about the data connection's protection.
        521 if operation == Operation::MakeFolder => Kind::Unavailable,
        // "Local error in processing" is what servers answer when their disk fails or is full.
        451 if stores => Kind::Space,
        452 | 552 => Kind::Space,
        // A greeting answers no command.
        500..=502 | 504 | 522 if operation == Operation::Connect => Kind::Refused,
        500..=502 | 504 | 522 => Kind::Unsupported,
        553 => Kind::Denied,
        400..=599 => Kind::Refused,
        _ => Kind::Protocol,
    };
    match code {
        430 => (Class::Permanent, kind),
        _ => (temporary_or_permanent(code), kind),
    }
}

fn temporary_or_permanent(code: u16) -> Class {
    match code {
        500..=599 => Class::Permanent,
        _ => Class::Retryable { after: None },
    }
}

fn refused(operation: Operation, reply: Reply) -> TransportError {
    let (class, kind) = class_of(reply.code, operation);
    TransportError::new(class, kind, operation, message(kind)).replied(reply)
}

fn login(operation: Operation, reply: Reply) -> TransportError {
    let (class, kind) = match class_of(reply.code, operation) {
        (class, kind @ (Kind::Connection | Kind::Login | Kind::Tls)) => (class, kind),
        (class, _) => (class, Kind::Login),
    };
    let message = if kind == Kind::Login {
        "the partner refused the login; check user and password"
    } else {
        message(kind)
    };
    TransportError::new(class, kind, operation, message).replied(reply)
}

fn broken(operation: Operation, error: io::Error) -> TransportError {
    let (kind, message) = match error.kind() {
        io::ErrorKind::TimedOut => (Kind::Timeout, "the connection timed out"),
        io::ErrorKind::ConnectionRefused => (Kind::Connection, "nothing listens there"),
        _ => (Kind::Connection, "the connection was lost or could not be made"),
    };
    TransportError::retryable(kind, operation, message).caused_by(error)
}

fn message(kind: Kind) -> &'static str {
    match kind {
        Kind::Connection => "the partner closed or could not open a connection",
        Kind::Login => "the partner asks for a login",
        Kind::Tls => "the partner refused the protection of the connection",
        Kind::Unavailable => "the path is absent, busy or denied",
        Kind::Space => "the partner has no space or could not write",
        Kind::Unsupported => "the partner does not know the command",
        Kind::Denied => "the partner denies this on the path",
        Kind::Protocol => "the partner answered out of turn",
        _ => "the partner refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRYABLE: Class = Class::Retryable { after: None };

    fn error(code: u16, operation: Operation) -> TransportError {
        Failure::Reply(Reply { code, text: String::new() }).into_error(operation)
    }

    #[test]
    fn the_digits_decide_class_and_kind() {
        let cases = [
            (421, RETRYABLE, Kind::Connection),
            (425, RETRYABLE, Kind::Connection),
            (426, RETRYABLE, Kind::Connection),
            (430, Class::Permanent, Kind::Login),
            (434, RETRYABLE, Kind::Refused),
            (450, RETRYABLE, Kind::Unavailable),
            (451, RETRYABLE, Kind::Space),
            (452, RETRYABLE, Kind::Space),
            (500, Class::Permanent, Kind::Unsupported),
            (502, Class::Permanent, Kind::Unsupported),
            (503, Class::Permanent, Kind::Refused),
            (530, Class::Permanent, Kind::Login),
            (550, Class::Permanent, Kind::Unavailable),
            (552, Class::Permanent, Kind::Space),
            (553, Class::Permanent, Kind::Denied),
            (554, Class::Permanent, Kind::Refused),
            (522, Class::Permanent, Kind::Unsupported),
            (150, RETRYABLE, Kind::Protocol),
            (0, RETRYABLE, Kind::Protocol),
        ];
        for (code, class, kind) in cases {
            let error = error(code, Operation::Store);
            assert_eq!((error.class(), error.kind()), (class, kind), "{code}");
            assert!(!error.outcome_unknown(), "{code}");
        }
    }

    #[test]
    fn a_code_means_what_its_operation_makes_of_it() {
        assert_eq!(error(451, Operation::Rename).kind(), Kind::Refused);
        assert_eq!(error(521, Operation::MakeFolder).kind(), Kind::Unavailable);
        assert_eq!(error(501, Operation::List).kind(), Kind::Unavailable);
        assert_eq!(error(501, Operation::Store).kind(), Kind::Unsupported);
        assert_eq!(error(521, Operation::Store).kind(), Kind::Refused);
    }

    #[test]
    fn a_refused_login_is_permanent_and_a_busy_server_is_not() {
        let login = |code| {
            Failure::Login(Reply { code, text: String::new() }).into_error(Operation::Connect)
        };
        assert_eq!((login(530).class(), login(530).kind()), (Class::Permanent, Kind::Login));
        assert_eq!((login(430).class(), login(430).kind()), (Class::Permanent, Kind::Login));
        assert_eq!((login(500).class(), login(500).kind()), (Class::Permanent, Kind::Login));
        assert_eq!((login(421).class(), login(421).kind()), (RETRYABLE, Kind::Connection));
    }

    #[test]
    fn an_error_without_a_reply_leaves_the_outcome_open() {
        let failures = [
            Failure::Io(io::ErrorKind::ConnectionReset.into()),
            Failure::Timeout("after RNTO"),
            Failure::LockedOut,
        ];
        for failure in failures {
            let error = failure.into_error(Operation::Rename);
            assert!(error.outcome_unknown(), "{error}");
            assert!(closes_session(error.kind()), "{error}");
        }
    }
}
