//! Hashes of file content.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A hash that a partner or the host computes over content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// CRC-32 as zlib and XCRC have it. It finds accidents, not attacks.
    Crc32,
    /// SHA-256 (FIPS 180-4).
    Sha256,
    /// BLAKE3, the host's own.
    Blake3,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crc32 => "CRC32",
            Self::Sha256 => "SHA-256",
            Self::Blake3 => "BLAKE3",
        })
    }
}

/// A hash value with the algorithm that made it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digest {
    /// The algorithm.
    pub algorithm: Algorithm,
    hex: String,
}

impl Digest {
    /// A value from its bytes, the most significant first.
    pub fn from_bytes(algorithm: Algorithm, bytes: &[u8]) -> Self {
        use fmt::Write;
        let mut hex = String::with_capacity(2 * bytes.len());
        for byte in bytes {
            // Writing to a `String` cannot fail.
            let _ok = write!(hex, "{byte:02x}");
        }
        Self { algorithm, hex }
    }

    /// A value from hexadecimal digits of either case; `None` for anything else. CRC values
    /// may lack their leading zeros, as some servers print them.
    pub fn from_hex(algorithm: Algorithm, digits: &str) -> Option<Self> {
        let length = match algorithm {
            Algorithm::Crc32 => 8,
            Algorithm::Sha256 | Algorithm::Blake3 => 64,
        };
        let short = digits.is_empty() || (algorithm != Algorithm::Crc32 && digits.len() < length);
        if short || digits.len() > length || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        Some(Self { algorithm, hex: format!("{:0>length$}", digits.to_ascii_lowercase()) })
    }

    /// The value in lower-case hexadecimal digits.
    pub fn hex(&self) -> &str {
        &self.hex
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_reads_the_same_from_bytes_and_digits() {
        let value = Digest::from_bytes(Algorithm::Crc32, &[0, 0xab, 1, 2]);
        assert_eq!(Digest::from_hex(Algorithm::Crc32, "AB0102"), Some(value));
        assert_eq!(Digest::from_hex(Algorithm::Crc32, "xyz"), None);
        assert_eq!(Digest::from_hex(Algorithm::Sha256, "ab"), None);
    }
}
