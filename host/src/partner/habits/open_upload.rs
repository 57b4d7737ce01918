//! What a partner does with a file, or its folder, while another session stores it. A former owner
//! that is cut off in the middle of an upload leaves its session open for as long as the partner
//! does not notice.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use ferryway_core::{
    Kind, Operation, RemotePath, TransportError,
    bytes::{ByteSource, CHUNK_BYTES, Meter, Source},
    transport::{Session, Stored, Upload},
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use super::{Locking, OpenFile, store, taken};
use crate::{attempt::absence, partner::pool::Pool};

/// More than a transport reads in one go, so that the first bytes are at the partner while the
/// source waits for the rest.
const BYTES: u64 = CHUNK_BYTES as u64 + 1;

/// How long the first bytes may take.
const LIMIT: Duration = Duration::from_secs(300);

/// How often is looked whether the first bytes have left.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// An upload of another session that has begun, and does not end before it is told to.
pub(super) struct OpenUpload {
    ending: mpsc::Sender<()>,
    storing: JoinHandle<Result<Stored, TransportError>>,
}

impl OpenUpload {
    /// Begins it; its first bytes are at the partner on `Ok`.
    ///
    /// # Errors
    /// When the partner does not take it.
    pub(super) async fn begin(pool: &Arc<Pool>, path: &RemotePath) -> Result<Self, TransportError> {
        let mut lease = Pool::lend(pool).await?;
        let (ending, ends) = mpsc::channel(1);
        let meter = Meter::new();
        let upload = Upload {
            path: path.clone(),
            offset: 0,
            length: BYTES,
            source: Source::new(Reluctant { given: 0, ending: ends, told: None }),
            meter: Arc::clone(&meter),
        };
        let storing = tokio::spawn(async move {
            let stored = lease.session().store(upload).await?;
            lease.give_back();
            Ok(stored)
        });
        let first = async {
            while meter.bytes() == 0 && !storing.is_finished() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        if timeout(LIMIT, first).await.is_err() {
            let text = "no byte has left in time";
            return Err(TransportError::retryable(Kind::Timeout, Operation::Store, text).at(path));
        }
        let open = Self { ending, storing };
        if open.storing.is_finished() {
            open.end().await?;
            let text = "it has ended before its source";
            return Err(TransportError::retryable(Kind::Protocol, Operation::Store, text).at(path));
        }
        Ok(open)
    }

    /// Lets it come to its end.
    ///
    /// # Errors
    /// When the partner did not take all of it.
    pub(super) async fn end(self) -> Result<(), TransportError> {
        // A source that has stopped waiting has ended in another way.
        let _told = self.ending.try_send(());
        match self.storing.await {
            Ok(stored) => stored.map(drop),
            Err(error) => Err(TransportError::local(Operation::Store, io::Error::other(error))),
        }
    }
}

/// Stores onto a file that another session is storing. `path` is a file that may be overwritten,
/// or none; one is there afterwards.
///
/// # Errors
/// When a session cannot be had, or is lost otherwise than by silence.
pub(super) async fn locking(
    pool: &Arc<Pool>,
    path: &RemotePath,
) -> Result<Locking, TransportError> {
    let open = OpenUpload::begin(pool, path).await?;
    let mut lease = Pool::lend(pool).await?;
    let found = match taken(store(lease.session(), path, b"other", 0).await) {
        Ok(true) => Locking::Takes,
        Ok(false) => Locking::Refuses,
        Err(error) if error.kind() == Kind::Timeout => Locking::Waits,
        Err(error) => return Err(error),
    };
    if found != Locking::Waits {
        lease.give_back();
    }
    // What a store onto its file does to it is the partner's matter.
    if let Err(error) = open.end().await {
        tracing::debug!(%error, "an upload did not outlive another onto its file");
    }
    Ok(found)
}

/// Renames a file that another session is storing. One file is there afterwards, under one of
/// the two names.
///
/// # Errors
/// When a session cannot be had, or is lost.
pub(super) async fn rename_file(
    pool: &Arc<Pool>,
    from: &RemotePath,
    to: &RemotePath,
) -> Result<OpenFile, TransportError> {
    let open = OpenUpload::begin(pool, from).await?;
    let mut lease = Pool::lend(pool).await?;
    let session = lease.session();
    let renamed = taken(session.rename(from.clone(), to.clone()).await)?;
    let unseen = !renamed && absence::is_absent(session, from, None).await.unwrap_or(false);
    let ended = open.end().await;
    let found = match renamed {
        true if ended.is_ok() && size(session, to).await? == Some(BYTES) => OpenFile::Follows,
        true => OpenFile::Loses,
        false if unseen => OpenFile::Unseen,
        false => OpenFile::Refuses,
    };
    lease.give_back();
    Ok(found)
}

/// Whether a folder can be renamed while another session stores `file` in it.
///
/// # Errors
/// As [`rename_file`].
pub(super) async fn rename_folder(
    pool: &Arc<Pool>,
    [from, to]: [&RemotePath; 2],
    file: &RemotePath,
) -> Result<bool, TransportError> {
    let open = OpenUpload::begin(pool, file).await?;
    let mut lease = Pool::lend(pool).await?;
    let renamed = taken(lease.session().rename(from.clone(), to.clone()).await)?;
    lease.give_back();
    if let Err(error) = open.end().await {
        tracing::debug!(%error, "an upload did not outlive the rename of its folder");
    }
    Ok(renamed)
}

async fn size(session: &mut dyn Session, path: &RemotePath) -> Result<Option<u64>, TransportError> {
    match session.stat(path.clone()).await {
        Ok(stat) => Ok(stat.size),
        Err(error) if error.reply().is_some() || error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Gives all of its bytes but the last, for which it has to be waited until it is told to give it.
struct Reluctant {
    given: u64,
    ending: mpsc::Receiver<()>,
    /// Whether it was told, or nobody is there any more to tell it.
    told: Option<bool>,
}

impl Reluctant {
    fn waits(&self) -> bool {
        self.given == BYTES - 1 && self.told.is_none()
    }
}

impl ByteSource for Reluctant {
    fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        if self.waits() && !chunk.is_empty() {
            self.told = Some(self.ending.blocking_recv().is_some());
        }
        if self.told == Some(false) {
            return Err(io::Error::other("the probe was given up"));
        }
        let room = if self.told.is_some() { BYTES } else { BYTES - 1 } - self.given;
        let given = chunk.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        chunk[..given].fill(b'f');
        self.given += given as u64;
        Ok(given)
    }

    fn poll_ready(&mut self, bytes: usize, context: &mut Context<'_>) -> Poll<usize> {
        if self.waits() {
            self.told = Some(ready!(self.ending.poll_recv(context)).is_some());
        }
        Poll::Ready(bytes)
    }
}
