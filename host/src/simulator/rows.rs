//! The rows of the table as data: what is set, what dies and how, and how it may end.

use ferryway_core::{Publish, words};

use crate::laboratory::Transport;

words! {
    /// A row of the table of failovers.
    RowId {
        /// We send; the partner locks; the file is on the shared disk.
        C1 = "C1",
        /// We send; no lock; shared disk.
        C2 = "C2",
        /// We send; the partner locks; local disk; the old transfer still runs.
        C3a = "C3a",
        /// The same, and the old transfer had ended.
        C3b = "C3b",
        /// We send; no lock; local disk; the old transfer still runs.
        C4a = "C4a",
        /// The same, and the old transfer had ended.
        C4b = "C4b",
        /// The cluster serves, and its service moves with it.
        S1 = "S1",
        /// The cluster serves; the service stays up on both nodes; shared disk.
        S2 = "S2",
        /// The same on local disks.
        S3 = "S3",
    }
}

words! {
    /// How a run may end.
    Outcome {
        /// Refused by the lock until the partner's server was restarted and the job forced.
        RefusedThenForced = "refused_then_forced",
        /// The job ended with an error at the lock.
        Refused = "refused",
        /// The successor sent the whole file again over what was there.
        Overwritten = "overwritten",
        /// The target is the file of neither node.
        Unexpected = "unexpected",
        /// The client met an error and sent again by itself.
        Resent = "resent",
        /// Completed by itself, identical, published once, nothing left behind.
        Delivered = "delivered",
    }
}

words! {
    /// Which disk the file is on: of our source, or of the server's folder.
    Disk {
        /// Only the owner sees it; it moves at the takeover.
        Shared = "shared",
        /// Each node has its own.
        Local = "local",
    }
}

words! {
    /// What the partner's server does when a file is stored that another session stores.
    LockMode {
        /// Both write.
        None = "none",
        /// The second one is refused at once.
        Refuse = "refuse",
        /// The second one gets no answer until the first one ends.
        Block = "block",
    }
}

words! {
    /// What becomes of the first node.
    Death {
        /// The host's process is killed. Its system closes the connections.
        Killed = "killed",
        /// The machine loses power. Nobody tells the server, whose session stays half open.
        PowerLost = "power lost",
        /// The machine stands still, network and all, and goes on later.
        Frozen = "frozen",
        /// The machine runs, but its network is cut, and heals later.
        CutOff = "cut off",
        /// Only the shared disk moves away; the host runs on and knows of nothing.
        LeftRunning = "left running",
        /// The cluster stops the service and starts it on the other node.
        Stopped = "stopped",
        /// The shared disk goes first, then the virtual address.
        DiskFirst = "disk first",
        /// The virtual address goes first, then the shared disk.
        AddressFirst = "address first",
        /// Only the virtual address moves.
        AddressOnly = "address only",
        /// The other node takes over before the virtual address moves.
        AddressLast = "address last",
    }
}

impl Death {
    /// Whether what a node that serves has said before still comes to its client.
    pub(super) fn lets_answers_pass(self) -> bool {
        matches!(self, Self::Stopped | Self::DiskFirst | Self::AddressLast)
    }
}

/// How far the first transfer is when the failover comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The server does not have the whole file.
    Sending,
    /// The server has it, and the host does not know yet.
    Finished,
    /// Either.
    Any,
}

/// An outcome of `direct`, and the deaths after which it may come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) outcome: Outcome,
    /// Whether the note lists it; else it comes in addition.
    pub(super) listed: bool,
    pub(super) after: &'static [Death],
}

/// A row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) id: RowId,
    /// The setting, in words.
    pub(super) setting: &'static str,
    /// What happens according to the note.
    pub(super) note: &'static str,
    pub(super) phase: Phase,
    /// How it is played with an FTP server.
    pub(super) ftp: Variant,
    /// How it is played with two hosts; `None` where it is about locks, which they do not have.
    pub(super) socket: Option<Variant>,
}

/// What is played of a row over a transport.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variant {
    pub(super) locks: &'static [LockMode],
    pub(super) disks: &'static [Disk],
    pub(super) deaths: &'static [Death],
    /// What `direct` may show.
    pub(super) direct: &'static [Expected],
}

