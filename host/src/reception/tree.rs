//! The folders of this host as a visitor sees them.

use std::path::Path;

use ferryway_core::{Direction, RemotePath};

use super::refusal::Refusal;
use crate::config::{LocalFile, LocalRoots, May, RootError, VisitorConfig};

/// What a visitor may reach. A relative path starts at the first receive folder, or at the first
/// send folder for a visitor that may only fetch; an absolute one is looked for in both.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    roots: LocalRoots,
    sends: bool,
    fetches: bool,
}

type Resolve<'a> = &'a dyn Fn(Direction) -> Result<LocalFile, RootError>;

impl Tree {
    /// What this visitor may reach.
    pub(super) fn of(visitor: &VisitorConfig, roots: LocalRoots) -> Self {
        Self { roots, sends: visitor.may(May::Send), fetches: visitor.may(May::Fetch) }
    }

    /// Refuses what only a visitor that sends may do.
    ///
    /// # Errors
    /// When this one may not.
    pub(super) fn check_sends(&self) -> Result<(), Refusal> {
        match self.sends {
            true => Ok(()),
            false => Err(Refusal::NotAllowed("this visitor may not send")),
        }
    }

    /// A file or folder to write, rename or remove.
    ///
    /// # Errors
    /// When the visitor may not, or the path leads elsewhere.
    pub(super) fn to_write(&self, path: &RemotePath) -> Result<LocalFile, Refusal> {
        self.check_sends()?;
        self.roots.resolve(Path::new(path.as_str()), Direction::Fetch).map_err(of_root)
    }

    /// A file or folder to look at or read.
    ///
    /// # Errors
    /// When the path leads elsewhere.
    pub(super) fn to_read(&self, path: &RemotePath) -> Result<LocalFile, Refusal> {
        let path = Path::new(path.as_str());
        self.readable(path.is_relative(), &|direction| self.roots.resolve(path, direction))
    }

    /// A folder to list; `None` is where relative paths start.
    ///
    /// # Errors
    /// As [`to_read`](Self::to_read).
    pub(super) fn to_list(&self, path: Option<&RemotePath>) -> Result<LocalFile, Refusal> {
        let path = path.map(|path| Path::new(path.as_str()));
        let relative = path.is_none_or(Path::is_relative);
        self.readable(relative, &|direction| self.roots.folder(path, direction))
    }

    fn readable(&self, relative: bool, resolve: Resolve<'_>) -> Result<LocalFile, Refusal> {
        match (self.sends, self.fetches) {
            (true, true) if !relative => match resolve(Direction::Fetch) {
                Err(RootError::Outside { .. }) => resolve(Direction::Send),
                found => found,
            },
            (true, _) => resolve(Direction::Fetch),
            (false, true) => resolve(Direction::Send),
            (false, false) => return Err(Refusal::NotAllowed("this visitor may do nothing")),
        }
        .map_err(of_root)
    }
}

/// Why a path of a visitor is not used. A root that cannot be opened says nothing of what is in
/// it: its disk may come back, or be another host's by now.
fn of_root(error: RootError) -> Refusal {
    match error {
        RootError::Io { .. } => {
            tracing::warn!(%error, "a visitor is put off");
            Refusal::NotNow("a folder for visitors cannot be opened now".to_owned())
        }
        other => other.into(),
    }
}
