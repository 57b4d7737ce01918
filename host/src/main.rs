//! The Ferryway host.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use ferryway_host::cli::{self, Cli};
use tokio::runtime::Runtime;

/// How long work on files may go on after the end. A host that ends because the shared disk
/// hangs has threads that hang there, too, and must end all the same.
const LAST_WORK: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match Runtime::new() {
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
