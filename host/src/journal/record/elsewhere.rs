//! What is known of partners and visitors, beside their jobs.

use ferryway_core::{Epoch, InstanceName, JobId, PartnerName, RemotePath};
use serde::{Deserialize, Serialize};

/// A staging folder of ours on a partner, or a mark in place of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staging {
    /// The partner.
    pub partner: PartnerName,
    /// The folder that holds the epochs' folders, such as `in/.ferryway/night.BANK`; of a mark,
    /// its own path.
    pub base: RemotePath,
    /// The epoch that uses or used it.
    pub epoch: Epoch,
    /// Every name that the folder or the mark may bear, the oldest first.
    pub names: Vec<RemotePath>,
    /// What became of it.
    pub state: StagingState,
}

/// What became of a staging folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StagingState {
    /// Its epoch may use it.
    Open,
    /// It was moved out of its epoch's reach; it may still hold partials.
    Revoked,
    /// It is no folder but an empty file that marks the epoch beside its targets.
    Mark,
    /// It is gone.
    Removed,
}

impl Staging {
    /// Whether it is of no more use to anybody in epoch `ours`, once no job in flight has
    /// anything there.
    pub fn is_spent(&self, ours: Epoch) -> bool {
        match self.state {
            StagingState::Revoked => true,
            StagingState::Mark => self.epoch < ours,
            StagingState::Open | StagingState::Removed => false,
        }
    }
}

/// A file on a partner that is of no use any more and could not be removed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftover {
    /// The partner.
    pub partner: PartnerName,
    /// The file.
    pub path: RemotePath,
    /// The job that left it.
    pub job: JobId,
}

/// The newest epoch that was seen of a visitor's instance: older ones are refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fence {
    /// The visitor, as the configuration names it.
    pub visitor: PartnerName,
    /// Its instance.
    pub instance: InstanceName,
    /// The epoch.
    pub epoch: Epoch,
}
