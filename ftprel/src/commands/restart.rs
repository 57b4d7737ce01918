//! `ftprel restart`.

use ferryway_host::control::api::Command;

use super::{Context, order};
use crate::{
    args::RestartArgs,
    exit::{Exit, Result},
};

pub(super) async fn run(args: RestartArgs, context: &Context) -> Result<Exit> {
    order::run(&args.jobs.jobs, Command::Restart { force: args.force }, context).await
}
