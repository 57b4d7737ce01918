//! Memory for buffers: what all transfers of a side share.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::CHUNK_BYTES;

/// Memory for the buffers of all transfers together. Host and plugins have a stock each.
const STOCK_BYTES: usize = 4 * 1024 * 1024;

/// A buffer is no smaller, however little is left.
const LEAST_BYTES: usize = 4 * 1024;

/// Buffers that are smaller for want of memory are for one thing at a time.
const AMPLE_BYTES: usize = 64 * 1024;

/// A buffer has no more than this part of what is left: there is something for everybody, and the
/// first ones are whole chunks.
const PART: usize = 4;

static STOCK: Stock = Stock::new();

/// Room for a buffer, as long as it lives.
#[derive(Debug)]
pub struct Room {
    stock: &'static Stock,
    bytes: usize,
    /// Whether it would be larger if there were more memory.
    cut: bool,
}

#[derive(Debug)]
struct Stock {
    taken: AtomicUsize,
}

impl Room {
    /// Room for a buffer that suits the moment, of `most` bytes at most: smaller when there are many
    /// already, but not below 4 KiB.
    pub fn take(most: usize) -> Self {
        STOCK.take(most)
    }

    /// How large it is.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether whoever has it may have another one beside it, to read ahead. Where memory is so short that it is
    /// small there are many transfers, and others move while one reads.
    pub fn is_ample(&self) -> bool {
        self.bytes >= AMPLE_BYTES || !self.cut
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.stock.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Stock {
    const fn new() -> Self {
        Self { taken: AtomicUsize::new(0) }
    }

    fn take(&'static self, most: usize) -> Room {
        let left = STOCK_BYTES.saturating_sub(self.taken.load(Ordering::Relaxed));
        let suits = size(left);
        let bytes = suits.min(most);
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        Room { stock: self, bytes, cut: suits < most.min(CHUNK_BYTES) }
    }
}

/// The size of a buffer when so much is left. There are few sizes, so that the system's memory
/// has holes that fit.
fn size(left: usize) -> usize {
    let part = (left / PART).clamp(LEAST_BYTES, CHUNK_BYTES);
    1 << part.ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many transfers as that, each with two buffers that it takes anew again and again.
    fn settle(transfers: usize) -> (usize, Vec<Room>) {
        let stock = Box::leak(Box::new(Stock::new()));
        let mut rooms: Vec<Room> = Vec::new();
        let mut highest = 0;
        for _ in 0..2 * transfers {
            rooms.push(stock.take(CHUNK_BYTES));
            highest = highest.max(stock.taken.load(Ordering::Relaxed));
        }
        for turn in 0..4 * transfers {
            let turn = turn % rooms.len();
            drop(rooms.swap_remove(turn));
            rooms.push(stock.take(CHUNK_BYTES));
            highest = highest.max(stock.taken.load(Ordering::Relaxed));
        }
        (highest, rooms)
    }

    #[test]
    fn few_transfers_have_whole_chunks() {
        let (_, rooms) = settle(2);
        assert!(rooms.iter().all(|room| room.bytes() == CHUNK_BYTES), "{rooms:?}");
    }

    #[test]
    fn the_memory_of_all_buffers_stays_within_the_stock_but_for_the_least() {
        for transfers in [33, 64, 500, 1000] {
            let (highest, rooms) = settle(transfers);
            assert!(highest <= STOCK_BYTES + 2 * transfers * LEAST_BYTES, "{transfers}: {highest}");
            let now: usize = rooms.iter().map(Room::bytes).sum();
            assert!(now <= STOCK_BYTES.max(2 * transfers * LEAST_BYTES), "{transfers}: {now}");
            drop(rooms);
        }
    }

    #[test]
    fn buffers_have_few_sizes_and_none_is_smaller_than_the_least() {
        for (left, wanted) in [
            (STOCK_BYTES, CHUNK_BYTES),
            (STOCK_BYTES / 2, CHUNK_BYTES),
            (STOCK_BYTES / 2 - 1, CHUNK_BYTES / 2),
            (1_000_000, 131_072),
            (100_000, 16_384),
            (LEAST_BYTES, LEAST_BYTES),
            (0, LEAST_BYTES),
        ] {
            assert_eq!(size(left), wanted, "{left} left");
        }
    }

    #[test]
    fn a_room_is_ample_unless_memory_is_short() {
        let stock: &Stock = Box::leak(Box::new(Stock::new()));
        let mut rooms = vec![stock.take(10)];
        assert!(rooms[0].is_ample(), "no more was wanted");
        while rooms.last().unwrap().bytes() != AMPLE_BYTES / 2 {
            let ample = rooms.last().unwrap().bytes() >= AMPLE_BYTES;
            assert_eq!(rooms.last().unwrap().is_ample(), ample || rooms.len() == 1);
            rooms.push(stock.take(CHUNK_BYTES));
        }
        assert!(!rooms.last().unwrap().is_ample());
        assert!(stock.take(AMPLE_BYTES / 2).is_ample());
    }

    #[test]
    fn what_is_given_back_is_there_again() {
        let stock = Box::leak(Box::new(Stock::new()));
        let first = stock.take(CHUNK_BYTES).bytes();
        assert_eq!(stock.take(CHUNK_BYTES).bytes(), first);
        assert_eq!(stock.take(10).bytes(), 10);
    }
}
