//! Sessions with the partner in memory.

use std::{io, sync::Arc};

use ferryway_core::{
    Algorithm, Class, Digest, Kind, Operation, RemotePath, TransportError, async_trait,
    bytes::{Buffer, CHUNK_BYTES},
    error::Reply,
    notice::{Notice, Standing},
    transport::{Capabilities, Download, Rename, Result, Resume, Session, Stat, Stored, Upload},
};
use sha2::Digest as _;

use super::{
    MemoryTransport,
    faults::{Effect, MemoryFault, lost},
    store::Refusal,
};

/// One conversation.
pub(super) struct MemorySession {
    transport: Arc<MemoryTransport>,
    /// Also while an operation runs: one that is cancelled leaves the session closed.
    closed: bool,
    /// A store or fetch ends after so many bytes.
    cut_after: Option<u64>,
}

impl MemorySession {
    pub(super) async fn connect(transport: Arc<MemoryTransport>) -> Result<Self> {
        let mut session = Self { transport, closed: false, cut_after: None };
        session.perform(Operation::Connect, None, async |_| Ok(())).await?;
        Ok(session)
    }

    /// Runs an operation with its fault, and closes the session when the contract says so.
    async fn perform<T>(
        &mut self,
        operation: Operation,
        path: Option<&RemotePath>,
        act: impl AsyncFnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        if std::mem::replace(&mut self.closed, true) {
            return Err(TransportError::closed(operation));
        }
        let fired = self.transport.faults.fire(operation, path.map(RemotePath::as_str));
        let result = self.perform_with(operation, fired, act).await;
        let result = result.map_err(|error| match path {
            Some(path) => error.at(path),
            None => error,
        });
        self.closed = result.as_ref().is_err_and(|error| closes(error.kind()));
        result
    }

    async fn perform_with<T>(
        &mut self,
        operation: Operation,
        fired: Option<(Effect, MemoryFault)>,
        act: impl AsyncFnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let Some((effect, fault)) = fired else {
            return act(self).await;
        };
        match effect {
            Effect::Fail(error) => Err(error),
            Effect::LoseAnswer => {
                act(self).await?;
                Err(lost(operation))
            }
            Effect::CutAfter(bytes) => {
                self.cut_after = Some(bytes);
                act(self).await
            }
            Effect::StallBefore => {
                fault.released().await;
                act(self).await
            }
            Effect::StallAfter => {
                let result = act(self).await;
                fault.released().await;
                result
            }
            Effect::Panic => planned_panic(),
        }
    }

