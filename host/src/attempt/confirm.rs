//! The confirmation of a delivery with the partner's host: its own job has come to its end when
//! ours goes on.

use ferryway_core::{
    Event, Kind, Status, TransportError,
    notice::{Delivery, Notice, Standing},
    transport::Session,
};

use super::{
    Failure,
    announce::{COMPLETED, announce},
    run::{Run, conclude},
    told::{self, told},
};
use crate::partner::PartnerState;

/// Tells that the job's file is in place, where somebody is told of it, and returns when the
/// partner's own job is complete. How that stands is part of the job's next write.
///
/// # Errors
/// When the partner cannot be told, or its job is not complete yet: the job stays in 08 and
/// asks again. `Void` when the partner does not have the file: the job is back in 01 then.
pub(super) async fn confirm(run: &Run) -> Result<(), Failure> {
    let Some(told) = told(run)? else { return Ok(()) };
    let mut lease = told::lend(run, &told).await?;
    let standing = deliver(run, &told, lease.session()).await;
    let standing = conclude(lease, standing)?;
    match standing.status {
        COMPLETED => Ok(()),
        Status::ReceiverPublishing | Status::ReceiverPostExit | Status::ReceiverConfirming => {
            Err(Failure::PartnerJob(standing))
        }
        _ => send_anew(run, &told, &standing).await,
    }
}

async fn deliver(
    run: &Run,
    told: &PartnerState,
    session: &mut dyn Session,
) -> Result<Standing, Failure> {
    let (notice, size) = (delivery(run)?, run.look(|job| job.state.size.unwrap_or_default()));
    let standing = match told::tell(run, told, session, notice.clone()).await {
        Err(Failure::Untold { source, .. }) if is_unknown(&source) => {
            // It does not know the job any more, as after a restore from a backup.
            announce(run, told, session, Some(size)).await?;
            told::tell(run, told, session, notice).await?
        }
        told => told?,
    };
    standing.ok_or_else(|| {
        let text = "the partner has no job for what was delivered";
        let operation = ferryway_core::Operation::Tell;
        told::untold(told, TransportError::permanent(Kind::Protocol, operation, text))
    })
}

/// The word that the job's file is in place.
///
/// # Errors
/// When its name is not usable there.
pub(super) fn delivery(run: &Run) -> Result<Notice, Failure> {
    let path = run.target()?;
    Ok(run.look(|job| {
        let (of, digest) = (job.reference(), job.state.digest.clone());
        let size = job.state.size.unwrap_or_default();
        Notice::Delivered(Delivery { of, path, size, digest })
    }))
}

fn is_unknown(error: &TransportError) -> bool {
    error.kind() == Kind::NotFound && error.reply().is_some()
}

/// Takes the delivery back: what the partner has is not what was delivered.
async fn send_anew(run: &Run, told: &PartnerState, standing: &Standing) -> Result<(), Failure> {
    let reason = told::in_words(standing);
    run.record(&[Event::Void], Some(reason.clone()), |_| {}).await?;
    run.context.notices.sent_anew(&run.job(), &told.name, &reason);
    Err(Failure::Void(reason))
}
