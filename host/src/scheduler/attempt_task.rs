//! One try as a task: runs it, stops it when told, and records how it ended.

use std::{
    io::ErrorKind,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use ferryway_core::{
    Event, JobId, Kind, Operation, PartnerName, Status,
    policy::{Direction, Publish},
};
use jiff::Timestamp;
use tokio::sync::oneshot;

use crate::{
    attempt::{Context, Failure, Reached, Run, Verdict, deliver},
    durable::CHECKPOINT_BYTES,
    journal::{
        self, JournalError,
        record::{Job, JobState},
    },
    locks::lock,
    notices::Notices,
    partner::{backoff, source_address::look_again},
};

/// How long a delivered job waits before it looks for its partner again.
const WITHOUT_PARTNER: Duration = Duration::from_secs(60);

/// How a try ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) id: JobId,
    pub(super) next: Next,
}

/// What follows a try.
#[derive(Debug)]
pub(super) enum Next {
    /// The job has ended.
    Done,
    /// Another try, not before this time.
    Again(Timestamp),
    /// The partner cannot be reached, or nothing may: nothing starts with it for so long.
    PartnerOut(Duration),
    /// An operator has to say so.
    Suspended,
    /// It was told to stop, and its record says where it is.
    Parked,
    /// The host must end.
    Fatal(JournalError),
}

/// How a try is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// At once.
    Now,
    /// When a program of the user's that is at work has ended, and that is on record.
    AfterExit,
}

/// Runs one try to its end, or until told to stop.
pub(super) async fn run(run: Run, stop: oneshot::Receiver<Halt>, notices: Arc<Notices>) -> Ended {
    let id = run.id();
    let next = match until_halted(&run, stop).await {
        None => park(&run).await,
        Some(Ok(Reached::End)) => {
            notices.completed(&run.job());
            Ok(Next::Done)
        }
        Some(Ok(Reached::Operator)) => Ok(Next::Suspended),
        Some(Err(failure)) => Box::pin(fail(&run, &failure, &notices)).await,
    };
    let next = next.unwrap_or_else(|failure| match failure {
        Failure::Journal(error) if error.is_fatal() => Next::Fatal(error),
        other => {
            // The record could not be changed as planned: it is as it was, and is tried again.
            tracing::error!(job = %id, error = other.chain(), "a failed try was not recorded");
            Next::Again(Timestamp::now() + Duration::from_secs(60))
        }
    });
    Ended { id, next }
}

/// Delivers; `None` when it was told to stop before the end.
async fn until_halted(
    run: &Run,
    stop: oneshot::Receiver<Halt>,
) -> Option<Result<Reached, Failure>> {
    let mut delivery = pin!(deliver(run));
    let halt = tokio::select! {
        result = &mut delivery => return Some(result),
        halt = stop => halt,
    };
    // An error means that the scheduler is gone: nobody waits.
    if halt != Ok(Halt::AfterExit) {
        return None;
    }
    tokio::select! {
        biased;
        () = run.may_be_disturbed() => None,
        result = delivery => Some(result),
    }
}

async fn park(run: &Run) -> Result<Next, Failure> {
    if run.job().status.outcome().is_some() {
        return Ok(Next::Done);
    }
    if matches!(run.job().status, Status::PostExit) {
        return Ok(Next::Parked);
    }
    run.record(&[Event::Retry], Some("stopped on the way".to_owned()), |_| {}).await?;
    Ok(Next::Parked)
}

