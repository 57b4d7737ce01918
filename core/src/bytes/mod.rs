//! How bytes cross the plugin boundary.
//!
//! The host owns the bytes: a transport pulls from a [`Source`] and pushes into a [`Sink`],
//! so that counting, hashing, rate limits and cancellation live in one place. Both block, so
//! that they need no runtime; a transport calls them from its runtime's blocking pool, once they
//! are ready: whoever waits for something else than a disk holds no thread.

mod buffer;
mod draining;
mod room;

pub use buffer::Buffer;
pub use draining::Draining;
pub use room::Room;

use std::{
    any::Any,
    fmt,
    future::poll_fn,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// The chunk that suits both sides, in bytes. Larger ones leave the processor's cache.
pub const CHUNK_BYTES: usize = 512 * 1024;

/// Where the host wants fetched bytes.
pub trait ByteSink: Send {
    /// Takes the whole chunk.
    ///
    /// # Errors
    /// When the bytes cannot be stored; the transfer ends with this error.
    fn write(&mut self, chunk: &[u8]) -> io::Result<()>;

    /// Tells how many of the next `bytes`, one at least, can be written with no other wait than for a
    /// disk. While there is none, whoever is behind `context` is woken when that changes. More at
    /// once, or sooner, can be written all the same: the write waits.
    fn poll_ready(&mut self, bytes: usize, _context: &mut Context<'_>) -> Poll<usize> {
        Poll::Ready(bytes)
    }
}

/// Where the host's bytes to store come from.
pub trait ByteSource: Send {
    /// Fills the start of `chunk` and tells how many bytes; 0 means the end.
    ///
    /// # Errors
    /// When the bytes cannot be read; the transfer ends with this error.
    fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize>;

    /// Tells how many of the next `bytes`, one at least, can be read with no other wait than for a
    /// disk; otherwise as [`ByteSink::poll_ready`]. At the end and after a failure it is ready.
    fn poll_ready(&mut self, bytes: usize, _context: &mut Context<'_>) -> Poll<usize> {
        Poll::Ready(bytes)
    }
}

/// A [`ByteSink`] on its way to a transport. A panic in it becomes an error.
pub struct Sink {
    stream: Box<dyn ByteSink>,
    blocks: bool,
}

impl Sink {
    /// Wraps a sink of the host.
    pub fn new(sink: impl ByteSink + 'static) -> Self {
        Self { stream: Box::new(Shield(sink)), blocks: true }
    }

    /// A sink that keeps what it takes in memory, and refuses more than `limit` bytes; and
    /// where the bytes are.
    pub fn in_memory(limit: usize) -> (Self, Kept) {
        let kept = Kept::default();
        let memory = Memory { kept: Arc::clone(&kept.0), limit };
        (Self { stream: Box::new(memory), blocks: false }, kept)
    }

    /// Whether writing may wait for a disk. Where it does not, a transport may write on the
    /// spot, as it may read from a [`Source`].
    pub fn blocks(&self) -> bool {
        self.blocks
    }

    /// Waits until it is ready for some of the next `bytes`, and tells for how many, one at least; see
    /// [`ByteSink::poll_ready`]. Needs no runtime.
    pub async fn ready(&mut self, bytes: usize) -> usize {
        poll_fn(|context| self.stream.poll_ready(bytes, context)).await
    }

    /// For how many of the next `bytes` it is ready now; `None` when it has to be waited for.
    pub fn ready_now(&mut self, bytes: usize) -> Option<usize> {
        now(|context| self.stream.poll_ready(bytes, context))
    }

    /// See [`ByteSink::write`].
    ///
    /// # Errors
    /// As there, and when the sink panics.
    pub fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.stream.write(chunk)
    }
}

/// What a sink [in memory](Sink::in_memory) has taken.
#[derive(Clone, Debug, Default)]
pub struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    /// Takes the bytes out.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A [`ByteSource`] on its way to a transport. A panic in it becomes an error.
pub struct Source {
    stream: Box<dyn ByteSource>,
    blocks: bool,
}

impl Source {
    /// Wraps a source of the host.
    pub fn new(source: impl ByteSource + 'static) -> Self {
        Self { stream: Box::new(Shield(source)), blocks: true }
    }

    /// A source whose bytes are all in memory.
    pub fn of_bytes(bytes: Vec<u8>) -> Self {
        Self { stream: Box::new(io::Cursor::new(bytes)), blocks: false }
    }

    /// Whether reading may wait for a disk. Where it does not, a transport may read on the
    /// spot: the way to another thread and back costs more than a small file.
    pub fn blocks(&self) -> bool {
        self.blocks
    }

    /// As [`Sink::ready`].
    pub async fn ready(&mut self, bytes: usize) -> usize {
        poll_fn(|context| self.stream.poll_ready(bytes, context)).await
    }

    /// As [`Sink::ready_now`].
    pub fn ready_now(&mut self, bytes: usize) -> Option<usize> {
        now(|context| self.stream.poll_ready(bytes, context))
    }

