//! How fast bytes go to and come from a partner: one limit for all of its sessions and both
//! directions, kept where the host's bytes are, so that it holds for every transport.

use std::{
    num::NonZeroU64,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ferryway_core::{
    Algorithm, Digest, RemotePath, async_trait,
    bytes::{ByteSink, ByteSource, Sink, Source},
    notice::{Notice, Standing},
    reception::Listener,
    transport::{
        Capabilities, ConfigFault, Download, Partner, Result, Session, Stat, Stored, Transport,
        Upload,
    },
};

use crate::locks::lock;

/// The same transport, whose sessions together move at most so many bytes a second; as it is
/// without a limit.
pub fn paced(
    transport: Arc<dyn Transport>,
    bytes_per_second: Option<NonZeroU64>,
) -> Arc<dyn Transport> {
    match bytes_per_second {
        None => transport,
        Some(rate) => {
            Arc::new(PacedTransport { transport, pace: Pace::new(rate, Arc::new(SystemClock)) })
        }
    }
}

/// Whose turn it is, over all streams of a partner. Cheap to copy.
#[derive(Clone)]
struct Pace {
    rate: NonZeroU64,
    /// When what was let through so far is paid for.
    paid: Arc<Mutex<Instant>>,
    clock: Arc<dyn Clock>,
}

/// What the pace goes by.
trait Clock: Send + Sync {
    fn now(&self) -> Instant;
    /// Blocks.
    fn sleep(&self, time: Duration);
}

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

impl Pace {
    fn new(rate: NonZeroU64, clock: Arc<dyn Clock>) -> Self {
        Self { rate, paid: Arc::new(Mutex::new(clock.now())), clock }
    }

    /// The most that goes through at a time: nobody has to wait for much of another's.
    fn piece(&self) -> usize {
        usize::try_from(self.rate.get() / 8).unwrap_or(usize::MAX).max(1)
    }

    /// Lets bytes through when it is their turn. Blocks until then. What was not used in time
    /// past is lost: there is no burst after a pause.
    fn wait(&self, bytes: usize) {
        let now = self.clock.now();
        let turn = {
            let mut paid = lock(&self.paid);
            let turn = (*paid).max(now);
            *paid = turn + Duration::from_secs_f64(bytes as f64 / self.rate.get() as f64);
            *paid
        };
        self.clock.sleep(turn.saturating_duration_since(now));
    }
}

struct PacedSource {
    source: Source,
    pace: Pace,
}

impl ByteSource for PacedSource {
    fn read(&mut self, chunk: &mut [u8]) -> std::io::Result<usize> {
        let length = chunk.len().min(self.pace.piece());
        let read = self.source.read(&mut chunk[..length])?;
        self.pace.wait(read);
        Ok(read)
    }
}

struct PacedSink {
    sink: Sink,
    pace: Pace,
}

impl ByteSink for PacedSink {
    fn write(&mut self, chunk: &[u8]) -> std::io::Result<()> {
        for piece in chunk.chunks(self.pace.piece()) {
            self.pace.wait(piece.len());
            self.sink.write(piece)?;
        }
        Ok(())
    }
}

struct PacedTransport {
    transport: Arc<dyn Transport>,
    pace: Pace,
}

#[async_trait]
impl Transport for PacedTransport {
    fn name(&self) -> &'static str {
        self.transport.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.transport.capabilities()
    }

    fn check_config(&self, settings: &toml::Table) -> Vec<ConfigFault> {
        self.transport.check_config(settings)
    }

    async fn connect(&self, partner: Partner) -> Result<Box<dyn Session>> {
        let session = self.transport.connect(partner).await?;
        Ok(Box::new(PacedSession { session, pace: self.pace.clone() }))
    }

    fn listener(&self) -> Option<Arc<dyn Listener>> {
        self.transport.listener()
    }
}

struct PacedSession {
    session: Box<dyn Session>,
    pace: Pace,
}

#[async_trait]
impl Session for PacedSession {
    fn capabilities(&self) -> Capabilities {
        self.session.capabilities()
    }

    async fn stat(&mut self, path: RemotePath) -> Result<Stat> {
        self.session.stat(path).await
    }

    async fn list(&mut self, folder: Option<RemotePath>) -> Result<Vec<String>> {
        self.session.list(folder).await
    }

    async fn fetch(&mut self, download: Download) -> Result<u64> {
        let sink = Sink::new(PacedSink { sink: download.sink, pace: self.pace.clone() });
        self.session.fetch(Download { sink, ..download }).await
    }

    async fn store(&mut self, upload: Upload) -> Result<Stored> {
        let source = Source::new(PacedSource { source: upload.source, pace: self.pace.clone() });
        self.session.store(Upload { source, ..upload }).await
    }

    async fn rename(&mut self, from: RemotePath, to: RemotePath) -> Result<()> {
        self.session.rename(from, to).await
    }

    async fn remove(&mut self, path: RemotePath) -> Result<()> {
        self.session.remove(path).await
    }

    async fn make_folder(&mut self, path: RemotePath) -> Result<()> {
        self.session.make_folder(path).await
    }

    async fn remove_folder(&mut self, path: RemotePath) -> Result<()> {
        self.session.remove_folder(path).await
    }

    async fn checksum(
        &mut self,
        path: RemotePath,
        algorithm: Algorithm,
        length: u64,
    ) -> Result<Digest> {
        self.session.checksum(path, algorithm, length).await
    }

    async fn tell(&mut self, notice: Notice) -> Result<Option<Standing>> {
        self.session.tell(notice).await
    }

    async fn ping(&mut self) -> Result<()> {
        self.session.ping().await
    }

    async fn close(&mut self) -> Result<()> {
        self.session.close().await
    }
}

#[cfg(test)]
mod tests;
