//! A run of the rows in which the cluster sends: two nodes, one instance, a partner that serves.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Instant,
};

use async_trait::async_trait;
use ferryway_core::{JobId, Outcome as JobOutcome, Status};
use tokio::time::{Duration, sleep};

use super::{
    deaths::FirstNode,
    evidence::{self, Evidence, Version},
    exits::{self, Side},
    held::Held,
    moment::Moment,
    plan::{Plan, Revival},
    rows::{Disk, RowId},
    settings::Sending,
    stage::{self, LIMIT, SIZE, Stage},
    traffic::Traffic,
};
use crate::{
    control::api::Command,
    journal::record::Job,
    laboratory::{
        Deadline, Failure, POLL,
        hosts::HostProcess,
        relay::{Dialogue, Line, Relay},
    },
};

/// The nodes of the cluster, the first owner first.
pub(super) const NODES: [&str; 2] = ["alpha", "beta"];

/// Where the nodes' ways to the partner begin: the same port at an address for each.
const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)];

/// The epoch of the last owner.
const LAST_EPOCH: u64 = 2;

/// Retries before the job comes to rest.
const RETRIES: u32 = 2;
/// How often two addresses are tried for a common port.
const PORT_TRIES: usize = 50;
/// How long a former owner's late bytes are waited for, which may not come.
const LATE_BYTES_LIMIT: Duration = Duration::from_millis(500);
/// How long the last owner may take to tidy up.
const TIDY_LIMIT: Duration = Duration::from_secs(5);

/// Who serves the cluster.
#[async_trait]
pub(super) trait Partner: Send + Sync {
    /// Where it is reached.
    fn addr(&self) -> SocketAddr;

    /// What a way to it carries.
    fn line(&self) -> Line;

    /// Has whatever comes to this moment by this way held there.
    ///
    /// # Errors
    /// When there is no such moment with this partner.
    fn hold(&self, moment: &Moment, way: &Relay) -> Result<Held, Failure>;

    /// What passed so far.
    fn traffic(&self, lines: &Lines) -> Traffic;

    /// Stops the server, which frees every lock, and starts it again. Another run may have its
    /// port by then, so the ways lead to a new one.
    ///
    /// # Errors
    /// When it does not start again.
    async fn restart(&mut self, stage: &Stage, ways: [&Relay; 2]) -> Result<(), Failure>;

    /// The folder that it serves.
    fn root(&self) -> &Path;

    /// Ends it when nothing is under way any more, and adds what it has noted itself.
    ///
    /// # Errors
    /// When something is under way for too long.
    async fn close(&mut self, stage: &Stage, seen: &mut Evidence) -> Result<(), Failure>;
}

/// What hosts say by the ways of the nodes.
pub(super) type Lines = [(&'static str, Arc<Dialogue>); 2];

/// Plays the run and gathers what it shows.
///
/// # Errors
/// When it cannot be played to its end.
pub(super) async fn play(
    plan: &Plan,
    stage: &Stage,
    partner: &mut dyn Partner,
) -> Result<Evidence, Failure> {
    let Begun { versions, mut first, job, second_relay } = begin(plan, stage, partner).await?;
    let lines = [(NODES[0], first.relay.dialogue()), (NODES[1], second_relay.dialogue())];
    first.held.reached(LIMIT).await?;
    stage.trace.event(NODES[0], format!("is held {}", plan.moment));
    first.strike(stage).await?;
    let handed = stage.disks.hand_over(NODES[0], NODES[1]);
    handed.map_err(|error| Failure(format!("the shared disk does not move: {error}")))?;
    stage.trace.event("shared disk", "moves from alpha to beta");

    let meeting = meet_again(plan, partner, &second_relay)?;
    let began = Instant::now();
    let mut beta = stage.start_sender(NODES[1], ADDRESSES[1]).await?;
    exits::answer(plan, Side::Sender, stage, &beta).await?;
    let at_partner = AtPartner { partner, lines: &lines };
    let mut found = succeed(stage, &at_partner, &beta, &job, meeting, &mut first).await?;
    let mut seen = Evidence { acknowledged: vec![job.clone()], ..Evidence::default() };
    if found.status != Status::Idle(JobOutcome::Completed) {
        let reason = found.state.last_error.clone().unwrap_or_default();
        stage.trace.event(NODES[1], format!("the job came to rest: {reason}"));
        seen.refused = Some(reason);
        if plan.cell.row == RowId::C1 {
            partner.restart(stage, [&first.relay, &second_relay]).await?;
            seen.forced = true;
            found = force(stage, &beta, &job).await?;
        }
    }
    stage.trace.event(NODES[1], format!("the job is {}", found.status));
    seen.took = began.elapsed();
    first.revive(stage)?;
    seen.former_owner = first.end(stage).await?.map(|status| status.code().unwrap_or(-1));
    // From now on the partner knows of the first node's end, however it came.
    drop(first);
    stage.trace.event("partner", "knows that alpha is gone");
    close(stage, partner.root(), &mut beta, &mut seen).await?;
    drop(second_relay);
    partner.close(stage, &mut seen).await?;
    let traffic = partner.traffic(&lines);
    seen.resent = traffic.received().saturating_sub(SIZE);
    seen.look_at(partner.root(), &versions, LAST_EPOCH)?;
    stage.trace.add_traffic(&traffic);
    stage.trace.event("partner", format!("the target is {}", seen.target));
    Ok(seen)
}

/// What is seen at the partner.
struct AtPartner<'a> {
    partner: &'a dyn Partner,
    lines: &'a Lines,
}

impl AtPartner<'_> {
    /// Bytes of the file that came from the first node.
    fn late_bytes(&self) -> u64 {
        self.partner.traffic(self.lines).received_from(NODES[0])
    }
}

