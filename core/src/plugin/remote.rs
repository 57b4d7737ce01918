//! The plugin's half of the boundary.
//!
//! This module is compiled into every plugin, so the statics that it touches (tokio's
//! context, tracing's dispatcher, the panic hook, `RUNTIME`) are the plugin's own copies:
//! the host's reactor does not exist on this side.

use std::{
    io,
    net::SocketAddr,
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use tokio::runtime::{Builder, Handle, Runtime};

use super::{
    HostContext,
    relay::RelayedSession,
    side::{Side, threads},
};
use crate::{
    Kind, Operation, TransportError,
    bytes::panic_text,
    reception::{Door, Listener, Listening, Reception},
    transport::{Capabilities, ConfigFault, Partner, Result, Session, Transport},
};

/// What errors call this side.
const SIDE: &str = "plugin";

/// Threads for reads and writes that wait for a disk, and for nothing else. Twice as many as a host has
/// jobs on their way unless it is told otherwise, so that disks that hang leave some to others.
const WORKERS: usize = 128;

/// Started when the host loads the plugin and never dropped.
static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// Builds the transport behind its wrapper; called by [`export_transport!`](crate::export_transport).
///
/// # Errors
/// When the constructor panics or the runtime does not start.
pub fn enter(host: HostContext, make: fn() -> Arc<dyn Transport>) -> Result<Arc<dyn Transport>> {
    catch_unwind(AssertUnwindSafe(|| {
        // Only a library entered twice meets an error here, and then all is set already.
        let _again = tracing::dispatcher::set_global_default(host.dispatch);
        // This copy's level cache starts at OFF, and a dispatch made elsewhere does not refresh it.
        tracing::callsite::rebuild_interest_cache();
        // Not at TRACE: there suppaftp prints PASS in clear text.
        let _again = tracing_log::LogTracer::builder()
            .with_max_level(tracing_log::log::LevelFilter::Debug)
            .init();
        panic::set_hook(Box::new(|panic| tracing::error!("a plugin panicked: {panic}")));
        let runtime = runtime().map_err(|error| {
            TransportError::permanent(Kind::Local, Operation::Connect, "no runtime for the plugin")
                .caused_by(error)
        })?;
        let side = Side::new(SIDE, runtime);
        let transport = make();
        let (name, capabilities) = (transport.name(), transport.capabilities());
        let listener = transport.listener().map(|listener| {
            Arc::new(RemoteListener { listener, side: side.clone() }) as Arc<dyn Listener>
        });
        Ok(Arc::new(Remote { transport, name, capabilities, listener, side }) as Arc<dyn Transport>)
    }))
    .unwrap_or_else(|panic| {
        let text = format!("the {SIDE} panicked: {}", panic_text(&*panic));
        Err(TransportError::retryable(Kind::Panicked, Operation::Connect, text))
    })
}

fn runtime() -> io::Result<Handle> {
    if RUNTIME.get().is_none() {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads())
            .max_blocking_threads(WORKERS)
            .enable_all()
            .thread_name("ferryway-plugin")
            .build()?;
        // A second runtime of a race is dropped unused.
        let _first_stays = RUNTIME.set(runtime);
    }
    let runtime = RUNTIME.get().map(|runtime| runtime.handle().clone());
    runtime.ok_or_else(|| io::Error::other("the runtime is gone"))
}

/// Runs every operation as a task of the plugin's runtime: tokio works there as anywhere,
/// and stops a panic before it could unwind into the host.
struct Remote {
    transport: Arc<dyn Transport>,
    /// Asked for once, where a panic is caught.
    name: &'static str,
    capabilities: Capabilities,
    listener: Option<Arc<dyn Listener>>,
    side: Side,
}

#[async_trait]
impl Transport for Remote {
    fn name(&self) -> &'static str {
        self.name
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    fn check_config(&self, settings: &toml::Table) -> Vec<ConfigFault> {
        checked(&self.side, || self.transport.check_config(settings))
    }

    async fn connect(&self, partner: Partner) -> Result<Box<dyn Session>> {
        let transport = Arc::clone(&self.transport);
        let connect = async move { transport.connect(partner).await };
        RelayedSession::open(&self.side, Operation::Connect, connect).await
    }

    fn listener(&self) -> Option<Arc<dyn Listener>> {
        self.listener.clone()
    }
}

/// The transport's receiving end; see [`Remote`].
struct RemoteListener {
    listener: Arc<dyn Listener>,
    side: Side,
}

#[async_trait]
impl Listener for RemoteListener {
    fn check_config(&self, settings: &toml::Table) -> Vec<ConfigFault> {
        checked(&self.side, || self.listener.check_config(settings))
    }

    async fn listen(
        &self,
        door: Door,
        reception: Arc<dyn Reception>,
    ) -> Result<Box<dyn Listening>> {
        let listener = Arc::clone(&self.listener);
        let listen = async move {
            let listening = listener.listen(door, reception).await?;
            let address = listening.address();
            Ok((listening, address))
        };
        let (listening, address) = self.side.run(Operation::Listen, listen).await??;
        Ok(Box::new(RemoteListening {
            listening: Some(listening),
            address,
            side: self.side.clone(),
        }))
    }
}

struct RemoteListening {
    /// `None` once it was told to stop.
    listening: Option<Box<dyn Listening>>,
    address: SocketAddr,
    side: Side,
}

#[async_trait]
impl Listening for RemoteListening {
    fn address(&self) -> SocketAddr {
        self.address
    }

    async fn stop(&mut self) -> Result<()> {
        let Some(mut listening) = self.listening.take() else { return Ok(()) };
        self.side.run(Operation::Listen, async move { listening.stop().await }).await?
    }
}

impl Drop for RemoteListening {
    fn drop(&mut self) {
        if let Some(listening) = self.listening.take() {
            // Its sockets belong to the plugin's reactor.
            self.side.drop_there(listening);
        }
    }
}

/// A check of settings that panics is a fault of them.
fn checked(side: &Side, check: impl FnOnce() -> Vec<ConfigFault>) -> Vec<ConfigFault> {
    catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|panic| {
        vec![ConfigFault { key: "transport".to_owned(), message: side.blame(&*panic) }]
    })
}