use Death::{
    AddressFirst, AddressLast, AddressOnly, CutOff, DiskFirst, Frozen, Killed, LeftRunning,
    PowerLost, Stopped,
};

/// Deaths that leave the first node able to act later, or at least its session open.
const UNNOTICED: &[Death] = &[Frozen, PowerLost, CutOff];
const ALL: &[Death] = &[Killed, Frozen, PowerLost, CutOff];
const RUNS_ON: &[Death] = &[LeftRunning, Frozen, CutOff];
const ALL_AND_RUNNING: &[Death] = &[Killed, LeftRunning, Frozen, PowerLost, CutOff];
const LOCKS: &[LockMode] = &[LockMode::Refuse, LockMode::Block];

const MOVES: &[Death] = &[Stopped, PowerLost];
const DISK_GOES: &[Death] = &[DiskFirst, AddressFirst];

const OVERWRITTEN: Expected =
    Expected { outcome: Outcome::Overwritten, listed: true, after: ALL_AND_RUNNING };

const RESENT: Expected = Expected {
    outcome: Outcome::Resent,
    listed: true,
    after: &[Stopped, PowerLost, DiskFirst, AddressFirst, AddressOnly, AddressLast],
};

/// Rows that go over either transport in the same way.
const C2: Variant = unlocked(&[Disk::Shared], ALL, &[OVERWRITTEN]);
const C4B: Variant = unlocked(&[Disk::Local], ALL_AND_RUNNING, &[OVERWRITTEN]);
const S1: Variant = unlocked(&[Disk::Shared, Disk::Local], MOVES, &[RESENT]);
const S2: Variant = unlocked(&[Disk::Shared], DISK_GOES, &[RESENT]);

const fn unlocked(
    disks: &'static [Disk],
    deaths: &'static [Death],
    direct: &'static [Expected],
) -> Variant {
    Variant { locks: &[LockMode::None], disks, deaths, direct }
}

/// Every row, in the order of the table.
pub(super) const ROWS: [Row; 9] = [
    Row {
        id: RowId::C1,
        setting: "we send; the partner locks; shared disk",
        note: "the old transfer ends; the restarted job is refused by the lock; after a restart \
               of the partner's server and a forced start: ok",
        phase: Phase::Any,
        ftp: Variant {
            locks: LOCKS,
            disks: &[Disk::Shared],
            deaths: ALL,
            direct: &[
                Expected { outcome: Outcome::RefusedThenForced, listed: true, after: UNNOTICED },
                // The server hears of the end of a process whose system lives on.
                Expected { listed: false, after: &[Killed], ..OVERWRITTEN },
            ],
        },
        socket: None,
    },
    Row {
        id: RowId::C2,
        setting: "we send; no lock; shared disk",
        note: "the old transfer ends; the restarted job overwrites the half file: ok",
        phase: Phase::Any,
        ftp: C2,
        socket: Some(C2),
    },
    Row {
        id: RowId::C3a,
        setting: "we send; the partner locks; local disk; the old transfer still runs",
        note: "the restarted job is refused by the lock",
        phase: Phase::Sending,
        ftp: Variant {
            locks: LOCKS,
            disks: &[Disk::Local],
            deaths: RUNS_ON,
            direct: &[Expected { outcome: Outcome::Refused, listed: true, after: RUNS_ON }],
        },
        socket: None,
    },
    Row {
        id: RowId::C3b,
        setting: "we send; the partner locks; local disk; the old transfer had ended",
        note: "sent again, overwritten: ok",
        phase: Phase::Finished,
        ftp: Variant {
            locks: LOCKS,
            disks: &[Disk::Local],
            deaths: ALL_AND_RUNNING,
            direct: &[OVERWRITTEN],
        },
        socket: None,
    },
    Row {
        id: RowId::C4a,
        setting: "we send; no lock; local disk; the old transfer still runs",
        note: "both write: target in an unexpected form",
        phase: Phase::Sending,
        ftp: unlocked(
            &[Disk::Local],
            RUNS_ON,
            &[
                Expected { outcome: Outcome::Unexpected, listed: true, after: RUNS_ON },
                // The successor's bytes may be the last ones everywhere.
                Expected { listed: false, after: RUNS_ON, ..OVERWRITTEN },
            ],
        ),
        // The receiving host refuses the former owner's bytes.
        socket: Some(unlocked(
            &[Disk::Local],
            RUNS_ON,
            &[Expected { listed: false, after: RUNS_ON, ..OVERWRITTEN }],
        )),
    },
    Row {
        id: RowId::C4b,
        setting: "we send; no lock; local disk; the old transfer had ended",
        note: "sent again, overwritten: ok",
        phase: Phase::Finished,
        ftp: C4B,
        socket: Some(C4B),
    },
    Row {
        id: RowId::S1,
        setting: "the cluster serves; its service moves; shared or local disk",
        note: "the connection is cut; error at the client; its recovery sends again",
        phase: Phase::Any,
        ftp: S1,
        socket: Some(S1),
    },
    Row {
        id: RowId::S2,
        setting: "the cluster serves; the service stays up; shared disk",
        note: "the disk is gone: write error, abnormal end; the client's recovery sends again",
        phase: Phase::Any,
        ftp: S2,
        socket: Some(S2),
    },
    Row {
        id: RowId::S3,
        setting: "the cluster serves; the service stays up; local disk",
        note: "the virtual address has moved: error at the client; its recovery sends again",
        phase: Phase::Any,
        ftp: unlocked(&[Disk::Local], &[AddressOnly], &[RESENT]),
        // Of two hosts of one instance, only one can own it.
        socket: Some(unlocked(&[Disk::Local], &[AddressOnly, AddressLast], &[RESENT])),
    },
];

