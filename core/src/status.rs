//! The status of a job and the one function that moves it.
//!
//! The side that asked for a transfer walks the sender's table, whichever way the bytes go;
//! the receiver's table is walked by a job that a partner announced.
//!
//! ```text
//! sender
//!            Prepare    Connect        Begin           Verify        Publish       Published
//!  01 accepted -> 02 preparing -> 03 connecting -> 04 transferring -> 06 verifying -> 07 publishing -> 08 confirming
//!   ^ Retry, Restart, Release, Void   | Settle                           | Delivered (direct)       ^        |      |
//!   |                                +----------------------------------|-----> 07                 |        | StartExit
//!  05 suspended <- Suspend (01..04, 06, 07)                             +--------------------------+        |      v
//!  00 idle <- Complete (08, 09), Fail (01..04, 06), Cancel (01..06) <---------------------------------------+  09 post-exit
//!
//! receiver
//!  01 announced -> 02 preparing -> 03 waiting -> 04 receiving -> 05 verifying -> 06 publishing -> 07 post-exit -> 08 confirming -> 00
//!   ^ Retry (01..05), Void (06), Restart                                            |      Published (no post-exit)      ^
//!                                                                                   +------------------------------------+
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which table a job walks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Side {
    /// The side that asked for the transfer.
    Sender,
    /// The side that was told of it.
    Receiver,
}

impl Side {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Receiver => "receiver",
        }
    }
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The file is delivered.
    Completed,
    /// The job ended without delivering; a restart takes it up again.
    Failed,
    /// An operator cancelled it.
    Cancelled,
}

/// Status of a job: two digits to the operator, see [`TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// 00 on the sender's side.
    Idle(Outcome),
    /// 01 on the sender's side.
    Accepted,
    /// 02 on the sender's side.
    Preparing,
    /// 03 on the sender's side.
    Connecting,
    /// 04 on the sender's side.
    Transferring,
    /// 05 on the sender's side.
    Suspended,
    /// 06 on the sender's side.
    Verifying,
    /// 07 on the sender's side.
    Publishing,
    /// 08 on the sender's side.
    Confirming,
    /// 09 on the sender's side.
    PostExit,
    /// 00 on the receiver's side.
    ReceiverIdle(Outcome),
    /// 01 on the receiver's side.
    ReceiverAnnounced,
    /// 02 on the receiver's side.
    ReceiverPreparing,
    /// 03 on the receiver's side.
    ReceiverWaiting,
    /// 04 on the receiver's side.
    ReceiverReceiving,
    /// 05 on the receiver's side.
    ReceiverVerifying,
    /// 06 on the receiver's side.
    ReceiverPublishing,
    /// 07 on the receiver's side.
    ReceiverPostExit,
    /// 08 on the receiver's side.
    ReceiverConfirming,
}

/// Something that happened to a job, or that its owner decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A slot is free: look at the source, or at the space for it.
    Prepare,
    /// The preparation is done: connect, or wait for the partner's data.
    Connect,
    /// An attempt is on record and may touch the partner.
    Begin,
    /// The bytes are across.
    Verify,
    /// The partial is proved and the intent to rename it is recorded.
    Publish,
    /// An intent of an earlier attempt is on record: find out what became of it.
    Settle,
    /// The intent is taken back: its token is in our hands and of no use, or what was put in
    /// place is not what the partner has.
    Void,
    /// The target is in place.
    Published,
    /// The target itself was written and verified (policy `direct`).
    Delivered,
    /// The post-exit is about to start.
    StartExit,
    /// The post-exit ended and the sender is to be told.
    Confirm,
    /// All is done.
    Complete,
    /// The try failed and another one follows.
    Retry,
    /// The job waits for an operator: held, or its retries are used up.
    Suspend,
    /// The job ended without delivering.
    Fail,
    /// An operator cancelled the job.
    Cancel,
    /// An operator lets a suspended job go on.
    Release,
    /// An operator restarts a job that ended, is suspended, or waits at its post-exit.
    Restart,
    /// An operator restarts a job whatever became of it; it delivers once more.
    ForceRestart,
    /// A new owner takes the job over.
    TakeOver,
    /// A new owner is configured to run the post-exit again.
    RerunExit,
}

/// An event that the status does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a job in status {} ({}) does not take the event {event:?}", status.code(), status.meaning())]
pub struct IllegalTransition {
    /// The status of the job.
    pub status: Status,
    /// The event.
    pub event: Event,
}

