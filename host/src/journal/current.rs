//! `journal/CURRENT`: who owns the instance.
//!
//! The file is only ever replaced as a whole, by a rename; so a look at it through its path
//! sees one owner or the next, nothing between.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use ferryway_core::Epoch;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    JournalError, Result,
    fault::{RESTORE, damaged, failed},
};
use crate::platform::files::sync_folder;

/// The file's name in the journal's folder.
const NAME: &str = "CURRENT";

/// An owner, as `CURRENT` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The epoch of the ownership.
    pub epoch: Epoch,
    /// The node.
    pub node: String,
    /// Tells this ownership from every other one, even of the same epoch and node.
    pub token: String,
    /// When it began, by the node's own clock.
    pub since: Timestamp,
    /// The newest epoch whose journal was complete when this owner published itself; `None`
    /// when there was none, which is so in a fresh install only.
    pub predecessor: Option<Epoch>,
}

impl Owner {
    /// A new ownership, with a token of its own.
    pub(super) fn new(
        epoch: Epoch,
        node: &str,
        since: Timestamp,
        predecessor: Option<Epoch>,
    ) -> Self {
        let token = format!("{:032x}", fastrand::u128(..));
        Self { epoch, node: node.to_owned(), token, since, predecessor }
    }

    /// Reads who owns the journal in `folder`; `None` when nobody ever did.
    ///
    /// # Errors
    /// [`JournalError::Io`], and [`JournalError::Damaged`] when the file makes no sense.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(NAME);
        match look(&path) {
            Ok(bytes) => parse(&path, &bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path, "read who owns the journal", error)),
        }
    }
}

/// Looks whether an ownership still holds.
#[derive(Debug)]
pub(super) struct Ownership {
    path: PathBuf,
    owner: Owner,
    bytes: Vec<u8>,
}

impl Ownership {
    /// Replaces `CURRENT` in `folder` by `owner`; durable on `Ok`. The new content is written
    /// into `workshop` first, a folder of `owner`'s own on the same file system.
    pub(super) fn publish(folder: &Path, workshop: &Path, owner: Owner) -> Result<Self> {
        let path = folder.join(NAME);
        let mut bytes = serde_json::to_vec(&owner)
            .map_err(|error| failed(&path, "write the new owner", error.into()))?;
        bytes.push(b'\n');
        let new = workshop.join("CURRENT.new");
        let publish = || {
            let mut file = File::create(&new)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            sync_folder(folder)
        };
        publish().map_err(|error| failed(&path, "publish the new owner", error))?;
        Ok(Self { path, owner, bytes })
    }

    /// The owner whose ownership this is.
    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Looks at `CURRENT` through its path. A handle kept open would show the old content for
    /// ever after a rename on another node, and after a lazy unmount.
    ///
    /// # Errors
    /// [`JournalError::Fenced`] when another owner is on record.
    pub(super) fn check(&self) -> Result<()> {
        let bytes = look(&self.path)
            .map_err(|error| failed(&self.path, "read who owns the journal", error))?;
        if bytes == self.bytes {
            return Ok(());
        }
        let current = parse(&self.path, &bytes)?;
        Err(JournalError::Fenced {
            ours: self.owner.epoch,
            current: current.epoch,
            owner: current.node,
        })
    }
}

fn look(path: &Path) -> io::Result<Vec<u8>> {
    // NFS answers "stale" when the file was replaced between the lookup of its name and the
    // open; the next lookup finds the new one.
    const TRIES: u32 = 5;
    let mut tries = 1;
    loop {
        match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::StaleNetworkFileHandle => {
                if tries == TRIES {
                    return Err(error);
                }
                tries += 1;
            }
            result => return result,
        }
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Owner> {
    serde_json::from_slice(bytes)
        .map_err(|error| damaged(path, format!("it names no owner ({error}); {RESTORE}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_fenced_by_the_next_one_even_of_the_same_epoch() {
        let folder = tempfile::tempdir().unwrap();
        let publish = || {
            let owner = Owner::new(Epoch::FIRST, "alpha", Timestamp::UNIX_EPOCH, None);
            Ownership::publish(folder.path(), folder.path(), owner).unwrap()
        };
        assert_eq!(Owner::read(folder.path()).unwrap(), None);
        let first = publish();
        assert_eq!(Owner::read(folder.path()).unwrap().as_ref(), Some(first.owner()));
        first.check().unwrap();
        let second = publish();
        assert!(matches!(first.check(), Err(JournalError::Fenced { .. })));
        second.check().unwrap();
    }
}
