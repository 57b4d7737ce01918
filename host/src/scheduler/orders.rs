//! What the scheduler can be asked.

use std::sync::Arc;

use ferryway_core::{JobId, PartnerName};
use tokio::sync::oneshot;

use super::desk::Ordered;
use crate::{control::api::JobView, journal::record::Job, partner::PartnerState};

/// An order to the scheduler.
pub(super) enum Order {
    /// Takes in jobs that were accepted.
    Add(Vec<Job>),
    /// Does what an operator says with a job.
    Command(Ordered),
    /// Shows all jobs in flight, in no order.
    View { reply: oneshot::Sender<Vec<JobView>> },
    /// Shows one job, if it is in flight.
    ViewOne { id: JobId, reply: oneshot::Sender<Option<JobView>> },
    /// Says when all of these jobs have ended or are suspended.
    Wait { jobs: Vec<JobId>, done: oneshot::Sender<()> },
    /// Tells how many jobs move, and how many are in flight.
    Count { reply: oneshot::Sender<(usize, usize)> },
    /// Gives a partner, if it is open.
    Partner { name: PartnerName, reply: oneshot::Sender<Option<Arc<PartnerState>>> },
    /// Waits no longer for a system that says it is back.
    Returned { system: PartnerName, done: oneshot::Sender<()> },
    /// Tells the partners that this host can be reached.
    Greet,
    /// Lets jobs move; or stops those that do and starts no more, and is answered when none
    /// moves.
    Move { on: bool, done: oneshot::Sender<()> },
    /// Takes up a changed configuration, and tells which of its keys count from the next start.
    Reloaded { waiting: oneshot::Sender<Vec<String>> },
    /// Stops all tries and ends.
    Stop { done: oneshot::Sender<()> },
}
