//! How bytes cross the plugin boundary.
//!
//! The host owns the bytes: a transport pulls from a [`Source`] and pushes into a [`Sink`],
//! so that counting, hashing, rate limits and cancellation live in one place. Both block, so
//! that they need no runtime; a transport calls them from its runtime's blocking pool.

use std::{
    any::Any,
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
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
}

/// Where the host's bytes to store come from.
pub trait ByteSource: Send {
    /// Fills the start of `chunk` and tells how many bytes; 0 means the end.
    ///
    /// # Errors
    /// When the bytes cannot be read; the transfer ends with this error.
    fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize>;
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

    /// See [`ByteSource::read`].
    ///
    /// # Errors
    /// As there, and when the source panics.
    pub fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        self.stream.read(chunk)
    }

    /// Reads until `chunk` is full or the source ends, and tells how many bytes.
    ///
    /// # Errors
    /// As [`ByteSource::read`].
    pub fn fill(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < chunk.len() {
            match self.read(&mut chunk[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
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
}

fn shield<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|panic| Err(io::Error::other(panic_text(&*panic))))
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
        assert_eq!(source.fill(&mut chunk).unwrap(), 8);
        assert_eq!(chunk, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(source.fill(&mut chunk).unwrap(), 2);
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