/// The status after an event. No other code changes a status.
///
/// # Errors
/// When the status does not allow the event.
pub fn apply(status: Status, event: Event) -> Result<Status, IllegalTransition> {
    use Event as E;
    use Status as S;
    Ok(match (status, event) {
        (S::Accepted, E::Prepare) => S::Preparing,
        (S::Preparing, E::Connect) => S::Connecting,
        (S::Connecting, E::Begin) => S::Transferring,
        (S::Transferring, E::Verify) => S::Verifying,
        (S::Verifying, E::Publish) => S::Publishing,
        (S::Connecting, E::Settle) => S::Publishing,
        (S::Publishing, E::Published) | (S::Verifying, E::Delivered) => S::Confirming,
        (S::Confirming, E::StartExit) => S::PostExit,
        (S::Confirming | S::PostExit, E::Complete) => S::Idle(Outcome::Completed),

        (S::Accepted | S::Preparing | S::Connecting | S::Transferring, E::Retry)
        | (S::Verifying, E::Retry) => S::Accepted,
        (S::Publishing, E::Retry) => S::Publishing,
        (S::Publishing | S::Confirming, E::Void) => S::Accepted,
        (S::Confirming, E::Retry) => S::Confirming,
        (
            S::Accepted
            | S::Preparing
            | S::Connecting
            | S::Transferring
            | S::Verifying
            | S::Publishing,
            E::Suspend,
        ) => S::Suspended,
        (S::Accepted | S::Preparing | S::Connecting | S::Transferring | S::Verifying, E::Fail) => {
            S::Idle(Outcome::Failed)
        }
        (
            S::Accepted
            | S::Preparing
            | S::Connecting
            | S::Transferring
            | S::Verifying
            | S::Suspended,
            E::Cancel,
        ) => S::Idle(Outcome::Cancelled),
        (S::Suspended, E::Release | E::Restart | E::ForceRestart)
        | (S::Idle(Outcome::Failed | Outcome::Cancelled), E::Restart)
        | (S::Accepted, E::Restart | E::ForceRestart)
        | (S::Idle(_) | S::PostExit, E::ForceRestart) => S::Accepted,
        (S::PostExit, E::Restart | E::RerunExit) => S::PostExit,

        (
            S::Accepted | S::Preparing | S::Connecting | S::Transferring | S::Verifying,
            E::TakeOver,
        ) => S::Accepted,
        (S::Idle(_) | S::Suspended | S::Publishing | S::Confirming | S::PostExit, E::TakeOver) => {
            status
        }
        _ => return apply_receiver(status, event),
    })
}

fn apply_receiver(status: Status, event: Event) -> Result<Status, IllegalTransition> {
    use Event as E;
    use Status as S;
    Ok(match (status, event) {
        (S::ReceiverAnnounced, E::Prepare) => S::ReceiverPreparing,
        (S::ReceiverPreparing, E::Connect) => S::ReceiverWaiting,
        (S::ReceiverWaiting, E::Begin) => S::ReceiverReceiving,
        (S::ReceiverReceiving, E::Verify) => S::ReceiverVerifying,
        (S::ReceiverVerifying, E::Publish) => S::ReceiverPublishing,
        (S::ReceiverPublishing, E::StartExit) => S::ReceiverPostExit,
        (S::ReceiverPublishing, E::Published) | (S::ReceiverPostExit, E::Confirm) => {
            S::ReceiverConfirming
        }
        (S::ReceiverConfirming, E::Complete) => S::ReceiverIdle(Outcome::Completed),
        (S::ReceiverPublishing, E::Void) => S::ReceiverAnnounced,
        (
            S::ReceiverAnnounced
            | S::ReceiverPreparing
            | S::ReceiverWaiting
            | S::ReceiverReceiving
            | S::ReceiverVerifying,
            E::Retry | E::TakeOver,
        ) => S::ReceiverAnnounced,
        (
            S::ReceiverAnnounced
            | S::ReceiverPreparing
            | S::ReceiverWaiting
            | S::ReceiverReceiving
            | S::ReceiverVerifying,
            E::Fail,
        ) => S::ReceiverIdle(Outcome::Failed),
        (
            S::ReceiverAnnounced
            | S::ReceiverPreparing
            | S::ReceiverWaiting
            | S::ReceiverReceiving
            | S::ReceiverVerifying,
            E::Cancel,
        ) => S::ReceiverIdle(Outcome::Cancelled),
        (S::ReceiverPostExit, E::Restart | E::RerunExit) => S::ReceiverPostExit,
        (S::ReceiverIdle(Outcome::Failed | Outcome::Cancelled), E::Restart)
        | (S::ReceiverIdle(_) | S::ReceiverPostExit, E::ForceRestart) => S::ReceiverAnnounced,
        (
            S::ReceiverIdle(_)
            | S::ReceiverPublishing
            | S::ReceiverPostExit
            | S::ReceiverConfirming,
            E::TakeOver,
        ) => status,
        _ => return Err(IllegalTransition { status, event }),
    })
}

