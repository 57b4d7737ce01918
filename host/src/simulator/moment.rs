//! Where the first transfer is when the failover comes: at a point on the wire, or in a user's
//! program.

use ferryway_core::Publish;
use ferryway_mocks::ftp_server::{Action, Rule, When};
use serde::Serialize;

use super::{
    exits::{Exits, Side},
    plan::Cell,
    rows::{Death, Disk, Phase},
    settings::TARGET,
    stage::SIZE,
};
use crate::laboratory::{
    Transport,
    relay::{Ask, Stop},
    wire::{self, Point},
};

/// Where the first transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Moment {
    /// In the dialogue.
    Wire(Place),
    /// The post-exit of a side has done its work, and has not ended.
    Exit { exit: Side },
}

/// A point on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Place {
    request: Request,
    on: On,
    point: Point,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Request {
    /// A command of FTP.
    Ftp(&'static str),
    /// A request of one host to another.
    Socket(Ask),
}

/// Which file it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum On {
    /// Whichever, or none.
    Any,
    /// A partial: what probes do is not meant.
    Partial,
    Target,
}

impl Moment {
    /// In the middle of the upload of a job's bytes.
    pub(super) fn upload(cell: Cell, byte: u64) -> Self {
        let on = match cell.policy {
            Publish::Atomic => On::Partial,
            Publish::Direct => On::Target,
        };
        Self::Wire(Place { request: Request::store(cell.transport), on, point: Point::Byte(byte) })
    }

    /// The side whose post-exit is meant; `None` for a point on the wire.
    pub(super) fn exit(&self) -> Option<Side> {
        match self {
            Self::Wire(_) => None,
            Self::Exit { exit } => Some(*exit),
        }
    }

    /// Where the failover of a row may come. The transfer itself has several chances.
    ///
    /// Where the cluster's last answer comes through, nothing is left to fail over: what it has
    /// confirmed stays where it is, also on a disk that its other node does not have.
    pub(super) fn draw(
        cell: Cell,
        (disk, death): (Disk, Death),
        exits: Exits,
        random: &mut fastrand::Rng,
    ) -> Self {
        let stays = cell.row.cluster_serves() && disk == Disk::Local;
        let confirms = cell.row.cluster_serves() && death.lets_answers_pass();
        let phase = cell.row.row().phase;
        let side = if cell.row.cluster_serves() { Side::Receiver } else { Side::Sender };
        let may_be_in_exit = cell.policy == Publish::Atomic && phase != Phase::Sending && !stays;
        if may_be_in_exit && exits.of(side).is_some() && random.bool() {
            return Self::Exit { exit: side };
        }
        let mut moments = match (cell.policy, cell.transport) {
            (Publish::Direct, _) => direct(cell, phase, random),
            (Publish::Atomic, Transport::Ftp) => atomic_by_ftp(cell, phase, random),
            (Publish::Atomic, Transport::Socket) => atomic_by_socket(phase, !stays, random),
        };
        if cell.transport == Transport::Socket && confirms {
            moments.retain(|moment| !moment.is_last_answer(stays));
        }
        Self::Wire(moments[random.usize(..moments.len())])
    }

    /// What holds an FTP server's session there; `None` for a point in another dialogue.
    pub(super) fn rule(&self) -> Option<Rule> {
        let Self::Wire(Place { request: Request::Ftp(command), on, point }) = *self else {
            return None;
        };
        let when = match point {
            Point::Before => When::Before,
            Point::After => When::After,
            Point::Answered => When::Reply,
            Point::Byte(byte) => When::DataByte(byte),
        };
        let rule = Rule::new(command, when, Action::Stall);
        Some(match on {
            On::Any => rule,
            On::Partial => rule.on_path("*.part"),
            On::Target => rule.on_path(TARGET),
        })
    }

    /// What holds a connection of two hosts there; `None` for a point in another dialogue.
    pub(super) fn stop(&self) -> Option<Stop> {
        let Self::Wire(Place { request: Request::Socket(ask), on, point }) = *self else {
            return None;
        };
        let on: fn(&str) -> bool = match on {
            On::Any => |_| true,
            On::Partial => wire::is_partial,
            On::Target => |path| wire::below_root(path) == TARGET,
        };
        Some(Stop { ask, on, point })
    }
}

impl Place {
    /// Whether the answer that is held ends what a cluster of hosts has to do; `stays`: with the
    /// file on a disk of one node.
    fn is_last_answer(&self, stays: bool) -> bool {
        let ends = match self.request {
            Request::Socket(Ask::Delivered) => true,
            _ => stays && self.on == On::Target,
        };
        ends && self.point == Point::After
    }
}

