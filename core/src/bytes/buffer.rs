//! Buffers whose memory is used again: the system's allocator gives large ones back each time, and has
//! every page of the next one made zero; and it keeps memory for each thread apart.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Smaller ones are not kept. Those of a page are: made by one thread and dropped by another, they would leave
/// holes in the memory of each.
const LEAST_BYTES: usize = 4 * 1024;

/// How many sizes are kept, each twice the former: up to 512 KiB, the largest chunk.
const SIZES: usize = 8;

/// Memory that is kept, in all. Host and plugins have a stock each.
const KEPT_BYTES: usize = 2 * 1024 * 1024;

static STOCK: Stock = Stock::new();

/// Bytes on their way. Dropped, the memory is there for the next buffer.
#[derive(Default, PartialEq, Eq)]
pub struct Buffer {
    bytes: Vec<u8>,
}

struct Stock {
    kept: Mutex<Kept>,
}

struct Kept {
    bytes: usize,
    /// Those of 4 KiB at least, of 8, and so on.
    free: [Vec<Vec<u8>>; SIZES],
}

impl Buffer {
    /// A buffer of so many bytes. What they are is of no meaning: they may have been somebody else's.
    pub fn of(length: usize) -> Self {
        Self { bytes: STOCK.take(length).unwrap_or_else(|| vec![0; length]) }
    }

    /// Keeps the first `length` bytes, or all if there are no more.
    pub fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        self[..].into()
    }
}

impl From<&[u8]> for Buffer {
    fn from(bytes: &[u8]) -> Self {
        let mut buffer = Self::of(bytes.len());
        buffer.copy_from_slice(bytes);
        buffer
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer of {} bytes", self.bytes.len())
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        STOCK.give_back(std::mem::take(&mut self.bytes));
    }
}

impl Stock {
    const fn new() -> Self {
        let free = [const { Vec::new() }; SIZES];
        Self { kept: Mutex::new(Kept { bytes: 0, free }) }
    }

    /// A kept one, or a new one of the size that can be kept; `None` when that is not one to keep.
    fn take(&self, length: usize) -> Option<Vec<u8>> {
        let size = length.checked_next_power_of_two().filter(|_| length >= LEAST_BYTES)?;
        let index = index(size)?;
        let kept = self.lock().pop(index);
        let mut bytes = kept.unwrap_or_else(|| vec![0; size]);
        // Only what an earlier one had cut off is made zero.
        bytes.resize(length, 0);
        Some(bytes)
    }

    fn give_back(&self, bytes: Vec<u8>) {
        let size = bytes.capacity();
        let Some(index) = index(size) else { return };
        let mut kept = self.lock();
        kept.bytes += size;
        kept.free[index].push(bytes);
        while kept.bytes > KEPT_BYTES {
            // Those of another size first: what is in use now is of this one.
            let mut sizes = (0..SIZES).filter(|&other| other != index).chain([index]);
            if sizes.find_map(|size| kept.pop(size)).is_none() {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics halfway through a change.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn pop(&mut self, index: usize) -> Option<Vec<u8>> {
        let bytes = self.free[index].pop()?;
        self.bytes -= bytes.capacity();
        Some(bytes)
    }
}

/// Where memory of so many bytes is kept: it has room for the power of two below.
fn index(bytes: usize) -> Option<usize> {
    let index = (bytes / LEAST_BYTES).checked_ilog2()? as usize;
    (index < SIZES).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again() {
        let stock = Stock::new();
        let first = stock.take(100_000).unwrap();
        let place = first.as_ptr();
        stock.give_back(first);
        let again = stock.take(131_072).unwrap();
        assert_eq!((again.as_ptr(), again.len()), (place, 131_072));
        let other = stock.take(131_072).unwrap();
        assert_ne!(other.as_ptr(), place, "it is not free");
        assert_eq!(stock.lock().bytes, 0);
    }

    #[test]
    fn no_more_is_kept_than_the_limit_and_nothing_small_or_odd() {
        let stock = Stock::new();
        let all: Vec<_> = (0..40).map(|_| stock.take(256 * 1024).unwrap()).collect();
        all.into_iter().for_each(|bytes| stock.give_back(bytes));
        assert_eq!(stock.lock().bytes, KEPT_BYTES);
        let kept: usize = stock.lock().free.iter().flatten().map(Vec::capacity).sum();
        assert_eq!(kept, KEPT_BYTES);
        for length in [0, 1, LEAST_BYTES - 1, 512 * 1024 + 1, usize::MAX] {
            assert!(stock.take(length).is_none(), "{length}");
        }
        stock.give_back(stock.take(LEAST_BYTES).unwrap());
        assert_eq!(stock.lock().free[0].len(), 1, "others make room for what is in use");
        assert!(stock.lock().bytes <= KEPT_BYTES);
        let stock = Stock::new();
        stock.give_back(vec![0; LEAST_BYTES - 1]);
        stock.give_back(vec![0; 4 * 512 * 1024]);
        assert_eq!(stock.lock().bytes, 0);
    }

    #[test]
    fn a_buffer_is_as_long_as_it_was_asked_for_whatever_lay_there() {
        for length in [0, 10, 100_000, 65_536, 300_000, 1_000_000] {
            let mut buffer = Buffer::of(length);
            assert_eq!(buffer.len(), length);
            buffer.truncate(length / 2);
            assert_eq!(buffer.len(), length / 2);
            assert_eq!(Buffer::from(&buffer[..]), buffer);
        }
    }

    #[test]
    fn memory_that_came_from_elsewhere_is_taken_for_what_it_has_room_for() {
        let stock = Stock::new();
        stock.give_back(vec![0; 200_000]);
        assert_eq!(stock.take(131_073).unwrap().capacity(), 262_144, "it has no room for that");
        assert!(stock.lock().bytes > 0);
        assert_eq!(stock.take(131_072).unwrap().len(), 131_072);
        assert_eq!(stock.lock().bytes, 0);
    }
}
