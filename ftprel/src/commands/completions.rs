//! `ftprel completions`.

use clap::CommandFactory;

use crate::{
    args::{Cli, CompletionsArgs},
    exit::{Exit, Result},
    render,
};

pub(super) fn run(args: &CompletionsArgs) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ftprel", &mut script);
    render::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
