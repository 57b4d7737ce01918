//! Who could have put code into a plugin file.
//!
//! The handshake is a check of compatibility: a declaration is easily forged. What keeps
//! strangers' code out of the host is who may write into the file and its folder.

use std::{fmt, fs::Metadata};

#[cfg(unix)]
use crate::platform::machine;

/// Why a file or folder cannot be trusted to hold the administrator's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// Every user may write.
    WorldWritable {
        /// The permission bits.
        mode: u32,
    },
    /// It belongs to neither root nor the user that runs the host.
    ForeignOwner {
        /// The owner's user id.
        owner: u32,
        /// The user id that runs the host.
        host: u32,
    },
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WorldWritable { mode } => write!(f, "writable by every user (mode {mode:o})"),
            Self::ForeignOwner { owner, host } => {
                write!(f, "owned by user {owner}, which is neither root nor the host's user {host}")
            }
        }
    }
}

/// Judges a file or folder. Writing by its group is left to the administrator, who chose the
/// group; the sticky bit does not help, because it still lets every user add files.
#[cfg(unix)]
pub(super) fn distrust(metadata: &Metadata) -> Option<Distrust> {
    use std::os::unix::fs::MetadataExt;
    judge(metadata.mode(), metadata.uid(), machine::user())
}

/// Judges nothing: access lists are the administrator's here.
#[cfg(not(unix))]
pub(super) fn distrust(_: &Metadata) -> Option<Distrust> {
    None
}

#[cfg(unix)]
fn judge(mode: u32, owner: u32, host: u32) -> Option<Distrust> {
    const ROOT: u32 = 0;
    const WORLD_WRITABLE: u32 = 0o002;
    const PERMISSIONS: u32 = 0o7777;
    if owner != ROOT && owner != host {
        return Some(Distrust::ForeignOwner { owner, host });
    }
    (mode & WORLD_WRITABLE != 0).then_some(Distrust::WorldWritable { mode: mode & PERMISSIONS })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_root_and_the_hosts_user_are_trusted_and_only_while_they_alone_or_a_group_write() {
        let cases = [
            (0o100_755, 0, 1000, None),
            (0o100_700, 1000, 1000, None),
            (0o100_775, 1000, 1000, None),
            (0o100_757, 1000, 1000, Some(Distrust::WorldWritable { mode: 0o757 })),
            (0o041_777, 0, 1000, Some(Distrust::WorldWritable { mode: 0o1777 })),
            (0o100_755, 1001, 1000, Some(Distrust::ForeignOwner { owner: 1001, host: 1000 })),
            (0o100_755, 1001, 0, Some(Distrust::ForeignOwner { owner: 1001, host: 0 })),
        ];
        for (mode, owner, host, expected) in cases {
            assert_eq!(judge(mode, owner, host), expected, "mode {mode:o}, owner {owner}");
        }
    }
}
