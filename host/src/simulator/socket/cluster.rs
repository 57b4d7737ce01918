//! A cluster that receives: two nodes of one instance, whose host runs on one of them.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use async_trait::async_trait;

use super::{hold, published};
use crate::{
    laboratory::{
        Failure,
        hosts::HostProcess,
        relay::{Line, Relay},
        watch::Watch,
    },
    simulator::{
        client::NODES,
        evidence::Evidence,
        exits::{self, Side},
        held::Held,
        moment::Moment,
        plan::Plan,
        rows::{Death, Disk},
        server::{ADDRESS, CLIENT, Cluster},
        settings::Receiving,
        stage::{self, LIMIT, Stage},
        traffic::Traffic,
    },
};

const ALPHA: &str = NODES[0];
const BETA: &str = NODES[1];

/// The hosts of the cluster and the address that leads to one of them.
pub(in crate::simulator) struct HostCluster {
    alpha: HostProcess,
    /// Not there while the instance is alpha's.
    beta: Option<HostProcess>,
    /// Where beta receives.
    beta_root: PathBuf,
    settings: Receiving,
    address: Relay,
    /// Of the folder that counts in the end.
    watch: Watch,
    /// How alpha's host ended when nobody ended it.
    former_owner: Option<i32>,
}

impl HostCluster {
    /// Both nodes, with the first one in service.
    ///
    /// # Errors
    /// When its host does not come up.
    pub(in crate::simulator) async fn start(plan: &Plan, stage: &Stage) -> Result<Self, Failure> {
        let settings = Receiving { files: plan.disk, post_exit: plan.exits.receiver };
        stage.install_receiver(ALPHA, settings)?;
        let mut counts = stage.make_received(ALPHA, plan.disk)?;
        if plan.disk == Disk::Local {
            counts = stage.make_received(BETA, plan.disk)?;
        }
        let watch = Watch::start(&counts)?;
        let (alpha, door) = stage.start_receiver(ALPHA, 1).await?;
        let address = Relay::start(ADDRESS, 0, door, Line::HOSTS)
            .map_err(|error| Failure(format!("no virtual address: {error}")))?;
        let beta_root = stage.received(BETA, plan.disk);
        Ok(Self { alpha, beta: None, beta_root, settings, address, watch, former_owner: None })
    }

    fn move_disk(&self, stage: &Stage) -> Result<(), Failure> {
        stage.trace.event("shared disk", "moves from alpha to beta");
        let moved = stage.disks.hand_over(ALPHA, BETA);
        moved.map_err(|error| Failure(format!("the shared disk does not move: {error}")))
    }

    fn share_disk(&self, stage: &Stage) -> Result<(), Failure> {
        stage.trace.event("install directory", "is reached by both nodes");
        let shared = stage.disks.share(ALPHA, BETA);
        shared.map_err(|error| Failure(format!("the shared disk is not shared: {error}")))
    }

    /// Takes the address from alpha; beta does not listen yet.
    fn take_address(&self, stage: &Stage) {
        stage.trace.event("virtual address", "leaves alpha");
        self.address.reroute(None);
    }

    /// Moves the address to beta, which listens there.
    fn move_address(&self, stage: &Stage, door: SocketAddr) {
        stage.trace.event("virtual address", "moves from alpha to beta");
        self.address.reroute(door);
    }

    /// Starts beta's host, and leads the address to it, which alpha does not have any more.
    async fn succeed(&mut self, plan: &Plan, stage: &Stage) -> Result<(), Failure> {
        let door = self.take_over(plan, stage).await?;
        stage.trace.event("virtual address", "leads to beta");
        self.address.lead_to(door);
        Ok(())
    }

    /// Starts beta's host.
    async fn take_over(&mut self, plan: &Plan, stage: &Stage) -> Result<SocketAddr, Failure> {
        stage.adapt_receiver(BETA, self.settings)?;
        let (beta, door) = stage.start_receiver(BETA, 2).await?;
        exits::answer(plan, Side::Receiver, stage, &beta).await?;
        self.beta = Some(beta);
        Ok(door)
    }

    /// Waits until alpha's host has noticed that it is the owner no more.
    async fn alpha_ends(&mut self, stage: &Stage) -> Result<(), Failure> {
        let Some(status) = self.alpha.ended(LIMIT).await? else {
            let text = format!("the host of {ALPHA} runs on as if it owned the instance");
            return Err(Failure(text));
        };
        stage.trace.event(ALPHA, format!("its host has ended: {status}"));
        self.former_owner = Some(status.code().unwrap_or(-1));
        Ok(())
    }
}

#[async_trait]
impl Cluster for HostCluster {
    fn address(&self) -> &Relay {
        &self.address
    }

    fn hold(&self, moment: &Moment) -> Result<Held, Failure> {
        hold(&self.address, moment)
    }

    async fn fail_over(&mut self, plan: &Plan, stage: &Stage, held: &Held) -> Result<(), Failure> {
        match plan.death {
            Death::Stopped => {
                stage.trace.event(ALPHA, "its service is stopped");
                self.alpha.stop(LIMIT).await?;
                // What it has said is under way.
                held.release();
                self.move_disk(stage)?;
                let door = self.take_over(plan, stage).await?;
                self.move_address(stage, door);
                Ok(())
            }
            Death::PowerLost => {
                stage.trace.event(ALPHA, "power lost");
                self.take_address(stage);
                self.alpha.kill().await?;
                held.release();
                self.move_disk(stage)?;
                self.succeed(plan, stage).await
            }
            Death::DiskFirst => {
                self.move_disk(stage)?;
                held.release();
                self.alpha_ends(stage).await?;
                let door = self.take_over(plan, stage).await?;
                self.move_address(stage, door);
                Ok(())
            }
            Death::AddressFirst => {
                self.take_address(stage);
                self.move_disk(stage)?;
                held.release();
                self.succeed(plan, stage).await?;
                self.alpha_ends(stage).await
            }
            Death::AddressOnly => {
                self.share_disk(stage)?;
                self.take_address(stage);
                held.release();
                self.succeed(plan, stage).await?;
                self.alpha_ends(stage).await
            }
            Death::AddressLast => {
                self.share_disk(stage)?;
                let door = self.take_over(plan, stage).await?;
                // The visitor is still with the former owner.
                held.release();
                self.alpha_ends(stage).await?;
                self.move_address(stage, door);
                Ok(())
            }
            other => Err(Failure(format!("no host that receives is {other}"))),
        }
    }

    fn traffic(&self) -> Traffic {
        Traffic::of_line(CLIENT, "cluster", &self.address.dialogue())
    }

    fn root(&self) -> &Path {
        &self.beta_root
    }

    async fn close(&mut self, stage: &Stage, seen: &mut Evidence) -> Result<(), Failure> {
        let Some(beta) = &mut self.beta else {
            return Err(Failure("no host runs on beta".to_owned()));
        };
        let record = stage::record(stage, beta).await?;
        seen.receiving = Some(record.jobs);
        seen.exits.extend(record.exits);
        seen.former_owner = self.former_owner;
        beta.stop(LIMIT).await?;
        stage.trace.event(BETA, "its host has stopped");
        seen.published = published(&self.watch)?;
        Ok(())
    }
}