/// Records a failed try and decides what follows.
async fn fail(run: &Run, failure: &Failure, notices: &Notices) -> Result<Next, Failure> {
    let reason = failure.chain();
    let job = run.job();
    tracing::debug!(job = %job.id, partner = %job.spec.partner, reason, "a try failed");
    let verdict = match failure.verdict() {
        Verdict::Fenced => Verdict::Fenced,
        // The file is in place: whatever keeps its partner from saying so, it is asked again.
        _ if job.status == Status::Confirming => Verdict::Wait,
        other => other,
    };
    match verdict {
        Verdict::Fenced => {
            let Failure::Journal(error) = failure else { return Ok(Next::Suspended) };
            Ok(Next::Fatal(error.clone()))
        }
        // Whether its exit did its work is for an operator to find out.
        _ if job.status == Status::PostExit => Ok(Next::Suspended),
        Verdict::PartnerOut => {
            let delay = run.partner.went_out();
            notices.partner_out(&job.spec.partner, &reason, delay);
            put_back(run, reason).await?;
            Ok(Next::PartnerOut(delay))
        }
        Verdict::Wait => wait(run, failure, reason, notices).await,
        Verdict::NoSourceAddress => {
            // The next look comes soon and is no news to the record of a job that waits.
            let waits = ferryway_core::apply(job.status, Event::Retry) == Ok(job.status);
            if !waits || job.state.last_error.as_ref() != Some(&reason) {
                put_back(run, reason).await?;
            }
            Ok(Next::PartnerOut(look_again()))
        }
        Verdict::Retry => retry(run, failure, reason, notices).await,
        Verdict::Fail if has_worked(&job, failure) => retry(run, failure, reason, notices).await,
        Verdict::Fail if can_fail(&job) => {
            run.record(&[Event::Fail], Some(reason.clone()), |state| {
                state.last_error = Some(reason.clone());
            })
            .await?;
            note_leftovers(run).await?;
            notices.failed(&job, &reason);
            Ok(Next::Done)
        }
        Verdict::Fail | Verdict::Suspend => suspend(run, reason, notices).await,
    }
}

/// Records that a job waits for a reason that is none of its own.
async fn put_back(run: &Run, reason: String) -> Result<(), Failure> {
    run.record(&[Event::Retry], Some(reason.clone()), |state| {
        state.last_error = Some(reason);
    })
    .await
}

/// Lets the job ask again: what it waits for is the partner's, and takes as long as it takes.
async fn wait(
    run: &Run,
    failure: &Failure,
    reason: String,
    notices: &Notices,
) -> Result<Next, Failure> {
    let job = run.job();
    let told = run.told.as_ref();
    let waits = job.state.waits.saturating_add(1);
    let is_out = |failure: &Failure| match failure {
        Failure::Untold { source, .. } => source.operation() == Operation::Connect,
        _ => false,
    };
    let out = told.filter(|_| is_out(failure));
    let delay = match out {
        Some(told) => told.went_out(),
        None => backoff(&told.unwrap_or(&run.partner).config.retry, waits),
    };
    let due = Timestamp::now() + delay;
    let news = job.state.last_error.as_ref() != Some(&reason);
    let change = |state: &mut JobState| {
        state.waits = waits;
        state.not_before = Some(due);
        state.last_error = Some(reason.clone());
    };
    // A wait of days must not fill the record.
    let stays = ferryway_core::apply(job.status, Event::Retry) == Ok(job.status);
    match news || !stays {
        true => run.record(&[Event::Retry], Some(reason.clone()), change).await?,
        false => run.keep(change),
    }
    match (failure, out) {
        (_, Some(told)) => notices.partner_out(&told.name, &reason, delay),
        _ if !news => {}
        (Failure::PartnerJob(standing), _) if job.status == Status::Confirming => {
            let peer = standing.job.clone();
            notices.partner_job_open(&job, told_name(run), peer, &reason);
        }
        (Failure::Untold { partner, .. }, None) if told.is_none() => {
            notices.told_is_gone(&job, partner);
        }
        _ => notices.partner_delays(&job, told_name(run), &reason),
    }
    Ok(Next::Again(due))
}

/// Who answers for the partner's own job.
fn told_name(run: &Run) -> &PartnerName {
    &run.told.as_ref().unwrap_or(&run.partner).name
}

async fn retry(
    run: &Run,
    failure: &Failure,
    reason: String,
    notices: &Notices,
) -> Result<Next, Failure> {
    let job = run.job();
    // A try that got far is no sign of a hopeless job: a long file over a line that breaks
    // every hour must come to its end. Any other failure at the end of a long way may be met
    // there each time.
    let moved = run.moving.progress().map_or(0, |p| p.done - p.resumed_at);
    let got_far = failure.is_lost_line() && moved > CHECKPOINT_BYTES;
    let failures = if got_far { 1 } else { job.state.failures + 1 };
    let policy = &run.partner.config.retry;
    if policy.delay(failures).is_none() {
        return suspend(run, reason, notices).await;
    }
    let delay = backoff(policy, failures).max(failure.after().unwrap_or_default());
    let due = Timestamp::now() + delay;
    run.record(&[Event::Retry], Some(reason.clone()), |state| {
        state.failures = failures;
        state.not_before = Some(due);
        state.last_error = Some(reason.clone());
    })
    .await?;
    notices.retry(&run.job(), due, &reason);
    Ok(Next::Again(due))
}

