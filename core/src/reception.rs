//! The contract between the host and a transport's receiving end.
//!
//! The plugin owns the network: it listens, proves who comes, and relays operations. The host
//! owns everything else: it decides who may come in, and answers each visitor with a
//! [`Session`] over its own folders, which the plugin drives as the visitor asks.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use async_trait::async_trait;

use crate::{
    Epoch, InstanceName,
    transport::{ConfigFault, Result, Session},
};

/// What a host says of itself when it comes to a partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// Its host name, as it is told to partners.
    pub host: String,
    /// Its instance.
    pub instance: InstanceName,
    /// The number of its ownership. A partner that has seen a larger one refuses it.
    pub epoch: Epoch,
}

/// A transport's end that receives. One object serves every door of its kind.
#[async_trait]
pub trait Listener: Send + Sync + 'static {
    /// Every fault of a door's settings; empty when [`listen`](Self::listen) would take them.
    /// Touches no network.
    fn check_config(&self, settings: &toml::Table) -> Vec<ConfigFault>;

    /// Opens a door. On `Ok` visitors can come; each that has proved who it is, is handed to
    /// the host by [`Reception::admit`], and the session that comes back is driven until the
    /// visitor leaves. Whoever is turned away before that is reported by
    /// [`Reception::turned_away`].
    ///
    /// Connections, half-open ones included, streams and memory are bounded, whatever comes.
    ///
    /// # Errors
    /// `Config` when the settings are unusable, `Connection` when the address cannot be had.
    /// Nothing is left open.
    async fn listen(&self, door: Door, reception: Arc<dyn Reception>)
    -> Result<Box<dyn Listening>>;
}

/// An open door. Dropped, it closes as well.
#[async_trait]
pub trait Listening: Send + Sync + 'static {
    /// The address that visitors come to; with the port that the system chose for port 0.
    fn address(&self) -> SocketAddr;

    /// Closes the door: nobody comes any more, every connection is cut, and every session of
    /// the host is dropped. What a visitor was not answered, it has to find out.
    ///
    /// # Errors
    /// The end took too long, or the plugin broke; nothing depends on it.
    async fn stop(&mut self) -> Result<()>;
}

/// The host's side of a door. Called from the plugin; runs on the host's runtime.
#[async_trait]
pub trait Reception: Send + Sync + 'static {
    /// Lets a visitor in, or not. On `Ok` its epoch is on record, durably: from here on no
    /// session of an older epoch of the same instance has any effect, those that are open
    /// included. The session writes below the host's receive folders only; what it answers
    /// with `Ok` is durable.
    ///
    /// # Errors
    /// `Login` for a visitor that is not expected, `Fenced` for an epoch older than one seen,
    /// `Refused` when the house is full. Each with a reply: the answer is final.
    async fn admit(&self, visitor: Visitor) -> Result<Box<dyn Session>>;

    /// Hears of somebody who was turned away at the door. May be called for every connection
    /// of a flood: it returns at once, and tells the operator once for each cause.
    fn turned_away(&self, rebuff: Rebuff);
}

/// Where to listen, and how.
#[derive(Clone)]
pub struct Door {
    /// The address; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Sessions that may be open at once, over all visitors: the host counts them, and the
    /// transport asks it about twice as many at most.
    pub sessions: usize,
    /// The transport's own settings, secrets included.
    pub settings: toml::Table,
}

impl fmt::Debug for Door {
    /// Prints the keys of the settings and no value: some are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("address", &self.address)
            .field("sessions", &self.sessions)
            .field("settings", &self.settings.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// Somebody at the door who wants a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// What it says of itself. The host name is proved where the door's security proves names.
    pub introduction: Introduction,
    /// Where it comes from.
    pub address: IpAddr,
}

/// Somebody who did not get as far as [`Reception::admit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuff {
    /// Where it came from.
    pub address: IpAddr,
    /// Why it was turned away.
    pub cause: Cause,
    /// What exactly happened, for people.
    pub detail: String,
}

crate::words! {
    /// Why somebody was turned away at the door.
    Cause {
        /// Too many connections at once.
        Crowd = "crowd",
        /// It said nothing, or not enough, in time.
        Silence = "silence",
        /// What it said is not the protocol, or breaks its limits.
        Garbage = "garbage",
        /// It speaks another version of the protocol.
        Version = "version",
        /// Its secret, its certificate, or its idea of the door's security is wrong.
        Proof = "proof",
    }
}
