//! A transport to a partner in memory: fast, exact, and failing on demand.
//!
//! Files behave as on a Unix server: an open upload follows a rename of its file, and two
//! uploads of one file both write.

mod faults;
mod session;
mod store;

use std::sync::Arc;

use ferryway_core::{
    Algorithm, async_trait,
    reception::Listener,
    transport::{Capabilities, ConfigFault, Partner, Rename, Result, Resume, Session, Transport},
};

pub use faults::{Effect, MemoryFault, MemoryFaults};
pub use store::MemoryPartner;

use session::MemorySession;

/// The transport. Every partner that it is asked for is the same [`MemoryPartner`].
#[derive(Clone, Debug)]
pub struct MemoryTransport {
    partner: MemoryPartner,
    capabilities: Capabilities,
    faults: MemoryFaults,
}

impl MemoryTransport {
    /// The name in `transport = "memory"`.
    pub const NAME: &str = "memory";

    /// A transport to this partner that can do everything but fence epochs.
    pub fn new(partner: MemoryPartner) -> Self {
        let capabilities = Capabilities {
            resume: Resume::AtOffset,
            rename: Rename::Replaces,
            size: true,
            folders: true,
            lists_hidden: true,
            checksums: vec![Algorithm::Sha256, Algorithm::Crc32],
            epoch_fencing: false,
            notices: false,
            rooms: 0,
        };
        Self { partner, capabilities, faults: MemoryFaults::default() }
    }

    /// The same transport to a partner that offers only this. Of the hashes only SHA-256 and
    /// CRC-32 are computed.
    #[must_use]
    pub fn with_capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// The partner's files.
    pub fn partner(&self) -> &MemoryPartner {
        &self.partner
    }

    /// What is to go wrong, in all sessions together.
    pub fn faults(&self) -> &MemoryFaults {
        &self.faults
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    fn check_config(&self, settings: &toml::Table) -> Vec<ConfigFault> {
        let unknown = |key: &String| ConfigFault {
            key: key.clone(),
            message: "the memory transport has no settings; remove the key".to_owned(),
        };
        settings.keys().map(unknown).collect()
    }

    async fn connect(&self, _: Partner) -> Result<Box<dyn Session>> {
        let transport = Arc::new(self.clone());
        Ok(Box::new(MemorySession::connect(transport).await?))
    }

    fn listener(&self) -> Option<Arc<dyn Listener>> {
        None
    }
}