async fn suspend(run: &Run, reason: String, notices: &Notices) -> Result<Next, Failure> {
    let job = run.job();
    run.record(&[Event::Suspend], Some(reason.clone()), |state| {
        state.held = false;
        state.last_error = Some(reason.clone());
    })
    .await?;
    notices.suspended(&job, &reason);
    Ok(Next::Suspended)
}

/// Whether a partner takes no file any more where it took one from an earlier try of the job. Its
/// disk may have broken down, as before its service moves to another node, and come back.
fn has_worked(job: &Job, failure: &Failure) -> bool {
    let Failure::Transport(error) = failure else { return false };
    error.operation() == Operation::Store
        && matches!(error.kind(), Kind::Denied | Kind::Unavailable)
        && job.state.moved_bytes > 0
}

/// An open intent is never left behind in the history: its token still has to be moved at
/// every takeover.
fn can_fail(job: &Job) -> bool {
    job.state.intent.is_none() && ferryway_core::apply(job.status, Event::Fail).is_ok()
}

/// Removes what an ended job left on our side, and notes what it may have left on its partner.
pub(super) async fn note_leftovers(run: &Run) -> Result<(), Failure> {
    let job = run.job();
    if job.spec.publish == Publish::Direct {
        return Ok(());
    }
    for name in job.state.unfinished().flat_map(|attempt| &attempt.names) {
        match job.spec.direction {
            Direction::Fetch => remove_part(run, name),
            Direction::Send => {
                let Ok(path) = name.parse() else { continue };
                run.note_leftover(path).await?;
            }
        }
    }
    Ok(())
}

/// Removes a file of a fetch from beside its target, if it is there.
fn remove_part(run: &Run, name: &str) {
    let part = run.local().ok().and_then(|place| place.sibling(name).ok());
    if let Some(Err(error)) = part.map(|part| part.remove())
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(job = %run.job().id, %error, "a part of a fetched file stays");
    }
}

/// Suspends a job whose partner is not configured any more, or has no transport. One that is
/// delivered cannot be suspended: it waits as it is, and the operator hears of that once.
pub(super) async fn without_partner(
    context: Arc<Context>,
    job: Arc<Mutex<Job>>,
    notices: Arc<Notices>,
) -> Ended {
    let current = lock(&job).clone();
    let reason = format!(
        "partner {} is not configured, or its transport is not loaded (`ferryway check` says \
         which); put it back, reload, and release the job",
        current.spec.partner
    );
    let id = current.id.clone();
    let next = match current.status {
        Status::Confirming | Status::PostExit => {
            stay_without(&context, &job, current, reason, &notices).await
        }
        _ => suspend_without(&context, &job, current, reason, &notices).await,
    };
    let next = next.unwrap_or_else(|error| match error {
        error if error.is_fatal() => Next::Fatal(error),
        _ => Next::Again(Timestamp::now() + WITHOUT_PARTNER),
    });
    Ended { id, next }
}

async fn suspend_without(
    context: &Context,
    job: &Mutex<Job>,
    current: Job,
    reason: String,
    notices: &Notices,
) -> journal::Result<Next> {
    let change = |state: &mut JobState| state.last_error = Some(reason.clone());
    let (next, step) = current.step(&[Event::Suspend], Some(reason.clone()), change)?;
    context.journal.queue(step).await?.await?;
    notices.suspended(&next, &reason);
    *lock(job) = next;
    Ok(Next::Suspended)
}

async fn stay_without(
    context: &Context,
    job: &Mutex<Job>,
    current: Job,
    reason: String,
    notices: &Notices,
) -> journal::Result<Next> {
    if current.state.last_error.as_ref() != Some(&reason) {
        let change = |state: &mut JobState| state.last_error = Some(reason.clone());
        let (next, step) = current.step(&[], Some(reason.clone()), change)?;
        context.journal.queue(step).await?.await?;
        notices.partner_is_gone(&next);
        *lock(job) = next;
    } else if current.status == Status::PostExit {
        // An operator has just tried.
        notices.partner_is_gone(&current);
    }
    Ok(match current.status {
        // A reload may bring the partner back.
        Status::Confirming => Next::Again(Timestamp::now() + WITHOUT_PARTNER),
        // Whether an exit may run, an operator says.
        _ => Next::Suspended,
    })
}
