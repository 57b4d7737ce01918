//! What the file system under the journal is good for.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use super::{Result, fault::failed};

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
        let answer = rustix::fs::statfs(path)
            .map_err(|errno| failed(path, "ask for the kind of file system", errno.into()))?;
        // The kernel's magic numbers have 32 bits; the field's width and sign vary.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let magic = answer.f_type as u32;
        Ok(if LOCAL.contains(&magic) { Self::WriteAhead } else { Self::Rollback })
    }
}

/// Whether an ext4 file system lacks multi-mount protection (`man 5 ext4`, feature `mmp`), so
/// that a second node that mounts it destroys it. `None` where that cannot be found out:
/// another file system, or a device that this user may not read.
pub(super) fn lacks_mount_protection(path: &Path) -> Option<String> {
    const MMP: u32 = 0x100;
    let superblock = || -> io::Result<Option<String>> {
        if rustix::fs::statfs(path)?.f_type as u64 & 0xffff_ffff != u64::from(EXT) {
            return Ok(None);
        }
        let device = std::fs::metadata(path)?.dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let facts = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/uevent"))?;
        let Some(name) = facts.lines().find_map(|line| line.strip_prefix("DEVNAME=")) else {
            return Ok(None);
        };
        // The superblock is the second KiB of the device; its fields are little-endian.
        let mut block = [0; 2048];
        File::open(format!("/dev/{name}"))?.read_exact(&mut block)?;
        let field = |at: usize| {
            u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
        };
        let is_ext = field(1024 + 0x38) & 0xffff == EXT;
        Ok((is_ext && field(1024 + 0x60) & MMP == 0).then(|| name.to_owned()))
    };
    superblock().ok().flatten()
}

const EXT: u32 = 0xef53;

/// File systems that one node alone writes to: ext2 to ext4, xfs, btrfs, f2fs, zfs, bcachefs,
/// tmpfs, ramfs, overlayfs. Whatever is not listed may be shared.
const LOCAL: [u32; 9] = [
    EXT,
    0x5846_5342,
    0x9123_683e,
    0xf2f5_2010,
    0x2fc1_2fc1,
    0xca45_1a4e,
    0x0102_1994,
    0x8584_58f6,
    0x794c_7630,
];

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
