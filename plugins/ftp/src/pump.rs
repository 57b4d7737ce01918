//! The byte pump: the host's blocking source or sink on one side, a socket on the other, two
//! buffers between them so that both work at the same time. Who has to be waited for, as where a
//! partner has a pace, holds no thread meanwhile.

use std::{io, time::Duration};

use ferryway_core::bytes::{self, CHUNK_BYTES, Draining, Meter, Room, Sink, Source};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    task::{JoinHandle, spawn_blocking},
    time::{Instant, timeout},
};

/// Which side ended a transfer early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The host's source or sink.
    Local(io::Error),
    /// The data connection.
    Remote(io::Error),
    /// No byte moved on the data connection for the time limit.
    Stalled,
}

/// A download starts with this much memory: it is enough for a small file.
const FIRST_BYTES: usize = 64 * 1024;

/// No buffer is made smaller for the sake of a small file.
const FEW_BYTES: usize = 4096;

/// Bytes do not wait longer for a full chunk than this before the sink gets them.
const PATIENCE: Duration = Duration::from_secs(1);

/// A source that has begun to read ahead.
pub(crate) struct Ahead(Filling);

impl Ahead {
    /// Starts to read the first chunk of about `length` bytes in all. Room for one byte more
    /// than a small file has shows its end in the same go.
    pub(crate) fn start(source: Source, length: u64) -> Self {
        let most = usize::try_from(length.saturating_add(1)).unwrap_or(usize::MAX);
        Self(Filling::start(source, Buffer::new(most.clamp(FEW_BYTES, CHUNK_BYTES))))
    }

    /// Waits until the source is idle.
    pub(crate) async fn give_up(self) {
        self.0.give_up().await;
    }
}

/// Sends all that the source gives and tells how many bytes. The last ones may still be on
/// their way: the caller closes the stream.
pub(crate) async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    ahead: Ahead,
    meter: &Meter,
    limit: Duration,
) -> Result<u64, Stop> {
    let mut filled = ahead.0.wait().await?;
    let mut sent = 0;
    while !filled.ended {
        let Filled { source, buffer, .. } = filled;
        sent += buffer.filled().len() as u64;
        if !buffer.room.is_ample() {
            write(stream, buffer.filled(), meter, limit).await?;
            drop(buffer);
            filled = Filling::start(source, Buffer::new(CHUNK_BYTES)).wait().await?;
            continue;
        }
        let next = Filling::start(source, Buffer::new(CHUNK_BYTES));
        let written = write(stream, buffer.filled(), meter, limit).await;
        if let Err(stop) = written {
            // The source is idle again before anything is reported.
            next.give_up().await;
            return Err(stop);
        }
        drop(buffer);
        filled = next.wait().await?;
    }
    write(stream, filled.buffer.filled(), meter, limit).await?;
    Ok(sent + filled.buffer.filled().len() as u64)
}

/// Takes all that the stream gives into the sink and tells how many bytes.
pub(crate) async fn receive(
    stream: &mut (impl AsyncRead + Unpin),
    sink: Sink,
    meter: &Meter,
    limit: Duration,
) -> Result<u64, Stop> {
    let mut writer = Writer::Idle(sink);
    let mut buffer = Buffer::new(FIRST_BYTES);
    let mut received = 0;
    loop {
        let end = read(stream, &mut buffer, limit).await;
        let sink = writer.wait(meter).await?;
        received += buffer.filled().len() as u64;
        // After a failure too, the sink gets what has come: a later try may start from there.
        writer = Writer::start(sink, buffer);
        match end {
            Some(Ok(())) => {
                writer.wait(meter).await?;
                return Ok(received);
            }
            Some(Err(stop)) => {
                writer.wait(meter).await?;
                return Err(stop);
            }
            None => {}
        }
        buffer = Buffer::new(CHUNK_BYTES);
    }
}

/// Bytes on their way, and their part of the memory for that.
struct Buffer {
    bytes: bytes::Buffer,
    filled: usize,
    room: Room,
}

