//! What Unix and Windows do differently: one module a concept, with a side for each system.
//!
//! Both sides of a concept have the same functions and keep the same contract; what a system
//! cannot do is said beside its function there. The control API's door, `control::socket`, has
//! its two sides beside it.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::{disk, files, group, lock, machine, manager, orders};
#[cfg(windows)]
pub(crate) use windows::{disk, files, group, lock, machine, manager, orders};

/// Who may look into a file or folder that is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Its owner alone.
    Owner,
    /// Its owner, and the group that the administrator gave it to.
    Group,
}

/// What the system tells of an open file: enough to know it again, and whether it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Looks {
    /// Of its file system. Another node may see another one.
    pub(crate) device: u64,
    /// Its number within the file system, on every node the same.
    pub(crate) number: u64,
    /// In bytes.
    pub(crate) size: u64,
    /// Seconds since 1970 and nanoseconds.
    pub(crate) modified: (i64, i64),
}

/// What became of the wish for a lock.
#[derive(Debug)]
pub(crate) enum Locked {
    /// It is ours until the file is closed.
    Ours(std::fs::File),
    /// Another process has it. What the file says can be read.
    Taken(std::fs::File),
    /// The file system has no locks.
    Unavailable(std::io::Error),
}

/// What whoever runs the host wants of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// To stop.
    Stop,
    /// To read its definitions again.
    Reload,
}
