//! A run of the rows in which the cluster sends: two nodes, one instance, a partner's server.

use std::{net::Ipv4Addr, time::Instant};

use ferryway_core::{JobId, Outcome as JobOutcome, Status};
use ferryway_mocks::ftp_server::{
    Action, Fault, FtpServer, FtpServerBuilder, Rename, Rule, Transfer, When,
};
use tokio::time::{Duration, sleep};

use super::{
    deaths::FirstNode,
    evidence::{self, Evidence, Version},
    plan::{Plan, Revival},
    rows::{Disk, RowId},
    stage::{self, LIMIT, SIZE, Settings, Stage, TARGET},
};
use crate::{
    control::api::Command,
    journal::record::Job,
    laboratory::{
        Deadline, Failure, POLL,
        hosts::HostProcess,
        relay::{Line, Relay},
    },
};

/// The nodes of the cluster, the first owner first.
pub(super) const NODES: [&str; 2] = ["alpha", "beta"];

/// Where the nodes' ways to the partner begin: the same port at an address for each.
const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)];

/// Retries before the job comes to rest.
const RETRIES: u32 = 2;
/// How often two addresses are tried for a common port.
const PORT_TRIES: usize = 50;
/// How long a former owner's late bytes are waited for, which may not come.
const LATE_BYTES_LIMIT: Duration = Duration::from_millis(500);
/// How long the last owner may take to tidy up.
const TIDY_LIMIT: Duration = Duration::from_secs(5);

/// The partner, and how much was heard of earlier runs of its server.
struct Partner {
    builder: FtpServerBuilder,
    server: FtpServer,
    earlier: Vec<Transfer>,
    earlier_renames: Vec<Rename>,
}

