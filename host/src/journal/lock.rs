//! `journal/lock`: an early warning that another host runs on the instance.
//!
//! Not more than that: flock is known all over a cluster on some file systems and on one node
//! only on others, fcntl locks the other way round, and on NFS without locks everybody gets
//! both. What keeps two owners apart is the epoch in `CURRENT` and a file of its own for each.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use ferryway_core::Epoch;
use serde::{Deserialize, Serialize};

use super::{JournalError, Result, fault::failed, takeover::Warning};
use crate::platform::{Locked, lock, machine};

/// The lock, held until dropped if it could be had.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    held: Option<File>,
    holder: Holder,
}

/// Who holds the lock, as the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    node: String,
    pid: u32,
    boot_id: String,
    epoch: Option<Epoch>,
}

impl Lock {
    /// Takes the lock in `folder` for this process, or goes on without it, with a warning,
    /// when somebody on another node has it: that node is taken over from, and whether it
    /// may be is the cluster manager's decision.
    ///
    /// # Errors
    /// [`JournalError::Held`] when a living process of this node has it and is not to be
    /// replaced.
    pub(super) fn take(
        folder: &Path,
        node: &str,
        replace: bool,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self> {
        let path = folder.join("lock");
        let holder = Holder {
            node: node.to_owned(),
            pid: std::process::id(),
            boot_id: machine::boot_id(),
            epoch: None,
        };
        let taken = lock::take(&path).map_err(|error| failed(&path, "open the lock", error))?;
        let held = match taken {
            Locked::Ours(file) => Some(file),
            Locked::Taken(mut file) => {
                let other = read_patiently(&mut file);
                // Closed later, it would take the lock with it (POSIX, `fcntl`).
                drop(file);
                let here = other.as_ref().filter(|other| {
                    other.node == holder.node
                        && other.boot_id == holder.boot_id
                        && lock::is_alive(other.pid)
                });
                match here.filter(|_| !replace) {
                    Some(other) => Some(soon(&path).ok_or_else(|| {
                        let install = folder.parent().unwrap_or(folder).display().to_string();
                        JournalError::Held { install, pid: other.pid }
                    })?),
                    None => {
                        let holder = other.map(|other| (other.node, other.pid));
                        warnings.push(Warning::LockHeld { holder });
                        None
                    }
                }
            }
            Locked::Unavailable(error) => {
                warnings.push(Warning::NoLocks { reason: error.to_string() });
                None
            }
        };
        let mut lock = Self { path, held, holder };
        lock.write()?;
        Ok(lock)
    }

    /// Notes the epoch of the holder, for people who look into the file.
    pub(super) fn record(&mut self, epoch: Epoch) -> Result<()> {
        self.holder.epoch = Some(epoch);
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        let Some(file) = &mut self.held else { return Ok(()) };
        let mut write = || {
            let mut text = serde_json::to_vec(&self.holder)?;
            text.push(b'\n');
            file.rewind()?;
            file.write_all(&text)?;
            file.set_len(text.len() as u64)
        };
        write().map_err(|error| failed(&self.path, "write the lock", error))
    }
}

/// The lock, if it comes free in a moment: its holder may be at its end, and a process that
/// was being started when it closed the file has a copy of the handle until it runs.
fn soon(path: &Path) -> Option<File> {
    (0..30).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        match lock::take(path) {
            Ok(Locked::Ours(file)) => Some(file),
            _ => None,
        }
    })
}

/// Reads the holder; one that has just taken the lock gets a moment to write its name.
fn read_patiently(file: &mut File) -> Option<Holder> {
    for _ in 0..10 {
        if let Some(holder) = read(file).ok().flatten() {
            return Some(holder);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

fn read(file: &mut File) -> io::Result<Option<Holder>> {
    let mut text = Vec::new();
    file.rewind()?;
    file.take(4096).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text).ok())
}
