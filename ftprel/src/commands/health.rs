//! `ftprel health`.

use std::time::Duration;

use ferryway_host::control::{
    api::{Health, Probed, Service},
    client::ClientError,
};
use serde_json::json;
use tokio::time::timeout;

use super::Context;
use crate::{
    args::{Depth, HealthArgs},
    exit::{Exit, Failure, Result},
    journal::Journal,
    render, time,
};

pub(super) async fn run(args: HealthArgs, context: &Context) -> Result<Exit> {
    let looked = match args.timeout {
        None => look(args.depth, context).await,
        Some(seconds) => {
            let limit = Duration::from_secs(seconds.into());
            timeout(limit, look(args.depth, context)).await.map_err(|_| silent(seconds))?
        }
    };
    let (health, probed) = match looked {
        Err(error @ ClientError::NotRunning { .. }) => return down(error, context),
        looked => looked?,
    };
    if context.json {
        let mut shown = json!({ "source": "host", "host": health });
        if let Some(probed) = probed {
            shown["journal"] = json!(probed);
        }
        render::print_json(&shown)?;
    } else {
        render::print(&text(&health, probed))?;
    }
    Ok(Exit::Ok)
}

async fn look(depth: Depth, context: &Context) -> Result<(Health, Option<Probed>), ClientError> {
    let probed = match depth {
        Depth::Host => None,
        Depth::Journal => Some(context.client.probe().await?),
    };
    Ok((context.client.health().await?, probed))
}

fn silent(seconds: u32) -> Failure {
    let message = format!("the host did not answer within {seconds} s");
    Failure::new(Exit::Timeout, message).hint(
        "it may be frozen, or wait for a disk: look at the process and the system's log before \
         it is ended",
    )
}

fn text(health: &Health, probed: Option<Probed>) -> String {
    let recovered = if health.recovered { "yes" } else { "not yet: jobs are being taken over" };
    let service = |service: &Service| {
        let runs = health.services.contains(service);
        format!("{service} {}", if runs { "running" } else { "stopped" })
    };
    let services = Service::EACH.iter().map(service).collect::<Vec<_>>().join(", ");
    let journal = probed.map(|probed| {
        let took = Duration::from_micros(probed.took_us);
        format!("Journal    written and read within {took:.1?}\n")
    });
    format!(
        "Instance   {}\nNode       {}\nEpoch      {}\nProcess    {}\nStarted    {}\n\
         Recovered  {recovered}\nIn flight  {} jobs, {} moving\n\
         Services   {services}\n{}",
        health.instance,
        render::clean(&health.node),
        health.epoch,
        health.pid,
        time::local_with_zone(health.started_at),
        health.in_flight,
        health.moving,
        journal.unwrap_or_default(),
    )
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
