//! A transport to a folder that is mounted here.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::PathBuf,
    sync::Arc,
};

use ferryway_core::{
    Algorithm, Digest, Kind, Operation, RemotePath, TransportError, async_trait,
    bytes::CHUNK_BYTES,
    error::Reply,
    notice::{Notice, Standing},
    reception::Listener,
    transport::{
        Capabilities, ConfigFault, Download, EntryKind, Partner, Rename, Result, Resume, Session,
        Stat, Stored, Transport, Upload,
    },
};
use tokio::task::spawn_blocking;

/// The transport that the configuration calls `folder`.
pub struct Folder;

/// A conversation with a folder: a flag and a path are all there is to keep.
struct FolderSession {
    root: PathBuf,
    open: bool,
}

#[async_trait]
impl Transport for Folder {
    fn name(&self) -> &'static str {
        "folder"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            resume: Resume::AtOffset,
            rename: Rename::Replaces,
            size: true,
            folders: true,
            lists_hidden: true,
            checksums: Vec::new(),
            epoch_fencing: false,
            notices: false,
            rooms: 0,
        }
    }

    fn check_config(&self, settings: &toml::Table) -> Vec<ConfigFault> {
        let fault = |key: &str, message: &str| ConfigFault {
            key: key.to_owned(),
            message: message.to_owned(),
        };
        let unknown = settings.keys().filter(|key| *key != "path");
        let mut faults: Vec<_> =
            unknown.map(|key| fault(key, "unknown; known is `path`")).collect();
        if settings.get("path").and_then(|path| path.as_str()).is_none() {
            faults.push(fault("path", "missing: the folder, in quotes"));
        }
        faults
    }

    async fn connect(&self, partner: Partner) -> Result<Box<dyn Session>> {
        let path = partner.settings.get("path").and_then(|path| path.as_str());
        let Some(root) = path.map(PathBuf::from) else {
            let message = "the setting `path` is missing";
            return Err(TransportError::permanent(Kind::Config, Operation::Connect, message));
        };
        let mut session = FolderSession { root, open: true };
        session.ping().await?;
        Ok(Box::new(session))
    }

    fn listener(&self) -> Option<Arc<dyn Listener>> {
        None
    }
}

#[async_trait]
impl Session for FolderSession {
    fn capabilities(&self) -> Capabilities {
        Folder.capabilities()
    }

    async fn stat(&mut self, path: RemotePath) -> Result<Stat> {
        let place = self.place(&path);
        let facts = self.run(Operation::Stat, move || fs::metadata(place)).await?;
        let kind = if facts.is_dir() { EntryKind::Folder } else { EntryKind::File };
        Ok(Stat { kind, size: Some(facts.len()), modified: facts.modified().ok() })
    }

    async fn list(&mut self, folder: Option<RemotePath>) -> Result<Vec<String>> {
        let place = folder.map_or_else(|| self.root.clone(), |folder| self.place(&folder));
        let list = move || {
            let name = |entry: io::Result<fs::DirEntry>| {
                entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
            };
            fs::read_dir(place)?.map(name).collect()
        };
        self.run(Operation::List, list).await
    }

    async fn fetch(&mut self, download: Download) -> Result<u64> {
        let Download { path, offset, mut sink, meter } = download;
        let place = self.place(&path);
        let open = move || {
            let mut file = File::open(place)?;
            file.seek(SeekFrom::Start(offset)).map(|_| file)
        };
        let mut file = self.run(Operation::Fetch, open).await?;
        let pump = move || {
            let local = |error| TransportError::local(Operation::Fetch, error);
            let refused = |error| refused(Operation::Fetch, error);
            let mut chunk = vec![0; CHUNK_BYTES];
            loop {
                match file.read(&mut chunk).map_err(refused)? {
                    0 => return Ok(meter.bytes()),
                    read => {
                        sink.write(&chunk[..read]).map_err(local)?;
                        meter.add(read as u64);
                    }
                }
            }
        };
        blocking(Operation::Fetch, pump).await
    }

