//! `ftprel watch`.

use super::Context;
use crate::{
    args::WatchArgs,
    exit::{Exit, Result},
    follow::{Which, follow},
    progress::Show,
    render,
};

pub(super) async fn run(args: WatchArgs, context: &Context) -> Result<Exit> {
    let which = if args.jobs.is_empty() { Which::All } else { Which::Named(args.jobs) };
    let mut show = Show::as_output(context.json);
    let followed = follow(&context.client, which, None, &mut show).await?;
    drop(show);
    if followed.views.is_empty() && !context.json {
        render::note("no job is in flight");
    }
    followed.finish()
}
