//! `ferryway demo`: a transfer whose host is killed in the middle, on this machine, by itself.
//!
//! `script` is what is played, as data. `stage` sets up a temporary folder with the install
//! directories, on which real host processes run, and `partner` the other end; `play` lets hosts
//! die. `evidence` is what was seen, `story` tells it and `picture` draws it.

mod evidence;
mod partner;
mod picture;
mod play;
mod script;
mod stage;
mod story;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use ferryway_core::Epoch;
use jiff::Timestamp;

use crate::laboratory::{Deadline, Failure, Transport, interrupted};
use evidence::Evidence;
use script::{Death, Script};
use stage::Stage;
use story::Story;

/// The time for the demo, whatever happens.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// The options of `ferryway demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Send to an FTP server, or to another host by socket.
    #[arg(long, value_name = "ftp|socket", value_parser = transport, default_value = "ftp")]
    transport: Transport,
    /// Send by socket, and kill the receiving host as well, in the middle of the same file.
    #[arg(long, conflicts_with = "transport")]
    both: bool,
    /// Size of the file in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 256,
          value_parser = clap::value_parser!(u64).range(32..=4096))]
    size: u64,
    /// The file's content is made from this number; another one each time when not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Keep the folder with the installations, the partner's files and the hosts' logs.
    #[arg(long)]
    keep: bool,
    /// Draw what was measured into this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// The moments that only the demo itself knows.
#[derive(Debug, Default)]
struct Moments {
    failovers: Vec<Failover>,
    completed: bool,
    stopped: bool,
    /// Bytes of the file that the partner had, over time.
    samples: Vec<(Instant, u64)>,
}

/// A death that was played, and what the standby did.
#[derive(Debug)]
struct Failover {
    death: Death,
    /// The node that takes over.
    successor: &'static str,
    /// The epoch of its ownership.
    epoch: Epoch,
    killed_at: Instant,
    /// When the standby's host was started, by both clocks.
    started: (Instant, Timestamp),
    /// When it had what the dead one had, after its start: the sender the job, as its journal
    /// says, the receiver its door.
    owned_after: Option<Duration>,
    /// When the standby of the receiving host told the sender that it is back.
    told_after: Option<Duration>,
    /// The byte at which the transfer went on.
    resumed_at: u64,
}

/// Runs the demo and prints its verdict: success when the file arrived identical, was
/// published once, next to nothing was sent again, and nothing was left behind.
pub async fn run(args: DemoArgs) -> ExitCode {
    let mut story = Story::new();
    let seed = args.seed.unwrap_or_else(|| fastrand::u32(..).into());
    let script = Script::of(args.transport, args.both);
    let deadline = Deadline::after(TIME_LIMIT);
    let set_up = Stage::set_up(script, args.size << 20, seed, args.keep, deadline).await;
    let (stage, receiver) = match set_up {
        Ok(set_up) => set_up,
        Err(failure) => {
            story.failed(&[failure.to_string()], "", None);
            return ExitCode::FAILURE;
        }
    };
    story.opening(&stage, receiver.as_ref(), seed);
    let mut moments = Moments::default();
    let played = tokio::select! {
        played = play::play(&stage, receiver, &mut moments, &mut story, deadline) => played,
        () = interrupted() => Err(Failure("interrupted".to_owned())),
    };
    let gathered = Evidence::gather(&stage, &moments).await;
    let mut faults = Vec::new();
    let evidence = gathered.unwrap_or_else(|failure| {
        faults.push(failure.to_string());
        Evidence::default()
    });
    match played {
        Ok(()) => {
            story.verdict(&evidence);
            faults.extend(evidence.faults(&stage, &moments));
        }
        // All else that is missing follows from this.
        Err(failure) => faults = vec![failure.to_string()],
    }
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
    story.failed(&faults, &stage.logs(), Some(&evidence));
    ExitCode::FAILURE
}

fn draw(file: &Path, stage: &Stage, moments: &Moments, evidence: &Evidence) -> Result<(), Failure> {
    let picture = picture::draw(stage, moments, evidence)
        .ok_or_else(|| Failure("too little was measured for a picture".to_owned()))?;
    fs::write(file, picture).map_err(|error| Failure::io("write", file, error))
}

fn transport(word: &str) -> Result<Transport, String> {
    Transport::from_word(word).ok_or_else(|| "write `ftp` or `socket`".to_owned())
}
