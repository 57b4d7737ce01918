//! The place of the host-to-host transport, which this version does not have: a definition
//! that asks for it is refused when the configuration is checked, not when its time comes.

use ferryway_core::{
    Operation, TransportError, async_trait,
    transport::{Capabilities, ConfigFault, Partner, Rename, Result, Resume, Session, Transport},
};

ferryway_core::export_transport!(crate::Socket);

const ABSENT: &str =
    "host-to-host transfers are not available in this version; use transport = \"ftp\"";

/// The transport that the configuration calls `socket`.
#[derive(Debug, Default)]
pub struct Socket;

#[async_trait]
impl Transport for Socket {
    fn name(&self) -> &'static str {
        "socket"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            resume: Resume::Unsupported,
            rename: Rename::Unsupported,
            size: false,
            folders: false,
            lists_hidden: false,
            checksums: Vec::new(),
            epoch_fencing: false,
        }
    }

    fn check_config(&self, _: &toml::Table) -> Vec<ConfigFault> {
        vec![ConfigFault { key: "transport".to_owned(), message: ABSENT.to_owned() }]
    }

    async fn connect(&self, _: Partner) -> Result<Box<dyn Session>> {
        Err(TransportError::unsupported(Operation::Connect, ABSENT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_configuration_is_refused() {
        let faults = Socket.check_config(&toml::Table::new());
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].key, "transport");
    }
}
