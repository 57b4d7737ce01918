//! How fast bytes go to and come from a partner: one limit for all of its sessions and both
//! directions, kept where the host's bytes are, so that it holds for every transport.

use std::{
    num::NonZeroU64,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
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

use tokio::runtime::Handle;

use crate::locks::lock;

/// The same transport, whose sessions together move at most so many bytes a second; as it is
/// without a limit. Must be called on a runtime.
pub fn paced(
    transport: Arc<dyn Transport>,
    bytes_per_second: Option<NonZeroU64>,
) -> Arc<dyn Transport> {
    match bytes_per_second {
        None => transport,
        Some(rate) => {
            let clock = Arc::new(SystemClock(Handle::current()));
            Arc::new(PacedTransport { transport, pace: Pace::new(rate, clock) })
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
    /// Resolves after this time, on whichever runtime it is waited for.
    fn alarm(&self, time: Duration) -> Alarm;
    /// Blocks.
    fn sleep(&self, time: Duration);
}

type Alarm = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The system's clock, with the timers of the host's runtime.
struct SystemClock(Handle);

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn alarm(&self, time: Duration) -> Alarm {
        let _timers = self.0.enter();
        Box::pin(tokio::time::sleep(time))
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

    /// Books a turn for some of the next `bytes`, behind all others. What was not used in time past
    /// is lost: there is no burst after a pause.
    fn book(&self, bytes: usize) -> Turn {
        let (bytes, now) = (bytes.min(self.piece()), self.clock.now());
        let mut paid = lock(&self.paid);
        *paid = (*paid).max(now) + self.time(bytes);
        Turn { bytes, due: *paid, alarm: None }
    }

    fn give_back(&self, bytes: usize) {
        *lock(&self.paid) -= self.time(bytes);
    }

    fn time(&self, bytes: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.rate.get() as f64)
    }

    fn wait_until(&self, due: Instant) -> Duration {
        due.saturating_duration_since(self.clock.now())
    }
}

/// One stream's place in the pace.
struct Turns {
    pace: Pace,
    booked: Option<Turn>,
}

/// So many bytes may go through then.
struct Turn {
    bytes: usize,
    due: Instant,
    alarm: Option<Alarm>,
}

impl Turns {
    fn new(pace: Pace) -> Self {
        Self { pace, booked: None }
    }

    /// Waits, without a thread, until it is the turn of some of the next `bytes`.
    fn poll(&mut self, bytes: usize, context: &mut Context<'_>) -> Poll<usize> {
        let turn = self.booked.get_or_insert_with(|| self.pace.book(bytes));
        loop {
            let left = self.pace.wait_until(turn.due);
            if left.is_zero() {
                return Poll::Ready(turn.bytes.min(bytes));
            }
            let alarm = turn.alarm.get_or_insert_with(|| self.pace.clock.alarm(left));
            ready!(alarm.as_mut().poll(context));
            turn.alarm = None;
        }
    }

    /// Takes the turn of some of the next `bytes`, and tells how many. Blocks until it has come, where
    /// nobody has waited for it.
    fn take(&mut self, bytes: usize) -> usize {
        let turn = self.booked.take().unwrap_or_else(|| self.pace.book(bytes));
        let taken = turn.bytes.min(bytes);
        self.pace.clock.sleep(self.pace.wait_until(turn.due));
        self.pace.give_back(turn.bytes - taken);
        taken
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        if let Some(turn) = self.booked.take() {
            self.pace.give_back(turn.bytes);
        }
    }
}

struct PacedSource {
    source: Source,
    /// Bytes that are still to come: nothing is booked for the end.
    left: u64,
    turns: Turns,
}

impl PacedSource {
    /// How many of the next `bytes` there are.
    fn coming(&self, bytes: usize) -> usize {
        bytes.min(usize::try_from(self.left).unwrap_or(usize::MAX))
    }
}

impl ByteSource for PacedSource {
    fn read(&mut self, chunk: &mut [u8]) -> std::io::Result<usize> {
        let coming = self.coming(chunk.len());
        if coming == 0 {
            return self.source.read(chunk);
        }
        let turn = self.turns.take(coming);
        let read = self.source.read(&mut chunk[..turn]);
        let used = *read.as_ref().unwrap_or(&0);
        self.turns.pace.give_back(turn - used);
        self.left -= used as u64;
        read
    }

    fn poll_ready(&mut self, bytes: usize, context: &mut Context<'_>) -> Poll<usize> {
        match self.coming(bytes) {
            0 => Poll::Ready(bytes),
            coming => self.turns.poll(coming, context),
        }
    }
}

struct PacedSink {
    sink: Sink,
    turns: Turns,
}

impl ByteSink for PacedSink {
    fn write(&mut self, mut chunk: &[u8]) -> std::io::Result<()> {
        while !chunk.is_empty() {
            let (piece, rest) = chunk.split_at(self.turns.take(chunk.len()));
            self.sink.write(piece)?;
            chunk = rest;
        }
        Ok(())
    }

    fn poll_ready(&mut self, bytes: usize, context: &mut Context<'_>) -> Poll<usize> {
        self.turns.poll(bytes, context)
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
        let turns = Turns::new(self.pace.clone());
        let sink = Sink::new(PacedSink { sink: download.sink, turns });
        self.session.fetch(Download { sink, ..download }).await
    }

    async fn store(&mut self, upload: Upload) -> Result<Stored> {
        let turns = Turns::new(self.pace.clone());
        let source = PacedSource { source: upload.source, left: upload.length, turns };
        let source = Source::new(source);
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
