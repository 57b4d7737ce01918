//! A cluster that serves: an FTP server on each node.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use ferryway_mocks::ftp_server::{Cut, Disk as ServerDisk, FtpServer};

use super::{hold, published, server};
use crate::{
    laboratory::{
        Failure,
        relay::{Line, Relay},
    },
    simulator::{
        evidence::Evidence,
        held::Held,
        moment::Moment,
        plan::Plan,
        rows::{Death, Disk, LockMode},
        server::{ADDRESS, Cluster},
        stage::{LIMIT, Stage},
        traffic::Traffic,
    },
};

/// The two servers of the cluster and the address that leads to one of them.
pub(in crate::simulator) struct FtpCluster {
    alpha: FtpServer,
    /// Not there while the service does not run on this node.
    beta: Option<FtpServer>,
    beta_root: PathBuf,
    files: Disk,
    address: Relay,
}

impl FtpCluster {
    /// Both nodes, with the first one in service.
    ///
    /// # Errors
    /// When the system refuses.
    pub(in crate::simulator) async fn start(plan: &Plan, stage: &Stage) -> Result<Self, Failure> {
        let alpha_root = stage.make_server_root("alpha-served")?;
        let beta_root = match plan.disk {
            Disk::Shared => alpha_root.clone(),
            Disk::Local => stage.make_server_root("beta-served")?,
        };
        let alpha = serve(&alpha_root, ServerDisk::Normal).await?;
        let stays_up =
            matches!(plan.death, Death::DiskFirst | Death::AddressFirst | Death::AddressOnly);
        let beta = match (stays_up, plan.disk) {
            (false, _) => None,
            // It runs, and does not see the shared disk yet.
            (true, Disk::Shared) => Some(serve(&beta_root, ServerDisk::Vanished).await?),
            (true, Disk::Local) => Some(serve(&beta_root, ServerDisk::Normal).await?),
        };
        let address = Relay::start(ADDRESS, 0, alpha.addr(), Line::FTP)
            .map_err(|error| Failure(format!("no virtual address: {error}")))?;
        Ok(Self { alpha, beta, beta_root, files: plan.disk, address })
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
}

#[async_trait]
impl Cluster for FtpCluster {
    fn address(&self) -> &Relay {
        &self.address
    }

    fn hold(&self, moment: &Moment) -> Result<Held, Failure> {
        hold(&self.alpha, moment)
    }

    async fn fail_over(&mut self, plan: &Plan, stage: &Stage, held: &Held) -> Result<(), Failure> {
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
            other => return Err(Failure(format!("no FTP server is {other}"))),
        }
        if self.beta.is_none() {
            self.beta = Some(serve(&self.beta_root, ServerDisk::Normal).await?);
            stage.trace.event("beta", "its FTP service is started");
            self.move_address(stage)?;
        }
        Ok(())
    }

    fn traffic(&self) -> Traffic {
        let of = |node, server: &FtpServer| {
            Traffic::of_server(node, &server.transcript().entries(), &server.transfers())
        };
        let beta = self.beta.as_ref().map(|beta| of("beta", beta));
        of("alpha", &self.alpha).and(beta.unwrap_or_default())
    }

    fn root(&self) -> &Path {
        &self.beta_root
    }

    async fn close(&mut self, _stage: &Stage, seen: &mut Evidence) -> Result<(), Failure> {
        // What alpha published on a disk of its own is not where the address leads.
        let alpha = (self.files == Disk::Shared).then_some(&self.alpha);
        let served = alpha.into_iter().chain(&self.beta);
        seen.published = served.map(|server| published(&server.renames())).sum();
        Ok(())
    }
}

async fn serve(root: &Path, disk: ServerDisk) -> Result<FtpServer, Failure> {
    let server = server(root, LockMode::None).disk(disk).start().await;
    server.map_err(|error| Failure::io("serve", root, error))
}
