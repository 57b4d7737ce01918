//! The disks of a cluster's nodes: a shared one that only its owner sees, and a local one each.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// Folders `<root>/<node>/shared` and `<root>/<node>/local`.
///
/// The shared disk moves from node to node by a rename, as a lazy unmount does it: handles that
/// are open live on, the paths vanish.
#[derive(Clone, Debug)]
pub(super) struct Disks(PathBuf);

impl Disks {
    /// Makes the disks of these clusters; the shared one of each is its first node's.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn new(root: &Path, clusters: &[&[&str]]) -> io::Result<Self> {
        let disks = Self(root.to_owned());
        for nodes in clusters {
            for node in *nodes {
                fs::create_dir_all(disks.local(node))?;
            }
            if let Some(owner) = nodes.first() {
                fs::create_dir_all(disks.shared(owner))?;
            }
        }
        Ok(disks)
    }

    /// Where a node sees the shared disk while it owns it.
    pub(super) fn shared(&self, node: &str) -> PathBuf {
        self.0.join(node).join("shared")
    }

    /// A node's own disk.
    pub(super) fn local(&self, node: &str) -> PathBuf {
        self.0.join(node).join("local")
    }

    /// Gives the shared disk to another node.
    ///
    /// # Errors
    /// When the system refuses, or `from` does not have it.
    pub(super) fn hand_over(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.shared(from), self.shared(to))
    }

    /// Lets another node see the shared disk as well, as one that both reach over the network.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn share(&self, from: &str, with: &str) -> io::Result<()> {
        symlink(self.shared(from), self.shared(with))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn after_the_handover_paths_vanish_and_handles_live_on() {
        let root = tempfile::tempdir().unwrap();
        let disks = Disks::new(root.path(), &[&["alpha", "beta"]]).unwrap();
        let mut file = fs::File::create(disks.shared("alpha").join("file")).unwrap();
        disks.hand_over("alpha", "beta").unwrap();
        assert!(!disks.shared("alpha").exists());
        file.write_all(b"late").unwrap();
        assert_eq!(fs::read(disks.shared("beta").join("file")).unwrap(), b"late");
        disks.share("beta", "alpha").unwrap();
        assert_eq!(fs::read(disks.shared("alpha").join("file")).unwrap(), b"late");
    }
}
