//! What is on its way into a sink.

use std::{collections::VecDeque, io};

use super::{Buffer, Sink};

/// Pieces on their way into a sink, in their order. They go as the sink is ready for them: who has to be waited
/// for needs no thread, and [`write`](Self::write) only where a disk may take its time.
#[derive(Debug)]
pub struct Draining {
    sink: Sink,
    pieces: VecDeque<Buffer>,
    /// Bytes of the first piece that are written.
    written: usize,
}

impl Draining {
    /// These pieces, of which nothing is written.
    pub fn new(sink: Sink, pieces: impl IntoIterator<Item = Buffer>) -> Self {
        Self { sink, pieces: pieces.into_iter().collect(), written: 0 }
    }

    /// Bytes that are still to be written.
    pub fn left(&self) -> usize {
        self.pieces.iter().map(|piece| piece.len()).sum::<usize>() - self.written
    }

    /// The sink; what is not written is lost.
    pub fn into_sink(self) -> Sink {
        self.sink
    }

    /// Whether a write may wait for a disk.
    pub fn blocks(&self) -> bool {
        self.sink.blocks()
    }

    /// Waits until the sink is ready for some of what is left, and tells for how many bytes; see
    /// [`Sink::ready`].
    pub async fn ready(&mut self) -> usize {
        let left = self.left();
        self.sink.ready(left).await
    }

    /// For how many of the bytes left the sink is ready now; `None` when it has to be waited for.
    pub fn ready_now(&mut self) -> Option<usize> {
        let left = self.left();
        self.sink.ready_now(left)
    }

    /// Writes the next `ready` bytes, or all that are left if these are fewer. Blocks.
    ///
    /// # Errors
    /// As [`Sink::write`].
    pub fn write(&mut self, mut ready: usize) -> io::Result<()> {
        while ready > 0
            && let Some(piece) = self.pieces.front()
        {
            let end = piece.len().min(self.written + ready);
            self.sink.write(&piece[self.written..end])?;
            ready -= end - self.written;
            self.written = end;
            if end == piece.len() {
                self.pieces.pop_front();
                self.written = 0;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_go_out_in_their_order_and_in_parts() {
        let (sink, kept) = Sink::in_memory(100);
        let pieces = [&b"abc"[..], b"", b"defg"].map(Buffer::from);
        let mut draining = Draining::new(sink, pieces);
        let mut left = Vec::new();
        for ready in [2, 3, 9] {
            draining.write(ready).unwrap();
            left.push(draining.left());
        }
        assert_eq!((kept.take(), left), (b"abcdefg".to_vec(), vec![5, 2, 0]));
        assert_eq!(draining.ready_now(), Some(0));
    }
}
