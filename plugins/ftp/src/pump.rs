//! The byte pump: the host's blocking source or sink on one side, a socket on the other, two
//! buffers between them so that both work at the same time.

use std::{io, time::Duration};

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

/// Bytes do not wait longer for a full chunk than this before the sink gets them.
const PATIENCE: Duration = Duration::from_secs(1);

/// A source that is reading ahead, or had all at hand.
pub(crate) enum Ahead {
    Reading(JoinHandle<Filled>),
    Read(Box<Filled>),
}

pub(crate) struct Filled {
    source: Source,
    buffer: Vec<u8>,
    filled: io::Result<usize>,
}

impl Ahead {
    /// Starts to read the first chunk of about `length` bytes in all. Room for one byte more
    /// than a small file has shows its end in the same go.
    pub(crate) fn start(source: Source, length: u64) -> Self {
        let room = usize::try_from(length.saturating_add(1)).unwrap_or(CHUNK_BYTES);
        Self::fill(source, vec![0; room.clamp(4096, CHUNK_BYTES)])
    }

    fn fill(mut source: Source, mut buffer: Vec<u8>) -> Self {
        let blocks = source.blocks();
        let fill = move || {
            let filled = source.fill(&mut buffer);
            Filled { source, buffer, filled }
        };
        if blocks { Self::Reading(spawn_blocking(fill)) } else { Self::Read(Box::new(fill())) }
    }

    /// Waits until the source is idle.
    pub(crate) async fn give_up(self) {
        if let Self::Reading(reading) = self
            && let Err(error) = reading.await
        {
            tracing::debug!(%error, "a source was lost");
        }
    }

    async fn wait(self) -> Result<(Source, Vec<u8>, usize), Stop> {
        let Filled { source, buffer, filled } = match self {
            Self::Reading(reading) => reading.await.map_err(|e| Stop::Local(e.into()))?,
            Self::Read(filled) => *filled,
        };
        Ok((source, buffer, filled.map_err(Stop::Local)?))
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
    let (mut source, mut buffer, mut filled) = ahead.wait().await?;
    let (mut spare, mut sent) = (None, 0);
    while filled == buffer.len() {
        let next = Ahead::fill(source, spare.take().unwrap_or_else(|| vec![0; CHUNK_BYTES]));
        let written = write(stream, &buffer, meter, limit).await;
        // The source is idle again before anything is reported.
        let next = next.wait().await;
        written?;
        sent += filled as u64;
        let full = buffer;
        (source, buffer, filled) = next?;
        spare = (full.len() == CHUNK_BYTES).then_some(full);
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
    let mut writer = Writer::Idle(sink);
    let mut buffer = vec![0; FIRST_BYTES];
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
        buffer = spare
            .filter(|spare| spare.len() == CHUNK_BYTES)
            .unwrap_or_else(|| vec![0; CHUNK_BYTES]);
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