impl Buffer {
    /// A buffer of a size that suits the moment, of `most` bytes at most.
    fn new(most: usize) -> Self {
        let room = Room::take(most);
        Self { bytes: bytes::Buffer::of(room.bytes()), filled: 0, room }
    }

    fn filled(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

/// A source that has to be waited for, or has begun to read.
enum Filling {
    Waiting(Source, Buffer),
    Begun(Work<Filled>),
}

/// What a source gave.
struct Filled {
    source: Source,
    buffer: Buffer,
    /// Whether that was the end of it.
    ended: bool,
}

impl Filling {
    /// Begins to read when the source is ready.
    fn start(mut source: Source, buffer: Buffer) -> Self {
        match source.ready_now(buffer.bytes.len()) {
            Some(_) => Self::Begun(Self::read(source, buffer)),
            None => Self::Waiting(source, buffer),
        }
    }

    fn read(mut source: Source, mut buffer: Buffer) -> Work<Filled> {
        Work::start(source.blocks(), move || {
            let (filled, ended) = source.fill(&mut buffer.bytes)?;
            buffer.filled = filled;
            Ok(Filled { source, buffer, ended })
        })
    }

    async fn wait(self) -> Result<Filled, Stop> {
        let work = match self {
            Self::Waiting(mut source, buffer) => {
                source.ready(buffer.bytes.len()).await;
                Self::read(source, buffer)
            }
            Self::Begun(work) => work,
        };
        work.done().await.map_err(Stop::Local)
    }

    /// Waits until the source is idle.
    async fn give_up(self) {
        if let Self::Begun(work) = self
            && let Err(error) = work.done().await
        {
            tracing::debug!(%error, "a source was given up");
        }
    }
}

/// A sink that is idle, has to be waited for, or has begun to take its chunk.
enum Writer {
    Idle(Sink),
    Waiting(Chunk),
    /// Of so many bytes.
    Begun(Work<Chunk>, usize),
}

/// A chunk on its way into its sink, and its part of the memory.
struct Chunk {
    draining: Draining,
    _room: Room,
}

impl Writer {
    /// Begins to write when the sink is ready.
    fn start(sink: Sink, buffer: Buffer) -> Self {
        let Buffer { mut bytes, filled, room: _room } = buffer;
        bytes.truncate(filled);
        Self::go_on(Chunk { draining: Draining::new(sink, [bytes]), _room })
    }

    fn go_on(mut chunk: Chunk) -> Self {
        match chunk.draining.left() {
            0 => Self::Idle(chunk.draining.into_sink()),
            _ => match chunk.draining.ready_now() {
                Some(ready) => Self::Begun(chunk.write(ready), ready),
                None => Self::Waiting(chunk),
            },
        }
    }

    /// The sink once it has taken its chunk.
    async fn wait(mut self, meter: &Meter) -> Result<Sink, Stop> {
        loop {
            let (work, bytes) = match self {
                Self::Idle(sink) => return Ok(sink),
                Self::Waiting(mut chunk) => {
                    let ready = chunk.draining.ready().await;
                    (chunk.write(ready), ready)
                }
                Self::Begun(work, bytes) => (work, bytes),
            };
            let chunk = work.done().await.map_err(Stop::Local)?;
            meter.add(bytes as u64);
            self = Self::go_on(chunk);
        }
    }
}

impl Chunk {
    fn write(mut self, bytes: usize) -> Work<Self> {
        Work::start(self.draining.blocks(), move || self.draining.write(bytes).map(|()| self))
    }
}

/// Work that may wait for a disk, on a thread that may do so, or that was done on the spot.
enum Work<T> {
    Busy(JoinHandle<io::Result<T>>),
    Done(Box<io::Result<T>>),
}

impl<T: Send + 'static> Work<T> {
    fn start(blocks: bool, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Self {
        if blocks { Self::Busy(spawn_blocking(work)) } else { Self::Done(Box::new(work())) }
    }

    async fn done(self) -> io::Result<T> {
        match self {
            Self::Busy(task) => task.await.unwrap_or_else(|error| Err(error.into())),
            Self::Done(done) => *done,
        }
    }
}

async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    mut bytes: &[u8],
    meter: &Meter,
    limit: Duration,
) -> Result<(), Stop> {
    while !bytes.is_empty() {
        match timeout(limit, stream.write(bytes)).await {
            Err(_) => return Err(Stop::Stalled),
            Ok(Err(error)) => return Err(Stop::Remote(error)),
            Ok(Ok(0)) => return Err(Stop::Remote(io::ErrorKind::WriteZero.into())),
            Ok(Ok(written)) => {
                meter.add(written as u64);
                bytes = &bytes[written..];
            }
        }
    }
    Ok(())
}

/// Reads until the buffer is full, the stream ends, or bytes have waited long enough; tells how it
/// ended if it did.
async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Buffer,
    limit: Duration,
) -> Option<Result<(), Stop>> {
    let started = Instant::now();
    while buffer.filled < buffer.bytes.len() {
        match timeout(limit, stream.read(&mut buffer.bytes[buffer.filled..])).await {
            Err(_) => return Some(Err(Stop::Stalled)),
            Ok(Ok(0)) => return Some(Ok(())),
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                // Many servers end TLS without close_notify. The end of the data proves nothing
                // anyway: the reply on the control connection decides.
                tracing::debug!("the partner ended the data connection without close_notify");
                return Some(Ok(()));
            }
            Ok(Err(error)) => return Some(Err(Stop::Remote(error))),
            Ok(Ok(read)) => buffer.filled += read,
        }
        if started.elapsed() > PATIENCE {
            break;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::{Arc, Mutex},
        task::{Context, Poll},
    };

    use ferryway_core::bytes::ByteSource;

    use super::*;

    /// Gives the bytes up to `length`, and notes for each place at which it is asked for more whether
    /// something before it was still to be sent.
    struct Asked {
        given: usize,
        length: usize,
        sent: Arc<Meter>,
        ahead: Arc<Mutex<BTreeMap<usize, bool>>>,
    }

    impl ByteSource for Asked {
        fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
            let read = chunk.len().min(self.length - self.given);
            self.given += read;
            Ok(read)
        }

        fn poll_ready(&mut self, bytes: usize, _context: &mut Context<'_>) -> Poll<usize> {
            let ahead = self.given as u64 > self.sent.bytes();
            *self.ahead.lock().unwrap().entry(self.given).or_default() |= ahead;
            Poll::Ready(bytes)
        }
    }

    /// Sends three chunks; whether each piece but the first was asked for before those before it were sent.
    async fn reads_ahead() -> Vec<bool> {
        let length = 3 * CHUNK_BYTES;
        let (sent, ahead) = (Meter::new(), Arc::default());
        let source = Asked { given: 0, length, sent: Arc::clone(&sent), ahead: Arc::clone(&ahead) };
        let mut stream = Vec::new();
        let begun = Ahead::start(Source::new(source), length as u64);
        let told = send(&mut stream, begun, &sent, Duration::MAX).await.unwrap();
        assert_eq!((told, stream.len()), (length as u64, length));
        let ahead = ahead.lock().unwrap();
        ahead.values().skip(1).copied().collect()
    }

    #[tokio::test]
    async fn the_next_chunk_is_read_while_one_is_sent_unless_memory_is_short() {
        let ahead = reads_ahead().await;
        assert_eq!(ahead, [true; 3]);
        let all_memory: Vec<_> = (0..64).map(|_| Room::take(CHUNK_BYTES)).collect();
        let ahead = reads_ahead().await;
        assert!(ahead.len() > 3 && ahead.iter().all(|ahead| !ahead), "{ahead:?}");
        drop(all_memory);
    }
}
