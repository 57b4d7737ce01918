//! One try to deliver a job, from wherever its record says it stands.
//!
//! Each step of the delivery has its file: `send` and `fetch` lead, `resume` decides what
//! of an earlier partial is used, `verify` proves the partial, `publish` renames it onto the
//! target, `settle` finds out what became of an earlier intent; `announce` and `confirm` tell the
//! partner's host of the job, as `told` does; `prepare` and `finish` are what comes before and after
//! the delivery, the user's exits above all. Whatever ends a try — an error,
//! an operator, the death of the node — the next one starts from the record alone.

pub mod absence;
mod announce;
mod confirm;
mod direct;
mod failure;
mod fetch;
mod finish;
mod folders;
mod prepare;
mod publish;
mod resume;
mod run;
mod send;
mod settle;
mod source;
pub mod stream;
pub(crate) mod told;
mod verify;
mod withdraw;

pub use failure::{Failure, Verdict};
pub use folders::Folders;
pub use run::{Context, Moving, Run};
pub use withdraw::withdraw;

use ferryway_core::{
    Status,
    policy::{Direction, Publish},
};

/// How far a try took its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// The job has ended.
    End,
    /// The job waits for an operator: its post-exit failed.
    Operator,
}

/// Takes the job as far as it gets.
///
/// For most of its time a job moves bytes, a thousand jobs at once perhaps. Whatever is large and comes
/// before or after that is boxed, here and in the steps, and takes memory only while it goes on.
///
/// # Errors
/// Why it got no further. The record says how far it is.
pub async fn deliver(run: &Run) -> Result<Reached, Failure> {
    if !matches!(run.status(), Status::Confirming | Status::PostExit) {
        Box::pin(prepare::prepare(run)).await?;
        match run.look(|job| (job.spec.direction, job.spec.publish)) {
            (Direction::Send, Publish::Atomic) => Box::pin(send::send(run)).await?,
            (Direction::Send, Publish::Direct) => Box::pin(direct::send(run)).await?,
            (Direction::Fetch, publish) => Box::pin(fetch::fetch(run, publish)).await?,
        }
    }
    Box::pin(finish::finish(run)).await
}
