//! Compression of what a file's frames carry, one frame at a time, so that a lost connection
//! costs no more than without it.

use std::io;

use ferryway_core::bytes::Buffer;
use zstd::bulk::Compressor;

use crate::frame::{Body, CHUNK_BYTES, Malformed};

/// As fast as zstd goes without giving up most of what it saves.
const LEVEL: i32 = 1;

/// What a frame must become smaller by to be worth the other end's work: a sixteenth.
const WORTH: usize = 16;

/// Frames that go as they are at most until the next is tried.
const LONGEST_REST: u32 = 63;

/// Compresses the pieces of one transfer, as long as they shrink.
pub(crate) struct Packer {
    compressor: Compressor<'static>,
    /// How many pieces are not tried after one that did not shrink; more each time.
    rest: u32,
    left: u32,
}

impl Packer {
    /// A packer for one transfer.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { compressor: Compressor::new(LEVEL)?, rest: 0, left: 0 })
    }

    /// The piece as a frame carries it: compressed, when that makes it smaller.
    pub(crate) fn pack(&mut self, piece: Buffer) -> Body {
        if self.left > 0 {
            self.left -= 1;
            return Body::Data(piece);
        }
        match self.compressor.compress(&piece) {
            Ok(packed) if packed.len() < piece.len() - piece.len() / WORTH => {
                self.rest = 0;
                Body::Packed(packed.into())
            }
            _ => {
                self.rest = (2 * self.rest + 1).min(LONGEST_REST);
                self.left = self.rest;
                Body::Data(piece)
            }
        }
    }
}

/// The bytes that a compressed frame stands for: as many as a frame may carry at most.
///
/// # Errors
/// When it stands for more, or is none.
pub(crate) fn unpack(packed: &[u8]) -> Result<Buffer, Malformed> {
    let mut plain = Buffer::of(CHUNK_BYTES);
    let length = zstd::bulk::decompress_to_buffer(packed, &mut plain[..]);
    plain.truncate(length.map_err(|_| Malformed::Packed)?);
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use ferryway_mocks::streams::content;

    use super::*;

    fn packed(packer: &mut Packer, piece: &[u8]) -> bool {
        match packer.pack(piece.into()) {
            Body::Packed(packed) => {
                assert_eq!(*unpack(&packed).unwrap(), *piece);
                true
            }
            other => {
                assert_eq!(other, Body::Data(piece.into()));
                false
            }
        }
    }

    #[test]
    fn what_shrinks_is_packed_and_what_does_not_is_tried_less_and_less() {
        let mut packer = Packer::new().unwrap();
        assert!(packed(&mut packer, &[7; CHUNK_BYTES]));
        let noise = content(CHUNK_BYTES, 1);
        let tries = (0..1000)
            .filter(|_| {
                let tried = packer.left == 0;
                assert!(!packed(&mut packer, &noise));
                tried
            })
            .count();
        assert!((5..30).contains(&tries), "{tries}");
        // A part that shrinks is found again.
        let found = (0..=LONGEST_REST).any(|_| packed(&mut packer, &[7; CHUNK_BYTES]));
        assert!(found);
        assert!(packed(&mut packer, &[8; CHUNK_BYTES]));
    }

    #[test]
    fn a_bomb_and_garbage_are_refused() {
        let bomb = zstd::bulk::compress(&vec![0; CHUNK_BYTES + 1], LEVEL).unwrap();
        assert!(bomb.len() < 1024, "{}", bomb.len());
        assert_eq!(unpack(&bomb), Err(Malformed::Packed));
        let whole = zstd::bulk::compress(&[0; CHUNK_BYTES], LEVEL).unwrap();
        assert_eq!(*unpack(&whole).unwrap(), [0; CHUNK_BYTES]);
        assert_eq!(unpack(&whole[..whole.len() - 1]), Err(Malformed::Packed));
        assert_eq!(unpack(b"no zstd at all"), Err(Malformed::Packed));
    }
}
