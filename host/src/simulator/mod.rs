//! `ferryway simulate`: the table of failovers, played with real hosts.
//!
//! | module | what it is |
//! |---|---|
//! | `rows` | the table as data: settings, deaths, outcomes |
//! | `plan`, `moment` | what one run is to be, from its seed, and where on the wire it fails over |
//! | `client`, `server` | how a run goes: the cluster sends, the cluster serves |
//! | `ftp`, `socket` | who is at the other end: FTP servers, hosts of this program |
//! | `stage`, `settings`, `disks`, `deaths`, `held` | the world: folders, install directories, disks, nodes that die |
//! | `exits` | the user's programs, and the operator who is asked about them |
//! | `evidence`, `oracle` | what a run shows, and the one judge of it |
//! | `traffic`, `trace`, `table`, `picture` | how it is told |

mod client;
mod deaths;
mod disks;
mod evidence;
mod exits;
mod ftp;
mod held;
mod moment;
mod oracle;
mod picture;
mod plan;
mod rows;
mod server;
mod settings;
mod socket;
mod stage;
mod table;
mod trace;
mod traffic;

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use ferryway_core::Publish;
use indicatif::ProgressBar;
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

use crate::laboratory::{Failure, Transport, interrupted};
use evidence::Evidence;
use ftp::{FtpCluster, FtpPartner};
use oracle::Verdict;
use plan::{Cell, Plan};
use rows::{Outcome, RowId};
use socket::{HostCluster, HostPartner};
use stage::Stage;
use trace::Trace;

/// Runs of each cell: more than it takes to show all that the note lists, and few enough for every
/// change.
const DEFAULT_RUNS: u64 = 12;

/// The time for one run, whatever happens.
const RUN_LIMIT: Duration = Duration::from_secs(150);

/// The options of `ferryway simulate`.
#[derive(Args, Clone, Debug)]
pub struct SimulateArgs {
    /// Only this row, such as C4a; may be given again. All rows when not given.
    #[arg(long, value_name = "ROW", value_parser = row_id)]
    row: Vec<RowId>,
    /// To FTP servers, to hosts by socket, or both.
    #[arg(long, value_name = "ftp|socket|all", value_parser = transports, default_value = "all")]
    transport: Transports,
    /// Only this policy; both when not given.
    #[arg(long, value_name = "atomic|direct", value_parser = policy)]
    policy: Option<Publish>,
    /// The seed of the first run of each row, transport and policy; the next ones follow.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs of each row, transport and policy.
    #[arg(long, default_value_t = DEFAULT_RUNS, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Runs side by side.
    #[arg(long, value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u16).range(1..=64))]
    side_by_side: u16,
    /// Write JSON.
    #[arg(long)]
    json: bool,
    /// Tell the whole story of each run.
    #[arg(long)]
    trace: bool,
    /// Draw a timeline of each row into this folder.
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
    /// Expect this outcome of every run in place of the table's, to see a run fail.
    #[arg(long, hide = true, value_parser = outcome)]
    expect: Option<Outcome>,
}

