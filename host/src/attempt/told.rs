//! The partner that is told of a job: the one that the bytes go to, or another host behind it.

use std::sync::Arc;

use ferryway_core::{
    Class, Kind, Operation, TransportError,
    notice::{Notice, Standing},
    transport::Session,
};

use super::{Failure, run::Run};
use crate::partner::{
    PartnerState,
    pool::{Lease, Stay},
};

/// Who is told of the job of `run`; `None` when nobody is.
///
/// # Errors
/// When the partner that the job names for it is not there any more.
pub(super) fn told(run: &Run) -> Result<Option<Arc<PartnerState>>, Failure> {
    let Some(name) = run.look(|job| job.spec.told.clone()) else { return Ok(None) };
    match &run.told {
        Some(partner) => Ok(Some(Arc::clone(partner))),
        None => {
            let text = "it is not configured any more, or its transport is not loaded";
            let source =
                TransportError::new(Class::Permanent, Kind::Config, Operation::Connect, text);
            Err(Failure::Untold { partner: name, source })
        }
    }
}

/// A session with the partner that is told.
///
/// # Errors
/// When it cannot be reached.
pub(super) async fn lend(run: &Run, told: &PartnerState) -> Result<Lease, Failure> {
    let lent = async {
        match told.pool.slot(Stay::Short).await?.at_hand().await {
            Ok(lease) => Ok(lease),
            Err(slot) => {
                let lease = slot.connect().await?;
                told.came_back();
                run.context.notices.partner_back(&told.name);
                Ok(lease)
            }
        }
    };
    lent.await.map_err(|source| untold(told, source))
}

/// Tells something, and keeps what comes back for the next write of the job.
///
/// # Errors
/// When the partner cannot be told, or does not take it.
pub(super) async fn tell(
    run: &Run,
    told: &PartnerState,
    session: &mut dyn Session,
    notice: Notice,
) -> Result<Option<Standing>, Failure> {
    let standing = session.tell(notice).await.map_err(|source| untold(told, source))?;
    if let Some(standing) = &standing {
        run.hear(standing.clone());
    }
    Ok(standing)
}

/// How the partner's job stands, as people say it.
pub(super) fn in_words(standing: &Standing) -> String {
    let open = standing.open.as_ref().map(|open| format!(": {open}")).unwrap_or_default();
    format!("the partner's job {} is in status {}{open}", standing.job, standing.status)
}

pub(super) fn untold(told: &PartnerState, source: TransportError) -> Failure {
    Failure::Untold { partner: told.name.clone(), source }
}
