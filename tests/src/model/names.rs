//! Names on the partner, and what files hold.

use std::fmt;

/// A place on the partner that holds files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Folder {
    /// Where the target lies; the partner's own.
    Inbox,
    /// The staging folder of an epoch, `e<epoch>`.
    Epoch(u8),
    /// Where epoch `by` moved the folder of epoch `of`: `e<by>.from-e<of>.<nth>`.
    Refuge {
        /// Whose folder it was.
        of: u8,
        /// Who took it away.
        by: u8,
        /// How many names the folder had before.
        nth: u8,
    },
}

/// A file's name within a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum File {
    /// What all jobs of the model deliver to.
    Target,
    /// The partial of an attempt.
    Part(Attempt),
    /// The old target, moved away during an attempt.
    Old(Attempt),
}

/// What makes the names of an attempt unlike those of any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt {
    /// The job.
    pub job: u8,
    /// The epoch that made the name.
    pub epoch: u8,
    /// The number of the attempt within the job.
    pub number: u8,
}

/// The whole name of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The folder.
    pub folder: Folder,
    /// The name in it.
    pub file: File,
}

/// What all jobs of the model deliver to.
pub const TARGET: Name = Name { folder: Folder::Inbox, file: File::Target };

/// The folder of all epochs, as the names of the model are written.
pub const BASE: &str = "in/.ferryway/night.BANK";

impl Folder {
    /// The path of the folder.
    pub fn path(self) -> String {
        match self {
            Self::Inbox => "in".to_owned(),
            Self::Epoch(epoch) => format!("{BASE}/e{epoch}"),
            Self::Refuge { of, by, nth } => format!("{BASE}/e{by}.from-e{of}.{nth}"),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.path();
        let beside = self.folder == Folder::Inbox;
        let (attempt, ending) = match self.file {
            File::Target => return write!(f, "{folder}/report"),
            File::Part(attempt) => (attempt, "part"),
            File::Old(attempt) => (attempt, "old"),
        };
        let Attempt { job, epoch, number } = attempt;
        let id = format!("PRDY01{}", job + 1);
        match (beside, ending) {
            (true, "part") => write!(f, "{folder}/.report.{id}.e{epoch}.a{number}.part"),
            _ => write!(f, "{folder}/{id}.a{number}.{ending}"),
        }
    }
}

/// The bytes of a file, one value for a chunk.
pub type Content = Vec<u8>;

/// What a chunk holds over which nobody wrote.
pub const HOLE: u8 = 0;
const OLD: u8 = u8::MAX;

/// What the target holds before the first job, where the setting has it hold something.
pub fn old_target(chunks: u8) -> Content {
    vec![OLD; chunks.into()]
}

/// A chunk of a version of a job's source. All versions begin alike, as files do that are
/// appended to or hold a head: that makes wrong resumption possible.
pub fn chunk(job: u8, version: u8, index: u8) -> u8 {
    let version = if index == 0 { 0 } else { version };
    1 + job * 16 + version * 4 + index
}

/// A whole version of a job's source.
pub fn whole(job: u8, version: u8, chunks: u8) -> Content {
    (0..chunks).map(|index| chunk(job, version, index)).collect()
}
