//! Pieces on the way to a thread and back: all of them, in their order, and as they end.

use std::task::{Context, Poll};

use ferryway_core::bytes::{ByteSink, ByteSource};
use ferryway_mocks::streams::{Collected, content};
use tokio::sync::Mutex;

use super::*;

/// Gives a full piece each time, so many, and then fails or ends. Where it `waits`, it is not ready when
/// it is asked the first time.
struct Pieces {
    left: usize,
    fails: bool,
    waits: bool,
}

impl ByteSource for Pieces {
    fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        match (self.left, self.fails) {
            (0, true) => Err(io::Error::other("as planned")),
            (0, false) => Ok(0),
            _ => {
                self.left -= 1;
                Ok(chunk.len())
            }
        }
    }

    fn poll_ready(&mut self, bytes: usize, _: &mut Context<'_>) -> Poll<usize> {
        match std::mem::take(&mut self.waits) {
            true => Poll::Pending,
            false => Poll::Ready(bytes),
        }
    }
}

/// Who needs memory, or takes all of it, is alone.
static MEMORY: Mutex<()> = Mutex::const_new(());

fn giver(left: usize, fails: bool) -> Giver {
    Giver { source: Source::new(Pieces { left, fails, waits: false }), packer: None }
}

#[tokio::test]
async fn some_pieces_are_read_at_a_time_and_the_end_comes_with_the_last() {
    let _alone = MEMORY.lock().await;
    let (giver, first) = giver(AT_ONCE + 1, false).give().await.unwrap();
    assert_eq!(first.pieces.len(), AT_ONCE);
    assert!(first.end.is_none());
    let (_, second) = giver.give().await.unwrap();
    assert_eq!(second.pieces.len(), 1);
    assert!(matches!(second.end, Some(Ok(()))));
}

#[test]
fn where_memory_is_short_one_piece_is_read_at_a_time() {
    let _alone = MEMORY.blocking_lock();
    let all: Vec<_> = (0..64).map(|_| Room::take(CHUNK_BYTES)).collect();
    let given = giver(2, false).read(CHUNK_BYTES);
    assert_eq!((given.pieces.len(), given.end.is_none()), (1, true));
    drop((all, given));
    assert_eq!(giver(2, false).read(CHUNK_BYTES).pieces.len(), 2);
}

#[tokio::test]
async fn what_was_read_before_a_failure_goes_out() {
    let _alone = MEMORY.lock().await;
    let (_, given) = giver(2, true).give().await.unwrap();
    assert_eq!(given.pieces.len(), 2);
    assert_eq!(given.end.unwrap().unwrap_err().to_string(), "as planned");
}

#[test]
fn what_has_to_be_waited_for_holds_nothing_up() {
    let mut giver =
        Giver { source: Source::new(Pieces { left: 3, fails: false, waits: true }), packer: None };
    let given = giver.read(CHUNK_BYTES);
    assert_eq!((given.pieces.len(), given.end.is_none()), (1, true));
}

/// Ready for seven bytes at a time, and for no more.
struct Narrow(Sink);

impl ByteSink for Narrow {
    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        assert!(chunk.len() <= 7, "{} bytes", chunk.len());
        self.0.write(chunk)
    }

    fn poll_ready(&mut self, bytes: usize, _: &mut Context<'_>) -> Poll<usize> {
        Poll::Ready(bytes.min(7))
    }
}

#[tokio::test]
async fn pieces_go_into_a_sink_in_their_order_as_it_is_ready() {
    let taken = Collected::new();
    let bytes = content(100, 1);
    let pieces = bytes.chunks(10).map(Buffer::from);
    let sink = Sink::new(Narrow(taken.sink()));
    let meter = Meter::new();
    write_all(Draining::new(sink, pieces), &meter).await.unwrap();
    assert_eq!((taken.bytes(), meter.bytes()), (bytes, 100));
    write_all(Draining::new(taken.sink(), []), &meter).await.unwrap();
}
