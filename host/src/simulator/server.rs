//! A run of the rows in which the cluster serves: two nodes behind a virtual address, and one
//! client, whose own recovery sends again.

use std::{net::Ipv4Addr, path::Path, time::Instant};

use async_trait::async_trait;
use ferryway_core::{Outcome as JobOutcome, Status};

use super::{
    evidence::Evidence,
    held::Held,
    moment::Moment,
    plan::Plan,
    rows::Disk,
    settings::Sending,
    stage::{self, LIMIT, SIZE, Stage},
    traffic::Traffic,
};
use crate::laboratory::{Failure, relay::Relay};

/// The node of the client.
pub(super) const CLIENT: &str = "office";

/// The virtual address.
pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The epoch of the client's host.
const EPOCH: u64 = 1;

/// Retries before the job comes to rest: a failover takes a while.
const RETRIES: u32 = 6;

/// Two nodes and the address that leads to one of them, to alpha first.
#[async_trait]
pub(super) trait Cluster: Send {
    /// The virtual address.
    fn address(&self) -> &Relay;

    /// Has whatever comes to this moment held there.
    ///
    /// # Errors
    /// When there is no such moment with this cluster.
    fn hold(&self, moment: &Moment) -> Result<Held, Failure>;

    /// Moves the service, or what of it moves, from alpha to beta, and lets go on what is held.
    ///
    /// # Errors
    /// When it does not move.
    async fn fail_over(&mut self, plan: &Plan, stage: &Stage, held: &Held) -> Result<(), Failure>;

    /// What passed so far.
    fn traffic(&self) -> Traffic;

    /// The folder that is served where the address leads at the end.
    fn root(&self) -> &Path;

    /// Ends it, and adds what it has noted itself.
    ///
    /// # Errors
    /// When it does not end.
    async fn close(&mut self, stage: &Stage, seen: &mut Evidence) -> Result<(), Failure>;
}

/// Plays the run and gathers what it shows.
///
/// # Errors
/// When it cannot be played to its end.
pub(super) async fn play(
    plan: &Plan,
    stage: &Stage,
    cluster: &mut dyn Cluster,
) -> Result<Evidence, Failure> {
    let settings = Sending {
        transport: plan.cell.transport,
        policy: plan.cell.policy,
        source: Disk::Shared,
        port: cluster.address().addr().port(),
        retries: RETRIES,
        post_exit: plan.exits.sender,
    };
    stage.install_sender(CLIENT, settings)?;
    let source = stage.make_source(CLIENT, Disk::Shared, plan.seed)?;
    let held = match plan.moment.exit() {
        Some(side) => stage.hold_exit(side)?,
        None => cluster.hold(&plan.moment)?,
    };
    let mut host = stage.start_sender(CLIENT, ADDRESS).await?;
    let job = stage::submit(&host).await?;
    stage.trace.event(CLIENT, format!("job {job} is acknowledged"));
    held.reached(LIMIT).await?;
    stage.trace.event("alpha", format!("is held {}", plan.moment));
    let began = Instant::now();
    cluster.fail_over(plan, stage, &held).await?;

    let found = stage::rest(&host, &job).await?;
    stage.trace.event(CLIENT, format!("the job is {}", found.status));
    let mut seen =
        Evidence { acknowledged: vec![job.clone()], took: began.elapsed(), ..Evidence::default() };
    if found.status != Status::Idle(JobOutcome::Completed) {
        seen.refused = Some(found.state.last_error.clone().unwrap_or_default());
    }
    seen.error_seen = stage::met_an_error(&host, &job).await?;
    let record = stage::record(stage, &host).await?;
    seen.jobs = record.jobs;
    seen.exits.extend(record.exits);
    host.stop(LIMIT).await?;
    cluster.close(stage, &mut seen).await?;
    let traffic = cluster.traffic();
    seen.resent = traffic.received().saturating_sub(SIZE);
    seen.look_at(cluster.root(), &[(CLIENT, source)], EPOCH)?;
    stage.trace.add_traffic(&traffic);
    stage.trace.event("beta", format!("the target is {}", seen.target));
    Ok(seen)
}
