//! The FTP and FTPS transport: client sessions over RFC 959 with the extensions of RFC 2228,
//! 2389, 2428, 3659 and 4217, and the hash commands of common servers.
//!
//! suppaftp carries the control connection; the sockets, the data connections and the byte
//! pump are here, so that every step has a time limit and both connections leave from the
//! partner's source address.
//!
//! A partner's settings:
//!
//! | key | default | |
//! |---|---|---|
//! | `host` | | name or address of the server |
//! | `port` | 21 | |
//! | `user`, `password` | | the login |
//! | `tls` | | `"explicit"` (AUTH TLS on the same port) or `"off"`; there is no default |
//! | `tls_ca_file` | | PEM file with the certificates to trust; needed unless `tls_verify = false` |
//! | `tls_verify` | true | false trusts any server |
//! | `tls_server_name` | the host | the name in the server's certificate |
//! | `tls_max` | `"1.3"` | `"1.2"` for proftpd, which loses track of resumed sessions under 1.3 |
//! | `mode` | `"passive"` | `"active"`: the server opens the data connections |
//! | `passive_address` | `"control"` | where the reply to PASV does not count; `"reply"`: where it does |
//! | `early_commands` | by the greeting | whether a second command may leave before the first is answered |
//! | `timeout_s` | 30 | for every reply, and for the next byte of a transfer |
//! | `connect_timeout_s` | 10 | for every connection |
//! | `encoding` | `"utf-8"` | the only one |

mod checksum;
mod classify;
mod config;
mod connect;
mod control;
mod data;
mod early;
mod endpoint;
mod features;
mod listing;
mod look;
mod pump;
mod session;
mod source_address;
mod tls;

use std::sync::Arc;

use ferryway_core::{
    Algorithm, Operation, TransportError, async_trait,
    reception::Listener,
    transport::{Capabilities, ConfigFault, Partner, Rename, Result, Resume, Session, Transport},
};

use crate::{config::Settings, session::FtpSession};

ferryway_core::export_transport!(crate::Ftp::default());

/// The transport that the configuration calls `ftp`.
#[derive(Debug, Default)]
pub struct Ftp {
    tls: tls::Configs,
    early: early::Proofs,
}

#[async_trait]
impl Transport for Ftp {
    fn name(&self) -> &'static str {
        "ftp"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            resume: Resume::AtOffset,
            rename: Rename::Unknown,
            size: true,
            folders: true,
            lists_hidden: true,
            checksums: vec![Algorithm::Sha256, Algorithm::Crc32],
            epoch_fencing: false,
            notices: false,
            rooms: 0,
        }
    }

    fn check_config(&self, settings: &toml::Table) -> Vec<ConfigFault> {
        match Settings::parse(settings) {
            Ok(settings) => settings.tls.iter().filter_map(tls::TlsSettings::fault).collect(),
            Err(faults) => faults,
        }
    }

    async fn connect(&self, partner: Partner) -> Result<Box<dyn Session>> {
        let settings = Settings::parse(&partner.settings).map_err(|faults| unusable(&faults))?;
        let wire = connect::connect(&settings, partner.source_address, &self.tls, &self.early)
            .await
            .map_err(|failure| failure.into_error(Operation::Connect).at(&settings))?;
        Ok(Box::new(FtpSession::new(wire)))
    }

    fn listener(&self) -> Option<Arc<dyn Listener>> {
        None
    }
}

fn unusable(faults: &[ConfigFault]) -> TransportError {
    let faults: Vec<_> =
        faults.iter().map(|fault| format!("`{}`: {}", fault.key, fault.message)).collect();
    let kind = ferryway_core::Kind::Config;
    TransportError::permanent(kind, Operation::Connect, faults.join("; "))
}
