//! A run of the rows in which the cluster is the FTP server: two servers behind a virtual
//! address, and one client, whose own recovery sends again.

use std::{net::Ipv4Addr, path::PathBuf, time::Instant};

use ferryway_core::{Outcome as JobOutcome, Status};
use ferryway_mocks::ftp_server::{Cut, Disk as ServerDisk, Fault, FtpServer};

use super::{
    evidence::{self, Evidence},
    plan::Plan,
    rows::{Death, Disk, LockMode},
    stage::{self, LIMIT, SIZE, Settings, Stage, TARGET},
};
use crate::laboratory::{
    Failure,
    relay::{Line, Relay},
};

/// The node of the client.
pub(super) const CLIENT: &str = "office";

/// The virtual address.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Retries before the job comes to rest: a failover takes a while.
const RETRIES: u32 = 6;

/// The two servers of the cluster and the address that leads to one of them.
struct Cluster {
    alpha: FtpServer,
    /// Not there while the service does not run on this node.
    beta: Option<FtpServer>,
    beta_root: PathBuf,
    address: Relay,
}

/// Plays the run and gathers what it shows.
///
/// # Errors
/// When it cannot be played to its end.
pub(super) async fn play(plan: &Plan, stage: &Stage) -> Result<Evidence, Failure> {
    let mut cluster = Cluster::start(plan, stage).await?;
    let settings = Settings {
        policy: plan.policy,
        source: Disk::Shared,
        port: cluster.address.addr().port(),
        retries: RETRIES,
    };
    stage.install(CLIENT, settings)?;
    let source = stage.make_source(CLIENT, Disk::Shared, plan.seed)?;
    let held = cluster.alpha.faults().add(plan.moment.rule());
    let mut host = stage.start_host(CLIENT, ADDRESS).await?;
    let job = stage::submit(&host).await?;
    stage.trace.event(CLIENT, format!("job {job} is acknowledged"));
    let reached = held.wait(LIMIT).await;
    reached.map_err(|error| Failure(format!("the moment never came: {error}")))?;
    stage.trace.event("alpha", format!("its server holds the session {}", plan.moment));
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
    seen.jobs = stage::record(stage, &host, &job).await?;
    host.stop(LIMIT).await?;
    cluster.testify(stage, (CLIENT, source), &mut seen)?;
    Ok(seen)
}

impl Cluster {
    /// Both nodes, with the first one in service.
    async fn start(plan: &Plan, stage: &Stage) -> Result<Self, Failure> {
        let shared = plan.disk == Disk::Shared;
        let alpha_root = stage.make_server_root("alpha-served")?;
        let beta_root = match shared {
            true => alpha_root.clone(),
            false => stage.make_server_root("beta-served")?,
        };
        let alpha = serve(&alpha_root, ServerDisk::Normal).await?;
        let stays_up =
            matches!(plan.death, Death::DiskFirst | Death::AddressFirst | Death::AddressOnly);
        let beta = match (stays_up, shared) {
            (false, _) => None,
            // It runs, and does not see the shared disk yet.
            (true, true) => Some(serve(&beta_root, ServerDisk::Vanished).await?),
            (true, false) => Some(serve(&beta_root, ServerDisk::Normal).await?),
        };
        let address = Relay::start(ADDRESS, 0, alpha.addr(), Line::FTP)
            .map_err(|error| Failure(format!("no virtual address: {error}")))?;
        Ok(Self { alpha, beta, beta_root, address })
    }

    /// Moves the service, or what of it moves, from alpha to beta.
    async fn fail_over(&mut self, plan: &Plan, stage: &Stage, held: &Fault) -> Result<(), Failure> {
        match plan.death {
            Death::Stopped => {
                stage.trace.event("alpha", "its FTP service is stopped");
                self.alpha.stop().await;
            }
            Death::PowerLost => {
                stage.trace.event("alpha", "power lost");
                self.alpha.cut_all(Cut::Silence);
            }
            Death::DiskFirst => {
                self.lose_disk(stage);
                held.release();
                // The error is on its way before the address moves.
                let answered = self.alpha.transcript().wait_for(LIMIT, |entry| {
                    entry.text.starts_with("451") || entry.text.starts_with("550")
                });
                if answered.await.is_none() {
                    return Err(Failure("a vanished disk is no error for alpha".to_owned()));
                }
                self.move_address(stage)?;
            }
            Death::AddressFirst => {
                self.move_address(stage)?;
                self.lose_disk(stage);
                held.release();
            }
            Death::AddressOnly => {
                self.move_address(stage)?;
                held.release();
            }
            Death::Killed | Death::Frozen | Death::CutOff | Death::LeftRunning => {
                return Err(Failure(format!("no server is {}", plan.death)));
            }
        }
        if self.beta.is_none() {
            self.beta = Some(serve(&self.beta_root, ServerDisk::Normal).await?);
            stage.trace.event("beta", "its FTP service is started");
            self.move_address(stage)?;
        }
        Ok(())
    }

    fn lose_disk(&self, stage: &Stage) {
        stage.trace.event("shared disk", "moves from alpha to beta");
        self.alpha.set_disk(ServerDisk::Vanished);
        if let Some(beta) = &self.beta {
            beta.set_disk(ServerDisk::Normal);
        }
    }

    fn move_address(&self, stage: &Stage) -> Result<(), Failure> {
        let Some(beta) = &self.beta else {
            return Err(Failure("no server runs on beta".to_owned()));
        };
        stage.trace.event("virtual address", "moves from alpha to beta");
        self.address.reroute(beta.addr());
        Ok(())
    }

    /// What is to be found where the address leads at the end.
    fn testify(
        &self,
        stage: &Stage,
        source: evidence::Version,
        seen: &mut Evidence,
    ) -> Result<(), Failure> {
        let target = self.beta_root.join(TARGET);
        seen.target = evidence::look(&target, &[source]);
        seen.content = evidence::content(&target);
        let mut received = 0;
        for (node, server) in [("alpha", Some(&self.alpha)), ("beta", self.beta.as_ref())] {
            let Some(server) = server else { continue };
            let said = server.transcript().entries();
            let uploads: Vec<_> =
                server.transfers().into_iter().filter(evidence::is_upload).collect();
            received += uploads.iter().map(|upload| upload.bytes).sum::<u64>();
            stage.trace.add_uploads(&said, &uploads);
            // What alpha published on a disk of its own is not where the address leads.
            if node == "beta" || self.is_shared(stage) {
                seen.published += evidence::published(&server.renames());
            }
            stage.trace.add_wire(node, &said);
        }
        seen.resent = received.saturating_sub(SIZE);
        let strays = evidence::strays(&self.beta_root);
        seen.strays =
            strays.map_err(|error| Failure::io("look through", &self.beta_root, error))?;
        stage.trace.event("beta", format!("the target is {}", seen.target));
        Ok(())
    }

    fn is_shared(&self, stage: &Stage) -> bool {
        self.beta_root == stage.server_root("alpha-served")
    }
}

async fn serve(root: &std::path::Path, disk: ServerDisk) -> Result<FtpServer, Failure> {
    let server = stage::server(root, LockMode::None).disk(disk).start().await;
    server.map_err(|error| Failure::io("serve", root, error))
}
