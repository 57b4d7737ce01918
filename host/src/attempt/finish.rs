//! The end of a job whose file is delivered: it is confirmed with the partner's host where that is
//! told, then the user's post-exit runs, then nothing is left to do.
//!
//! A job comes here from its delivery, and again after a retry, a restart or a takeover in 08 or
//! 09, without another transfer.

use ferryway_core::{Event, Status, policy::OnFailure};

use super::{Failure, Reached, confirm, run::Run};
use crate::{
    exits::{Onward, Verdict, When, after_takeover},
    journal::{
        Receipt,
        record::{Exit, Intent, Job, JobSpec},
    },
};

/// Puts the delivery, which `event` says, in line for the journal. A job after which nothing comes
/// ends with the same write, and has ended when that is durable; for others what follows in line
/// will do.
pub(super) async fn delivered(
    run: &Run,
    event: Event,
    note: Option<String>,
    intent: &Intent,
) -> Result<Receipt<Job>, Failure> {
    let token = intent.tokens.last().cloned();
    let events: &[Event] = match run.look(|job| is_last(&job.spec)) {
        true => &[event, Event::Complete],
        false => &[event],
    };
    run.queue(events, note, |state| {
        if let Some(token) = token {
            state.size = Some(token.size);
            state.digest = token.digest;
        }
        state.published += 1;
        state.intent = None;
        state.forget_attempts();
        (state.failures, state.waits) = (0, 0);
        state.not_before = None;
        state.last_error = None;
    })
    .await
}

/// Brings a job whose delivery is durable to its end.
///
/// # Errors
/// Why it got no further. The record says how far it is.
pub(super) async fn finish(run: &Run) -> Result<Reached, Failure> {
    if run.status().outcome().is_some() {
        return Ok(Reached::End);
    }
    if run.status() == Status::Confirming {
        confirm::confirm(run).await?;
    }
    let (exit, onward) = run.look(|job| (When::Post.exit(&job.spec).cloned(), after_takeover(job)));
    match (exit, onward) {
        (Some(exit), _) if run.status() == Status::Confirming => {
            post_exit(run, &exit, &[Event::StartExit]).await
        }
        (None, _) | (_, Onward::GoOn) => complete(run, None).await,
        (_, Onward::Skip) => complete(run, Some("the post-exit is taken for done")).await,
        (Some(exit), Onward::Rerun) => post_exit(run, &exit, &[Event::RerunExit]).await,
        // Whoever starts a job that waits in 09 says that its exit runs.
        (Some(exit), Onward::Ask | Onward::Failed) => post_exit(run, &exit, &[]).await,
    }
}

/// Waits until a delivery is durable, where the job has ended with it.
///
/// What another job does next, to tell of its delivery or to run its post-exit, is as well done by
/// a successor that has settled the job by its token.
///
/// # Errors
/// When the journal fails.
pub(super) async fn recorded(run: &Run, receipt: Receipt<Job>) -> Result<(), Failure> {
    if run.look(|job| is_last(&job.spec)) {
        receipt.await?;
    }
    Ok(())
}

/// Whether a job ends with its delivery.
fn is_last(spec: &JobSpec) -> bool {
    spec.told.is_none() && spec.exits.post.is_none()
}

async fn complete(run: &Run, note: Option<&str>) -> Result<Reached, Failure> {
    let note = note.map(str::to_owned);
    // Nobody waits for it, so that it may share a commit with others.
    run.queue(&[Event::Complete], note, |state| state.last_error = None).await?.await?;
    Ok(Reached::End)
}

/// Runs the post-exit; `events` lead to its start.
async fn post_exit(run: &Run, exit: &Exit, events: &[Event]) -> Result<Reached, Failure> {
    let _undisturbed = run.undisturbed();
    let number = run.look(|job| job.state.post_exit.starts + 1);
    let note = format!("the post-exit starts, run {number}");
    run.record(events, Some(note), |state| When::Post.begin(state)).await?;
    // The acknowledgement came with a look at the ownership.
    let ended = run.context.exits.run(&run.job(), When::Post, exit).await;
    let waits = ended.verdict != Verdict::Success && exit.on_failure == OnFailure::Ask;
    let events: &[Event] = if waits { &[] } else { &[Event::Complete] };
    let note = format!("the post-exit ended: {}", ended.end.how);
    run.record(events, Some(note.clone()), |state| {
        state.last_error = waits.then_some(note);
        When::Post.end(state, ended.end);
    })
    .await?;
    Ok(if waits { Reached::Operator } else { Reached::End })
}
