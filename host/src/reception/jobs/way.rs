//! The way of a receiving job through its statuses: what leads where.

use ferryway_core::{Event, Outcome, Status};

use crate::{exits::When, journal::record::Job};

/// The events from a status to 01; none from 01, nor from a status in which the file is there.
pub(super) fn back_to_announced(status: Status) -> &'static [Event] {
    match status {
        Status::ReceiverIdle(Outcome::Failed | Outcome::Cancelled) => &[Event::Restart],
        Status::ReceiverPreparing
        | Status::ReceiverWaiting
        | Status::ReceiverReceiving
        | Status::ReceiverVerifying => &[Event::Retry],
        Status::ReceiverPublishing => &[Event::Void],
        _ => &[],
    }
}

/// Whether nothing may come before the pre-exit has run.
pub(super) fn needs_pre_exit(job: &Job) -> bool {
    let done = job.state.pre_exit.end.as_ref().is_some_and(|end| end.success);
    When::Pre.exit(&job.spec).is_some() && !done && !is_delivered(job.status)
}

/// Whether the file is known to be in place.
pub(super) fn is_delivered(status: Status) -> bool {
    matches!(
        status,
        Status::ReceiverPostExit
            | Status::ReceiverConfirming
            | Status::ReceiverIdle(Outcome::Completed)
    )
}

/// Whether the visitor's own session has brought bytes, but not put the file in place.
pub(super) fn bytes_came(status: Status) -> bool {
    matches!(status, Status::ReceiverReceiving | Status::ReceiverVerifying)
}

/// The events from a status to 03; none from a status that an announcement does not change.
pub(super) fn up_to_waiting(status: Status) -> &'static [Event] {
    use Event as E;
    match status {
        Status::ReceiverIdle(Outcome::Failed | Outcome::Cancelled) => {
            &[E::Restart, E::Prepare, E::Connect]
        }
        Status::ReceiverAnnounced => &[E::Prepare, E::Connect],
        Status::ReceiverPreparing => &[E::Connect],
        Status::ReceiverReceiving | Status::ReceiverVerifying => {
            &[E::Retry, E::Prepare, E::Connect]
        }
        // The visitor has taken its intent back, or it would not send anew.
        Status::ReceiverPublishing => &[E::Void, E::Prepare, E::Connect],
        _ => &[],
    }
}

/// The events from a status to 06; none from there on, nor for a job that is complete.
pub(super) fn up_to_publishing(status: Status) -> &'static [Event] {
    use Event as E;
    const WAY: [Event; 6] = [E::Restart, E::Prepare, E::Connect, E::Begin, E::Verify, E::Publish];
    match status {
        Status::ReceiverIdle(outcome) if outcome != Outcome::Completed => &WAY,
        Status::ReceiverAnnounced => &WAY[1..],
        Status::ReceiverPreparing => &WAY[2..],
        Status::ReceiverWaiting => &WAY[3..],
        Status::ReceiverReceiving => &WAY[4..],
        Status::ReceiverVerifying => &WAY[5..],
        _ => &[],
    }
}
