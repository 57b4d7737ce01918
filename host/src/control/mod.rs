//! The control API: what operators, monitors and cluster agents ask of a running host.
//!
//! [`Operations`] is what the host can do; [`api`] is how it is said in HTTP and JSON over a
//! Unix socket in the run directory, or a named pipe of Windows; [`server`] and [`client`] are its
//! two ends.

pub mod api;
pub mod client;
mod routes;
pub mod server;
#[cfg(unix)]
pub mod socket;
#[cfg(windows)]
#[path = "pipe.rs"]
pub mod socket;

use std::time::Duration;

use async_trait::async_trait;
use ferryway_core::{JobId, PartnerName};

use crate::journal::record::{Entry, HistoryQuery, Job};
use api::{
    Command, Health, JobView, PartnerProbed, ProbeRequest, Probed, Refusal, Service, ServiceOrder,
    ServiceState, SubmitRequest,
};

/// What a running host does for its operators.
#[async_trait]
pub trait Operations: Send + Sync + 'static {
    /// Accepts requests, all or none; durable on `Ok`.
    ///
    /// # Errors
    /// Nothing was accepted.
    async fn submit(&self, requests: Vec<SubmitRequest>) -> Result<Vec<Job>, Refusal>;

    /// Does what an operator orders with a job; durable on `Ok`.
    ///
    /// # Errors
    /// The job is as it was.
    async fn command(&self, job: &JobId, command: Command) -> Result<Job, Refusal>;

    /// All jobs that have not ended, in the order of acceptance, with their progress.
    async fn jobs(&self) -> Result<Vec<JobView>, Refusal>;

    /// One job, finished ones included.
    async fn job(&self, id: &JobId) -> Result<JobView, Refusal>;

    /// A job's record, the oldest entry first.
    async fn entries(&self, id: &JobId) -> Result<Vec<Entry>, Refusal>;

    /// Jobs that ended, the newest first.
    async fn history(&self, query: HistoryQuery) -> Result<Vec<Job>, Refusal>;

    /// Waits until every one of the jobs has ended or is suspended, or the time is over, and
    /// gives all of them as they are then.
    async fn wait(&self, jobs: Vec<JobId>, limit: Duration) -> Result<Vec<Job>, Refusal>;

    /// How the host is.
    async fn health(&self) -> Health;

    /// Has the journal write a mark durably and read it back.
    ///
    /// # Errors
    /// The journal failed: the host ends.
    async fn probe(&self) -> Result<Probed, Refusal>;

    /// Tries out what a partner's server does, see
    /// [`PartnerState::probe`](crate::partner::PartnerState::probe).
    ///
    /// # Errors
    /// The partner is unknown, is being probed already, cannot be reached, or takes no file.
    async fn probe_partner(
        &self,
        partner: &PartnerName,
        request: ProbeRequest,
    ) -> Result<PartnerProbed, Refusal>;

    /// Starts or stops a service, unless it is so already.
    ///
    /// # Errors
    /// When the other service does not allow it, or it cannot be done.
    async fn service(&self, service: Service, order: ServiceOrder)
    -> Result<ServiceState, Refusal>;

    /// Reads the definitions again, as SIGHUP does; tells what is in force now.
    ///
    /// # Errors
    /// The old definitions stay in force.
    async fn reload(&self) -> Result<String, Refusal>;
}
