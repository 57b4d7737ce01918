//! The messages of the control API.

use std::path::PathBuf;

use ferryway_core::{DefinitionId, Epoch, InstanceName, JobId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::journal::record::Job;

/// A request for one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitRequest {
    /// The definition.
    pub definition: DefinitionId,
    /// The file on our side, when it is not the definition's.
    #[serde(default)]
    pub local: Option<PathBuf>,
    /// The file on the partner's side, when it is not the definition's.
    #[serde(default)]
    pub remote: Option<String>,
    /// The submitter's own key: a second request with the same key is the same job.
    #[serde(default)]
    pub key: Option<String>,
}

/// What an operator orders with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Stops it and keeps it until it is released.
    Hold,
    /// Lets a held or suspended job go on.
    Release,
    /// Tries at once, or once more.
    Restart {
        /// Also when it is delivered already, or a newer job delivered to the same target.
        force: bool,
    },
    /// Ends it.
    Cancel,
}

/// A job with what only the running host knows of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobView {
    /// The job as recorded.
    #[serde(flatten)]
    pub job: Job,
    /// How far it is, while it moves.
    pub progress: Option<Progress>,
    /// The job that has to end first, because it goes to the same target.
    pub waits_for: Option<JobId>,
}

/// How far a moving job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes of the file that are across, the resumed part included.
    pub done: u64,
    /// Size of the file in bytes; 0 while unknown.
    pub total: u64,
    /// Where this attempt resumed.
    pub resumed_at: u64,
}

/// How a host is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The instance.
    pub instance: InstanceName,
    /// The epoch of this ownership.
    pub epoch: Epoch,
    /// The node.
    pub node: String,
    /// The host's process id.
    pub pid: u32,
    /// When it started.
    pub started_at: Timestamp,
    /// Whether the jobs of the last owner are all taken over.
    pub recovered: bool,
    /// Jobs moving now.
    pub moving: usize,
    /// Jobs in flight.
    pub in_flight: usize,
}

/// Why the host did not do as asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind of refusal.
    pub reason: Reason,
    /// What is wrong, and what to do.
    pub message: String,
}

/// Kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The request makes no sense.
    Invalid,
    /// There is no such job or definition.
    NotFound,
    /// The job's status does not allow it.
    Conflict,
    /// The host is stopping, or has lost the instance.
    Unavailable,
}

impl Refusal {
    /// A refusal with its text.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}
