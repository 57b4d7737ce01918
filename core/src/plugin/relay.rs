//! What crosses the boundary and is called back across it: a session of either side, and the
//! host's reception.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
};

use async_trait::async_trait;
use tokio::runtime::Handle;

use super::side::Side;
use crate::{
    Algorithm, Digest, Operation, RemotePath, TransportError,
    notice::{Notice, Standing},
    reception::{Rebuff, Reception, Visitor},
    transport::{Capabilities, Download, Result, Session, Stat, Stored, Upload},
};

/// The reception as a plugin gets it: every call runs as a task of the host's `runtime`, and a
/// panic in it becomes an error. Called by the host, so that this is the host's copy of tokio.
pub fn lend_reception(reception: Arc<dyn Reception>, runtime: Handle) -> Arc<dyn Reception> {
    Arc::new(LentReception { reception, side: Side::new("host", runtime) })
}

struct LentReception {
    reception: Arc<dyn Reception>,
    side: Side,
}

#[async_trait]
impl Reception for LentReception {
    async fn admit(&self, visitor: Visitor) -> Result<Box<dyn Session>> {
        let reception = Arc::clone(&self.reception);
        let admit = async move { reception.admit(visitor).await };
        RelayedSession::open(&self.side, Operation::Connect, admit).await
    }

    fn turned_away(&self, rebuff: Rebuff) {
        let heard = catch_unwind(AssertUnwindSafe(|| self.reception.turned_away(rebuff)));
        if heard.is_err() {
            tracing::error!("the host panicked over somebody who was turned away");
        }
    }
}

/// A session whose operations run as tasks of the side that made it.
pub(super) struct RelayedSession {
    /// `None` after an operation that was cancelled or panicked: the state of the protocol is
    /// unknown then.
    session: Option<Box<dyn Session>>,
    /// As of the last operation.
    capabilities: Capabilities,
    side: Side,
}

type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

impl RelayedSession {
    /// Makes a session on its own side, and asks there for what it can do: that may panic, too.
    pub(super) async fn open(
        side: &Side,
        operation: Operation,
        make: impl Future<Output = Result<Box<dyn Session>>> + Send + 'static,
    ) -> Result<Box<dyn Session>> {
        let make = async move {
            let session = make.await?;
            let capabilities = session.capabilities();
            Ok((session, capabilities))
        };
        let (session, capabilities) = side.run(operation, make).await??;
        Ok(Box::new(Self { session: Some(session), capabilities, side: side.clone() }))
    }

    async fn run<T: Send + 'static>(
        &mut self,
        operation: Operation,
        call: impl for<'a> FnOnce(&'a mut dyn Session) -> Call<'a, T> + Send + 'static,
    ) -> Result<T> {
        let mut session = self.session.take().ok_or_else(|| TransportError::closed(operation))?;
        let call = async move {
            let result = call(&mut *session).await;
            let capabilities = session.capabilities();
            (session, capabilities, result)
        };
        let (session, capabilities, result) = self.side.run(operation, call).await?;
        self.capabilities = capabilities;
        self.session = Some(session);
        result
    }
}

#[async_trait]
impl Session for RelayedSession {
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

    async fn store(&mut self, upload: Upload) -> Result<Stored> {
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

    async fn tell(&mut self, notice: Notice) -> Result<Option<Standing>> {
        self.run(Operation::Tell, move |session| session.tell(notice)).await
    }

    async fn ping(&mut self) -> Result<()> {
        self.run(Operation::Ping, |session| session.ping()).await
    }

    async fn close(&mut self) -> Result<()> {
        self.run(Operation::Close, |session| session.close()).await
    }
}

impl Drop for RelayedSession {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.side.drop_there(session);
        }
    }
}
