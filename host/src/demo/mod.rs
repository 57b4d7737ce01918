//! `ferryway demo`: a transfer whose host is killed in the middle, on this machine, by itself.
//!
//! `stage` sets up a partner and an install directory in a temporary folder, on which real host
//! processes run; `evidence` is what the partner's server saw, `story` tells it and `picture`
//! draws it.

mod evidence;
mod picture;
mod stage;
mod story;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use ferryway_core::{DefinitionId, JobId, Status};
use jiff::Timestamp;
use tokio::time::sleep;

use crate::{
    control::api::{JobView, SubmitRequest},
    laboratory::{Deadline, Failure, POLL, hosts::HostProcess, interrupted},
};
use evidence::Evidence;
use stage::Stage;
use story::{Bar, Story};

/// What is across when the host is killed, in percent.
const KILL_AT_PERCENT: u64 = 40;

/// The time for the demo, whatever happens.
const TIME_LIMIT: Duration = Duration::from_secs(120);

const STOP_LIMIT: Duration = Duration::from_secs(25);

/// The options of `ferryway demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Size of the file in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 256,
          value_parser = clap::value_parser!(u64).range(32..=4096))]
    size: u64,
    /// The file's content is made from this number; another one each time when not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Keep the folder with the installation, the partner's files and the hosts' logs.
    #[arg(long)]
    keep: bool,
    /// Draw what was measured into this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// The moments that only the demo itself knows.
#[derive(Debug, Default)]
struct Moments {
    killed_at: Option<Instant>,
    /// When the second host was started, by both clocks.
    beta_started: Option<(Instant, Timestamp)>,
    /// When the journal says that the second host took the job up, after its start.
    owned_after: Option<Duration>,
    completed: bool,
    stopped: bool,
    /// Bytes of the file that the partner had, over time.
    samples: Vec<(Instant, u64)>,
}

/// Runs the demo and prints its verdict: success when the file arrived identical, was
/// published once, next to nothing was sent again, and nothing was left behind.
pub async fn run(args: DemoArgs) -> ExitCode {
    let story = Story::new();
    let seed = args.seed.unwrap_or_else(|| fastrand::u32(..).into());
    let stage = match Stage::set_up(args.size << 20, seed, args.keep).await {
        Ok(stage) => stage,
        Err(failure) => {
            story.failed(&[failure.to_string()], "", None);
            return ExitCode::FAILURE;
        }
    };
    story.opening(&stage, seed);
    let mut moments = Moments::default();
    let played = tokio::select! {
        played = play(&stage, &mut moments, &story) => played,
        () = interrupted() => Err(Failure("interrupted".to_owned())),
    };
    let evidence = Evidence::gather(&stage, &moments).await;
    let mut faults = match played {
        Ok(()) => {
            story.verdict(&evidence);
            evidence.faults(&stage, &moments)
        }
        // All else that is missing follows from this.
        Err(failure) => vec![failure.to_string()],
    };
    if let (Some(file), true) = (&args.svg, faults.is_empty()) {
        match draw(file, &stage, &moments, &evidence) {
            Ok(()) => story.drawn(file),
            Err(failure) => faults.push(failure.to_string()),
        }
    }
    if args.keep {
        story.kept(stage.folder());
    }
    if faults.is_empty() {
        story.ok(&evidence);
        return ExitCode::SUCCESS;
    }
    story.failed(&faults, &stage.logs(&["alpha", "beta"]), Some(&evidence));
    ExitCode::FAILURE
}

