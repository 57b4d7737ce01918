//! A connection at work: one task reads frames and hands them to their streams, one writes what
//! all of them have to say and gives signs of life.

mod writer;

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ferryway_core::bytes::Buffer;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::timeout,
};

use writer::Writer;

use crate::{
    failure::Failure,
    frame::{Body, Frame, HEAD_BYTES, Head, Message, Seal},
    handshake::{Ready, RoundTrip},
    stream::{Hold, Queued, Stream},
    window::{Bound, INBOUND, Stock, Window},
};

/// Frames that may wait to be written. With the largest frames it bounds what a connection holds
/// in memory on its way out: 2 MiB.
const WAITING: usize = 8;

/// Words up to this size in all are read, and written, in one go: each is a call to the system.
const SMALL_BYTES: usize = 16 * 1024;

/// How long a good-bye may take.
const GOOD_BYE: Duration = Duration::from_secs(1);

/// One end of a connection. Dropped, it is cut, and every stream of it ends.
pub(crate) struct Link {
    shared: Arc<Shared>,
}

/// What happens when the other end opens a stream; called from the reader, so it must not wait.
pub(crate) type OnOpen = Box<dyn Fn(Stream, Opening) + Send + Sync>;

/// Who wants a stream.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) host: String,
    pub(crate) instance: String,
    pub(crate) epoch: u64,
    /// The door has as many streams as it serves: this one is to be refused.
    pub(crate) beyond_limit: bool,
}

/// What streams and tasks of a connection share.
pub(crate) struct Shared {
    out: mpsc::Sender<Frame>,
    /// Where a good-bye waits for its place in line.
    runtime: Handle,
    streams: Mutex<Streams>,
    broken: watch::Sender<Option<Failure>>,
    /// Bytes of files that the line has carried, both ways.
    carried: AtomicU64,
    /// How long the other end may be silent.
    pub(crate) limit: Duration,
    /// After how long without a word we give a sign of life: soon enough for both ends.
    pub(crate) pause: Duration,
    /// How long a word takes to the other end and back, once the first frame is here.
    round_trip: OnceLock<Duration>,
    /// When we said what that frame answers.
    said: Instant,
    stock: Stock,
    accepts: Option<Accepts>,
}

/// What a host's end needs to take streams in.
struct Accepts {
    on_open: OnOpen,
    places: Arc<Places>,
}

/// The places for living streams, of all connections of a door together. A stream lives until
/// its task is through and its good-bye is in line, however early the other end closes it.
#[derive(Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    /// Streams that are served; as many more have a place until they are refused.
    served: usize,
}

#[derive(Default)]
struct Streams {
    open: HashMap<u32, Inbound>,
    /// The largest number that was ever open.
    last: u32,
}

/// Where the words on a stream go.
struct Inbound {
    sender: mpsc::Sender<Queued>,
    /// How much may wait there.
    bound: Bound,
    /// Whether data may come: not before the host has said that the stream is open.
    takes_data: bool,
}

impl Places {
    /// Places to serve so many streams.
    pub(crate) fn new(served: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(2 * served)), served }
    }

    /// A place, and whether its stream is to be refused; `None` when not even that can be said.
    fn take(&self) -> Option<(OwnedSemaphorePermit, bool)> {
        let place = Arc::clone(&self.free).try_acquire_owned().ok()?;
        Some((place, self.free.available_permits() < self.served))
    }
}

impl Link {
    /// A connection on which we open streams.
    pub(crate) fn of_visitor(ready: Ready, limit: Duration, stock: Stock) -> Self {
        Self::start(ready, limit, stock, None)
    }

