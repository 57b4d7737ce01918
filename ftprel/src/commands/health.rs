//! `ftprel health`.

use ferryway_host::control::client::ClientError;
use serde_json::json;

use super::Context;
use crate::{
    exit::{Exit, Failure, Result},
    journal::Journal,
    render, time,
};

pub(super) async fn run(context: &Context) -> Result<Exit> {
    let health = match context.client.health().await {
        Err(error @ ClientError::NotRunning { .. }) => return down(error, context),
        health => health?,
    };
    if context.json {
        render::print_json(&json!({ "source": "host", "host": health }))?;
        return Ok(Exit::Ok);
    }
    let recovered = if health.recovered { "yes" } else { "not yet: jobs are being taken over" };
    render::print(&format!(
        "Instance   {}\nNode       {}\nEpoch      {}\nProcess    {}\nStarted    {}\n\
         Recovered  {recovered}\nIn flight  {} jobs, {} moving\n",
        health.instance,
        render::clean(&health.node),
        health.epoch,
        health.pid,
        time::local_with_zone(health.started_at),
        health.in_flight,
        health.moving,
    ))?;
    Ok(Exit::Ok)
}

/// No host runs here; the journal knows who owns the instance, and may say so.
fn down(error: ClientError, context: &Context) -> Result<Exit> {
    let journal = context.place.install.as_ref().and_then(|install| Journal::open(install).ok());
    let Some(owner) = journal.as_ref().map(Journal::owner) else { return Err(error.into()) };
    if context.json {
        let (epoch, node, since) = (owner.epoch, &owner.node, owner.since);
        let owner = json!({ "epoch": epoch, "node": node, "since": since });
        render::print_json(&json!({ "source": "journal", "host": null, "owner": owner }))?;
    } else {
        let (node, since) = (render::clean(&owner.node), time::local_with_zone(owner.since));
        render::print(&format!("Last owner  {node}, epoch {}, since {since}\n", owner.epoch))?;
    }
    Err(Failure::from(error))
}
