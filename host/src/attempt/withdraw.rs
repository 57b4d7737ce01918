//! The word to the partner's host that a job it was told of ends without delivering.

use ferryway_core::notice::{Notice, Standing, Withdrawal};

use super::{
    Failure,
    run::{Run, conclude},
    told::{self, told},
};

/// Tells that the job is withdrawn, where somebody is told of it, and how the partner's own job
/// stands then; `None` when it has none.
///
/// # Errors
/// When the partner cannot be told.
pub async fn withdraw(run: &Run, reason: String) -> Result<Option<Standing>, Failure> {
    let Some(told) = told(run)? else { return Ok(None) };
    let mut lease = told::lend(run, &told).await?;
    let of = run.look(|job| job.reference());
    let notice = Notice::Withdraw(Withdrawal { of, reason });
    let standing = told::tell(run, &told, lease.session(), notice).await;
    conclude(lease, standing)
}
