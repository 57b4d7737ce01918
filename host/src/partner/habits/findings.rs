//! What a probe has seen of a partner, and what to set because of it.

use ferryway_core::{
    Algorithm, PartnerName, RemotePath,
    policy::{Publish, ResumePolicy},
};
use serde::{Deserialize, Serialize};

use super::Restart;
use crate::config::{LateClose, Staging};

/// What a partner's server does, as far as a probe has seen it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// The partner.
    pub partner: PartnerName,
    /// Where it was tried; `None` is where sessions start.
    pub folder: Option<RemotePath>,
    /// What a store onto a file does that another session is storing.
    pub locking: Locking,
    /// What a rename of a file does that another session is storing.
    pub open_file: OpenFile,
    /// What can be done with folders.
    pub folders: Folders,
    /// Whether a rename replaces a file; `None` when there is no rename at all.
    pub replaces: Option<bool>,
    /// What becomes of an upload that starts at an offset.
    pub restart: Restart,
    /// The hashes that the partner computed, and computed right.
    pub checksums: Vec<Algorithm>,
    /// Whether names that start with a dot are listed.
    pub lists_hidden: bool,
    /// Whether the partner itself keeps former owners of this instance out.
    pub fences: bool,
    /// What became of a silent session, where that was to be seen.
    pub idle: Option<Idle>,
    /// What the probe made and could not remove.
    pub left: Vec<RemotePath>,
}

ferryway_core::words! {
    /// What a store onto a file does that another session is storing.
    Locking {
        /// It is refused.
        Refuses = "refuses",
        /// It gets no answer as long as the other session has the file.
        Waits = "waits",
        /// It is taken: both write.
        Takes = "takes",
        /// It is refused, and so is one onto a file that nobody stores.
        Unseen = "unseen",
    }
}

ferryway_core::words! {
    /// What a rename of a file does that another session is storing.
    OpenFile {
        /// The upload goes on in the file, under its new name.
        Follows = "follows",
        /// The file has its new name, and not all bytes of the upload.
        Loses = "loses",
        /// It is refused.
        Refuses = "refuses",
        /// The file shows under its name only when its upload has ended.
        Unseen = "unseen",
    }
}

ferryway_core::words! {
    /// What can be done with folders.
    Folders {
        /// None can be made.
        Missing = "missing",
        /// They can be made, and keep their names.
        Fixed = "fixed",
        /// They can be renamed, but not while a file in them is being stored.
        Idle = "idle",
        /// They can be renamed.
        Always = "always",
    }
}

/// What became of a session on which nothing was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idle {
    /// How long it was silent, in seconds.
    pub silent_s: u64,
    /// Whether it answered then.
    pub alive: bool,
}

ferryway_core::words! {
    /// A row of the table of failovers with `publish = "direct"`, of docs/failover-servers.md.
    Row {
        /// The peer locks, the nodes share the disk.
        C1 = "C1",
        /// It does not.
        C2 = "C2",
        /// The peer locks, each node has its disk, and the former owner is still sending.
        C3a = "C3a",
        /// The same, and it had finished.
        C3b = "C3b",
        /// The peer does not lock, each node has its disk, and the former owner is still sending.
        C4a = "C4a",
        /// The same, and it had finished.
        C4b = "C4b",
    }
}

/// The settings that suit a partner, and where it stands without them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// The rows it falls in with `publish = "direct"`; none when it cannot be told, or the partner
    /// itself keeps former owners out.
    pub rows: Vec<Row>,
    /// For its definitions.
    pub publish: Publish,
    /// For its definitions.
    pub resume: ResumePolicy,
    /// For its own table.
    pub staging: Staging,
    /// For its own table.
    pub late_close: LateClose,
}

impl Findings {
    /// What to set because of them.
    pub fn advice(&self) -> Advice {
        let rows = match self.locking {
            _ if self.fences => Vec::new(),
            Locking::Refuses | Locking::Waits => vec![Row::C1, Row::C3a, Row::C3b],
            Locking::Takes => vec![Row::C2, Row::C4a, Row::C4b],
            Locking::Unseen => Vec::new(),
        };
        let late_close = match self.open_file {
            // What was written before the rename is not what is found after it.
            OpenFile::Loses => LateClose::Truncates,
            OpenFile::Follows | OpenFile::Refuses | OpenFile::Unseen => self.restart.late_close(),
        };
        Advice {
            rows,
            publish: if self.replaces.is_some() { Publish::Atomic } else { Publish::Direct },
            resume: match late_close {
                LateClose::Keeps => ResumePolicy::Verified,
                LateClose::Truncates | LateClose::Probe => ResumePolicy::Never,
            },
            staging: match self.folders {
                Folders::Idle | Folders::Always => Staging::Folder,
                Folders::Missing | Folders::Fixed => Staging::Beside,
            },
            late_close,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vsftpd() -> Findings {
        Findings {
            partner: "BANK".parse().unwrap(),
            folder: None,
            locking: Locking::Waits,
            open_file: OpenFile::Follows,
            folders: Folders::Always,
            replaces: Some(true),
            restart: Restart::Keeps,
            checksums: Vec::new(),
            lists_hidden: true,
            fences: false,
            idle: None,
            left: Vec::new(),
        }
    }

    #[test]
    fn a_partner_that_locks_and_keeps_gets_everything() {
        let advice = vsftpd().advice();
        assert_eq!(advice.rows, [Row::C1, Row::C3a, Row::C3b]);
        assert_eq!((advice.publish, advice.resume), (Publish::Atomic, ResumePolicy::Verified));
        assert_eq!((advice.staging, advice.late_close), (Staging::Folder, LateClose::Keeps));
    }

    #[test]
    fn nothing_is_resumed_where_a_late_upload_could_harm_it() {
        let cuts = Findings { restart: Restart::Truncates, ..vsftpd() };
        let loses = Findings { open_file: OpenFile::Loses, ..vsftpd() };
        for advice in [cuts.advice(), loses.advice()] {
            assert_eq!(advice.late_close, LateClose::Truncates);
            assert_eq!(advice.resume, ResumePolicy::Never);
        }
    }

    #[test]
    fn what_a_partner_cannot_do_is_not_asked_of_it() {
        let (folders, locking) = (Folders::Fixed, Locking::Unseen);
        let bare = Findings { folders, locking, replaces: None, ..vsftpd() };
        let advice = bare.advice();
        assert_eq!((advice.publish, advice.staging), (Publish::Direct, Staging::Beside));
        assert!(advice.rows.is_empty());
        assert!(Findings { fences: true, ..vsftpd() }.advice().rows.is_empty());
    }
}
