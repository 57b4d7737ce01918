//! `ftprel`: the operator's tool of Ferryway.

mod args;
mod commands;
mod exit;
mod filter;
mod follow;
mod journal;
mod place;
mod progress;
mod render;
mod source;
mod time;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    let json = cli.json;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(commands::run(cli)),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            render::failure(&failure, json);
            failure.exit.into()
        }
    }
}
