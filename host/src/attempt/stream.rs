//! The host's ends of a stream: where bytes to store come from and where fetched ones go.

use std::{
    fs::File,
    io::{self, Read, Write},
    sync::{Arc, Mutex},
};

use ferryway_core::bytes::{Buffer, ByteSink, ByteSource, CHUNK_BYTES};

use super::source::fingerprint;
use crate::{digest::Hashes, journal::record::Fingerprint, locks::lock};

/// Called with the number of bytes that passed so far.
pub type Progress = Box<dyn FnMut(u64) + Send>;

/// Hashes shared between a stream on the plugin's side and the attempt that waits for it.
pub type SharedHashes = Arc<Mutex<Hashes>>;

/// Reads a file from where it stands and hashes it on the way. Gives only bytes of the version
/// that was opened: a former owner that goes on reading must not mix another one into a partial
/// that its successor has adopted.
pub struct FileSource {
    file: File,
    version: Fingerprint,
    /// Bytes still to be given: what a growing file has beyond them belongs to another version.
    remaining: u64,
    hashes: SharedHashes,
    passed: u64,
    progress: Progress,
}

impl FileSource {
    /// A source of the next `remaining` bytes of the file, as long as it is this `version`.
    pub fn new(
        file: File,
        version: Fingerprint,
        remaining: u64,
        hashes: SharedHashes,
        progress: Progress,
    ) -> Self {
        Self { file, version, remaining, hashes, passed: 0, progress }
    }
}

impl ByteSource for FileSource {
    fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        (self.progress)(self.passed);
        let want = chunk.len().min(usize::try_from(self.remaining).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        let read = self.file.read(&mut chunk[..want])?;
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the source became shorter during the transfer",
            ));
        }
        // After the read: what was written before it shows in the time.
        if fingerprint(&self.file)? != self.version {
            return Err(io::Error::other("the source changed during the transfer"));
        }
        lock(&self.hashes).update(&chunk[..read]);
        self.remaining -= read as u64;
        self.passed += read as u64;
        Ok(read)
    }
}

/// Writes into a file from where it stands and hashes on the way.
pub struct FileSink {
    file: File,
    hashes: SharedHashes,
    passed: u64,
    progress: Progress,
}

impl FileSink {
    /// A sink into the file.
    pub fn new(file: File, hashes: SharedHashes, progress: Progress) -> Self {
        Self { file, hashes, passed: 0, progress }
    }
}

impl ByteSink for FileSink {
    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.file.write_all(chunk)?;
        lock(&self.hashes).update(chunk);
        self.passed += chunk.len() as u64;
        (self.progress)(self.passed);
        Ok(())
    }
}

/// Hashes fetched bytes and keeps none of them.
pub struct HashSink(SharedHashes);

impl HashSink {
    /// A sink that adds to these hashes.
    pub fn new(hashes: SharedHashes) -> Self {
        Self(hashes)
    }
}

impl ByteSink for HashSink {
    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        lock(&self.0).update(chunk);
        Ok(())
    }
}

/// Compares fetched bytes with a local file from its start, and hashes them on the way.
pub struct CompareSink {
    file: File,
    /// Only so many bytes are of interest.
    length: u64,
    result: Arc<Mutex<Comparison>>,
    own: Vec<u8>,
}

/// What a [`CompareSink`] found.
#[derive(Debug)]
pub struct Comparison {
    /// Bytes that were equal, from the start.
    pub equal: u64,
    /// Whether a difference was met.
    pub differs: bool,
    /// Hashes of the equal bytes.
    pub hashes: Option<Hashes>,
}

impl CompareSink {
    /// A sink that compares with the first `length` bytes of the file, and where its result is.
    pub fn new(file: File, length: u64, hashes: Hashes) -> (Self, Arc<Mutex<Comparison>>) {
        let result =
            Arc::new(Mutex::new(Comparison { equal: 0, differs: false, hashes: Some(hashes) }));
        (Self { file, length, result: Arc::clone(&result), own: Vec::new() }, result)
    }
}

impl ByteSink for CompareSink {
    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        let mut result = lock(&self.result);
        if result.differs {
            // An error here would cost the session, which is still of use.
            return Ok(());
        }
        let left = usize::try_from(self.length - result.equal).unwrap_or(usize::MAX);
        let chunk = &chunk[..chunk.len().min(left)];
        self.own.resize(chunk.len(), 0);
        self.file.read_exact(&mut self.own)?;
        if self.own != chunk {
            result.differs = true;
            return Ok(());
        }
        if let Some(hashes) = &mut result.hashes {
            hashes.update(chunk);
        }
        result.equal += chunk.len() as u64;
        Ok(())
    }
}

/// Hashes the first `length` bytes of a file and leaves it standing behind them.
///
/// # Errors
/// When the file is shorter or cannot be read.
pub fn hash_prefix(file: &mut impl Read, length: u64, hashes: &SharedHashes) -> io::Result<()> {
    let mut chunk = Buffer::of(CHUNK_BYTES);
    let mut left = length;
    while left > 0 {
        let want = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.read_exact(&mut chunk[..want])?;
        lock(hashes).update(&chunk[..want]);
        left -= want as u64;
    }
    Ok(())
}
