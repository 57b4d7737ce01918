//! The Ferryway host.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use ferryway_core::plugin;
use ferryway_host::cli::{self, Cli};
use tokio::runtime::Builder;

/// How long work on files may go on after the end. A host that ends because the shared disk
/// hangs has threads that hang there, too, and must end all the same.
const LAST_WORK: Duration = Duration::from_secs(1);

/// Threads for work that may block: for each session of partners that the configuration allows at
/// its most, for the steps of visitors' work, for the syncs behind them, and for the journal. They are
/// made when they are needed, and end when they are not.
const WORKERS: usize = 4096;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let built = Builder::new_multi_thread()
        .enable_all()
        .worker_threads(plugin::threads())
        .max_blocking_threads(WORKERS)
        .build();
    let runtime = match built {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("ferryway: no threads to run on: {error}");
            return ExitCode::from(5);
        }
    };
    let code = runtime.block_on(cli::main(cli));
    runtime.shutdown_timeout(LAST_WORK);
    code
}
