//! The byte pump: the host's blocking source or sink on one side, a socket on the other, two
//! buffers between them so that both work at the same time.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use ferryway_core::bytes::{CHUNK_BYTES, Meter, Sink, Source};
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

/// Memory for the buffers of all transfers together, as long as there are not so many that each has
/// but [`LEAST_BYTES`] twice.
const STOCK_BYTES: usize = 32 * 1024 * 1024;

/// A buffer is no smaller, however many transfers there are.
const LEAST_BYTES: usize = 16 * 1024;

/// Bytes do not wait longer for a full chunk than this before the sink gets them.
const PATIENCE: Duration = Duration::from_secs(1);

/// A source that has begun to read ahead.
pub(crate) struct Ahead {
    filling: Filling,
    share: Share,
}

impl Ahead {
    /// Starts to read the first chunk of about `length` bytes in all. Room for one byte more
    /// than a small file has shows its end in the same go.
    pub(crate) fn start(source: Source, length: u64) -> Self {
        let share = Share::take();
        let room = usize::try_from(length.saturating_add(1)).unwrap_or(usize::MAX);
        let first = vec![0; room.clamp(4096, share.chunk_bytes())];
        Self { filling: Filling::start(source, first), share }
    }

    /// Waits until the source is idle.
    pub(crate) async fn give_up(self) {
        if let Filling::Reading(reading) = self.filling
            && let Err(error) = reading.await
        {
            tracing::debug!(%error, "a source was lost");
        }
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
    let Ahead { filling, share } = ahead;
    let (mut source, mut buffer, mut filled) = filling.wait().await?;
    let (mut spare, mut sent) = (None, 0);
    while filled == buffer.len() {
        let next = Filling::start(source, share.buffer(spare.take()));
        let written = write(stream, &buffer, meter, limit).await;
        // The source is idle again before anything is reported.
        let next = next.wait().await;
        written?;
        sent += filled as u64;
        spare = Some(buffer);
        (source, buffer, filled) = next?;
    }
    write(stream, &buffer[..filled], meter, limit).await?;
    Ok(sent + filled as u64)
}

/// Takes all that the stream gives into the sink and tells how many bytes.
pub(crate) async fn receive(
    stream: &mut (impl AsyncRead + Unpin),
    sink: Sink,
    meter: &Meter,
    limit: Duration,
) -> Result<u64, Stop> {
    let (share, mut writer) = (Share::take(), Writer::Idle(sink));
    let mut buffer = vec![0; FIRST_BYTES.min(share.chunk_bytes())];
    let mut received = 0;
    loop {
        let (filled, end) = read(stream, &mut buffer, limit).await;
        let (sink, spare) = writer.wait(meter).await?;
        received += filled as u64;
        // After a failure too, the sink gets what has come: a later try may start from there.
        writer = Writer::start(sink, buffer, filled);
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
        buffer = share.buffer(spare);
    }
}

/// A source that is reading, or had all at hand.
enum Filling {
    Reading(JoinHandle<Filled>),
    Read(Box<Filled>),
}

struct Filled {
    source: Source,
    buffer: Vec<u8>,
    filled: io::Result<usize>,
}

impl Filling {
    fn start(mut source: Source, mut buffer: Vec<u8>) -> Self {
        let blocks = source.blocks();
        let fill = move || {
            let filled = source.fill(&mut buffer);
            Filled { source, buffer, filled }
        };
        if blocks { Self::Reading(spawn_blocking(fill)) } else { Self::Read(Box::new(fill())) }
    }

    async fn wait(self) -> Result<(Source, Vec<u8>, usize), Stop> {
        let Filled { source, buffer, filled } = match self {
            Self::Reading(reading) => reading.await.map_err(|e| Stop::Local(e.into()))?,
            Self::Read(filled) => *filled,
        };
        Ok((source, buffer, filled.map_err(Stop::Local)?))
    }
}

/// A sink that is idle, takes its chunk, or took it on the spot.
enum Writer {
    Idle(Sink),
    Busy(JoinHandle<Drained>),
    Done(Box<Drained>),
}

struct Drained {
    sink: Sink,
    buffer: Vec<u8>,
    bytes: usize,
    written: io::Result<()>,
}

impl Writer {
    fn start(mut sink: Sink, buffer: Vec<u8>, bytes: usize) -> Self {
        let blocks = sink.blocks();
        let drain = move || {
            let written = if bytes == 0 { Ok(()) } else { sink.write(&buffer[..bytes]) };
            Drained { sink, buffer, bytes, written }
        };
        if blocks { Self::Busy(spawn_blocking(drain)) } else { Self::Done(Box::new(drain())) }
    }

    /// The sink once it has taken its chunk, and the chunk's buffer.
    async fn wait(self, meter: &Meter) -> Result<(Sink, Option<Vec<u8>>), Stop> {
        let drained = match self {
            Self::Idle(sink) => return Ok((sink, None)),
            Self::Busy(task) => task.await.map_err(|error| Stop::Local(error.into()))?,
            Self::Done(drained) => *drained,
        };
        drained.written.map_err(Stop::Local)?;
        meter.add(drained.bytes as u64);
        Ok((drained.sink, Some(drained.buffer)))
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

/// Reads until the buffer is full, the stream ends, or bytes have waited long enough; tells
/// how many, and how it ended if it did.
async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut [u8],
    limit: Duration,
) -> (usize, Option<Result<(), Stop>>) {
    let (started, mut filled) = (Instant::now(), 0);
    while filled < buffer.len() {
        match timeout(limit, stream.read(&mut buffer[filled..])).await {
            Err(_) => return (filled, Some(Err(Stop::Stalled))),
            Ok(Ok(0)) => return (filled, Some(Ok(()))),
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                // Many servers end TLS without close_notify. The end of the data proves nothing
                // anyway: the reply on the control connection decides.
                tracing::debug!("the partner ended the data connection without close_notify");
                return (filled, Some(Ok(())));
            }
            Ok(Err(error)) => return (filled, Some(Err(Stop::Remote(error)))),
            Ok(Ok(read)) => filled += read,
        }
        if started.elapsed() > PATIENCE {
            break;
        }
    }
    (filled, None)
}

/// A transfer that takes its share of the stock.
struct Share;

/// How many there are.
static SHARES: AtomicUsize = AtomicUsize::new(0);

impl Share {
    fn take() -> Self {
        SHARES.fetch_add(1, Ordering::Relaxed);
        Self
    }

    /// How large each of a transfer's two buffers is, with so many transfers as there are now.
    fn chunk_bytes(&self) -> usize {
        share_of(SHARES.load(Ordering::Relaxed))
    }

    /// A buffer of that size: the spare one, where it is.
    fn buffer(&self, spare: Option<Vec<u8>>) -> Vec<u8> {
        let bytes = self.chunk_bytes();
        spare.filter(|spare| spare.len() == bytes).unwrap_or_else(|| vec![0; bytes])
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        SHARES.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The size of a buffer where `transfers` share the stock, with two for each.
fn share_of(transfers: usize) -> usize {
    (STOCK_BYTES / 2 / transfers.max(1)).clamp(LEAST_BYTES, CHUNK_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_all_buffers_stays_within_the_stock() {
        assert_eq!(share_of(1), CHUNK_BYTES);
        for transfers in [1, 32, 33, 64, 500, 1000] {
            assert!(2 * transfers * share_of(transfers) <= STOCK_BYTES, "{transfers}");
        }
        assert_eq!(share_of(1_000_000), LEAST_BYTES);
    }
}
