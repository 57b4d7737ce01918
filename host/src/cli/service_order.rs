//! `ferryway service`: an order to a running host, by its control API.

use std::{path::Path, process::ExitCode};

use clap::{Parser, ValueEnum};

use super::{Install, print};
use crate::{
    config::{Environment, InstallDir},
    control::{
        api::{Reason, Service, ServiceOrder},
        client::{Client, ClientError},
    },
};

/// The arguments of `ferryway service`.
#[derive(Debug, Parser)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Args {
    /// What to do.
    action: Action,
    /// The service; jobs move by `transfer`, others come in by `socket`.
    #[arg(value_parser = service)]
    service: Service,
    #[command(flatten)]
    install: Install,
}

const EXIT_CODES: &str = "\
A service that is already so is left so. `transfer` is started after `socket` and stopped before it.

Exit codes:
  0  done, or it was so already; with `status`, the service runs
  1  refused: the other service does not allow it, or it could not be done
  2  the command line is wrong, or the directory is no install directory
  3  no host is running here; with `status`, also: the service is stopped
  5  the host cannot be asked";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Action {
    Start,
    Stop,
    Status,
}

const REFUSED: u8 = 1;
const USAGE: u8 = 2;
const STOPPED: u8 = 3;
const FAILED: u8 = 5;

/// Carries the order out and tells the process's exit code.
pub(super) async fn run(args: Args) -> ExitCode {
    match carry_out(&args).await {
        Ok((text, code)) => {
            let printed = print(&format!("{text}\n"));
            if printed == ExitCode::SUCCESS { ExitCode::from(code) } else { printed }
        }
        Err((text, code)) => {
            eprintln!("ferryway: {text}");
            ExitCode::from(code)
        }
    }
}

async fn carry_out(args: &Args) -> Result<(String, u8), (String, u8)> {
    let Args { action, service, install } = args;
    let client = client(&install.dir)?;
    let order = match action {
        Action::Start => ServiceOrder::Start,
        Action::Stop => ServiceOrder::Stop,
        Action::Status => {
            let health = client.health().await.map_err(failed)?;
            return Ok(match health.services.contains(service) {
                true => (format!("{service} is running"), 0),
                false => (format!("{service} is stopped"), STOPPED),
            });
        }
    };
    let state = client.service(*service, order).await.map_err(failed)?;
    let (word, now) = (if state.changed { "now" } else { "already" }, state.running);
    Ok((format!("{service} is {word} {}", if now { "running" } else { "stopped" }), 0))
}

fn client(dir: &Path) -> Result<Client, (String, u8)> {
    let usage = |text: String| (text, USAGE);
    let install = InstallDir::new(dir).map_err(|error| usage(error.to_string()))?;
    let run_dir = install.run_dir(&Environment::of_process()).map_err(usage)?;
    Ok(Client::new(&run_dir))
}

fn failed(error: ClientError) -> (String, u8) {
    let code = match &error {
        ClientError::NotRunning { .. } => STOPPED,
        ClientError::Refused(refusal) => match refusal.reason {
            Reason::Conflict | Reason::Unavailable => REFUSED,
            Reason::Invalid | Reason::NotFound => USAGE,
        },
        _ => FAILED,
    };
    let hint = match &error {
        ClientError::NotRunning { .. } => "; `ferryway run --services socket` starts one",
        _ => "",
    };
    (format!("{error}{hint}"), code)
}

fn service(word: &str) -> Result<Service, String> {
    let names = Service::WORDS.join("` or `");
    Service::from_word(word).ok_or_else(|| format!("write `{names}`"))
}
