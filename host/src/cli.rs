//! The command line of `ferryway`.

mod service_order;
#[cfg(windows)]
mod windows;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use ferryway_core::InstanceName;

use crate::{
    causes,
    config::{
        Config, Fault, InstallDir,
        source_address::{self, SourceAddress},
    },
    install,
    loader::{Loader, plugins_report},
    log::{self, LogFormat},
    partner::source_address::is_ours,
    service::{self, RunOptions, ServiceError},
    services::StartWith,
};

/// Managed file transfer that survives the death of the machine it runs on.
#[derive(Debug, Parser)]
#[command(name = "ferryway", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// How log events are written to standard error.
    #[arg(long, global = true, value_name = "text|json", value_parser = log_format, default_value = "text")]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done, or stopped as told
  1  the configuration has faults, or the demo or the simulation is not ok
  2  the command line is wrong
  3  another host owns the instance now
  4  the journal refused or failed
  5  the system refused something else";

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes an install directory with a commented configuration.
    Init {
        /// The directory, which must be empty or absent.
        dir: PathBuf,
        /// The instance's name: letters, digits, `-` and `_`. Partners see it in paths.
        #[arg(long, default_value = "main")]
        instance: InstanceName,
    },
    /// Checks the configuration and says all that is wrong with it.
    Check(Install),
    /// Runs the host: takes the instance over, moves its jobs, until SIGTERM.
    Run {
        #[command(flatten)]
        install: Install,
        /// This node's name in the journal; the own host name when not given.
        #[arg(long)]
        node: Option<String>,
        /// Replace a host of this node that still runs.
        #[arg(long)]
        takeover: bool,
        /// The services to start: `socket,transfer`, or `socket` alone; `ferryway service start
        /// transfer` lets jobs move then.
        #[arg(long, value_name = "LIST", value_parser = start_with, default_value = "socket,transfer")]
        services: StartWith,
    },
    /// Starts or stops a service of the running host, or tells whether it runs.
    Service(service_order::Args),
    /// Makes the two services of an instance known to Windows, which then starts and stops them.
    #[cfg(windows)]
    Windows(windows::Args),
    /// Lists the plugins that load, and why the others do not.
    Plugins {
        #[command(flatten)]
        install: Install,
        /// Write JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shows a transfer that survives the death of its host, on this machine, by itself.
    #[cfg(all(unix, feature = "laboratory"))]
    Demo(crate::demo::DemoArgs),
    /// Plays the table of failovers with hosts that die, freeze and come back.
    #[cfg(all(unix, feature = "laboratory"))]
    Simulate(crate::simulator::SimulateArgs),
}

#[derive(Args, Debug)]
struct Install {
    /// The install directory.
    #[arg(default_value = ".", env = "FERRYWAY_DIR")]
    dir: PathBuf,
}

/// Runs the command and tells the process's exit code.
pub async fn main(cli: Cli) -> ExitCode {
    let log = match &cli.command {
        #[cfg(windows)]
        Command::Windows(args) => args.set_up_log(cli.log_format),
        _ => log::set_up(cli.log_format),
    };
    if let Err(error) = log {
        eprintln!("ferryway: {error}");
        return ExitCode::from(2);
    }
    match cli.command {
        Command::Init { dir, instance } => init(&dir, &instance),
        Command::Check(install) => check(&install.dir),
        Command::Run { install, node, takeover, services } => {
            let (install, take_over) = (install.dir, takeover);
            let options = RunOptions { install, node, take_over, services };
            finish(service::run(options).await)
        }
        Command::Service(args) => service_order::run(args).await,
        #[cfg(windows)]
        Command::Windows(args) => windows::run(args).await,
        Command::Plugins { install, json } => plugins(&install.dir, json),
        #[cfg(all(unix, feature = "laboratory"))]
        Command::Demo(args) => crate::demo::run(args).await,
        #[cfg(all(unix, feature = "laboratory"))]
        Command::Simulate(args) => crate::simulator::run(args).await,
    }
}

fn start_with(list: &str) -> Result<StartWith, String> {
    StartWith::from_word(list).ok_or_else(|| {
        "write `socket,transfer` or `socket`: `transfer` needs `socket` before it".to_owned()
    })
}

fn log_format(word: &str) -> Result<LogFormat, String> {
    LogFormat::from_word(word).ok_or_else(|| "write `text` or `json`".to_owned())
}

fn init(dir: &Path, instance: &InstanceName) -> ExitCode {
    match install::init(dir, instance) {
        Ok(made) => print(&format!("{}\n", install::next_steps(&made))),
        Err(error) => {
            eprintln!("ferryway: {error}");
            ExitCode::from(1)
        }
    }
}

fn check(dir: &Path) -> ExitCode {
    let checked = Config::load(dir).and_then(|config| {
        let plugins = Loader::of_installation(dir).load();
        let warnings = service::check_transports(&config, &plugins)?;
        match config.lacking.is_empty() {
            true => Ok((config, warnings)),
            false => Err(config.lacking),
        }
    });
    let named = InstallDir::new(dir).map_or(Ok(None), |install| source_address::load(&install));
    match (checked, named) {
        (Ok((config, warnings)), Ok(named)) => {
            let source = named.or_else(|| config.source_address.clone());
            let foreign = source.as_ref().and_then(not_ours);
            print_faults("warning", config.warnings.iter().chain(&warnings).chain(&foreign));
            print(&summary(&config, source.as_ref()))
        }
        (checked, named) => {
            let faults = checked.err().into_iter().chain(named.err()).flatten().collect();
            finish(Err(ServiceError::Config(faults)))
        }
    }
}

/// The warning that nothing would connect here now. On a standby node that is as it should be.
fn not_ours(source: &SourceAddress) -> Option<Fault> {
    let message = format!("the source address {} is not one of this machine's now", source.address);
    let hint = "nothing connects from here before it is; correct it unless this is a standby node";
    let fault = Fault::of_file(&source.file, message).hint(hint);
    (!is_ours(source.address)).then_some(Fault { position: Some(source.position), ..fault })
}

fn plugins(dir: &Path, json: bool) -> ExitCode {
    let report = plugins_report(&Loader::of_installation(dir).load());
    if !json {
        return print(&report.to_string());
    }
    match serde_json::to_string_pretty(&report) {
        Ok(text) => print(&format!("{text}\n")),
        Err(error) => {
            eprintln!("ferryway: {error}");
            ExitCode::from(5)
        }
    }
}

/// What is in force.
fn summary(config: &Config, source: Option<&SourceAddress>) -> String {
    let partners: Vec<_> = config.partners.keys().map(ToString::to_string).collect();
    let definitions: Vec<_> = config.definitions.keys().map(ToString::to_string).collect();
    format!(
        "{}: ok\n  instance     {}\n  source       {}\n  partners     {}\n  definitions  {}\n",
        config.install.config_file().display(),
        config.instance,
        source.map_or_else(|| "as the system chooses".to_owned(), ToString::to_string),
        partners.join(" "),
        definitions.join(" ")
    )
}

/// Writes to the standard output. A reader that has seen enough is no failure.
fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("ferryway: cannot write: {error}");
            ExitCode::from(5)
        }
        _ => ExitCode::SUCCESS,
    }
}

fn finish(result: Result<(), ServiceError>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    if let ServiceError::Config(faults) = &error {
        print_faults("error", faults);
    }
    eprintln!("ferryway: {}", causes::chain(&error));
    ExitCode::from(error.exit_code())
}

fn print_faults<'a>(severity: &str, faults: impl IntoIterator<Item = &'a Fault>) {
    for fault in faults {
        eprintln!("{severity}: {fault}");
    }
}
