//! A partner of the cluster: one host that receives.

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
        client::{Lines, Partner},
        evidence::Evidence,
        held::Held,
        moment::Moment,
        plan::Plan,
        rows::Disk,
        settings::Receiving,
        stage::{self, LIMIT, Stage},
        traffic::Traffic,
    },
};

/// The host, and what the kernel tells of the folder in which it receives.
pub(in crate::simulator) struct HostPartner {
    host: HostProcess,
    door: SocketAddr,
    root: PathBuf,
    watch: Watch,
}

impl HostPartner {
    /// Its node.
    pub(in crate::simulator) const NODE: &'static str = "bank";

    /// Starts the host.
    ///
    /// # Errors
    /// When it does not come up.
    pub(in crate::simulator) async fn start(plan: &Plan, stage: &Stage) -> Result<Self, Failure> {
        let files = Disk::Shared;
        let settings = Receiving { files, post_exit: plan.exits.receiver };
        stage.install_receiver(Self::NODE, settings)?;
        let root = stage.make_received(Self::NODE, files)?;
        let watch = Watch::start(&root)?;
        let (host, door) = stage.start_receiver(Self::NODE, 1).await?;
        Ok(Self { host, door, root, watch })
    }
}

#[async_trait]
impl Partner for HostPartner {
    fn addr(&self) -> SocketAddr {
        self.door
    }

    fn line(&self) -> Line {
        Line::HOSTS
    }

    fn hold(&self, moment: &Moment, way: &Relay) -> Result<Held, Failure> {
        hold(way, moment)
    }

    fn traffic(&self, lines: &Lines) -> Traffic {
        let [alpha, beta] =
            lines.each_ref().map(|(node, dialogue)| Traffic::of_line(node, Self::NODE, dialogue));
        alpha.and(beta)
    }

    async fn restart(&mut self, _stage: &Stage, _ways: [&Relay; 2]) -> Result<(), Failure> {
        Err(Failure("a host that receives has no locks to free".to_owned()))
    }

    fn root(&self) -> &Path {
        &self.root
    }

    async fn close(&mut self, stage: &Stage, seen: &mut Evidence) -> Result<(), Failure> {
        let record = stage::record(stage, &self.host).await?;
        seen.receiving = Some(record.jobs);
        seen.exits.extend(record.exits);
        self.host.stop(LIMIT).await?;
        stage.trace.event(Self::NODE, "its host has stopped");
        seen.published = published(&self.watch)?;
        Ok(())
    }
}
