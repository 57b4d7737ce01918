//! `ftprel cancel`.

use ferryway_host::control::api::Command;

use super::{Context, order};
use crate::{
    args::JobsArgs,
    exit::{Exit, Result},
};

pub(super) async fn run(args: JobsArgs, context: &Context) -> Result<Exit> {
    order::run(&args.jobs, Command::Cancel, context).await
}
