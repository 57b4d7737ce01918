//! `ftprel reload`.

use super::Context;
use crate::{
    exit::{Exit, Result},
    render,
};

pub(super) async fn run(context: &Context) -> Result<Exit> {
    let reloaded = context.client.reload().await?;
    if context.json {
        render::print_json(&reloaded)?;
    } else {
        render::print(&format!("{}\n", render::clean(&reloaded.message)))?;
    }
    Ok(Exit::Ok)
}
