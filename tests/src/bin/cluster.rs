//! The cluster laboratory: brings a real cluster up, runs the campaign of faults against it, and
//! takes it down. `tests/cluster/run` is how it is started.

use std::{io, path::PathBuf, process::ExitCode, time::Instant};

use clap::Parser;
use ferryway_tests::cluster::{Campaign, Fault, Lab, Manager, Row, logs};
use tokio::signal::unix::{SignalKind, signal};

/// Faults against a real cluster.
#[derive(Debug, Parser)]
struct Arguments {
    /// An empty folder for the laboratory.
    #[arg(long)]
    folder: PathBuf,
    /// What decides which machine serves: pacemaker or keepalived.
    #[arg(long, default_value_t)]
    manager: Manager,
    /// The most telling faults only.
    #[arg(long)]
    quick: bool,
    /// This fault only; may be given again.
    #[arg(long, value_name = "FAULT")]
    only: Vec<Fault>,
    /// How often the faults are run through.
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// Leave the cluster up until Ctrl-C; without --only or --quick, without any fault.
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Everything that was started ends with this process, however it ends.
    if let Err(error) = end_when_told() {
        eprintln!("no signals here: {error}");
        return ExitCode::FAILURE;
    }
    if let Err(reason) = Lab::is_available() {
        reason.skip();
        return ExitCode::SUCCESS;
    }
    let started = Instant::now();
    let lab = match Lab::up(arguments.manager, &arguments.folder) {
        Ok(lab) => lab,
        Err(error) => {
            eprintln!("the cluster does not come up: {error}");
            eprint!("{}", logs(&arguments.folder));
            return ExitCode::FAILURE;
        }
    };
    println!("the cluster is up after {:.1} s", started.elapsed().as_secs_f64());
    let good = arguments.faults().is_empty() || run(&lab, &arguments);
    if arguments.keep {
        println!("it stays up until Ctrl-C; tests/cluster/README.md says what to do with it");
        loop {
            std::thread::park();
        }
    }
    drop(lab);
    println!("all of it took {:.0} s", started.elapsed().as_secs_f64());
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Arguments {
    fn faults(&self) -> Vec<Fault> {
        match (self.only.is_empty(), self.quick, self.keep) {
            (false, ..) => self.only.clone(),
            (true, true, _) => self.suitable(&Fault::QUICK),
            (true, false, true) => Vec::new(),
            (true, false, false) => self.suitable(&Fault::ALL),
        }
    }

    fn suitable(&self, faults: &[Fault]) -> Vec<Fault> {
        faults.iter().copied().filter(|fault| fault.suits(self.manager)).collect()
    }
}

/// Runs the campaign and prints its table; whether all went well.
fn run(lab: &Lab, arguments: &Arguments) -> bool {
    let mut campaign = Campaign::new(lab);
    let mut good = true;
    println!("{}", Row::HEAD);
    for fault in (0..arguments.rounds).flat_map(|_| arguments.faults()) {
        match campaign.strike(fault) {
            Ok(row) => {
                println!("{}", row.line());
                if !row.is_good() {
                    good = false;
                    eprint!("{}", lab.report());
                }
            }
            Err(error) => {
                println!("{fault}: {error}");
                eprint!("{}", lab.report());
                return false;
            }
        }
    }
    let all = arguments.suitable(&Fault::ALL).into_iter();
    let left_out = all.filter(|fault| !arguments.faults().contains(fault));
    let left_out: Vec<_> = left_out.map(Fault::name).collect();
    if !left_out.is_empty() {
        println!("not done: {}", left_out.join(", "));
    }
    good
}

fn end_when_told() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let (mut interrupt, mut terminate, mut hangup) = {
        let _inside = runtime.enter();
        (signal(kinds[0])?, signal(kinds[1])?, signal(kinds[2])?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        });
        std::process::exit(130);
    });
    Ok(())
}
