//! The Ferryway host.

use std::process::ExitCode;

use clap::Parser;
use ferryway_host::cli::{self, Cli};

#[tokio::main]
async fn main() -> ExitCode {
    cli::main(Cli::parse()).await
}
