//! What the file system under the journal is good for.

use std::path::Path;

use super::{Result, fault::failed};
use crate::platform::disk;

/// How the journal is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A write-ahead log, synchronized at each commit. It needs memory shared between all
    /// that open the file, so it is for file systems of one node only.
    WriteAhead,
    /// A rollback journal whose header is kept, synchronized with its folder at each commit.
    /// For network and cluster file systems.
    Rollback,
}

impl Durability {
    /// What suits the file system that holds `path`.
    ///
    /// # Errors
    /// When the file system does not answer.
    pub fn of(path: &Path) -> Result<Self> {
        let local = disk::is_local(path)
            .map_err(|error| failed(path, "ask for the kind of file system", error))?;
        Ok(if local { Self::WriteAhead } else { Self::Rollback })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_memory_is_local() {
        if Path::new("/dev/shm").exists() {
            assert_eq!(Durability::of(Path::new("/dev/shm")).unwrap(), Durability::WriteAhead);
        }
    }

    #[test]
    fn a_file_system_that_is_not_known_to_be_local_counts_as_shared() {
        // /proc is neither; NFS, CIFS, OCFS2, GFS2, Ceph and FUSE are recognized the same way.
        assert_eq!(Durability::of(Path::new("/proc")).unwrap(), Durability::Rollback);
    }
}
