//! `ferryway windows`: the services of an instance, as Windows knows them.

use std::{
    env, io,
    path::{self, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use ferryway_core::InstanceName;

use super::print;
use crate::{
    control::api::Service,
    log::{self, LogFormat, SetUpError},
    platform::machine,
    scm::{self, Registration},
};

/// The arguments of `ferryway windows`.
#[derive(Debug, Parser)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

const EXIT_CODES: &str = "\
The services of instance NAME are `ferryway-NAME-socket` and `ferryway-NAME-transfer`; the second
needs the first. Windows starts neither by itself: that is the cluster's part.

Exit codes:
  0  done, or a service that stopped as told
  2  the command line is wrong
  5  Windows refused";

#[derive(Debug, Subcommand)]
enum Action {
    /// Registers both services on this machine, or changes them. The disk need not be there.
    Install {
        #[command(flatten)]
        instance: Instance,
        /// The user that runs them, such as `NT AUTHORITY\\LocalService` or a managed service
        /// account; the system itself when not given. `sc config` sets one with a password.
        #[arg(long)]
        account: Option<String>,
    },
    /// Takes both services off this machine. They must be stopped.
    Remove {
        /// The instance's name.
        #[arg(long)]
        name: InstanceName,
    },
    /// What Windows runs: a service, until it is stopped.
    #[command(hide = true)]
    Run {
        #[arg(value_parser = service)]
        service: Service,
        #[command(flatten)]
        instance: Instance,
    },
}

#[derive(clap::Args, Debug)]
struct Instance {
    /// The instance's name, as in its `ferryway.toml`.
    #[arg(long)]
    name: InstanceName,
    /// The install directory.
    dir: PathBuf,
}

const FAILED: u8 = 5;

impl Args {
    /// A service has no standard error output: its events go to a file on this machine, which is
    /// there when the shared disk is not.
    ///
    /// # Errors
    /// As [`log::set_up`].
    pub(super) fn set_up_log(&self, format: LogFormat) -> Result<(), SetUpError> {
        let Action::Run { service, instance } = &self.action else { return log::set_up(format) };
        let folder = machine::data_folder(|name| env::var_os(name)).join("log");
        if let Err(error) = std::fs::create_dir_all(&folder) {
            eprintln!("ferryway: no log in {}: {error}", folder.display());
        }
        log::set_up_file(format, &folder, &format!("{}-{service}.log", instance.name))
    }
}

/// Carries the order out and tells the process's exit code.
pub(super) async fn run(args: Args) -> ExitCode {
    let done = match args.action {
        Action::Install { instance, account } => install(&instance, account),
        Action::Remove { name } => {
            scm::remove(&name).map(|()| format!("{} are gone\n", scm::names(&name).join(" and ")))
        }
        Action::Run { service, instance } => {
            return match scm::run(service, &instance.name, instance.dir).await {
                Ok(code) => ExitCode::from(code),
                Err(error) => failed(&error),
            };
        }
    };
    match done {
        Ok(text) => print(&text),
        Err(error) => failed(&error),
    }
}

fn install(instance: &Instance, account: Option<String>) -> io::Result<String> {
    let program = env::current_exe()?;
    let install = path::absolute(&instance.dir)?;
    scm::install(&Registration { name: &instance.name, program, install, account })?;
    let [socket, transfer] = scm::names(&instance.name);
    Ok(format!(
        "{socket} and {transfer} are registered\n  start  net start {socket}\n         \
         net start {transfer}\n  stop   net stop {transfer}\n         net stop {socket}\n"
    ))
}

fn failed(error: &io::Error) -> ExitCode {
    eprintln!("ferryway: {error}");
    ExitCode::from(FAILED)
}

fn service(word: &str) -> Result<Service, String> {
    Service::from_word(word).ok_or_else(|| "write `socket` or `transfer`".to_owned())
}
