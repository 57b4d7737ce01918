//! A partner of the cluster: one FTP server.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use ferryway_mocks::ftp_server::{FtpServer, FtpServerBuilder, Rename, Transfer};

use super::{hold, published, server};
use crate::{
    laboratory::{
        Failure,
        relay::{Line, Relay},
    },
    simulator::{
        client::{Lines, Partner},
        evidence::Evidence,
        held::Held,
        moment::Moment,
        plan::Plan,
        stage::{LIMIT, Stage},
        traffic::Traffic,
    },
};

/// The server, and how much was heard of earlier runs of it.
pub(in crate::simulator) struct FtpPartner {
    root: PathBuf,
    builder: FtpServerBuilder,
    server: FtpServer,
    earlier: Vec<Transfer>,
    earlier_renames: Vec<Rename>,
}

impl FtpPartner {
    /// Starts the server.
    ///
    /// # Errors
    /// When the system refuses.
    pub(in crate::simulator) async fn start(plan: &Plan, stage: &Stage) -> Result<Self, Failure> {
        let root = stage.make_server_root("partner")?;
        let builder = server(&root, plan.lock);
        let server = builder.start().await;
        let server = server.map_err(|error| Failure::io("serve", &root, error))?;
        Ok(Self { root, builder, server, earlier: Vec::new(), earlier_renames: Vec::new() })
    }
}

#[async_trait]
impl Partner for FtpPartner {
    fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    fn line(&self) -> Line {
        Line::FTP
    }

    fn hold(&self, moment: &Moment, _way: &Relay) -> Result<Held, Failure> {
        hold(&self.server, moment)
    }

    fn traffic(&self, _lines: &Lines) -> Traffic {
        let mut transfers = self.earlier.clone();
        transfers.extend(self.server.transfers());
        Traffic::of_server("partner", &self.server.transcript().entries(), &transfers)
    }

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

    fn root(&self) -> &Path {
        &self.root
    }

    async fn close(&mut self, _stage: &Stage, seen: &mut Evidence) -> Result<(), Failure> {
        if !self.server.wait_for_sessions(0, LIMIT).await {
            return Err(Failure("the partner's sessions do not end".to_owned()));
        }
        seen.published = published(&self.earlier_renames) + published(&self.server.renames());
        Ok(())
    }
}