    /// How many bytes may move now; an error when the connection is to be lost here.
    fn room(&mut self, operation: Operation) -> Result<usize> {
        match self.cut_after {
            None => Ok(CHUNK_BYTES),
            Some(0) => Err(lost(operation)),
            Some(bytes) => Ok(usize::try_from(bytes).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES)),
        }
    }

    fn moved(&mut self, bytes: usize) {
        self.cut_after = self.cut_after.map(|left| left.saturating_sub(bytes as u64));
    }

    async fn store_bytes(&mut self, upload: Upload) -> Result<Stored> {
        let operation = Operation::Store;
        self.check_offset(operation, upload.offset)?;
        let created = self.transport.partner.create(upload.path.as_str(), upload.offset);
        let file = created.map_err(|refusal| refused(operation, refusal))?;
        let (mut source, mut bytes) = (upload.source, 0);
        loop {
            let room = self.room(operation)?;
            let read = move || {
                let mut chunk = Buffer::of(room);
                let read = source.read(&mut chunk);
                (source, read.map(|length| chunk[..length].to_vec()))
            };
            let (back, chunk) = blocking(operation, read).await?;
            let chunk = chunk.map_err(|error| TransportError::local(operation, error))?;
            if chunk.is_empty() {
                let shown = self.transport.partner.stat(upload.path.as_str()).ok();
                let size = shown.and_then(|stat| stat.size);
                let size = size.filter(|_| self.transport.capabilities.size);
                return Ok(Stored { bytes, size, digest: None });
            }
            source = back;
            file.write(upload.offset + bytes, &chunk);
            bytes += chunk.len() as u64;
            upload.meter.add(chunk.len() as u64);
            self.moved(chunk.len());
        }
    }

    async fn fetch_bytes(&mut self, download: Download) -> Result<u64> {
        let operation = Operation::Fetch;
        self.check_offset(operation, download.offset)?;
        let file = self.transport.partner.file(download.path.as_str());
        let file = file.map_err(|refusal| refused(operation, refusal))?;
        let (mut sink, mut fetched) = (download.sink, 0);
        loop {
            let room = self.room(operation)?;
            let chunk = file.read(download.offset + fetched, room);
            let chunk = chunk.ok_or_else(|| refused(operation, Refusal::BeyondEnd))?;
            if chunk.is_empty() {
                return Ok(fetched);
            }
            let length = chunk.len();
            let write = move || {
                let written = sink.write(&chunk);
                (sink, written)
            };
            let (back, written) = blocking(operation, write).await?;
            written.map_err(|error| TransportError::local(operation, error))?;
            sink = back;
            fetched += length as u64;
            download.meter.add(length as u64);
            self.moved(length);
        }
    }

    fn check_offset(&self, operation: Operation, offset: u64) -> Result<()> {
        if offset > 0 && self.transport.capabilities.resume == Resume::Unsupported {
            return Err(TransportError::unsupported(operation, "the partner has no restart"));
        }
        Ok(())
    }

    fn check_folders(&self, operation: Operation) -> Result<()> {
        if self.transport.capabilities.folders {
            return Ok(());
        }
        Err(TransportError::unsupported(operation, "the partner has no folders"))
    }

    fn hash(&self, path: &RemotePath, algorithm: Algorithm, length: u64) -> Result<Digest> {
        let operation = Operation::Checksum;
        let computes = matches!(algorithm, Algorithm::Crc32 | Algorithm::Sha256);
        if !computes || !self.transport.capabilities.checksums.contains(&algorithm) {
            let message = format!("the partner does not compute {algorithm}");
            return Err(TransportError::unsupported(operation, message));
        }
        let file = self.transport.partner.file(path.as_str());
        let file = file.map_err(|refusal| refused(operation, refusal))?;
        let bytes = file.read(0, usize::try_from(length).unwrap_or(usize::MAX));
        match bytes.filter(|bytes| bytes.len() as u64 == length) {
            None => Err(refused(operation, Refusal::BeyondEnd)),
            Some(bytes) if algorithm == Algorithm::Crc32 => {
                Ok(Digest::from_bytes(algorithm, &crc32fast::hash(&bytes).to_be_bytes()))
            }
            Some(bytes) => Ok(Digest::from_bytes(algorithm, &sha2::Sha256::digest(&bytes))),
        }
    }
}

#[async_trait]
impl Session for MemorySession {
    fn capabilities(&self) -> Capabilities {
        self.transport.capabilities.clone()
    }

    async fn stat(&mut self, path: RemotePath) -> Result<Stat> {
        let act = async |session: &mut Self| {
            let stat = session.transport.partner.stat(path.as_str());
            let mut stat = stat.map_err(|refusal| refused(Operation::Stat, refusal))?;
            stat.size = stat.size.filter(|_| session.transport.capabilities.size);
            Ok(stat)
        };
        self.perform(Operation::Stat, Some(&path), act).await
    }

    async fn list(&mut self, folder: Option<RemotePath>) -> Result<Vec<String>> {
        let act = async |session: &mut Self| {
            let names = session.transport.partner.list(folder.as_ref().map_or("", |f| f.as_str()));
            let mut names = names.map_err(|refusal| refused(Operation::List, refusal))?;
            let hidden = session.transport.capabilities.lists_hidden;
            names.retain(|name| hidden || !name.starts_with('.'));
            Ok(names)
        };
        self.perform(Operation::List, folder.as_ref(), act).await
    }

    async fn fetch(&mut self, download: Download) -> Result<u64> {
        let path = download.path.clone();
        let act = async |session: &mut Self| session.fetch_bytes(download).await;
        self.perform(Operation::Fetch, Some(&path), act).await
    }

    async fn store(&mut self, upload: Upload) -> Result<Stored> {
        let path = upload.path.clone();
        let act = async |session: &mut Self| session.store_bytes(upload).await;
        self.perform(Operation::Store, Some(&path), act).await
    }

