//! `ftprel history`.

use ferryway_host::journal::record::HistoryQuery;
use serde_json::json;

use super::Context;
use crate::{
    args::HistoryArgs,
    exit::{Exit, Result},
    render::{self, JobShape},
    source::Source,
};

pub(super) async fn run(args: HistoryArgs, context: &Context) -> Result<Exit> {
    let source = Source::find(&context.client, &context.place).await?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let HistoryArgs { definition, since, until, before, .. } = args;
    let query = HistoryQuery { definition, since, until, limit, before_sequence: before };
    let views = source.history(query).await?;
    let full = views.len() == limit;
    let next_before = views.last().filter(|_| full).map(|view| view.job.sequence);
    if context.json {
        let jobs: Vec<JobShape<'_>> = views.iter().map(JobShape::from).collect();
        let word = source.word();
        render::print_json(&json!({ "source": word, "jobs": jobs, "next_before": next_before }))?;
        return Ok(Exit::Ok);
    }
    if views.is_empty() {
        render::note("no such job has ended");
    } else {
        render::print(&render::ended(&views).render(render::width()))?;
    }
    if let Some(before) = next_before {
        render::note(&format!("for more: --before {before}"));
    }
    Ok(Exit::Ok)
}