/// A run whose first node is at work.
struct Begun {
    versions: Vec<Version>,
    first: FirstNode,
    job: JobId,
    second_relay: Relay,
}

/// Sets both nodes up and lets the first one begin.
async fn begin(plan: &Plan, stage: &Stage, partner: &dyn Partner) -> Result<Begun, Failure> {
    let [first_relay, second_relay] = relays(partner)?;
    let settings = Sending {
        transport: plan.cell.transport,
        policy: plan.cell.policy,
        source: plan.disk,
        port: first_relay.addr().port(),
        retries: RETRIES,
        post_exit: plan.exits.sender,
    };
    stage.install_sender(NODES[0], settings)?;
    let versions = match plan.disk {
        // After the takeover it is where its new owner sees it.
        Disk::Shared => {
            let place = stage.make_source(NODES[0], Disk::Shared, plan.seed)?;
            let file = place.strip_prefix(stage.disks.shared(NODES[0])).unwrap_or(&place);
            vec![("both nodes", stage.disks.shared(NODES[1]).join(file))]
        }
        Disk::Local => vec![
            (NODES[0], stage.make_source(NODES[0], Disk::Local, 2 * plan.seed)?),
            (NODES[1], stage.make_source(NODES[1], Disk::Local, 2 * plan.seed + 1)?),
        ],
    };
    let held = match plan.moment.exit() {
        Some(side) => stage.hold_exit(side)?,
        None => partner.hold(&plan.moment, &first_relay)?,
    };
    let host = stage.start_sender(NODES[0], ADDRESSES[0]).await?;
    let job = stage::submit(&host).await?;
    stage.trace.event(NODES[0], format!("job {job} is acknowledged"));
    let first = FirstNode::new(host, first_relay, held, plan.death);
    Ok(Begun { versions, first, job, second_relay })
}

/// A way to the partner for each node, at the same port.
fn relays(partner: &dyn Partner) -> Result<[Relay; 2], Failure> {
    let failed = |error| Failure(format!("no port for a relay: {error}"));
    let (server, line) = (partner.addr(), partner.line());
    let mut last = None;
    for _ in 0..PORT_TRIES {
        let first = Relay::start(ADDRESSES[0], 0, server, line).map_err(failed)?;
        match Relay::start(ADDRESSES[1], first.addr().port(), server, line) {
            Ok(second) => return Ok([first, second]),
            Err(error) => last = Some(error),
        }
    }
    Err(Failure(format!("no port is free at both addresses: {last:?}")))
}

/// Where the successor's upload is held until the former owner is back at work.
fn meet_again(plan: &Plan, partner: &dyn Partner, way: &Relay) -> Result<Option<Held>, Failure> {
    let Revival::During(byte) = plan.revival else { return Ok(None) };
    partner.hold(&Moment::upload(plan.cell, byte), way).map(Some)
}

/// Lets the successor bring the job to rest, with the former owner back in the middle of it
/// if the plan says so.
async fn succeed(
    stage: &Stage,
    at_partner: &AtPartner<'_>,
    beta: &HostProcess,
    job: &JobId,
    meeting: Option<Held>,
    first: &mut FirstNode,
) -> Result<Job, Failure> {
    let resting = stage::rest(beta, job);
    let Some(meeting) = meeting else { return resting.await };
    let mut resting = std::pin::pin!(resting);
    tokio::select! {
        rested = &mut resting => return rested,
        met = meeting.reached(LIMIT) => if met.is_err() { return resting.await },
    }
    stage.trace.event("partner", "holds beta's session in the middle of its upload");
    let before = at_partner.late_bytes();
    first.revive(stage)?;
    let deadline = Deadline::after(LATE_BYTES_LIMIT);
    let wanted = before + SIZE / 8;
    while at_partner.late_bytes() < wanted && !deadline.left().is_zero() {
        sleep(POLL).await;
    }
    let late = at_partner.late_bytes() - before;
    stage.trace.event("partner", format!("has {late} late bytes of alpha; lets beta go on"));
    meeting.release();
    resting.await
}

/// The note's way out: an operator starts the job once more.
async fn force(stage: &Stage, beta: &HostProcess, job: &JobId) -> Result<Job, Failure> {
    stage.trace.event("operator", format!("ftprel restart --force {job}"));
    let ordered = beta.client.command(job, Command::Restart { force: true }).await;
    ordered.map_err(|error| Failure(format!("the restart is refused: {error}")))?;
    stage::rest(beta, job).await
}

/// Ends the last owner's host, after it has tidied up, and takes its record.
async fn close(
    stage: &Stage,
    root: &Path,
    beta: &mut HostProcess,
    seen: &mut Evidence,
) -> Result<(), Failure> {
    let deadline = Deadline::after(TIDY_LIMIT);
    // The folder of its own epoch goes with the host.
    let is_own = |stray: &String| stray.ends_with("/e2");
    let untidy = || evidence::strays(root, LAST_EPOCH).is_ok_and(|all| !all.iter().all(is_own));
    while untidy() && !deadline.left().is_zero() {
        sleep(POLL).await;
    }
    let record = stage::record(stage, beta).await?;
    seen.jobs = record.jobs;
    seen.exits.extend(record.exits);
    beta.stop(LIMIT).await?;
    stage.trace.event(NODES[1], "its host has stopped");
    Ok(())
}