/// Plays the run and gathers what it shows.
///
/// # Errors
/// When it cannot be played to its end.
pub(super) async fn play(plan: &Plan, stage: &Stage) -> Result<Evidence, Failure> {
    let mut partner = Partner::start(plan, stage).await?;
    let (versions, mut first, job, second_relay) = begin(plan, stage, &partner).await?;
    let reached = first.held.wait(LIMIT).await;
    reached.map_err(|error| Failure(format!("the moment never came: {error}")))?;
    stage.trace.event("partner", format!("holds alpha's session {}", plan.moment));
    first.strike(stage).await?;
    let handed = stage.disks.hand_over(NODES[0], NODES[1]);
    handed.map_err(|error| Failure(format!("the shared disk does not move: {error}")))?;
    stage.trace.event("shared disk", "moves from alpha to beta");

    let meeting = meet_again(plan, &partner);
    let began = Instant::now();
    let mut beta = stage.start_host(NODES[1], ADDRESSES[1]).await?;
    let mut found = succeed(stage, &partner, &beta, &job, meeting, &mut first).await?;
    let mut seen = Evidence { acknowledged: vec![job.clone()], ..Evidence::default() };
    if found.status != Status::Idle(JobOutcome::Completed) {
        let reason = found.state.last_error.clone().unwrap_or_default();
        stage.trace.event(NODES[1], format!("the job came to rest: {reason}"));
        seen.refused = Some(reason);
        if plan.row == RowId::C1 {
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
    close(stage, &partner, &mut beta, &job, &mut seen).await?;
    drop(second_relay);
    if !partner.server.wait_for_sessions(0, LIMIT).await {
        return Err(Failure("the partner's sessions do not end".to_owned()));
    }
    partner.testify(stage, &versions, &mut seen)?;
    Ok(seen)
}

/// Sets both nodes up and lets the first one begin.
async fn begin(
    plan: &Plan,
    stage: &Stage,
    partner: &Partner,
) -> Result<(Vec<Version>, FirstNode, JobId, Relay), Failure> {
    let [first_relay, second_relay] = relays(partner)?;
    let settings = Settings {
        policy: plan.policy,
        source: plan.disk,
        port: first_relay.addr().port(),
        retries: RETRIES,
    };
    stage.install(NODES[0], settings)?;
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
    let held = partner.server.faults().add(plan.moment.rule());
    let host = stage.start_host(NODES[0], ADDRESSES[0]).await?;
    let job = stage::submit(&host).await?;
    stage.trace.event(NODES[0], format!("job {job} is acknowledged"));
    Ok((versions, FirstNode::new(host, first_relay, held, plan.death), job, second_relay))
}

/// A way to the partner for each node, at the same port.
fn relays(partner: &Partner) -> Result<[Relay; 2], Failure> {
    let failed = |error| Failure(format!("no port for a relay: {error}"));
    let server = partner.server.addr();
    let mut last = None;
    for _ in 0..PORT_TRIES {
        let first = Relay::start(ADDRESSES[0], 0, server, Line::FTP).map_err(failed)?;
        match Relay::start(ADDRESSES[1], first.addr().port(), server, Line::FTP) {
            Ok(second) => return Ok([first, second]),
            Err(error) => last = Some(error),
        }
    }
    Err(Failure(format!("no port is free at both addresses: {last:?}")))
}

/// Where the successor's upload is held until the former owner is back at work.
fn meet_again(plan: &Plan, partner: &Partner) -> Option<Fault> {
    let Revival::During(byte) = plan.revival else { return None };
    let rule = Rule::new("STOR", When::DataByte(byte), Action::Stall).on_path(plan.upload_path());
    Some(partner.server.faults().add(rule))
}

/// Lets the successor bring the job to rest, with the former owner back in the middle of it
/// if the plan says so.
async fn succeed(
    stage: &Stage,
    partner: &Partner,
    beta: &HostProcess,
    job: &JobId,
    meeting: Option<Fault>,
    first: &mut FirstNode,
) -> Result<Job, Failure> {
    let resting = stage::rest(beta, job);
    let Some(meeting) = meeting else { return resting.await };
    let mut resting = std::pin::pin!(resting);
    tokio::select! {
        rested = &mut resting => return rested,
        met = meeting.wait(LIMIT) => if met.is_err() { return resting.await },
    }
    stage.trace.event("partner", "holds beta's session in the middle of its upload");
    let before = partner.received_from(NODES[0]);
    first.revive(stage)?;
    let deadline = Deadline::after(LATE_BYTES_LIMIT);
    let wanted = before + SIZE / 8;
    while partner.received_from(NODES[0]) < wanted && !deadline.left().is_zero() {
        sleep(POLL).await;
    }
    let late = partner.received_from(NODES[0]) - before;
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
    partner: &Partner,
    beta: &mut HostProcess,
    job: &JobId,
    seen: &mut Evidence,
) -> Result<(), Failure> {
    let root = partner.root(stage);
    let deadline = Deadline::after(TIDY_LIMIT);
    // The folder of its own epoch goes with the host.
    let untidy =
        || evidence::strays(&root).is_ok_and(|all| !all.iter().all(|s| s.ends_with("/e2")));
    while untidy() && !deadline.left().is_zero() {
        sleep(POLL).await;
    }
    seen.jobs = stage::record(stage, beta, job).await?;
    beta.stop(LIMIT).await?;
    stage.trace.event(NODES[1], "its host has stopped");
    Ok(())
}

impl Partner {
    async fn start(plan: &Plan, stage: &Stage) -> Result<Self, Failure> {
        let root = stage.make_server_root("partner")?;
        let builder = stage::server(&root, plan.lock);
        let server = builder.start().await;
        let server = server.map_err(|error| Failure::io("serve", &root, error))?;
        Ok(Self { builder, server, earlier: Vec::new(), earlier_renames: Vec::new() })
    }

    fn root(&self, stage: &Stage) -> std::path::PathBuf {
        stage.server_root("partner")
    }

    /// Stops the server, which frees every lock, and starts it again. Another run may have its
    /// port by then, so the ways lead to a new one.
    async fn restart(&mut self, stage: &Stage, ways: [&Relay; 2]) -> Result<(), Failure> {
        self.server.stop().await;
        self.earlier.extend(self.server.transfers());
        self.earlier_renames.extend(self.server.renames());
        let server = self.builder.start().await;
        self.server =
            server.map_err(|error| Failure(format!("the server does not restart: {error}")))?;
        ways.iter().for_each(|way| way.lead_to(self.server.addr()));
        stage.trace.event("partner", "its server is restarted");
        Ok(())
    }

    fn transfers(&self) -> Vec<Transfer> {
        let mut transfers = self.earlier.clone();
        transfers.extend(self.server.transfers());
        transfers
    }

    /// Bytes of the file that came from a node.
    fn received_from(&self, node: &str) -> u64 {
        let said = self.server.transcript().entries();
        let uploads = evidence::uploads(&said, &self.transfers(), node);
        uploads.iter().map(|upload| upload.bytes).sum()
    }

    /// What the server and its folder show at the end.
    fn testify(
        &self,
        stage: &Stage,
        versions: &[Version],
        seen: &mut Evidence,
    ) -> Result<(), Failure> {
        let root = self.root(stage);
        let target = root.join(TARGET);
        let said = self.server.transcript().entries();
        let uploads: Vec<_> = self.transfers().into_iter().filter(evidence::is_upload).collect();
        let received: u64 = uploads.iter().map(|upload| upload.bytes).sum();
        seen.target = evidence::look(&target, versions);
        seen.content = evidence::content(&target);
        seen.published = evidence::published(&self.earlier_renames)
            + evidence::published(&self.server.renames());
        seen.resent = received.saturating_sub(SIZE);
        let strays = evidence::strays(&root);
        seen.strays = strays.map_err(|error| Failure::io("look through", &root, error))?;
        stage.trace.add_wire("partner", &said);
        stage.trace.add_uploads(&said, &uploads);
        stage.trace.event("partner", format!("the target is {}", seen.target));
        Ok(())
    }
}
