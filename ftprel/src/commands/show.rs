//! `ftprel show`.

use jiff::Timestamp;
use serde_json::json;

use super::Context;
use crate::{
    args::ShowArgs,
    exit::{Exit, Result},
    render::{self, DetailShape, EntryShape},
    source::Source,
};

pub(super) async fn run(args: ShowArgs, context: &Context) -> Result<Exit> {
    let source = Source::find(&context.client, &context.place).await?;
    let view = source.job(&args.job).await?;
    let entries = source.entries(&args.job).await?;
    if context.json {
        let job = DetailShape::from(&view);
        let entries: Vec<EntryShape<'_>> = entries.iter().map(EntryShape::from).collect();
        let word = source.word();
        render::print_json(&json!({ "source": word, "job": job, "entries": entries }))?;
    } else {
        render::print(&render::detail(&view, &entries, Timestamp::now()))?;
    }
    Ok(Exit::Ok)
}
