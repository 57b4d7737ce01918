//! A lock between processes, by flock and fcntl at once: some cluster file systems know the one
//! on all nodes, others the other.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
};

use rustix::{
    fs::{FlockOperation, fcntl_lock, flock},
    io::Errno,
    process::{Pid, test_kill_process},
};

use crate::platform::Locked;

/// Opens a file, which is made if need be, and takes its lock if that is free.
///
/// # Errors
/// When the file cannot be opened.
pub(crate) fn take(path: &Path) -> io::Result<Locked> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(path)?;
    Ok(match lock(&file) {
        Ok(()) => Locked::Ours(file),
        Err(Errno::WOULDBLOCK | Errno::ACCESS) => Locked::Taken(file),
        Err(errno) => Locked::Unavailable(errno.into()),
    })
}

/// Whether the process that holds a lock of this machine, as it wrote itself, is there.
pub(crate) fn is_alive(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    // A process of another user is alive as well: then the answer is EPERM.
    !matches!(test_kill_process(pid), Err(Errno::SRCH))
}

fn lock(file: &File) -> Result<(), Errno> {
    flock(file, FlockOperation::NonBlockingLockExclusive)?;
    fcntl_lock(file, FlockOperation::NonBlockingLockExclusive)
}