    async fn store(&mut self, upload: Upload) -> Result<Stored> {
        let Upload { path, offset, mut source, meter, .. } = upload;
        let place = self.place(&path);
        let open = move || {
            let fresh = offset == 0;
            let mut file =
                OpenOptions::new().write(true).create(fresh).truncate(fresh).open(place)?;
            file.seek(SeekFrom::Start(offset)).map(|_| file)
        };
        let mut file = self.run(Operation::Store, open).await?;
        let pump = move || {
            let local = |error| TransportError::local(Operation::Store, error);
            let refused = |error| refused(Operation::Store, error);
            let mut chunk = vec![0; CHUNK_BYTES];
            loop {
                match source.read(&mut chunk).map_err(local)? {
                    0 => {
                        let shown = file.sync_all().and_then(|()| file.metadata());
                        let size = Some(shown.map_err(refused)?.len());
                        return Ok(Stored { bytes: meter.bytes(), size, digest: None });
                    }
                    read => {
                        file.write_all(&chunk[..read]).map_err(refused)?;
                        meter.add(read as u64);
                    }
                }
            }
        };
        blocking(Operation::Store, pump).await
    }

    async fn rename(&mut self, from: RemotePath, to: RemotePath) -> Result<()> {
        let (from, to) = (self.place(&from), self.place(&to));
        self.run(Operation::Rename, move || fs::rename(from, to)).await
    }

    async fn remove(&mut self, path: RemotePath) -> Result<()> {
        let place = self.place(&path);
        self.run(Operation::Remove, move || fs::remove_file(place)).await
    }

    async fn make_folder(&mut self, path: RemotePath) -> Result<()> {
        let place = self.place(&path);
        self.run(Operation::MakeFolder, move || fs::create_dir(place)).await
    }

    async fn remove_folder(&mut self, path: RemotePath) -> Result<()> {
        let place = self.place(&path);
        self.run(Operation::RemoveFolder, move || fs::remove_dir(place)).await
    }

    async fn checksum(&mut self, _: RemotePath, _: Algorithm, _: u64) -> Result<Digest> {
        Err(TransportError::unsupported(Operation::Checksum, "a folder computes no hashes"))
    }

    async fn tell(&mut self, _: Notice) -> Result<Option<Standing>> {
        Err(TransportError::unsupported(Operation::Tell, "a folder takes no notices"))
    }

    async fn ping(&mut self) -> Result<()> {
        let root = self.root.clone();
        self.run(Operation::Ping, move || fs::metadata(root).map(drop)).await
    }

    async fn close(&mut self) -> Result<()> {
        self.open = false;
        Ok(())
    }
}

impl FolderSession {
    /// A remote path has no `..`, so it stays below the root.
    fn place(&self, path: &RemotePath) -> PathBuf {
        self.root.join(path.as_str().trim_start_matches('/'))
    }

    /// Asks the system where it may block, unless the session is closed.
    async fn run<T: Send + 'static>(
        &self,
        operation: Operation,
        ask: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        if !self.open {
            return Err(TransportError::closed(operation));
        }
        blocking(operation, move || ask().map_err(|error| refused(operation, error))).await
    }
}

async fn blocking<T: Send + 'static>(
    operation: Operation,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let broken = |error| TransportError::local(operation, io::Error::other(error));
    spawn_blocking(work).await.map_err(broken)?
}

/// The class is set here, beside the wire. The reply says that the answer is final: without
/// one, the host takes the outcome for unknown.
fn refused(operation: Operation, error: io::Error) -> TransportError {
    let reply = Reply { code: 550, text: error.to_string() };
    let refusal = match error.kind() {
        io::ErrorKind::NotFound => {
            TransportError::permanent(Kind::NotFound, operation, "it is not there")
        }
        io::ErrorKind::PermissionDenied => {
            TransportError::permanent(Kind::Denied, operation, "the system denies it")
        }
        io::ErrorKind::StorageFull => {
            TransportError::retryable(Kind::Space, operation, "the disk is full")
        }
        _ => TransportError::permanent(Kind::Unavailable, operation, "the system refuses it"),
    };
    refusal.replied(reply).caused_by(error)
}

ferryway_core::export_transport!(Folder);