    /// See [`ByteSource::read`].
    ///
    /// # Errors
    /// As there, and when the source panics.
    pub fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        self.stream.read(chunk)
    }

    /// Reads until `chunk` is full, the source ends, or has to be waited for; tells how many bytes,
    /// and whether it has ended. Some are read, or it has ended: for the first one it waits.
    ///
    /// # Errors
    /// As [`ByteSource::read`].
    pub fn fill(&mut self, chunk: &mut [u8]) -> io::Result<(usize, bool)> {
        let mut filled = 0;
        while filled < chunk.len() {
            let left = chunk.len() - filled;
            let ready = match self.ready_now(left) {
                Some(ready) => ready,
                None if filled == 0 => left,
                None => break,
            };
            match self.read(&mut chunk[filled..filled + ready])? {
                0 => return Ok((filled, true)),
                read => filled += read,
            }
        }
        Ok((filled, false))
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

/// Bytes moved so far. Progress crosses the boundary as data: no code of the host runs on a
/// plugin's thread for it.
#[derive(Debug, Default)]
pub struct Meter(AtomicU64);

impl Meter {
    /// A meter at zero, for both sides.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Counts bytes that the transport handed to the network, or took from it into the sink.
    pub fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The bytes counted so far.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The text of a panic's payload.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".to_owned())
}

/// Compiled on the side of the wrapped object: its panic must not unwind into the other
/// side's copy of the standard library, which would abort the process.
struct Shield<T>(T);

impl<T: ByteSink> ByteSink for Shield<T> {
    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        shield(|| self.0.write(chunk))
    }

    fn poll_ready(&mut self, bytes: usize, context: &mut Context<'_>) -> Poll<usize> {
        shield_ready(bytes, || self.0.poll_ready(bytes, context))
    }
}

struct Memory {
    kept: Arc<Mutex<Vec<u8>>>,
    limit: usize,
}

impl ByteSink for Memory {
    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if chunk.len() > self.limit - kept.len() {
            let text = format!("more than the {} bytes that there is room for", self.limit);
            return Err(io::Error::other(text));
        }
        kept.extend_from_slice(chunk);
        Ok(())
    }
}

impl ByteSource for io::Cursor<Vec<u8>> {
    fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        io::Read::read(self, chunk)
    }
}

impl<T: ByteSource> ByteSource for Shield<T> {
    fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        shield(|| self.0.read(chunk))
    }

    fn poll_ready(&mut self, bytes: usize, context: &mut Context<'_>) -> Poll<usize> {
        shield_ready(bytes, || self.0.poll_ready(bytes, context))
    }
}

fn shield<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|panic| Err(io::Error::other(panic_text(&*panic))))
}

/// Ready for one of `bytes` at least and for no more than all. Who panics is ready: the stream itself
/// tells what is wrong.
fn shield_ready(bytes: usize, ready: impl FnOnce() -> Poll<usize>) -> Poll<usize> {
    catch_unwind(AssertUnwindSafe(ready))
        .unwrap_or(Poll::Ready(bytes))
        .map(|ready| ready.clamp(1.min(bytes), bytes))
}

fn now(poll: impl FnOnce(&mut Context<'_>) -> Poll<usize>) -> Option<usize> {
    match poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(ready) => Some(ready),
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Steps(Vec<u8>, usize);

    impl ByteSource for Steps {
        fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
            let n = self.0.len().min(self.1).min(chunk.len());
            chunk[..n].copy_from_slice(&self.0[..n]);
            self.0.drain(..n);
            Ok(n)
        }
    }

    struct Bomb;

    impl ByteSink for Bomb {
        fn write(&mut self, _: &[u8]) -> io::Result<()> {
            panic!("boom")
        }
    }

    #[test]
    fn a_source_that_gives_little_at_a_time_fills_the_chunk() {
        let mut source = Source::new(Steps((0..10).collect(), 3));
        let mut chunk = [0; 8];
        assert_eq!(source.fill(&mut chunk).unwrap(), (8, false));
        assert_eq!(chunk, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(source.fill(&mut chunk).unwrap(), (2, true));
    }

    /// Ready every other time, for three bytes.
    struct Halting(Steps, bool);

    impl ByteSource for Halting {
        fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
            self.0.read(chunk)
        }

        fn poll_ready(&mut self, _: usize, _: &mut Context<'_>) -> Poll<usize> {
            self.1 = !self.1;
            if self.1 { Poll::Ready(3) } else { Poll::Pending }
        }
    }

    #[test]
    fn a_source_that_has_to_be_waited_for_leaves_the_chunk_as_it_is() {
        let mut source = Source::new(Halting(Steps((0..4).collect(), 9), false));
        let mut chunk = [0; 8];
        assert_eq!(source.fill(&mut chunk).unwrap(), (3, false));
        assert_eq!(source.ready_now(9), Some(3));
        assert_eq!(source.ready_now(2), None);
        assert_eq!(source.ready_now(2), Some(2), "more than it was asked for");
    }

    #[test]
    fn the_first_bytes_of_a_chunk_are_waited_for() {
        let mut source = Source::new(Halting(Steps((0..4).collect(), 9), true));
        let mut chunk = [0; 8];
        // Not ready when it is asked, it is read all the same.
        assert_eq!(source.fill(&mut chunk).unwrap(), (4, true));
    }

    /// Says that it is ready for nothing, or panics.
    struct Senseless(Option<usize>);

    impl ByteSource for Senseless {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("senseless"))
        }

        fn poll_ready(&mut self, _: usize, _: &mut Context<'_>) -> Poll<usize> {
            Poll::Ready(self.0.expect("as planned"))
        }
    }

    #[test]
    fn whoever_breaks_the_contract_of_readiness_is_read_and_tells_what_is_wrong() {
        assert_eq!(Source::new(Senseless(Some(0))).ready_now(5), Some(1));
        assert_eq!(Source::new(Senseless(None)).ready_now(5), Some(5));
    }

    #[test]
    fn a_sink_in_memory_keeps_what_it_has_room_for() {
        let (mut sink, kept) = Sink::in_memory(5);
        sink.write(b"abc").unwrap();
        sink.write(b"de").unwrap();
        sink.write(b"f").unwrap_err();
        assert_eq!(kept.take(), b"abcde");
    }

    #[test]
    fn a_panicking_sink_is_an_error() {
        let error = Sink::new(Bomb).write(&[1]).unwrap_err();
        assert_eq!(error.to_string(), "boom");
    }
}
