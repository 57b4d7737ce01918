//! A lock between processes: whoever has a file open for writing lets others read it only. That
//! ends with its process, and a file server keeps it for all its clients.

use std::{fs::OpenOptions, io, os::windows::fs::OpenOptionsExt, path::Path};

use crate::platform::Locked;

/// Opens a file, which is made if need be, and takes its lock if that is free.
///
/// # Errors
/// When the file cannot be opened.
pub(crate) fn take(path: &Path) -> io::Result<Locked> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    match options.share_mode(SHARE_READ | SHARE_DELETE).open(path) {
        Ok(file) => Ok(Locked::Ours(file)),
        Err(error) if error.raw_os_error() == Some(SHARING_VIOLATION) => {
            Ok(Locked::Taken(OpenOptions::new().read(true).open(path)?))
        }
        // What some servers that are none of Windows answer to such a wish.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(Locked::Unavailable(error)),
        Err(error) => Err(error),
    }
}

/// `FILE_SHARE_READ`.
const SHARE_READ: u32 = 1;

/// `FILE_SHARE_DELETE`: others may rename the file.
const SHARE_DELETE: u32 = 4;

/// `ERROR_SHARING_VIOLATION`.
const SHARING_VIOLATION: i32 = 32;

/// True: a lock is there as long as its holder.
pub(crate) fn is_alive(_pid: u32) -> bool {
    true
}