/// Kills one host in the middle of the job and lets another one finish it.
async fn play(stage: &Stage, moments: &mut Moments, story: &Story) -> Result<(), Failure> {
    let deadline = Deadline::after(TIME_LIMIT);
    let mut alpha = stage.start_host("alpha")?;
    let health = alpha.ready(deadline).await?;
    let job = submit(&alpha).await?;
    story.accepted(stage, &health, &job);
    let mut bar = Bar::new(alpha.node, stage.size);
    follow(stage, &mut alpha, &job, moments, deadline, |view| {
        let Some(progress) = view.progress else { return false };
        bar.show(progress.done);
        progress.done * 100 >= progress.total * KILL_AT_PERCENT && progress.total > 0
    })
    .await?;
    if moments.completed {
        return Err(Failure("the job was done before its host could be killed".to_owned()));
    }
    moments.killed_at = Some(alpha.kill().await?);
    bar.leave();
    story.killed(stage, alpha.pid, evidence::arrived(stage));

    moments.beta_started = Some((Instant::now(), Timestamp::now()));
    let mut beta = stage.start_host("beta")?;
    let health = beta.ready(deadline).await?;
    follow(stage, &mut beta, &job, moments, deadline, |view| {
        view.progress.is_some_and(|progress| progress.done > progress.resumed_at)
    })
    .await?;
    moments.owned_after = owned_after(&beta, &job, moments).await;
    story.taken_over(&health, &Evidence::of_server(stage, moments), moments);
    let mut bar = Bar::new(beta.node, stage.size);
    follow(stage, &mut beta, &job, moments, deadline, |view| {
        if let Some(progress) = view.progress {
            bar.show(progress.done);
        }
        false
    })
    .await?;
    bar.show(stage.size);
    bar.leave();
    beta.stop(STOP_LIMIT).await?;
    moments.stopped = true;
    Ok(())
}

async fn submit(host: &HostProcess) -> Result<JobId, Failure> {
    let refused = |error: &dyn std::fmt::Display| Failure(format!("no job was accepted: {error}"));
    let definition: DefinitionId = stage::DEFINITION.parse().map_err(|error| refused(&error))?;
    let request = SubmitRequest { definition, local: None, remote: None, key: None };
    let jobs = host.client.submit(&[request]).await.map_err(|error| refused(&error))?;
    let job = jobs.into_iter().next().ok_or_else(|| refused(&"the answer is empty"))?;
    Ok(job.id)
}

/// Looks at the job until `enough` says so or it is delivered.
async fn follow(
    stage: &Stage,
    host: &mut HostProcess,
    job: &JobId,
    moments: &mut Moments,
    deadline: Deadline,
    mut enough: impl FnMut(&JobView) -> bool,
) -> Result<(), Failure> {
    loop {
        host.check()?;
        let view = host.client.job(job).await.map_err(|error| Failure(error.to_string()))?;
        moments.samples.push((Instant::now(), evidence::arrived(stage)));
        match view.job.status {
            Status::Idle(ferryway_core::Outcome::Completed) => {
                moments.completed = true;
                return Ok(());
            }
            Status::Idle(_) | Status::Suspended => {
                let reason = view.job.state.last_error.unwrap_or_default();
                return Err(Failure(format!(
                    "job {job} is {}: {reason}",
                    view.job.status.meaning()
                )));
            }
            _ if enough(&view) => return Ok(()),
            _ => {}
        }
        deadline.check(&format!("job {job} on node {}", host.node))?;
        sleep(POLL).await;
    }
}

/// When the second host had the job, by the journal's own clock.
async fn owned_after(beta: &HostProcess, job: &JobId, moments: &Moments) -> Option<Duration> {
    let (_, started) = moments.beta_started?;
    let entries = beta.client.entries(job).await.ok()?;
    let taken = entries.iter().find(|entry| entry.event == Some(ferryway_core::Event::TakeOver))?;
    taken.at.duration_since(started).try_into().ok()
}

fn draw(file: &Path, stage: &Stage, moments: &Moments, evidence: &Evidence) -> Result<(), Failure> {
    let picture = picture::draw(stage.size, moments, evidence)
        .ok_or_else(|| Failure("too little was measured for a picture".to_owned()))?;
    fs::write(file, picture).map_err(|error| Failure::io("write", file, error))
}
