//! What a failure of the file system or of SQLite means for the journal, in words that say
//! what to do about it; and the points at which a test can make one happen.

use std::{fmt, io, path::Path, sync::Arc};

use rusqlite::ErrorCode;

use super::{JournalError, Result};

/// A place between two durable steps, where a test can hold or fail the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// Takeover: the epoch's folder exists.
    Claimed,
    /// Takeover: `CURRENT` names the new epoch.
    Published,
    /// Takeover: the predecessor's files are copied under their temporary names.
    Copied,
    /// Takeover: the copy is checked, migrated and carries the new epoch.
    Prepared,
    /// Takeover: the copy bears its final name.
    Completed,
    /// Writer: the batch is executed and not yet committed.
    Executed,
    /// Writer: the batch is durable and the look that follows is still to come.
    Committed,
    /// Writer: finished jobs are durable in a history file and still in the hot one as well.
    Archived,
}

impl Point {
    /// Every point, in the order in which a takeover and its first writes pass them.
    pub const EACH: [Self; 8] = [
        Self::Claimed,
        Self::Published,
        Self::Copied,
        Self::Prepared,
        Self::Completed,
        Self::Executed,
        Self::Committed,
        Self::Archived,
    ];
}

/// Called at each [`Point`]; an error there is treated as an error of the disk.
#[derive(Clone, Default)]
pub struct Hook(Option<Arc<HookFunction>>);

type HookFunction = dyn Fn(Point) -> io::Result<()> + Send + Sync;

impl Hook {
    /// A hook that calls `function`.
    pub fn new(function: impl Fn(Point) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(function)))
    }

    pub(super) fn pass(&self, point: Point, path: &Path) -> Result<()> {
        match &self.0 {
            None => Ok(()),
            Some(function) => function(point).map_err(|error| failed(path, "write", error)),
        }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Hook(set)" } else { "Hook(none)" })
    }
}

/// The error for a call to the system that failed.
pub(super) fn failed(path: &Path, action: &str, source: io::Error) -> JournalError {
    let cure = match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            DISK_FULL
        }
        io::ErrorKind::ReadOnlyFilesystem => READ_ONLY,
        io::ErrorKind::PermissionDenied => NO_PERMISSION,
        io::ErrorKind::NotFound => "look whether the shared disk is mounted",
        _ => DISK_FAILED,
    };
    io_error(path, action, cure, Arc::new(source))
}

/// The error for a call to SQLite that failed.
pub(super) fn refused(path: &Path, action: &str, source: rusqlite::Error) -> JournalError {
    let cure = match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            return damaged(path, format!("{source}; {RESTORE}"));
        }
        Some(ErrorCode::DiskFull) => DISK_FULL,
        Some(ErrorCode::ReadOnly) => READ_ONLY,
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => NO_PERMISSION,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process keeps the file locked: end it (`fuser` names it), then start the \
             host again"
        }
        Some(_) => DISK_FAILED,
        // A value that is not what the schema promises: somebody else wrote to the file.
        None => return damaged(path, format!("cannot {action}: {source}; {RESTORE}")),
    };
    io_error(path, action, cure, Arc::new(source))
}

pub(super) fn damaged(path: &Path, reason: impl Into<String>) -> JournalError {
    JournalError::Damaged { path: path.display().to_string(), reason: reason.into() }
}

/// What to do about a damaged file.
pub(super) const RESTORE: &str = "keep a copy of the whole `journal` folder, check the disk, and \
                                  restore the folder from a backup";
const DISK_FULL: &str = "the disk is full: free space on it, then start the host again";
const READ_ONLY: &str = "the disk or the file is read-only: mount it read-write and give the \
                         service's user write permission, then start the host again";
const NO_PERMISSION: &str =
    "give the service's user read and write permission on the folder and its files";
const DISK_FAILED: &str =
    "look into the system's log for the disk's fault, and start the host again when it is mended";

fn io_error(
    path: &Path,
    action: &str,
    cure: &str,
    source: Arc<dyn std::error::Error + Send + Sync>,
) -> JournalError {
    JournalError::Io {
        path: path.display().to_string(),
        action: format!("cannot {action}; {cure}"),
        source,
    }
}
