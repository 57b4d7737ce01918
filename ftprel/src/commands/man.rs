//! `ftprel man`.

use clap::CommandFactory;

use crate::{
    args::{Cli, ManArgs},
    exit::{Exit, Failure, Result},
};

pub(super) fn run(args: &ManArgs) -> Result<Exit> {
    clap_mangen::generate_to(Cli::command(), &args.folder).map_err(|error| {
        let folder = args.folder.display();
        Failure::new(Exit::Failed, format!("cannot write the manual pages to {folder}: {error}"))
            .hint("name a folder that exists and that you may write to")
    })?;
    Ok(Exit::Ok)
}
