//! The messages of the control API.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `POST /v1/jobs` | up to [`BATCH_LIMIT`] [`SubmitRequest`] | the [`Job`]s, in the same order |
//! | `GET /v1/jobs` | | every job in flight, as [`JobView`] |
//! | `GET /v1/jobs/{id}` | | a [`JobView`] |
//! | `GET /v1/jobs/{id}/entries` | | the job's [`Entry`](crate::journal::record::Entry) list |
//! | `POST /v1/jobs/{id}/command` | [`Command`] | the [`Job`] |
//! | `POST /v1/wait` | [`WaitRequest`] | the [`Job`]s, in the same order |
//! | `GET /v1/history?...` | [`HistoryQuery`](crate::journal::record::HistoryQuery) as the query | [`Job`]s |
//! | `GET /v1/health` | | [`Health`] |
//! | `POST /v1/journal/probe` | | [`Probed`], once the journal has taken a durable write |
//! | `POST /v1/partners/{partner}/probe` | [`ProbeRequest`] | [`PartnerProbed`] |
//! | `POST /v1/services/{service}` | [`ServiceOrder`] | [`ServiceState`] |
//! | `POST /v1/reload` | | [`Reloaded`] |
//!
//! Everything else is answered with a [`Refusal`].

use std::{path::PathBuf, time::Duration};

use ferryway_core::{DefinitionId, Epoch, InstanceName, JobId, RemotePath};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    journal::record::Job,
    partner::habits::{Advice, Findings},
};

/// The longest body of a request in bytes.
pub const BODY_LIMIT: usize = 8 << 20;

/// The most jobs in one submission.
pub const BATCH_LIMIT: usize = 1_000;

/// The most jobs in one wait.
pub const WAIT_JOBS_LIMIT: usize = 10_000;

/// The longest time that one request waits for jobs; who wants more asks again.
pub const WAIT_TIME_LIMIT: Duration = Duration::from_secs(60);

/// The longest silence that a partner can be probed with.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(60 * 60);

/// The longest time that a probe of a partner takes beyond its silence.
pub const PROBE_TIME_LIMIT: Duration = Duration::from_secs(15 * 60);

/// The most jobs in one page of the history.
pub const PAGE_LIMIT: usize = 1_000;

/// The jobs in a page of the history when the query names no limit.
pub const PAGE_DEFAULT: usize = 100;

/// A request for one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitRequest {
    /// The definition.
    pub definition: DefinitionId,
    /// The file on our side, when it is not the definition's. Taken as it stands: braces are
    /// no places to fill in.
    #[serde(default)]
    pub local: Option<PathBuf>,
    /// The file on the partner's side, when it is not the definition's; taken as it stands.
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

/// A request to wait for jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitRequest {
    /// The jobs, at most [`WAIT_JOBS_LIMIT`].
    pub jobs: Vec<JobId>,
    /// Milliseconds to wait at most; the host waits [`WAIT_TIME_LIMIT`] for more than that.
    pub limit_ms: u64,
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
    /// Whether nothing more happens to the job by itself: it has ended or is suspended, or its
    /// post-exit waits for an operator.
    #[serde(default)]
    pub at_rest: bool,
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
    /// The services that run, in the order of their start.
    pub services: Vec<Service>,
}

ferryway_core::words! {
    /// One of the services of a host, in the order of their start.
    Service {
        /// Other hosts come in, and are told things.
        Socket = "socket",
        /// Jobs move.
        Transfer = "transfer",
    }
}

ferryway_core::words! {
    /// What an operator orders with a service.
    ServiceOrder {
        /// Starts it.
        Start = "start",
        /// Stops it. Jobs that move are parked where they are.
        Stop = "stop",
    }
}

/// A service after an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceState {
    /// The service.
    pub service: Service,
    /// Whether it runs.
    pub running: bool,
    /// Whether the order changed that.
    pub changed: bool,
}

/// The journal took a durable write, and has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// How long that took, in microseconds.
    pub took_us: u64,
}

/// A request to try out what a partner's server does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeRequest {
    /// The folder on the partner to try it in, when it is not the one where sessions start.
    #[serde(default)]
    pub folder: Option<RemotePath>,
    /// Seconds for which a session is left silent before it is asked for a sign of life, at most
    /// [`SILENCE_LIMIT`]; none is when there are none.
    #[serde(default)]
    pub silent_s: Option<u64>,
}

/// What a partner's server was seen to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartnerProbed {
    /// What it does.
    pub findings: Findings,
    /// What to set because of that.
    pub advice: Advice,
}

/// The definitions were read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// What is in force now, in words.
    pub message: String,
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