    /// A connection on which a visitor opens streams, as long as there are places.
    pub(crate) fn of_host(
        ready: Ready,
        limit: Duration,
        stock: Stock,
        places: Arc<Places>,
        on_open: OnOpen,
    ) -> Self {
        Self::start(ready, limit, stock, Some(Accepts { on_open, places }))
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// Why the connection is broken.
    pub(crate) fn open(self: &Arc<Self>) -> Result<Stream, Failure> {
        let (sender, inbound) = mpsc::channel(INBOUND);
        let mut streams = self.shared.lock();
        if let Some(cause) = self.shared.cause() {
            return Err(cause);
        }
        let number = streams.last.checked_add(1).ok_or(Failure::Closed)?;
        streams.last = number;
        let window = Window::new(self.shared.stock.clone());
        let bound = window.bound();
        streams.open.insert(number, Inbound { sender, bound, takes_data: true });
        let (shared, link) = (Arc::clone(&self.shared), Arc::clone(self));
        Ok(Stream::new(number, shared, inbound, window, Hold::Link(link)))
    }

    /// Whether the connection is broken.
    pub(crate) fn is_broken(&self) -> bool {
        self.shared.cause().is_some()
    }

    /// Resolves, with the cause, when the connection is over.
    pub(crate) async fn over(&self) -> Failure {
        self.shared.over_with().await
    }

    fn start(ready: Ready, limit: Duration, stock: Stock, accepts: Option<Accepts>) -> Self {
        let (out, waiting) = mpsc::channel(WAITING);
        let Ready { reader, writer, incoming, outgoing, their_silence, round_trip, .. } = ready;
        let (round_trip, said) = match round_trip {
            RoundTrip::Took(time) => (OnceLock::from(time), Instant::now()),
            RoundTrip::Since(said) => (OnceLock::new(), said),
        };
        let shared = Arc::new(Shared {
            out,
            runtime: Handle::current(),
            streams: Mutex::default(),
            broken: watch::Sender::new(None),
            carried: AtomicU64::new(0),
            limit,
            pause: limit.min(their_silence) / 3,
            round_trip,
            said,
            stock,
            accepts,
        });
        let read = Arc::clone(&shared);
        tokio::spawn(async move {
            let cause = tokio::select! {
                cause = read.over_with() => cause,
                cause = read.read(reader, incoming) => cause,
            };
            read.fail(cause);
        });
        let write = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut writer = Writer::new(writer, outgoing, limit);
            let cause = tokio::select! {
                cause = write.over_with() => cause,
                cause = writer.write_all(waiting, &write) => cause,
            };
            write.fail(cause);
            // The other end learns of it sooner; it would learn of it anyway.
            let _polite = timeout(GOOD_BYE, writer.to.shutdown()).await;
        });
        Self { shared }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.fail(Failure::Closed);
    }
}

impl Shared {
    /// Puts a frame in line; waits while the line is full.
    ///
    /// # Errors
    /// Why the connection is broken.
    pub(crate) async fn send(&self, stream: u32, body: Body) -> Result<(), Failure> {
        self.turn().await?.send(Frame { stream, body });
        Ok(())
    }

    /// Puts the word in line that a stream is open; its data is taken from then on.
    ///
    /// # Errors
    /// Why the connection is broken.
    pub(crate) async fn send_opened(&self, stream: u32, opened: Message) -> Result<(), Failure> {
        let turn = self.turn().await?;
        if let Some(inbound) = self.lock().open.get_mut(&stream) {
            inbound.takes_data = true;
        }
        turn.send(message(stream, opened));
        Ok(())
    }

