//! The JSON that the tool prints: stable, whatever becomes of the journal's own format.

use std::path::PathBuf;

use ferryway_core::{
    DefinitionId, Epoch, JobId, Outcome, PartnerName, Status,
    notice::Standing,
    policy::{Direction, Publish, ResumePolicy},
};
use ferryway_host::{
    control::api::{JobView, Progress},
    exits::When,
    journal::record::{Attempt, Checkpoint, Entry, ExitEnd, Intent, Job, Origin},
};
use jiff::Timestamp;
use serde::Serialize;

use crate::exit::Failure;

/// A job.
#[derive(Debug, Serialize)]
pub(crate) struct JobShape<'a> {
    id: &'a JobId,
    definition: &'a DefinitionId,
    run: u64,
    sequence: u64,
    partner: &'a PartnerName,
    direction: Direction,
    local: PathBuf,
    remote: String,
    priority: i32,
    key: Option<&'a str>,
    status: StatusShape,
    held: bool,
    waits_for: Option<&'a JobId>,
    progress: Option<Progress>,
    attempts: u32,
    failures: u32,
    next_try_at: Option<Timestamp>,
    last_error: Option<&'a str>,
    size_bytes: Option<u64>,
    digest: Option<String>,
    moved_bytes: u64,
    published: u32,
    epoch: Epoch,
    accepted_at: Timestamp,
    updated_at: Timestamp,
}

impl<'a> From<&'a JobView> for JobShape<'a> {
    fn from(JobView { job, progress, waits_for, .. }: &'a JobView) -> Self {
        let (spec, state) = (&job.spec, &job.state);
        Self {
            id: &job.id,
            definition: &spec.definition,
            run: job.run.0,
            sequence: job.sequence,
            partner: &spec.partner,
            direction: spec.direction,
            local: job.local(),
            remote: job.remote(),
            priority: spec.priority,
            key: spec.key.as_deref(),
            status: job.status.into(),
            held: state.held,
            waits_for: waits_for.as_ref(),
            progress: *progress,
            attempts: state.attempts,
            failures: state.failures,
            next_try_at: state.not_before.filter(|_| job.status.in_flight()),
            last_error: state.last_error.as_deref(),
            size_bytes: state.size,
            digest: state.digest.as_ref().map(ToString::to_string),
            moved_bytes: state.moved_bytes,
            published: state.published,
            epoch: job.epoch,
            accepted_at: job.accepted_at,
            updated_at: job.updated_at,
        }
    }
}

#[derive(Debug, Serialize)]
struct StatusShape {
    code: &'static str,
    meaning: &'static str,
    side: &'static str,
    outcome: Option<&'static str>,
}

impl From<Status> for StatusShape {
    fn from(status: Status) -> Self {
        let (row, side) = (status.row(), status.row().side.as_str());
        let outcome = status.outcome().map(Outcome::as_str);
        Self { code: row.code, meaning: row.meaning, side, outcome }
    }
}

/// A job with all that its owner keeps about it.
#[derive(Debug, Serialize)]
pub(crate) struct DetailShape<'a> {
    #[serde(flatten)]
    job: JobShape<'a>,
    version: u64,
    publish: Publish,
    resume: ResumePolicy,
    attempt: Option<&'a Attempt>,
    earlier: &'a [Attempt],
    intent: Option<&'a Intent>,
    told: Option<&'a PartnerName>,
    partner_job: Option<PartnerJobShape<'a>>,
    receives: Option<&'a Origin>,
    checkpoint: Option<&'a Checkpoint>,
    pre_exit: Option<ExitShape<'a>>,
    post_exit: Option<ExitShape<'a>>,
}

/// A program of the user's.
#[derive(Debug, Serialize)]
struct ExitShape<'a> {
    command: &'a [String],
    starts: u32,
    end: Option<&'a ExitEnd>,
}

impl<'a> ExitShape<'a> {
    fn of(job: &'a Job, when: When) -> Option<Self> {
        let state = when.state(&job.state);
        let command = &when.exit(&job.spec)?.command;
        Some(Self { command, starts: state.starts, end: state.end.as_ref() })
    }
}

impl<'a> From<&'a JobView> for DetailShape<'a> {
    fn from(view: &'a JobView) -> Self {
        let job = &view.job;
        Self {
            job: view.into(),
            version: job.version,
            publish: job.spec.publish,
            resume: job.spec.resume,
            attempt: job.state.attempt.as_ref(),
            earlier: &job.state.earlier,
            intent: job.state.intent.as_ref(),
            told: job.spec.told.as_ref(),
            partner_job: job.state.peer.as_ref().map(PartnerJobShape::from),
            receives: job.spec.origin.as_ref(),
            checkpoint: job.checkpoint.as_ref(),
            pre_exit: ExitShape::of(job, When::Pre),
            post_exit: ExitShape::of(job, When::Post),
        }
    }
}

/// How the partner's own job stood when it was last heard of.
#[derive(Debug, Serialize)]
struct PartnerJobShape<'a> {
    id: &'a JobId,
    status: StatusShape,
    open: Option<&'a str>,
}

impl<'a> From<&'a Standing> for PartnerJobShape<'a> {
    fn from(Standing { job, status, open }: &'a Standing) -> Self {
        Self { id: job, status: (*status).into(), open: open.as_deref() }
    }
}

/// An entry of a job's record.
#[derive(Debug, Serialize)]
pub(crate) struct EntryShape<'a> {
    at: Timestamp,
    epoch: Epoch,
    event: Option<ferryway_core::Event>,
    status: StatusShape,
    note: Option<&'a str>,
}

impl<'a> From<&'a Entry> for EntryShape<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self {
            at: entry.at,
            epoch: entry.epoch,
            event: entry.event,
            status: entry.status.into(),
            note: entry.note.as_deref(),
        }
    }
}

/// A failure.
#[derive(Debug, Serialize)]
pub(crate) struct FaultShape<'a> {
    exit: u8,
    kind: &'static str,
    message: &'a str,
    hint: Option<&'a str>,
}

impl<'a> From<&'a Failure> for FaultShape<'a> {
    fn from(failure: &'a Failure) -> Self {
        let (exit, kind) = (failure.exit.code(), failure.exit.word());
        Self { exit, kind, message: &failure.message, hint: failure.hint.as_deref() }
    }
}