/// What a new owner does with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtTakeover {
    /// Nothing, and says nothing.
    Nothing,
    /// Starts it again from the beginning of its way.
    Restart,
    /// Finds out what the partner holds and goes on from there.
    Settle,
    /// Does not restart it but logs 0215E, unless configured otherwise.
    Ask,
}

/// A line of the table of statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The side.
    pub side: Side,
    /// The two digits.
    pub code: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What a new owner does.
    pub at_takeover: AtTakeover,
}

const fn row(side: Side, code: &'static str, meaning: &'static str, at: AtTakeover) -> Row {
    Row { side, code, meaning, at_takeover: at }
}

/// All statuses. Recovery, documentation and tests read them here.
pub const TABLE: [Row; 19] = [
    row(Side::Sender, "00", "idle", AtTakeover::Nothing),
    row(Side::Sender, "01", "accepted", AtTakeover::Restart),
    row(Side::Sender, "02", "preparing", AtTakeover::Restart),
    row(Side::Sender, "03", "connecting", AtTakeover::Restart),
    row(Side::Sender, "04", "transferring", AtTakeover::Settle),
    row(Side::Sender, "05", "suspended", AtTakeover::Nothing),
    row(Side::Sender, "06", "verifying", AtTakeover::Settle),
    row(Side::Sender, "07", "publishing", AtTakeover::Settle),
    row(Side::Sender, "08", "confirming", AtTakeover::Settle),
    row(Side::Sender, "09", "post-exit started", AtTakeover::Ask),
    row(Side::Receiver, "00", "idle", AtTakeover::Nothing),
    row(Side::Receiver, "01", "announced", AtTakeover::Restart),
    row(Side::Receiver, "02", "preparing", AtTakeover::Restart),
    row(Side::Receiver, "03", "waiting for data", AtTakeover::Restart),
    row(Side::Receiver, "04", "receiving", AtTakeover::Settle),
    row(Side::Receiver, "05", "verifying", AtTakeover::Restart),
    row(Side::Receiver, "06", "publishing", AtTakeover::Settle),
    row(Side::Receiver, "07", "post-exit started", AtTakeover::Ask),
    row(Side::Receiver, "08", "confirming", AtTakeover::Restart),
];

impl Status {
    /// One status of each code, for whoever goes through all of them.
    pub const EACH: [Self; 19] = [
        Self::Idle(Outcome::Completed),
        Self::Accepted,
        Self::Preparing,
        Self::Connecting,
        Self::Transferring,
        Self::Suspended,
        Self::Verifying,
        Self::Publishing,
        Self::Confirming,
        Self::PostExit,
        Self::ReceiverIdle(Outcome::Completed),
        Self::ReceiverAnnounced,
        Self::ReceiverPreparing,
        Self::ReceiverWaiting,
        Self::ReceiverReceiving,
        Self::ReceiverVerifying,
        Self::ReceiverPublishing,
        Self::ReceiverPostExit,
        Self::ReceiverConfirming,
    ];

    /// The status's line in [`TABLE`].
    pub fn row(self) -> &'static Row {
        let line = match self {
            Self::Idle(_) => 0,
            Self::Accepted => 1,
            Self::Preparing => 2,
            Self::Connecting => 3,
            Self::Transferring => 4,
            Self::Suspended => 5,
            Self::Verifying => 6,
            Self::Publishing => 7,
            Self::Confirming => 8,
            Self::PostExit => 9,
            Self::ReceiverIdle(_) => 10,
            Self::ReceiverAnnounced => 11,
            Self::ReceiverPreparing => 12,
            Self::ReceiverWaiting => 13,
            Self::ReceiverReceiving => 14,
            Self::ReceiverVerifying => 15,
            Self::ReceiverPublishing => 16,
            Self::ReceiverPostExit => 17,
            Self::ReceiverConfirming => 18,
        };
        &TABLE[line]
    }

    /// The two digits that the operator sees.
    pub fn code(self) -> &'static str {
        self.row().code
    }

    /// The meaning in words.
    pub fn meaning(self) -> &'static str {
        self.row().meaning
    }

    /// How the job ended, if it did.
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Idle(outcome) | Self::ReceiverIdle(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Whether the job has not ended: a new owner must know of it.
    pub fn in_flight(self) -> bool {
        self.outcome().is_none()
    }
}

impl Outcome {
    /// The word that the operator sees.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.outcome() {
            Some(outcome) => write!(f, "{} {}", self.code(), outcome.as_str()),
            None => write!(f, "{} {}", self.code(), self.meaning()),
        }
    }
}
