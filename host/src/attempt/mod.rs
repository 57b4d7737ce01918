//! One try to deliver a job, from wherever its record says it stands.
//!
//! Each step of the delivery has its file: `send` and `fetch` lead, `resume` decides what
//! of an earlier partial is used, `verify` proves the partial, `publish` renames it onto the
//! target, `settle` finds out what became of an earlier intent; `announce` and `confirm` tell the
//! partner's host of the job, as `told` does. Whatever ends a try — an error,
//! an operator, the death of the node — the next one starts from the record alone.

pub mod absence;
mod announce;
mod confirm;
mod direct;
mod failure;
mod fetch;
mod folders;
mod publish;
mod resume;
mod run;
mod send;
mod settle;
mod source;
pub mod stream;
pub(crate) mod told;
mod verify;

pub use failure::{Failure, Verdict};
pub use folders::Folders;
pub use run::{Context, Moving, Run};

use ferryway_core::{
    Event, Status,
    policy::{Direction, Publish},
};

/// Takes the job as far as it gets: `Ok` means that it has ended.
///
/// # Errors
/// Why it got no further. The record says how far it is.
pub async fn deliver(run: &Run) -> Result<(), Failure> {
    if run.status() != Status::Confirming {
        put_in_place(run).await?;
    }
    if run.status() == Status::Confirming {
        confirm::confirm(run).await?;
        run.record(&[Event::Complete], None, |state| state.last_error = None).await?;
    }
    Ok(())
}

/// Brings the job's file to where it belongs: at 08, or at its end when nobody is told.
async fn put_in_place(run: &Run) -> Result<(), Failure> {
    match run.look(|job| (job.spec.direction, job.spec.publish)) {
        (Direction::Send, Publish::Atomic) => send::send(run).await,
        (Direction::Send, Publish::Direct) => direct::send(run).await,
        (Direction::Fetch, publish) => fetch::fetch(run, publish).await,
    }
}
