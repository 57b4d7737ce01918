//! The plugin's half of the boundary.
//!
//! This module is compiled into every plugin, so the statics that it touches (tokio's
//! context, tracing's dispatcher, the panic hook, `RUNTIME`) are the plugin's own copies:
//! the host's reactor does not exist on this side.

use std::{
    io,
    panic::{self, AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};
use tracing::Instrument;

use super::HostContext;
use crate::{
    Algorithm, Digest, Kind, Operation, RemotePath, TransportError,
    bytes::panic_text,
    transport::{
        Capabilities, ConfigFault, Download, Partner, Result, Session, Stat, Transport, Upload,
    },
};

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
        start_runtime().map_err(|error| {
            TransportError::permanent(Kind::Local, Operation::Connect, "no runtime for the plugin")
                .caused_by(error)
        })?;
        let transport = make();
        let (name, capabilities) = (transport.name(), transport.capabilities());
        Ok(Arc::new(Remote { transport, name, capabilities }) as Arc<dyn Transport>)
    }))
    .unwrap_or_else(|panic| Err(panicked(Operation::Connect, &panic_text(&*panic))))
}

fn start_runtime() -> io::Result<()> {
    if RUNTIME.get().is_none() {
        // The other half of the machine hashes, writes the journal, and serves the kernel.
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get().div_ceil(2));
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .thread_name("ferryway-plugin")
            .build()?;
        // A second runtime of a race is dropped unused.
        let _first_stays = RUNTIME.set(runtime);
    }
    Ok(())
}

fn panicked(operation: Operation, text: &str) -> TransportError {
    TransportError::retryable(Kind::Panicked, operation, format!("the plugin panicked: {text}"))
}

/// Runs every operation as a task of the plugin's runtime: tokio works there as anywhere,
/// and stops a panic before it could unwind into the host.
struct Remote {
    transport: Arc<dyn Transport>,
    /// Asked for once, where a panic is caught.
    name: &'static str,
    capabilities: Capabilities,
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
        catch_unwind(AssertUnwindSafe(|| self.transport.check_config(settings))).unwrap_or_else(
            |panic| {
                let message = format!("the plugin panicked: {}", panic_text(&*panic));
                vec![ConfigFault { key: "transport".to_owned(), message }]
            },
        )
    }

    async fn connect(&self, partner: Partner) -> Result<Box<dyn Session>> {
        let transport = Arc::clone(&self.transport);
        let connect = async move {
            let session = transport.connect(partner).await?;
            let capabilities = session.capabilities();
            Ok((session, capabilities))
        };
        let (session, capabilities) = run(Operation::Connect, connect).await??;
        Ok(Box::new(RemoteSession { session: Some(session), capabilities }))
    }
}

struct RemoteSession {
    /// `None` after an operation that was cancelled or panicked: the state of the protocol is
    /// unknown then.
    session: Option<Box<dyn Session>>,
    /// As of the last operation.
    capabilities: Capabilities,
}

type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

impl RemoteSession {
    async fn run<T: Send + 'static>(
        &mut self,
        operation: Operation,
        call: impl for<'a> FnOnce(&'a mut dyn Session) -> Call<'a, T> + Send + 'static,
    ) -> Result<T> {
        let mut session = self.session.take().ok_or_else(|| TransportError::closed(operation))?;
        let (session, capabilities, result) = run(operation, async move {
            let result = call(&mut *session).await;
            let capabilities = session.capabilities();
            (session, capabilities, result)
        })
        .await?;
        self.capabilities = capabilities;
        self.session = Some(session);
        result
    }
}

#[async_trait]
impl Session for RemoteSession {
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    async fn stat(&mut self, path: RemotePath) -> Result<Stat> {
        self.run(Operation::Stat, move |session| session.stat(path)).await
    }

    async fn list(&mut self, folder: Option<RemotePath>) -> Result<Vec<String>> {
        self.run(Operation::List, move |session| session.list(folder)).await
    }

    async fn fetch(&mut self, download: Download) -> Result<u64> {
        self.run(Operation::Fetch, move |session| session.fetch(download)).await
    }

    async fn store(&mut self, upload: Upload) -> Result<u64> {
        self.run(Operation::Store, move |session| session.store(upload)).await
    }

    async fn rename(&mut self, from: RemotePath, to: RemotePath) -> Result<()> {
        self.run(Operation::Rename, move |session| session.rename(from, to)).await
    }

    async fn remove(&mut self, path: RemotePath) -> Result<()> {
        self.run(Operation::Remove, move |session| session.remove(path)).await
    }

    async fn make_folder(&mut self, path: RemotePath) -> Result<()> {
        self.run(Operation::MakeFolder, move |session| session.make_folder(path)).await
    }

    async fn remove_folder(&mut self, path: RemotePath) -> Result<()> {
        self.run(Operation::RemoveFolder, move |session| session.remove_folder(path)).await
    }

    async fn checksum(
        &mut self,
        path: RemotePath,
        algorithm: Algorithm,
        length: u64,
    ) -> Result<Digest> {
        self.run(Operation::Checksum, move |session| session.checksum(path, algorithm, length))
            .await
    }

    async fn ping(&mut self) -> Result<()> {
        self.run(Operation::Ping, |session| session.ping()).await
    }

    async fn close(&mut self) -> Result<()> {
        self.run(Operation::Close, |session| session.close()).await
    }
}

impl Drop for RemoteSession {
    fn drop(&mut self) {
        if let (Some(session), Some(runtime)) = (self.session.take(), RUNTIME.get()) {
            // Its sockets belong to the plugin's reactor.
            runtime.spawn(async move { drop(session) });
        }
    }
}

/// Runs `call` on the plugin's runtime; dropping the returned future cancels it.
async fn run<T: Send + 'static>(
    operation: Operation,
    call: impl Future<Output = T> + Send + 'static,
) -> Result<T> {
    struct Task<T>(JoinHandle<T>);
    impl<T> Drop for Task<T> {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    let runtime = RUNTIME.get().ok_or_else(|| TransportError::closed(operation))?;
    let mut task = Task(runtime.spawn(call.in_current_span()));
    (&mut task.0).await.map_err(|error| match error.try_into_panic() {
        Ok(panic) => panicked(operation, &panic_text(&*panic)),
        Err(_) => TransportError::closed(operation),
    })
}
