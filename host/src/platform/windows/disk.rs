//! Kinds of file systems.

use std::{io, path::Path};

/// False: a disk of a cluster, a cluster shared volume and a share of another machine all look
/// like a local one, and what counts as shared is safe on every one of them.
///
/// # Errors
/// None.
// As on Unix, where the system may not answer.
#[allow(clippy::unnecessary_wraps)]
pub(crate) fn is_local(_path: &Path) -> io::Result<bool> {
    Ok(false)
}

/// `None`: a cluster disk is reserved for one node by the cluster itself.
pub(crate) fn lacks_mount_protection(_path: &Path) -> Option<String> {
    None
}