    async fn turn(&self) -> Result<mpsc::Permit<'_, Frame>, Failure> {
        tokio::select! {
            // The writer watches the clock: it makes room, or breaks the connection.
            turn = self.out.reserve() => turn.map_err(|_| self.cause().unwrap_or(Failure::Closed)),
            cause = self.over_with() => Err(cause),
        }
    }

    /// Forgets a stream that is over on this side, and tells the other one, after all that was
    /// said on it before. `hold` is let go when that is in line.
    pub(crate) fn forget(&self, stream: u32, hold: Option<Hold>) {
        if self.lock().open.remove(&stream).is_none() {
            return;
        }
        let out = self.out.clone();
        if let Err(mpsc::error::TrySendError::Full(frame)) =
            out.try_send(message(stream, Message::Close))
        {
            // Without a writer there is nobody to tell.
            self.runtime.spawn(async move {
                let _hold = hold;
                out.send(frame).await.ok()
            });
        }
    }

    /// Why the connection is broken, if it is.
    pub(crate) fn cause(&self) -> Option<Failure> {
        self.broken.borrow().clone()
    }

    /// Bytes of files that the line has carried so far.
    pub(crate) fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }

    /// How long a word takes to the other end and back.
    pub(crate) fn round_trip(&self) -> Duration {
        *self.round_trip.get_or_init(|| self.said.elapsed())
    }

    async fn over_with(&self) -> Failure {
        let mut broken = self.broken.subscribe();
        match broken.wait_for(Option::is_some).await {
            Ok(cause) => cause.clone().unwrap_or(Failure::Closed),
            Err(_) => Failure::Closed,
        }
    }

    /// Breaks the connection. The first cause stays.
    fn fail(&self, cause: Failure) {
        self.broken.send_if_modified(|broken| {
            let first = broken.is_none();
            broken.get_or_insert(cause);
            first
        });
        // Whoever waits for a frame learns that none will come.
        self.lock().open.clear();
    }

    async fn read(
        self: &Arc<Self>,
        reader: Box<dyn AsyncRead + Send + Unpin>,
        mut seal: Seal,
    ) -> Failure {
        let mut reader = BufReader::with_capacity(SMALL_BYTES, reader);
        loop {
            let frame = match self.next_frame(&mut reader, &mut seal).await {
                Ok(frame) => frame,
                Err(failure) => return failure,
            };
            if let Err(failure) = self.hand_over(frame) {
                return failure;
            }
        }
    }

    async fn next_frame(
        &self,
        reader: &mut (dyn AsyncRead + Send + Unpin),
        seal: &mut Seal,
    ) -> Result<Frame, Failure> {
        let mut head = [0; HEAD_BYTES];
        let mut filled = 0;
        while filled < HEAD_BYTES {
            filled += self.in_time(reader.read(&mut head[filled..])).await?;
        }
        let head = Head::parse(&head)?;
        let mut payload = Buffer::of(head.length());
        let mut filled = 0;
        while filled < payload.len() {
            let read = self.in_time(reader.read(&mut payload[filled..])).await?;
            filled += read;
            if head.is_data() {
                self.carried.fetch_add(read as u64, Ordering::Relaxed);
            }
        }
        Ok(seal.decode(&head, payload)?)
    }

    /// One read. The clock starts anew with each: a slow line is no silent one.
    async fn in_time(
        &self,
        read: impl Future<Output = io::Result<usize>>,
    ) -> Result<usize, Failure> {
        let read = timeout(self.limit, read).await;
        match read.map_err(|_| Failure::Silent("on the connection"))?? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            read => Ok(read),
        }
    }

    /// Gives a frame to its stream. Never waits: a stream without room was sent more than it
    /// granted.
    fn hand_over(self: &Arc<Self>, frame: Frame) -> Result<(), Failure> {
        // The first frame is what tells it.
        self.round_trip();
        let Frame { stream, body } = frame;
        if stream == 0 {
            return match body {
                Body::Message(Message::Ping) => Ok(()),
                other => Err(Failure::out_of_place(&other)),
            };
        }
        let mut streams = self.lock();
        if matches!(body, Body::Message(Message::Close)) {
            streams.open.remove(&stream);
            return Ok(());
        }
        if let Some(inbound) = streams.open.get(&stream) {
            if matches!(body, Body::Data(_) | Body::Packed(_)) && !inbound.takes_data {
                return Err(Failure::Garbage("data on a stream that is not open yet".to_owned()));
            }
            let waiting = inbound.sender.max_capacity() - inbound.sender.capacity();
            if !inbound.bound.allows(waiting) {
                return Err(Failure::Garbage("more frames than were granted".to_owned()));
            }
            // Who listened may be about to say that the stream is over.
            let _taken = inbound.sender.try_send(body.into());
            return Ok(());
        }
        match (&self.accepts, body) {
            // Late words on a stream that is over on this side.
            (_, _) if stream <= streams.last => Ok(()),
            (Some(accepts), Body::Message(Message::Open { host, instance, epoch })) => {
                // Streams are opened faster than they can be refused.
                let (place, beyond_limit) = accepts.places.take().ok_or(Failure::Crowd)?;
                let (sender, inbound) = mpsc::channel(INBOUND);
                let window = Window::new(self.stock.clone());
                let bound = window.bound();
                streams.open.insert(stream, Inbound { sender, bound, takes_data: false });
                streams.last = stream;
                drop(streams);
                let hold = Hold::Place(place);
                let opened = Stream::new(stream, Arc::clone(self), inbound, window, hold);
                (accepts.on_open)(opened, Opening { host, instance, epoch, beyond_limit });
                Ok(())
            }
            (_, other) => Err(Failure::out_of_place(&other)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        // No code panics while it holds the lock halfway through a change.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn message(stream: u32, message: Message) -> Frame {
    Frame { stream, body: Body::Message(message) }
}

#[cfg(test)]
mod tests;
