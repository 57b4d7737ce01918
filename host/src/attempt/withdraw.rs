//! The word to the partner's host that a job it was told of ends before its own.

use ferryway_core::{
    Class, TransportError,
    notice::{Notice, Standing, Withdrawal},
    status::Outcome,
    transport::Session,
};

use super::{
    Failure, confirm,
    run::{Run, conclude},
    told::{self, told},
};
use crate::partner::PartnerState;

/// Tells that the job is withdrawn, where somebody is told of it, and how the partner's own job
/// stands then; `None` when it has none.
///
/// # Errors
/// When the partner cannot be told.
pub async fn withdraw(run: &Run, reason: String) -> Result<Option<Standing>, Failure> {
    let Some(told) = told(run)? else { return Ok(None) };
    let mut lease = told::lend(run, &told).await?;
    let standing = say(run, &told, lease.session(), reason).await;
    conclude(lease, standing)
}

async fn say(
    run: &Run,
    told: &PartnerState,
    session: &mut dyn Session,
    reason: String,
) -> Result<Option<Standing>, Failure> {
    if run.status().outcome() == Some(Outcome::Completed) {
        // The file is there: a job that can still find that is better complete than failed.
        match told::tell(run, told, session, confirm::delivery(run)?).await {
            Ok(Some(standing)) if !standing.status.in_flight() => return Ok(Some(standing)),
            Ok(_) => {}
            // It has no job for the file, or does not take that, at any time. What it cannot take
            // now it may take later, and what it has then is not to fail.
            Err(Failure::Untold { source, .. }) if is_final(&source) => {}
            Err(failure) => return Err(failure),
        }
    }
    let (of, start) = run.look(|job| (job.reference(), job.state.starts));
    told::tell(run, told, session, Notice::Withdraw(Withdrawal { of, start, reason })).await
}

/// Whether the partner itself has said no, for good.
fn is_final(error: &TransportError) -> bool {
    error.class() == Class::Permanent && error.reply().is_some()
}
