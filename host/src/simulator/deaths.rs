//! What becomes of the first node, and how it comes back.

use std::process::ExitStatus;

use super::{
    held::Held,
    rows::Death,
    stage::{LIMIT, Stage},
};
use crate::laboratory::{Failure, hosts::HostProcess, relay::Relay};

/// The node that has the instance first, with its way to the partner and what holds it at its
/// moment.
pub(super) struct FirstNode {
    pub(super) host: HostProcess,
    pub(super) relay: Relay,
    pub(super) held: Held,
    pub(super) death: Death,
    revived: bool,
}

impl FirstNode {
    pub(super) fn new(host: HostProcess, relay: Relay, held: Held, death: Death) -> Self {
        Self { host, relay, held, death, revived: false }
    }

    /// Lets it die, freeze, or lose what the death says. What was held goes on, unless the node
    /// is only left running: then it is held until [`revive`](Self::revive), as over
    /// a slow line.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) async fn strike(&mut self, stage: &Stage) -> Result<(), Failure> {
        stage.trace.event(self.host.node, self.death.as_str());
        match self.death {
            Death::Killed => {
                self.host.kill().await?;
            }
            Death::PowerLost => {
                self.relay.hold();
                self.host.kill().await?;
            }
            Death::Frozen => {
                self.relay.hold();
                self.host.freeze()?;
            }
            Death::CutOff => self.relay.hold(),
            Death::LeftRunning => return Ok(()),
            Death::Stopped
            | Death::DiskFirst
            | Death::AddressFirst
            | Death::AddressOnly
            | Death::AddressLast => {
                return Err(Failure(format!("no client is {}", self.death)));
            }
        }
        self.held.release();
        Ok(())
    }

    /// Lets it go on, if it can, once.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn revive(&mut self, stage: &Stage) -> Result<(), Failure> {
        if !self.lives() || std::mem::replace(&mut self.revived, true) {
            return Ok(());
        }
        let what = match self.death {
            Death::Frozen => "thaws, and its network is back",
            Death::CutOff => "its network is back",
            _ => "goes on",
        };
        stage.trace.event(self.host.node, what);
        self.relay.heal();
        if self.death == Death::Frozen {
            self.host.thaw()?;
        }
        self.held.release();
        Ok(())
    }

    /// Waits until the host of a node that lives has ended by itself; `None` for a dead node.
    ///
    /// # Errors
    /// When it does not end.
    pub(super) async fn end(&mut self, stage: &Stage) -> Result<Option<ExitStatus>, Failure> {
        if !self.lives() {
            return Ok(None);
        }
        let node = self.host.node;
        match self.host.ended(LIMIT).await? {
            Some(status) => {
                stage.trace.event(node, format!("its host has ended: {status}"));
                Ok(Some(status))
            }
            None => Err(Failure(format!("the host of {node} runs on as if it owned the instance"))),
        }
    }

    /// Whether the node is not dead, whatever its successor may think.
    fn lives(&self) -> bool {
        matches!(self.death, Death::Frozen | Death::CutOff | Death::LeftRunning)
    }
}
