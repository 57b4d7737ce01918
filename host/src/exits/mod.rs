//! The user's programs before and after a transfer, on both sides.
//!
//! Whoever owns the job puts the start on record ([`When::begin`]), durable and with a look at the
//! ownership, lets the program run ([`Runner::run`]), and puts its end on record ([`When::end`])
//! before anything follows. A start without an end means that nobody knows what the program did:
//! [`after_takeover`] says what becomes of such a job. What a program can rely on is in
//! `docs/exits.md`.

mod environment;
mod output;
mod process;
mod program;

use std::{sync::Arc, time::Duration};

use ferryway_core::{
    Epoch, InstanceName,
    policy::{OnFailure, OnTakeover},
    words,
};

pub use output::{TAIL_BYTES, prune};
pub(crate) use program::{locate, vet};

use crate::{
    config::{InstallDir, LocalRoots},
    journal::record::{Exit, ExitEnd, ExitState, Job, JobSpec, JobState},
    notices::Notices,
};
use output::Output;
use process::How;

words! {
    /// Which of a job's two exits.
    When {
        /// Before the file is looked at.
        Pre = "pre",
        /// After the file is delivered.
        Post = "post",
    }
}

/// How a run of an exit is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It did what it had to.
    Success,
    /// A pre-exit asks to be run again later.
    Again,
    /// It failed, did not end in time, or could not be started.
    Failure,
}

/// A run of an exit that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How it is to be taken.
    pub verdict: Verdict,
    /// What belongs on record.
    pub end: ExitEnd,
}

/// What becomes of a job that stands at its post-exit, which nobody runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onward {
    /// The end is not known: 0215E, and an operator decides.
    Ask,
    /// The end is not known, and the exit runs again.
    Rerun,
    /// The end is not known, and the exit is taken for done.
    Skip,
    /// The end is on record and the job goes on.
    GoOn,
    /// The exit failed, and an operator decides.
    Failed,
}

impl Onward {
    /// Whether an operator decides.
    pub fn waits(self) -> bool {
        matches!(self, Self::Ask | Self::Failed)
    }
}

/// Runs the exits of one host.
#[derive(Debug)]
pub struct Runner {
    install: InstallDir,
    instance: InstanceName,
    roots: LocalRoots,
    epoch: Epoch,
    notices: Arc<Notices>,
}

impl When {
    /// The exit of a job, where it has one.
    pub fn exit(self, spec: &JobSpec) -> Option<&Exit> {
        match self {
            Self::Pre => spec.exits.pre.as_ref(),
            Self::Post => spec.exits.post.as_ref(),
        }
    }

    /// What is known of the exit's runs.
    pub fn state(self, state: &JobState) -> &ExitState {
        match self {
            Self::Pre => &state.pre_exit,
            Self::Post => &state.post_exit,
        }
    }

    /// The exit is about to start. To be durable before [`Runner::run`].
    pub fn begin(self, state: &mut JobState) {
        let exit = self.state_mut(state);
        exit.starts += 1;
        exit.end = None;
    }

    /// The exit has ended. To be durable before anything follows from it.
    pub fn end(self, state: &mut JobState, end: ExitEnd) {
        self.state_mut(state).end = Some(end);
    }

    fn state_mut(self, state: &mut JobState) -> &mut ExitState {
        match self {
            Self::Pre => &mut state.pre_exit,
            Self::Post => &mut state.post_exit,
        }
    }
}

/// What becomes of a job that stands at its post-exit at a takeover, as its record and its
/// configuration say.
pub fn after_takeover(job: &Job) -> Onward {
    // Without an exit nothing is known of what an earlier version started.
    let Some(exit) = When::Post.exit(&job.spec) else { return Onward::Ask };
    match (&When::Post.state(&job.state).end, exit.on_takeover) {
        (Some(end), _) if !end.success && exit.on_failure == OnFailure::Ask => Onward::Failed,
        (Some(_), _) => Onward::GoOn,
        (None, OnTakeover::Ask) => Onward::Ask,
        (None, OnTakeover::Rerun) => Onward::Rerun,
        (None, OnTakeover::Skip) => Onward::Skip,
    }
}

impl Runner {
    /// A runner of the exits of an install directory in one ownership. Relative local paths of
    /// jobs start at `roots`.
    pub fn new(
        install: InstallDir,
        instance: InstanceName,
        roots: LocalRoots,
        epoch: Epoch,
        notices: Arc<Notices>,
    ) -> Self {
        Self { install, instance, roots, epoch, notices }
    }

    /// Runs an exit of the job to its end, or to its time limit, and tells the operator of its
    /// start and its end. The start is on record in `job` and durable; the caller has looked at
    /// the ownership a moment ago. A program that cannot be started counts as one that failed.
    ///
    /// Whoever drops the future ends the program and all that it started in its process group, at
    /// once and by force.
    pub async fn run(&self, job: &Job, when: When, exit: &Exit) -> Ended {
        self.notices.exit_started(job, when);
        let mut output = Output::open(&self.install, job, when).await;
        let how = match program::command(&self.install, exit) {
            Ok(mut command) => {
                command.envs(environment::of(self, job, when));
                let limit = Duration::from_secs(exit.timeout_s);
                process::run(command, limit, &mut output).await
            }
            Err(unusable) => How::NotStarted(unusable.to_string()),
        };
        let verdict = verdict(&how, exit, when);
        let output = output.close(&how).await;
        let end = ExitEnd { success: verdict == Verdict::Success, how: how.to_string(), output };
        match (verdict, &how) {
            (Verdict::Failure, How::TimedOut(limit)) => {
                self.notices.exit_timed_out(job, when, *limit);
            }
            (Verdict::Failure, _) => self.notices.exit_failed(job, when, &end.how),
            _ => self.notices.exit_ended(job, when, &end.how),
        }
        Ended { verdict, end }
    }
}

fn verdict(how: &How, exit: &Exit, when: When) -> Verdict {
    match how {
        How::Code(code) if exit.success.contains(code) => Verdict::Success,
        How::Code(code) if when == When::Pre && exit.retry.contains(code) => Verdict::Again,
        _ => Verdict::Failure,
    }
}

#[cfg(test)]
mod tests;
