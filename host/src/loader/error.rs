//! Why a file was not loaded, and what to do about it.

use std::{fmt, path::PathBuf};

use ferryway_core::plugin::Mismatch;

use super::Distrust;

/// A file or folder that was refused.
///
/// `Display` is complete: it names the file, the reason with its causes, and the cure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("plugin {}: {refusal}\n    to do: {}", path.display(), refusal.cure())]
pub struct LoadError {
    /// The file, or the folder when none of its files could be looked at.
    pub path: PathBuf,
    /// The reason.
    pub refusal: Refusal,
}

/// Why a file was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The system does not let the host read it; the text is the system's.
    Unreadable(String),
    /// Others than the administrator could have put code into it.
    Untrusted {
        /// The file, or the folder that holds it.
        place: PathBuf,
        /// Why.
        distrust: Distrust,
    },
    /// It is no shared library of any platform known.
    NotALibrary(String),
    /// It is a shared library without a declaration.
    NoPlugin,
    /// Its declaration has a form that this host does not know.
    UnknownDeclaration(String),
    /// It was built otherwise than this host.
    Mismatch(Mismatch),
    /// The system's loader refused it, or its entry point is missing.
    Link(String),
    /// Its constructor failed or panicked.
    Constructor(String),
    /// Its transport has the name of one that is loaded.
    NameTaken {
        /// The name that both transports have.
        transport: String,
        /// The file that is loaded.
        by: PathBuf,
    },
}

impl Refusal {
    /// A stable word for programs that read the report.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::Untrusted { .. } => "untrusted",
            Self::NotALibrary(_) => "not-a-library",
            Self::NoPlugin => "no-plugin",
            Self::UnknownDeclaration(_) => "unknown-declaration",
            Self::Mismatch(_) => "mismatch",
            Self::Link(_) => "link",
            Self::Constructor(_) => "constructor",
            Self::NameTaken { .. } => "name-taken",
        }
    }

    /// What the operator can do about it.
    pub fn cure(&self) -> String {
        match self {
            Self::Unreadable(_) => "let the user that runs the host read it, or remove it".into(),
            Self::Untrusted { place, distrust: Distrust::WorldWritable { .. } } => {
                let place = place.display();
                format!("make sure that nobody changed it, then chmod o-w {place}")
            }
            Self::Untrusted { place, distrust: Distrust::ForeignOwner { .. } } => {
                let place = place.display();
                format!("make sure that nobody changed it, then chown root {place}")
            }
            Self::NotALibrary(_) => "copy the library again, or remove the file".into(),
            Self::NoPlugin => "remove it from the folder of plugins".into(),
            Self::UnknownDeclaration(_) | Self::Mismatch(_) => {
                "build host and plugins together: cargo build --release".into()
            }
            Self::Link(_) => {
                "install what it needs, or build host and plugins together: cargo build --release"
                    .into()
            }
            Self::Constructor(_) => "report it to the plugin's author, or remove the plugin".into(),
            Self::NameTaken { .. } => "remove one of the two files".into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "it cannot be read: {error}"),
            Self::Untrusted { place, distrust } => {
                write!(f, "it is not trusted: {} is {distrust}", place.display())
            }
            Self::NotALibrary(why) => write!(f, "it is not a shared library: {why}"),
            Self::NoPlugin => f.write_str("it is a shared library, but no Ferryway plugin"),
            Self::UnknownDeclaration(why) => {
                write!(f, "its declaration is in no form that this host knows: {why}")
            }
            Self::Mismatch(mismatch) => {
                write!(f, "it was built otherwise than this host: {mismatch}")
            }
            Self::Link(causes) => write!(f, "it cannot be linked: {causes}"),
            Self::Constructor(causes) => write!(f, "its transport does not start: {causes}"),
            Self::NameTaken { transport, by } => {
                write!(f, "transport `{transport}` is already loaded from {}", by.display())
            }
        }
    }
}