impl Request {
    fn store(transport: Transport) -> Self {
        match transport {
            Transport::Ftp => Self::Ftp("STOR"),
            Transport::Socket => Self::Socket(Ask::Store),
        }
    }
}

fn direct(cell: Cell, phase: Phase, random: &mut fastrand::Rng) -> Vec<Place> {
    let store = Request::store(cell.transport);
    let at = |request, point| Place { request, on: On::Target, point };
    let mut byte = || at(store, some_byte(random));
    if phase == Phase::Finished {
        // What proves that the server has the whole file.
        return match cell.transport {
            Transport::Ftp => {
                let look = Request::Ftp("MLST");
                vec![at(store, Point::After), at(look, Point::Before), at(look, Point::After)]
            }
            Transport::Socket => vec![at(store, Point::After), at(store, Point::Answered)],
        };
    }
    if !cell.row.cluster_serves() {
        // The note is about a failover while bytes move.
        return vec![byte()];
    }
    let mut moments: Vec<_> = (0..4).map(|_| byte()).collect();
    moments.extend([Point::Before, Point::After].map(|point| at(store, point)));
    moments
}

fn atomic_by_ftp(cell: Cell, phase: Phase, random: &mut fastrand::Rng) -> Vec<Place> {
    let at = |command, on, point| Place { request: Request::Ftp(command), on, point };
    let mut moments = Vec::new();
    if phase != Phase::Finished {
        moments.extend((0..4).map(|_| at("STOR", On::Partial, some_byte(random))));
        moments.extend([
            at("MKD", On::Any, Point::After),
            at("EPSV", On::Any, Point::After),
            at("STOR", On::Partial, Point::Before),
            at("STOR", On::Partial, Point::After),
        ]);
    }
    if phase != Phase::Sending {
        moments.extend([
            at("STOR", On::Partial, Point::Answered),
            at("MLST", On::Partial, Point::After),
            at("RNFR", On::Partial, Point::Before),
            at("RNFR", On::Partial, Point::After),
            at("RNTO", On::Target, Point::Before),
            at("RNTO", On::Target, Point::After),
        ]);
        // A server's client has its confirmation then: nothing is left to fail over.
        if !cell.row.cluster_serves() {
            moments.push(at("RNTO", On::Target, Point::Answered));
        }
    }
    moments
}

/// `moves`: whether what is in place moves to the other node.
fn atomic_by_socket(phase: Phase, moves: bool, random: &mut fastrand::Rng) -> Vec<Place> {
    let at = |ask, on, point| Place { request: Request::Socket(ask), on, point };
    let mut moments = Vec::new();
    if phase != Phase::Finished {
        moments.extend((0..4).map(|_| at(Ask::Store, On::Partial, some_byte(random))));
        moments.extend([
            at(Ask::Announce, On::Any, Point::Before),
            at(Ask::Announce, On::Any, Point::After),
            at(Ask::MakeFolder, On::Any, Point::After),
            at(Ask::Store, On::Partial, Point::Before),
            at(Ask::Store, On::Partial, Point::After),
        ]);
    }
    if phase != Phase::Sending {
        moments.extend([
            at(Ask::Store, On::Partial, Point::Answered),
            at(Ask::Rename, On::Target, Point::Before),
            at(Ask::Rename, On::Target, Point::After),
        ]);
        if moves {
            moments.extend([
                at(Ask::Rename, On::Target, Point::Answered),
                at(Ask::Delivered, On::Any, Point::Before),
                at(Ask::Delivered, On::Any, Point::After),
            ]);
        }
    }
    moments
}

/// A byte in the middle of the file.
fn some_byte(random: &mut fastrand::Rng) -> Point {
    Point::Byte(random.u64(SIZE / 16..SIZE * 5 / 8))
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ftp(command) => f.write_str(command),
            Self::Socket(ask) => write!(f, "`{ask}`"),
        }
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Place { request, point, .. } = match self {
            Self::Wire(place) => place,
            Self::Exit { exit } => return write!(f, "in the {exit}'s post-exit"),
        };
        match point {
            Point::Before => write!(f, "before {request}"),
            Point::After => write!(f, "before the answer to {request}"),
            Point::Answered => write!(f, "after the answer to {request}"),
            Point::Byte(byte) => write!(f, "at byte {byte} of {request}"),
        }
    }
}
