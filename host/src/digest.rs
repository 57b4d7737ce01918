//! Hashes of what moves.

use ferryway_core::{Algorithm, Digest};
use sha2::Digest as _;

/// Hashes a stream by every algorithm that somebody wants to compare.
pub struct Hashes {
    blake3: blake3::Hasher,
    sha256: Option<sha2::Sha256>,
    crc32: Option<crc32fast::Hasher>,
}

impl Hashes {
    /// BLAKE3 always, the others when wanted.
    pub fn new(wanted: &[Algorithm]) -> Self {
        Self {
            blake3: blake3::Hasher::new(),
            sha256: wanted.contains(&Algorithm::Sha256).then(sha2::Sha256::new),
            crc32: wanted.contains(&Algorithm::Crc32).then(crc32fast::Hasher::new),
        }
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.blake3.update(bytes);
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
        if let Some(crc32) = &mut self.crc32 {
            crc32.update(bytes);
        }
    }

    /// The hash of what was added so far; `None` when the algorithm was not wanted.
    pub fn digest(&self, algorithm: Algorithm) -> Option<Digest> {
        Some(match algorithm {
            Algorithm::Blake3 => {
                Digest::from_bytes(algorithm, self.blake3.finalize().as_bytes().as_slice())
            }
            Algorithm::Sha256 => {
                Digest::from_bytes(algorithm, self.sha256.as_ref()?.clone().finalize().as_slice())
            }
            Algorithm::Crc32 => Digest::from_bytes(
                algorithm,
                &self.crc32.as_ref()?.clone().finalize().to_be_bytes(),
            ),
        })
    }
}

impl std::fmt::Debug for Hashes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hashes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_of_abc() {
        let mut hashes = Hashes::new(&[Algorithm::Sha256, Algorithm::Crc32]);
        hashes.update(b"a");
        hashes.update(b"bc");
        let hex = |algorithm| hashes.digest(algorithm).unwrap().hex().to_owned();
        assert_eq!(hex(Algorithm::Crc32), "352441c2");
        assert_eq!(
            hex(Algorithm::Sha256),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            hex(Algorithm::Blake3),
            "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
        );
        assert_eq!(Hashes::new(&[]).digest(Algorithm::Crc32), None);
    }
}