    async fn rename(&mut self, from: RemotePath, to: RemotePath) -> Result<()> {
        let operation = Operation::Rename;
        let act = async |session: &mut Self| {
            let replaces = match session.transport.capabilities.rename {
                Rename::Replaces | Rename::Unknown => true,
                Rename::RefusesExisting => false,
                Rename::Unsupported => {
                    return Err(TransportError::unsupported(operation, "no rename"));
                }
            };
            let renamed = session.transport.partner.rename(from.as_str(), to.as_str(), replaces);
            renamed.map_err(|refusal| refused(operation, refusal))
        };
        self.perform(operation, Some(&from), act).await
    }

    async fn remove(&mut self, path: RemotePath) -> Result<()> {
        let act = async |session: &mut Self| {
            let removed = session.transport.partner.remove(path.as_str());
            removed.map_err(|refusal| refused(Operation::Remove, refusal))
        };
        self.perform(Operation::Remove, Some(&path), act).await
    }

    async fn make_folder(&mut self, path: RemotePath) -> Result<()> {
        let act = async |session: &mut Self| {
            session.check_folders(Operation::MakeFolder)?;
            let made = session.transport.partner.make_folder(path.as_str());
            made.map_err(|refusal| refused(Operation::MakeFolder, refusal))
        };
        self.perform(Operation::MakeFolder, Some(&path), act).await
    }

    async fn remove_folder(&mut self, path: RemotePath) -> Result<()> {
        let act = async |session: &mut Self| {
            session.check_folders(Operation::RemoveFolder)?;
            let removed = session.transport.partner.remove_folder(path.as_str());
            removed.map_err(|refusal| refused(Operation::RemoveFolder, refusal))
        };
        self.perform(Operation::RemoveFolder, Some(&path), act).await
    }

    async fn checksum(
        &mut self,
        path: RemotePath,
        algorithm: Algorithm,
        length: u64,
    ) -> Result<Digest> {
        let act = async |session: &mut Self| session.hash(&path, algorithm, length);
        self.perform(Operation::Checksum, Some(&path), act).await
    }

    async fn tell(&mut self, _: Notice) -> Result<Option<Standing>> {
        Err(TransportError::unsupported(Operation::Tell, "the partner takes no notices"))
    }

    async fn ping(&mut self) -> Result<()> {
        self.perform(Operation::Ping, None, async |_| Ok(())).await
    }

    async fn close(&mut self) -> Result<()> {
        let result = self.perform(Operation::Close, None, async |_| Ok(())).await;
        self.closed = true;
        result
    }
}

/// Panics, which is what the test wants.
#[expect(clippy::panic, reason = "a host must survive a panic of a transport")]
fn planned_panic() -> ! {
    panic!("the memory transport panics as planned")
}

async fn blocking<T: Send + 'static>(
    operation: Operation,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(call).await;
    done.map_err(|error| TransportError::local(operation, io::Error::other(error)))
}

/// The answer of the partner, which knows absence from everything else.
fn refused(operation: Operation, refusal: Refusal) -> TransportError {
    let (kind, message) = match refusal {
        Refusal::Absent => (Kind::NotFound, "it does not exist"),
        Refusal::NoFolder => (Kind::Unavailable, "its folder does not exist"),
        Refusal::NotAFile => (Kind::Unavailable, "it is a folder"),
        Refusal::NotAFolder => (Kind::Unavailable, "it is a file"),
        Refusal::Exists => (Kind::Unavailable, "it exists"),
        Refusal::NotEmpty => (Kind::Unavailable, "it is not empty"),
        Refusal::BeyondEnd => (Kind::Refused, "the offset is behind its end"),
    };
    TransportError::new(Class::Permanent, kind, operation, message)
        .replied(Reply { code: 550, text: message.to_owned() })
}

/// The kinds that end a session by the contract.
fn closes(kind: Kind) -> bool {
    use Kind::{Closed, Connection, Panicked, Protocol, Timeout, Tls};
    matches!(kind, Connection | Timeout | Protocol | Tls | Closed | Panicked)
}
