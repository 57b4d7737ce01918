//! What every case works with.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use ferryway_core::{
    Kind, RemotePath, TransportError,
    bytes::{Meter, Sink, Source},
    transport::{Capabilities, Download, Session, Stored, Upload},
};

use super::{Failure, Subject, names::digest};
use crate::streams::{self, Collected};

/// How often a fresh session was tried.
static LOOKS: AtomicU64 = AtomicU64::new(0);

/// A session of the subject, and names that no other case uses.
pub(super) struct Room<'a> {
    subject: &'a Subject,
    case: &'static str,
    pub(super) session: Box<dyn Session>,
}

impl<'a> Room<'a> {
    pub(super) async fn open(subject: &'a Subject, case: &'static str) -> Result<Self, Failure> {
        let session = subject.transport.connect(subject.partner.clone()).await?;
        Ok(Self { subject, case, session })
    }

    /// Another session in the same room.
    pub(super) async fn another(&mut self) -> Result<Self, Failure> {
        Self::open(self.subject, self.case).await
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        self.session.capabilities()
    }

    /// The folder where the room's names are.
    pub(super) fn folder(&self) -> Option<RemotePath> {
        self.subject.folder.clone()
    }

    /// The path of a name of this room.
    pub(super) fn path(&self, name: &str) -> Result<RemotePath, Failure> {
        self.exactly(&format!("{}.{name}", self.case))
    }

    /// The path of a name without the case's own before it.
    pub(super) fn exactly(&self, name: &str) -> Result<RemotePath, Failure> {
        let path = match &self.subject.folder {
            Some(folder) => folder.join(name),
            None => name.parse(),
        };
        path.map_err(|error| Failure::new(error.to_string()))
    }

    /// Makes a folder and gives its path.
    pub(super) async fn make_folder(&mut self, name: &str) -> Result<RemotePath, Failure> {
        let path = self.path(name)?;
        self.session.make_folder(path.clone()).await?;
        Ok(path)
    }

    /// Stores the bytes as a new file of this name and gives its path.
    pub(super) async fn put(&mut self, name: &str, bytes: &[u8]) -> Result<RemotePath, Failure> {
        let path = self.path(name)?;
        self.put_at(&path, bytes).await?;
        Ok(path)
    }

    pub(super) async fn put_at(&mut self, path: &RemotePath, bytes: &[u8]) -> Result<(), Failure> {
        let upload = upload(path, 0, bytes.len() as u64, streams::source(bytes));
        let stored = self.session.store(upload).await?;
        if stored.bytes != bytes.len() as u64 {
            return Err(Failure::new(format!("{stored:?} is told of {} bytes", bytes.len())));
        }
        shows(&stored, bytes)
    }

    /// The file's bytes.
    pub(super) async fn take(&mut self, path: &RemotePath) -> Result<Vec<u8>, Failure> {
        self.take_from(path, 0).await
    }

    /// The file's bytes from an offset on.
    pub(super) async fn take_from(
        &mut self,
        path: &RemotePath,
        offset: u64,
    ) -> Result<Vec<u8>, Failure> {
        let collected = Collected::new();
        let fetched = self.session.fetch(download(path, offset, collected.sink())).await?;
        let bytes = collected.bytes();
        if fetched != bytes.len() as u64 {
            let sunk = bytes.len();
            return Err(Failure::new(format!("told {fetched} bytes, the sink has {sunk}")));
        }
        Ok(bytes)
    }

    /// Fails unless the file has exactly these bytes.
    pub(super) async fn expect(&mut self, path: &RemotePath, bytes: &[u8]) -> Result<(), Failure> {
        same(&self.take(path).await?, bytes).map_err(|how| Failure::new(format!("`{path}` {how}")))
    }

    /// Fails unless the partner proves that it has not this name.
    pub(super) async fn expect_absent(&mut self, path: &RemotePath) -> Result<(), Failure> {
        match self.session.stat(path.clone()).await {
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) if error.kind() == Kind::Unavailable => {}
            Err(error) => return Err(error.into()),
            Ok(stat) => return Err(Failure::new(format!("`{path}` is there: {stat:?}"))),
        }
        let names = self.session.list(path.parent()).await?;
        match names.iter().find(|name| *name == path.name()) {
            Some(_) => Err(Failure::new(format!("`{path}` is listed"))),
            None => Ok(()),
        }
    }

    /// Fails unless a fresh session can store and fetch.
    pub(super) async fn expect_usable(&mut self) -> Result<(), Failure> {
        let mut room = self.another().await?;
        // Not every server lets a file be stored twice.
        let number = LOOKS.fetch_add(1, Ordering::Relaxed);
        let path = room.put(&format!("afterwards {number}"), b"still here").await?;
        room.expect(&path, b"still here").await
    }
}

pub(super) fn upload(path: &RemotePath, offset: u64, length: u64, source: Source) -> Upload {
    Upload { path: path.clone(), offset, length, source, meter: Meter::new() }
}

pub(super) fn download(path: &RemotePath, offset: u64, sink: Sink) -> Download {
    Download { path: path.clone(), offset, sink, meter: Arc::default() }
}

/// Fails where a store is told to have left a file of another size, or with another hash, than
/// these bytes.
pub(super) fn shows(stored: &Stored, bytes: &[u8]) -> Result<(), Failure> {
    let size = stored.size.is_none_or(|size| size == bytes.len() as u64);
    let hash = stored.digest.as_ref().is_none_or(|told| *told == digest(told.algorithm, bytes));
    match size && hash {
        true => Ok(()),
        false => Err(Failure::new(format!("{stored:?} is told of a file of {}", bytes.len()))),
    }
}

/// Fails unless `result` is an error that means "no such thing" or "not possible there".
pub(super) fn expect_refusal<T>(
    result: Result<T, TransportError>,
    what: &str,
) -> Result<TransportError, Failure> {
    let kinds = [Kind::NotFound, Kind::Unavailable, Kind::Denied, Kind::Refused];
    match result {
        Ok(_) => Err(Failure::new(format!("{what} was accepted"))),
        Err(error) if kinds.contains(&error.kind()) => Ok(error),
        Err(error) => {
            Err(Failure::new(format!("{what} gave another error: {}", Failure::from(error))))
        }
    }
}

/// Like [`expect_refusal`], and the partner itself must have said so: without a reply a host
/// takes the outcome for unknown.
pub(super) fn final_refusal<T>(
    result: Result<T, TransportError>,
    what: &str,
) -> Result<TransportError, Failure> {
    let error = expect_refusal(result, what)?;
    if error.reply().is_none() && error.kind() != Kind::NotFound {
        let told = Failure::from(error);
        return Err(Failure::new(format!("{what} is refused without a reply: {told}")));
    }
    Ok(error)
}

/// How `left` differs from `right`, in few words.
pub(super) fn same(left: &[u8], right: &[u8]) -> Result<(), String> {
    if left == right {
        return Ok(());
    }
    let at = left.iter().zip(right).position(|(left, right)| left != right);
    let at = at.unwrap_or(left.len().min(right.len()));
    Err(format!(
        "has {} bytes instead of {}; the first difference is at {at}",
        left.len(),
        right.len()
    ))
}
