//! Kinds of file systems.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

/// Whether the file system that holds `path` is one that a node alone writes to.
///
/// # Errors
/// When it does not answer.
pub(crate) fn is_local(path: &Path) -> io::Result<bool> {
    // The kernel's magic numbers have 32 bits; the field's width and sign vary.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let magic = rustix::fs::statfs(path)?.f_type as u32;
    Ok(LOCAL.contains(&magic))
}

/// The device of an ext4 file system that lacks multi-mount protection (`man 5 ext4`, feature
/// `mmp`), so that a second node that mounts it destroys it. `None` where that cannot be found
/// out: another file system, or a device that this user may not read.
pub(crate) fn lacks_mount_protection(path: &Path) -> Option<String> {
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