/// The transports that are played.
#[derive(Clone, Copy, Debug)]
struct Transports(&'static [Transport]);

/// A run that was played.
#[derive(Debug)]
struct Run {
    plan: Plan,
    verdict: Verdict,
    evidence: Evidence,
    lines: Vec<trace::Line>,
    uploads: Vec<trace::Bar>,
    /// The ends of the hosts' logs; empty for a run as it should be.
    last_words: String,
}

/// Plays the rows and prints the table: success when every run ended in an expected way, and
/// enough runs of a row have shown all that the note lists for it.
pub async fn run(args: SimulateArgs) -> ExitCode {
    let plans = plans(&args);
    let runs = tokio::select! {
        runs = play_all(plans, &args) => runs,
        () = interrupted() => {
            eprintln!("ferryway: interrupted");
            return ExitCode::FAILURE;
        }
    };
    if args.trace && !args.json {
        for run in &runs {
            say(&format!("{}\n{}", table::heading(run), trace::tell(&run.lines)));
        }
    }
    let summary = table::Summary::of(&runs, args.expect);
    let drawn = match &args.svg {
        Some(folder) => picture::draw_all(folder, &runs),
        None => Ok(()),
    };
    match args.json {
        true => say(&summary.json(&runs)),
        false => say(&summary.text(&runs)),
    }
    if let Err(failure) = drawn {
        eprintln!("ferryway: {failure}");
        return ExitCode::FAILURE;
    }
    if summary.is_as_expected() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn plans(args: &SimulateArgs) -> Vec<Plan> {
    let rows = if args.row.is_empty() { RowId::EACH } else { &args.row };
    let policies = args.policy.map_or(vec![Publish::Direct, Publish::Atomic], |one| vec![one]);
    let mut plans = Vec::new();
    for &row in rows {
        for &transport in args.transport.0 {
            for &policy in &policies {
                let cell = Cell { row, transport, policy };
                let seeds = (0..args.runs).map(|number| args.seed.wrapping_add(number));
                plans.extend(seeds.filter_map(|seed| Plan::draw(cell, seed)));
            }
        }
    }
    plans
}

/// Plays all plans, some side by side, and gives the runs in the order of the plans.
async fn play_all(plans: Vec<Plan>, args: &SimulateArgs) -> Vec<Run> {
    let bar = match io::stderr().is_terminal() {
        true => ProgressBar::new(plans.len() as u64),
        false => ProgressBar::hidden(),
    };
    let room = Arc::new(Semaphore::new(args.side_by_side.into()));
    let mut playing = JoinSet::new();
    for (number, plan) in plans.into_iter().enumerate() {
        let (room, expect) = (Arc::clone(&room), args.expect);
        playing.spawn(async move {
            // The semaphore is never closed.
            let _permit = room.acquire().await;
            (number, play(plan, expect).await)
        });
    }
    let mut runs = Vec::new();
    while let Some(played) = playing.join_next().await {
        bar.inc(1);
        match played {
            Ok(run) => runs.push(run),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    bar.finish_and_clear();
    runs.sort_by_key(|(number, _)| *number);
    runs.into_iter().map(|(_, run)| run).collect()
}

async fn play(plan: Plan, expect: Option<Outcome>) -> Run {
    let expected = match (expect, plan.cell.variant()) {
        (Some(outcome), _) => vec![outcome],
        (None, variant) => {
            variant.map_or(Vec::new(), |variant| variant.expected(plan.cell.policy, plan.death))
        }
    };
    let clusters = clusters(plan.cell);
    let stage = match Stage::new(clusters) {
        Ok(stage) => stage,
        Err(failure) => return Run::failed(plan, &failure, &Trace::new(), String::new()),
    };
    let late = |_| Err(Failure(format!("it was not over after {} s", RUN_LIMIT.as_secs())));
    let played = timeout(RUN_LIMIT, play_on(&plan, &stage)).await.unwrap_or_else(late);
    let last_words = || clusters.concat().iter().map(|node| stage.last_words(node)).collect();
    match played {
        Ok(evidence) => {
            let verdict = oracle::judge(&plan, &evidence, &expected);
            let last_words = if verdict.faults.is_empty() { String::new() } else { last_words() };
            let (lines, uploads) = (stage.trace.lines(), stage.trace.uploads());
            Run { plan, verdict, evidence, lines, uploads, last_words }
        }
        Err(failure) => Run::failed(plan, &failure, &stage.trace, last_words()),
    }
}

/// The clusters on whose nodes hosts run.
fn clusters(cell: Cell) -> &'static [&'static [&'static str]] {
    match (cell.row.cluster_serves(), cell.transport) {
        (false, Transport::Ftp) => &[&client::NODES],
        (false, Transport::Socket) => &[&client::NODES, &[HostPartner::NODE]],
        (true, Transport::Ftp) => &[&[server::CLIENT]],
        (true, Transport::Socket) => &[&[server::CLIENT], &client::NODES],
    }
}

async fn play_on(plan: &Plan, stage: &Stage) -> Result<Evidence, Failure> {
    match (plan.cell.row.cluster_serves(), plan.cell.transport) {
        (false, Transport::Ftp) => {
            client::play(plan, stage, &mut FtpPartner::start(plan, stage).await?).await
        }
        (false, Transport::Socket) => {
            client::play(plan, stage, &mut HostPartner::start(plan, stage).await?).await
        }
        (true, Transport::Ftp) => {
            server::play(plan, stage, &mut FtpCluster::start(plan, stage).await?).await
        }
        (true, Transport::Socket) => {
            server::play(plan, stage, &mut HostCluster::start(plan, stage).await?).await
        }
    }
}

impl Run {
    /// A run that was not played to its end.
    fn failed(plan: Plan, failure: &Failure, trace: &Trace, last_words: String) -> Self {
        let verdict = Verdict { outcome: None, faults: vec![failure.to_string()] };
        let (lines, uploads) = (trace.lines(), trace.uploads());
        Self { plan, verdict, evidence: Evidence::default(), lines, uploads, last_words }
    }
}

fn row_id(word: &str) -> Result<RowId, String> {
    RowId::from_word(word).ok_or_else(|| format!("the rows are {}", RowId::WORDS.join(", ")))
}

fn transports(word: &str) -> Result<Transports, String> {
    match Transport::EACH.iter().position(|transport| transport.as_str() == word) {
        Some(at) => Ok(Transports(&Transport::EACH[at..=at])),
        None if word == "all" => Ok(Transports(Transport::EACH)),
        None => Err("write `ftp`, `socket` or `all`".to_owned()),
    }
}

fn policy(word: &str) -> Result<Publish, String> {
    Publish::from_word(word).ok_or_else(|| "write `atomic` or `direct`".to_owned())
}

fn outcome(word: &str) -> Result<Outcome, String> {
    Outcome::from_word(word).ok_or_else(|| format!("write one of {}", Outcome::WORDS.join(", ")))
}

fn say(text: &str) {
    // A reader that has left, as `head` does, ends nothing: the exit code still tells.
    let _reader_left = writeln!(io::stdout().lock(), "{}", text.trim_end());
}
