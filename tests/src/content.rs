//! Files whose every byte follows from a seed.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

/// Bytes per read or write.
const CHUNK: usize = 256 * 1024;

/// The content of a file: any number of bytes that follow from a seed.
///
/// The bytes are the output of BLAKE3 as a stream, so they cannot be compressed
/// or stored as holes, any part can be produced on its own, and a gigabyte takes
/// about a second even in an unoptimised test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    seed: u64,
    len: u64,
}

impl Content {
    /// The first `len` bytes that follow from `seed`.
    pub const fn new(seed: u64, len: u64) -> Self {
        Self { seed, len }
    }

    /// Its length in bytes.
    pub const fn size(&self) -> u64 {
        self.len
    }

    /// All of it, for a small one.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for chunk in self.chunks() {
            bytes.extend_from_slice(&chunk);
        }
        bytes
    }

    /// Writes it to a new file at `path`, in place of any other.
    ///
    /// # Errors
    /// Those of the file system; part of the file may be there then.
    pub fn write_to(&self, path: &Path) -> io::Result<()> {
        let mut file = File::create(path)?;
        for chunk in self.chunks() {
            file.write_all(&chunk)?;
        }
        Ok(())
    }

    /// Its BLAKE3 hash, which [`hash_file`] gives for a true copy.
    pub fn hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for chunk in self.chunks() {
            hasher.update(&chunk);
        }
        hasher.finalize()
    }

    /// Compares a file with it and names the first difference.
    ///
    /// # Errors
    /// Those of reading the file.
    pub fn difference(&self, path: &Path) -> io::Result<Option<String>> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        let mut offset = 0;
        for expected in self.chunks() {
            let mut found = Vec::with_capacity(expected.len());
            Read::by_ref(&mut file).take(expected.len() as u64).read_to_end(&mut found)?;
            if let Some(at) = expected.iter().zip(&found).position(|(a, b)| a != b) {
                return Ok(Some(format!("byte {} of {size} differs", offset + at as u64)));
            }
            offset += expected.len() as u64;
        }
        Ok((size != self.len).then(|| format!("{size} bytes in place of {}", self.len)))
    }

    fn chunks(&self) -> impl Iterator<Item = Vec<u8>> + use<> {
        let mut stream = blake3::Hasher::new().update(&self.seed.to_le_bytes()).finalize_xof();
        let mut left = self.len;
        std::iter::from_fn(move || {
            let take = left.min(CHUNK as u64);
            left -= take;
            let mut chunk = vec![0; usize::try_from(take).ok()?];
            stream.fill(&mut chunk);
            (take > 0).then_some(chunk)
        })
    }
}

/// The BLAKE3 hash of a file.
///
/// # Errors
/// Those of reading the file.
pub fn hash_file(path: &Path) -> io::Result<blake3::Hash> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let n = file.read(&mut chunk)?;
        if n == 0 {
            return Ok(hasher.finalize());
        }
        hasher.update(&chunk[..n]);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_written_file_is_recognised_and_a_changed_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let content = Content::new(7, 700_001);
        content.write_to(&path).unwrap();
        assert_eq!(hash_file(&path).unwrap(), content.hash());
        assert_eq!(content.difference(&path).unwrap(), None);
        assert_ne!(Content::new(8, 700_001).hash(), content.hash());

        let mut bytes = content.bytes();
        assert_eq!(fs::read(&path).unwrap(), bytes);
        bytes[600_000] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(content.difference(&path).unwrap().unwrap(), "byte 600000 of 700001 differs");
        bytes[600_000] ^= 1;
        bytes.push(0);
        fs::write(&path, &bytes).unwrap();
        assert_eq!(content.difference(&path).unwrap().unwrap(), "700002 bytes in place of 700001");
        bytes.truncate(10);
        fs::write(&path, &bytes).unwrap();
        assert_eq!(content.difference(&path).unwrap().unwrap(), "10 bytes in place of 700001");
    }
}