impl Outcome {
    /// The outcome as the table has it.
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::RefusedThenForced => {
                "refused by the lock; after a server restart and a forced start: ok"
            }
            Self::Refused => "refused by the lock; the job ends with an error",
            Self::Overwritten => "sent again, overwritten: ok",
            Self::Unexpected => "target in an unexpected form",
            Self::Resent => "error at the client; its recovery sends again: ok",
            Self::Delivered => "delivered by itself, once, identical",
        }
    }
}

impl RowId {
    /// The row's data.
    pub(super) fn row(self) -> &'static Row {
        // The table has one row for each id, in the same order, as a test sees to.
        &ROWS[self as usize]
    }

    /// Whether the cluster is the one that serves.
    pub(super) fn cluster_serves(self) -> bool {
        matches!(self, Self::S1 | Self::S2 | Self::S3)
    }
}

impl Row {
    /// What is played of it over a transport; `None` for nothing.
    pub(super) fn over(&self, transport: Transport) -> Option<&Variant> {
        match transport {
            Transport::Ftp => Some(&self.ftp),
            Transport::Socket => self.socket.as_ref(),
        }
    }
}

impl Variant {
    /// The outcomes that may follow this death.
    pub(super) fn expected(&self, policy: Publish, death: Death) -> Vec<Outcome> {
        match policy {
            Publish::Atomic => vec![Outcome::Delivered],
            Publish::Direct => {
                let may = self.direct.iter().filter(|expected| expected.after.contains(&death));
                may.map(|expected| expected.outcome).collect()
            }
        }
    }

    /// The outcomes that must show in enough runs.
    pub(super) fn listed(&self, policy: Publish) -> Vec<Outcome> {
        match policy {
            Publish::Atomic => vec![Outcome::Delivered],
            Publish::Direct => {
                let listed = self.direct.iter().filter(|expected| expected.listed);
                listed.map(|expected| expected.outcome).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_has_its_row() {
        for &id in RowId::EACH {
            assert_eq!(id.row().id, id);
        }
        assert_eq!(ROWS.len(), RowId::EACH.len());
    }

    #[test]
    fn every_death_of_a_row_has_an_outcome() {
        for row in ROWS {
            for variant in [Some(row.ftp), row.socket].into_iter().flatten() {
                for &death in variant.deaths {
                    let expected = variant.expected(Publish::Direct, death);
                    assert!(!expected.is_empty(), "{} {death}", row.id);
                }
            }
            assert_eq!(row.ftp.listed(Publish::Direct).len(), 1);
        }
    }
}
