//! The delivery protocol as a model that can be searched to the end.
//!
//! A state holds the partner's server, its sessions, the nodes and the journal. From each state
//! leads every step that anybody could take next: the server reads a command, a node reads a
//! reply, an owner dies or is replaced, a connection breaks, a consumer takes the target. The
//! [`search`](explore::search) visits all states, looks at the [`properties`] in each, and asks
//! of each whether the jobs can still be brought to their end.
//!
//! A node's step reads a reply, writes the journal, looks at the ownership and sends the next
//! command, all at once. Nothing is lost by that: a command that stays unread in its session is
//! the node that pauses before it sends, and a reset session the node that died before it.

pub mod events;
pub mod explore;
pub mod journal;
pub mod names;
pub mod node;
pub mod properties;
pub mod server;
pub mod story;

use journal::Journal;
use node::Node;
use server::{Server, Session};

/// What is modelled in one search.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// The partner.
    pub server: ServerKind,
    /// How files are delivered.
    pub protocol: Protocol,
    /// What can happen.
    pub world: World,
    /// A rule of the protocol that is broken, to see that the search finds it.
    pub mutation: Option<Mutation>,
}

/// The habits of the partner's server.
#[derive(Clone, Debug)]
pub struct ServerKind {
    /// What an open upload means for others.
    pub lock: Lock,
    /// Whether a rename replaces a file.
    pub replaces: bool,
    /// Whether folders can be made.
    pub folders: bool,
    /// Whether chunks go to the file's end, wherever the session began.
    pub appends: bool,
    /// What the end of an upload does to what lies behind it.
    pub late_close: LateClose,
    /// Whether its files are on another machine, so that its sessions outlast their power.
    pub storage_apart: bool,
    /// Whether a session without a client is noticed at some time.
    pub forgets_silent: bool,
    /// Whether bytes of a client that is gone may be read after everything else.
    pub reads_late: bool,
}

/// What an open upload means for others who want the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Nothing.
    None,
    /// They are refused; a folder with an open file in it cannot be renamed.
    Refuses,
    /// Another upload or download waits, as with vsftpd; renames are free.
    Blocks,
}

/// What the end of an upload does to what lies behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LateClose {
    /// It stays.
    Keeps,
    /// It is cut off, as with pure-ftpd.
    Truncates,
}

/// How files are delivered.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// Straight to the target.
    pub direct: bool,
    /// Partials beside the target instead of in staging folders.
    pub beside: bool,
    /// Whether an unfinished partial is gone on with.
    pub adopts: bool,
    /// Whether the publish is looked at again after the server's write-back.
    pub settle_delay: bool,
    /// Whether the journal refuses an owner that was replaced. Without it such an owner goes on
    /// with a copy of its own.
    pub journal_fences: bool,
}

/// What can happen, and how often.
#[derive(Clone, Debug)]
pub struct World {
    /// How many owners there are, one after the other.
    pub epochs: u8,
    /// How an owner can end.
    pub deaths: Vec<Death>,
    /// Jobs to the one target.
    pub jobs: u8,
    /// Chunks of a file.
    pub chunks: u8,
    /// Whether the target holds an older file at the beginning.
    pub old_target: bool,
    /// Whether each node has a copy of the source that differs from the others'.
    pub copies_differ: bool,
    /// Whether a consumer may take the target away at any time.
    pub consumer: bool,
    /// Whether an operator restarts the server and the failed job.
    pub operator: bool,
    /// Whether a changed source is another file, or the same one with other bytes.
    pub changes_in_place: bool,
    /// How often each of the rest can happen.
    pub budget: Budget,
}

/// How often something can still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// The owner's connection breaks.
    pub losses: u8,
    /// The path closes a data connection, and the server says 226.
    pub cuts: u8,
    /// Somebody else opens a file.
    pub holds: u8,
    /// The server loses its power.
    pub power_losses: u8,
    /// The source changes.
    pub changes: u8,
}

/// How an owner ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Death {
    /// It does not: it may pause anywhere, and go on.
    Zombie,
    /// Its process ends and its system closes the connections.
    Closed,
    /// Its process ends, the connections are reset, what was on its way is lost.
    Reset,
    /// Its power fails: what was on its way arrives, and the session stays half open.
    Silent,
}

