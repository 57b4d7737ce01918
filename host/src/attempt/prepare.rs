//! What comes before the file is looked at: the user's pre-exit, which may make it.

use ferryway_core::{Event, Status};

use super::{Failure, run::Run};
use crate::exits::{Verdict, When};

/// Runs the pre-exit, unless it has done what it had to for this delivery.
///
/// # Errors
/// `PreExit` when it does not let the job go on.
pub(super) async fn prepare(run: &Run) -> Result<(), Failure> {
    let exit = run.look(|job| {
        let done = job.state.pre_exit.end.as_ref().is_some_and(|end| end.success);
        When::Pre.exit(&job.spec).filter(|_| !done && job.status == Status::Accepted).cloned()
    });
    let Some(exit) = exit else { return Ok(()) };
    let _undisturbed = run.undisturbed();
    let number = run.look(|job| job.state.pre_exit.starts + 1);
    let note = format!("the pre-exit starts, run {number}");
    run.record(&[Event::Prepare], Some(note), |state| When::Pre.begin(state)).await?;
    // The acknowledgement came with a look at the ownership.
    let ended = run.context.exits.run(&run.job(), When::Pre, &exit).await;
    let how = ended.end.how.clone();
    if ended.verdict == Verdict::Again {
        // It is to run again: no end that counts is on record.
        return Err(Failure::PreExit { how, again: true });
    }
    let note = format!("the pre-exit ended: {how}");
    run.record(&[], Some(note), |state| When::Pre.end(state, ended.end)).await?;
    match ended.verdict {
        Verdict::Success => Ok(()),
        _ => Err(Failure::PreExit { how, again: false }),
    }
}
