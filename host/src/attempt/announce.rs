//! The announcement of a job, before a try begins: the partner's host has a job of its own then,
//! which waits for the file.

use ferryway_core::{
    Kind, Operation, Status, TransportError,
    notice::{Announcement, Notice, Standing},
    transport::Session,
};

use super::{
    Failure,
    run::{Run, conclude},
    told::{self, told},
};
use crate::partner::{
    PartnerState,
    pool::{Lease, Stay},
};

/// A session for a try that begins now, after the job was announced where somebody is told of
/// it. `size` is the file's, as far as it is known.
///
/// # Errors
/// As [`Run::lend`]; when the partner that is told cannot be told, or its own job cannot take
/// the file now.
pub(super) async fn lend(run: &Run, stay: Stay, size: Option<u64>) -> Result<Lease, Failure> {
    let Some(told) = told(run)? else { return run.lend(stay).await };
    if told.name == run.partner.name {
        let mut lease = run.lend(stay).await?;
        return match announce(run, &told, lease.session(), size).await {
            Ok(_) => {
                run.waits_no_more();
                Ok(lease)
            }
            Err(failure) => conclude(lease, Err(failure)),
        };
    }
    // Before the other session is lent: who has one and waits for another could wait for ever.
    run.show_connecting().await?;
    let mut lease = told::lend(run, &told).await?;
    let announced = announce(run, &told, lease.session(), size).await;
    conclude(lease, announced)?;
    run.waits_no_more();
    run.lend(stay).await
}

/// Announces the job on a session of the partner that is told.
///
/// # Errors
/// As [`lend`].
pub(super) async fn announce(
    run: &Run,
    told: &PartnerState,
    session: &mut dyn Session,
    size: Option<u64>,
) -> Result<Standing, Failure> {
    let (path, first) = (run.target()?, run.is_first_word());
    let notice = run.look(|job| {
        let (of, start) = (job.reference(), job.state.starts);
        let (definition, direction) = (job.spec.definition.clone(), job.spec.direction);
        Notice::Announce(Announcement { of, start, first, definition, direction, path, size })
    });
    let Some(standing) = told::tell(run, told, session, notice).await? else {
        let text = "the partner has no job for what was announced";
        let error = TransportError::permanent(Kind::Protocol, Operation::Tell, text);
        return Err(told::untold(told, error));
    };
    match standing.status {
        Status::ReceiverAnnounced | Status::ReceiverPreparing => Err(Failure::PartnerJob(standing)),
        status if status.in_flight() || status == COMPLETED => Ok(standing),
        // It has failed, or was cancelled there: that is the answer until an operator starts one
        // of them again.
        _ => Err(Failure::PartnerJob(standing)),
    }
}

/// Where a partner's job stands that has nothing left to do.
pub(super) const COMPLETED: Status =
    Status::ReceiverIdle(ferryway_core::status::Outcome::Completed);
