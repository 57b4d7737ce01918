//! The host-to-host transport: one Ferryway host sends files to another and fetches files from
//! it, over one connection for all sessions of a partner.
//!
//! The visitor's end is [`Socket`], with a `session` for each conversation; the host's end is
//! the `door`, with a `relay` for each session of a visitor. Between them are `frame` (the wire
//! format), `squeeze` (compression), `handshake`, `link` (a connection at work) and `stream` (a
//! session's part of it, with its `window`).
//! `docs/socket.md` describes the settings and the protocol.
//!
//! A partner that refuses an old epoch gives an error of kind `Fenced` and class `Permanent`:
//! the job is suspended, the record of that goes to our own journal, and that ends the host if
//! it has lost the instance. A partner's word alone ends no host.

mod config;
mod dial;
mod door;
mod failure;
mod frame;
mod handshake;
mod link;
mod relay;
mod session;
mod squeeze;
mod stream;
mod tls;
mod window;

use std::sync::Arc;

use ferryway_core::{
    Algorithm, Kind, Operation, TransportError, async_trait,
    reception::Listener,
    transport::{Capabilities, ConfigFault, Partner, Rename, Result, Resume, Session, Transport},
};
use tokio::time::timeout;

use crate::{
    config::PartnerSettings, dial::Connections, door::SocketListener, failure::Failure,
    session::SocketSession,
};

ferryway_core::export_transport!(crate::Socket::default());

/// The transport that the configuration calls `socket`.
#[derive(Default)]
pub struct Socket {
    connections: Connections,
}

#[async_trait]
impl Transport for Socket {
    fn name(&self) -> &'static str {
        "socket"
    }

    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    fn check_config(&self, settings: &toml::Table) -> Vec<ConfigFault> {
        PartnerSettings::parse(settings).err().unwrap_or_default()
    }

    async fn connect(&self, partner: Partner) -> Result<Box<dyn Session>> {
        let settings = PartnerSettings::parse(&partner.settings)
            .map_err(|faults| unusable(Operation::Connect, &faults))?;
        let connect = async {
            let link = self.connections.link(&partner, &settings).await?;
            match SocketSession::open(&link, &partner.ours, settings.packs).await {
                // The connection broke since it was last used: once more, on a fresh one.
                Err(failure) if failure.closes_session() && link.is_broken() => {
                    let link = self.connections.link(&partner, &settings).await?;
                    SocketSession::open(&link, &partner.ours, settings.packs).await
                }
                opened => opened,
            }
        };
        // Each step has a limit of its own; this one holds them together.
        let limit = 2 * (settings.connect_limit + settings.limit);
        let opened = timeout(limit, connect).await;
        let opened = opened.unwrap_or(Err(Failure::Silent("while a session was opened")));
        match opened {
            Ok(session) => Ok(Box::new(session)),
            Err(failure) => Err(failure.into_error(Operation::Connect).at(&settings)),
        }
    }

    fn listener(&self) -> Option<Arc<dyn Listener>> {
        Some(Arc::new(SocketListener))
    }
}

/// What the transport can do with the best of partners.
fn capabilities() -> Capabilities {
    Capabilities {
        resume: Resume::AtOffset,
        rename: Rename::Replaces,
        size: true,
        folders: true,
        lists_hidden: true,
        checksums: vec![Algorithm::Blake3],
        epoch_fencing: true,
        notices: true,
        // A door says how many it has.
        rooms: usize::MAX,
    }
}

fn unusable(operation: Operation, faults: &[ConfigFault]) -> TransportError {
    let faults: Vec<_> =
        faults.iter().map(|fault| format!("`{}`: {}", fault.key, fault.message)).collect();
    TransportError::permanent(Kind::Config, operation, faults.join("; "))
}
