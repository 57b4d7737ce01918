//! `journal/lock`: an early warning that another host runs on the instance.
//!
//! Not more than that: flock is known all over a cluster on some file systems and on one node
//! only on others, fcntl locks the other way round, and on NFS without locks everybody gets
//! both. What keeps two owners apart is the epoch in `CURRENT` and a file of its own for each.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use ferryway_core::Epoch;
use rustix::{
    fs::{FlockOperation, fcntl_lock, flock},
    io::Errno,
    process::{Pid, test_kill_process},
};
use serde::{Deserialize, Serialize};

use super::{JournalError, Result, fault::failed, takeover::Warning};

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
            boot_id: boot_id(),
            epoch: None,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| failed(&path, "open the lock", error))?;
        let held = match lock(&file) {
            Ok(()) => Some(file),
            Err(Errno::WOULDBLOCK | Errno::ACCESS) => {
                let other = read_patiently(&mut file);
                if let Some(other) = &other
                    && other.node == holder.node
                    && other.boot_id == holder.boot_id
                    && is_alive(other.pid)
                    && !replace
                {
                    if locks_soon(&file) {
                        let mut lock = Self { path, held: Some(file), holder };
                        lock.write()?;
                        return Ok(lock);
                    }
                    let install = folder.parent().unwrap_or(folder).display().to_string();
                    return Err(JournalError::Held { install, pid: other.pid });
                }
                warnings
                    .push(Warning::LockHeld { holder: other.map(|other| (other.node, other.pid)) });
                None
            }
            Err(errno) => {
                warnings.push(Warning::NoLocks { reason: errno.to_string() });
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

fn lock(file: &File) -> Result<(), Errno> {
    flock(file, FlockOperation::NonBlockingLockExclusive)?;
    fcntl_lock(file, FlockOperation::NonBlockingLockExclusive)
}

/// Whether the lock comes free in a moment: its holder may be at its end, and a process that
/// was being started when it closed the file has a copy of the handle until it runs.
fn locks_soon(file: &File) -> bool {
    (0..30).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        lock(file).is_ok()
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

fn is_alive(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    // A process of another user is alive as well: then the answer is EPERM.
    !matches!(test_kill_process(pid), Err(Errno::SRCH))
}

/// Differs from boot to boot; empty where the system has none, so that the process id decides.
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}
