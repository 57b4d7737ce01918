//! Where a job of the receiving side comes from, and the key by which it is known.

use ferryway_core::{InstanceName, PartnerName, notice::Reference};
use serde::{Deserialize, Serialize};

/// Where a job of the receiving side comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The visitor that announced it, as the configuration names it.
    pub visitor: PartnerName,
    /// The visitor's instance.
    pub instance: InstanceName,
    /// The visitor's own job, and which delivery of it.
    pub of: Reference,
}

impl Origin {
    /// What the keys of receiving jobs begin with, and no other key.
    pub const KEYS: &str = "visitor/";

    /// The key of the receiving job: told again, the same job is meant.
    pub fn key(&self) -> String {
        let Self { visitor, instance, of } = self;
        format!("{}{visitor}/{instance}/{}/{}", Self::KEYS, of.job, of.delivery)
    }

    /// The same key as a journal before format 4 has it; `None` of any other key.
    pub fn former_key(key: &str) -> Option<&str> {
        key.strip_prefix(Self::KEYS)
    }
}
