//! What is planned for the bytes of a transfer.

use std::io;

use ferryway_core::bytes::{ByteSink, ByteSource, Sink, Source};

use crate::wire::{Act, Point};

/// Inverts one byte that passes.
pub struct Scribbler {
    pub inner: Sink,
    pub left: u64,
    pub point: Point,
}

impl ByteSink for Scribbler {
    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        let mut chunk = chunk.to_vec();
        if let Ok(at) = usize::try_from(self.left)
            && at < chunk.len()
            && self.point.fired() == 0
        {
            chunk[at] ^= 0xff;
            self.point.strike();
        }
        self.left = self.left.saturating_sub(chunk.len() as u64);
        self.inner.write(&chunk)
    }
}

/// Lets so many bytes pass.
pub struct Gate {
    pub inner: Source,
    pub left: u64,
    pub act: Act,
    pub point: Point,
    pub open: bool,
}

impl ByteSource for Gate {
    fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.open && !matches!(self.act, Act::Corrupt(_)) {
            match self.act {
                Act::PauseMid(_) => {
                    self.point.strike();
                    self.point.released_blocking();
                    self.open = true;
                }
                Act::EarlyEnd(_) => {
                    self.point.strike();
                    return Ok(0);
                }
                _ => return Err(io::Error::other("no more, as planned")),
            }
        }
        if let Act::Corrupt(_) = self.act {
            let read = self.inner.read(chunk)?;
            if let Ok(at) = usize::try_from(self.left)
                && at < read
                && self.point.fired() == 0
            {
                chunk[at] ^= 0xff;
                self.point.strike();
            }
            self.left = self.left.saturating_sub(read as u64);
            return Ok(read);
        }
        let room = if self.open { chunk.len() as u64 } else { self.left.min(chunk.len() as u64) };
        let read = self.inner.read(&mut chunk[..usize::try_from(room).unwrap()])?;
        self.left = self.left.saturating_sub(read as u64);
        Ok(read)
    }
}