/// A rule of the protocol that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// The successor deletes a token instead of moving it, and sends the file again.
    DeletesToken,
    /// A refused rename is taken for an absent file, without a listing.
    BusyIsAbsent,
    /// Names are tried from the newest to the oldest.
    NewestNameFirst,
    /// The new name of a token is not on record before the move.
    MoveNotRecorded,
    /// One record of a token's name, which each move overwrites.
    OneNameRecord,
    /// All attempts of a job use one name.
    ReusesNames,
    /// A 226 is taken for proof.
    NoVerification,
    /// Partials are gone on with on a server that truncates on a late close.
    AdoptsDespiteTruncation,
    /// Partials of another version are gone on with.
    AdoptsOtherFingerprint,
    /// A new attempt's fingerprint is recorded for the names of the earlier partials as well.
    MergesFingerprints,
    /// Bytes are sent that were written into the source after it was opened.
    SendsWhatChanged,
    /// A server that does not replace is told to delete the target first.
    DeletesTarget,
    /// The names to which the old target was to be moved by lost commands are not barred.
    LeavesLateMoves,
    /// A server that does replace is made to move the old target as well.
    MovesTargetAnyway,
    /// A revoked folder gets no file in its place, and one that is made again is not followed.
    NoBar,
    /// After the settle delay the target is looked at instead of the token.
    LooksAtTarget,
    /// A token under none of its names is taken for published without the settle delay.
    SettlesAtOnce,
    /// A node whose folder was revoked puts its partials beside the target instead.
    IgnoresBar,
    /// A job without an intent goes before an older one with an intent.
    NewerJobFirst,
}

/// One moment of the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The partner's server.
    pub server: Server,
    /// The sessions with it.
    pub sessions: Vec<Session>,
    /// The nodes that run, the newest owner last.
    pub nodes: Vec<Node>,
    /// The newest owner's journal.
    pub journal: Journal,
    /// The newest epoch.
    pub epoch: u8,
    /// The version of the jobs' sources.
    pub version: u8,
    /// What can still happen.
    pub budget: Budget,
    /// What was seen on the way.
    pub seen: Seen,
}

/// What was seen on the way; with `publish = "direct"` it tells outcomes apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seen {
    /// Uploads straight to the target that were answered 226.
    pub uploads: u8,
    /// An upload straight to the target was refused.
    pub refused: bool,
    /// An operator had to help.
    pub operator: bool,
    /// The target was not whole although the job was done.
    pub broken_after_done: bool,
    /// The epochs whose folder was taken away, a bit each.
    pub revoked: u8,
    /// One of them has published something after that.
    pub published_after: bool,
}

impl State {
    /// Whether all jobs are delivered, as the owner's journal says.
    pub fn all_delivered(&self) -> bool {
        self.journal.jobs.iter().all(|job| job.delivered.is_some())
    }
}

impl Default for ServerKind {
    fn default() -> Self {
        Self {
            lock: Lock::None,
            replaces: true,
            folders: true,
            appends: false,
            late_close: LateClose::Keeps,
            storage_apart: false,
            forgets_silent: false,
            reads_late: true,
        }
    }
}

impl Default for Protocol {
    fn default() -> Self {
        Self {
            direct: false,
            beside: false,
            adopts: false,
            settle_delay: false,
            journal_fences: true,
        }
    }
}

impl Default for World {
    fn default() -> Self {
        Self {
            epochs: 2,
            deaths: vec![Death::Zombie, Death::Closed, Death::Reset, Death::Silent],
            jobs: 1,
            chunks: 1,
            old_target: false,
            copies_differ: false,
            consumer: false,
            operator: false,
            changes_in_place: false,
            budget: Budget::default(),
        }
    }
}

impl Setting {
    fn mutated(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// The state before anything happened.
    pub fn start(&self) -> State {
        let mut server = Server::default();
        if self.world.old_target {
            server.create(names::TARGET, names::old_target(self.world.chunks));
        }
        State {
            server,
            sessions: Vec::new(),
            nodes: vec![Node::of(1)],
            journal: Journal::with_jobs(self.world.jobs),
            epoch: 1,
            version: 0,
            budget: self.world.budget,
            seen: Seen::default(),
        }
    }
}
