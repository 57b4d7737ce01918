//! What two hosts tell each other about a job, whichever transport moves its bytes.
//!
//! Every notice may be told again, and again counts as once: whoever has not heard the answer
//! tells it anew.

use serde::{Deserialize, Serialize};

use crate::{DefinitionId, Digest, Direction, JobId, RemotePath, Status};

/// Something that a host tells its partner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// A job is about to move a file.
    Announce(Announcement),
    /// A job's file is in place.
    Delivered(Delivery),
    /// A job that was announced ends without delivering.
    Withdraw(Withdrawal),
    /// This host owns its instance and can be reached: nobody has to wait any longer.
    Back,
}

/// A job of the host that tells, and which delivery of it: a job that is restarted by force
/// delivers once more.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reference {
    /// The job's id there.
    pub job: JobId,
    /// The delivery, from 1.
    pub delivery: u32,
}

/// What a job is about to move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The job.
    pub of: Reference,
    /// How often an operator has let the job go on. What it came to before is the answer to
    /// what was announced before.
    pub start: u32,
    /// Whether this delivery was never announced before, not even in a word that was lost.
    pub first: bool,
    /// Its definition.
    pub definition: DefinitionId,
    /// Which way the bytes go, as the telling host sees it.
    pub direction: Direction,
    /// The file at the partner.
    pub path: RemotePath,
    /// Its size in bytes, where the telling host knows it.
    pub size: Option<u64>,
}

/// What a job has moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The job.
    pub of: Reference,
    /// The file at the partner.
    pub path: RemotePath,
    /// Its size in bytes.
    pub size: u64,
    /// Its hash.
    pub digest: Option<Digest>,
}

/// The end of a job that was announced and does not deliver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// The job.
    pub of: Reference,
    /// How often an operator had let the job go on: once more, and it is not withdrawn.
    pub start: u32,
    /// Why, for people.
    pub reason: String,
}

/// How the partner's own job stands after a notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The partner's job.
    pub job: JobId,
    /// Its status; durable there.
    pub status: Status,
    /// What it waits for or why it failed, for people.
    pub open: Option<String>,
}
