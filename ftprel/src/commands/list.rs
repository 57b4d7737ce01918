//! `ftprel list`.

use ferryway_host::{control::api::JobView, journal::record::HistoryQuery};
use jiff::Timestamp;
use serde_json::json;

use super::Context;
use crate::{
    args::ListArgs,
    exit::{Exit, Result},
    render::{self, JobShape},
    source::Source,
};

/// How many finished jobs `--all` adds.
const RECENT: usize = 100;

pub(super) async fn run(args: ListArgs, context: &Context) -> Result<Exit> {
    let source = Source::find(&context.client, &context.place).await?;
    let mut views = Vec::new();
    if args.all {
        let definition = args.definition.clone();
        let query = HistoryQuery { definition, limit: RECENT, ..HistoryQuery::default() };
        views = source.history(query).await?;
        views.reverse();
    }
    views.extend(source.in_flight().await?);
    views.retain(|view| wanted(view, &args));
    if context.json {
        let jobs: Vec<JobShape<'_>> = views.iter().map(JobShape::from).collect();
        render::print_json(&json!({ "source": source.word(), "jobs": jobs }))?;
    } else if views.is_empty() {
        render::note("no such job in flight; `ftprel history` lists those that ended");
    } else {
        let table = render::in_flight(&views, Timestamp::now());
        render::print(&table.render(render::width()))?;
    }
    Ok(Exit::Ok)
}

fn wanted(view: &JobView, args: &ListArgs) -> bool {
    args.definition.as_ref().is_none_or(|id| *id == view.job.spec.definition)
        && args.status.as_ref().is_none_or(|status| status.fits(view.job.status))
}
