//! How many frames of a file may be under way on a stream: more on a long, fast line, out of a
//! stock that all streams share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::frame::WINDOW;

/// Frames beyond their windows that all streams of a door, or of all connections to partners, may
/// have under way together. With the largest frames it is 32 MiB.
const STOCK: usize = 128;

/// Messages that can come between the frames.
const MESSAGES: usize = 8;

/// Frames that may wait on one stream, whatever was granted.
pub(crate) const INBOUND: usize = WINDOW as usize + STOCK + MESSAGES;

/// What windows grow from.
#[derive(Clone, Debug)]
pub(crate) struct Stock(Arc<Semaphore>);

/// How much may wait on a stream: a whole window, and the few messages that can come besides. One
/// more breaks the protocol.
#[derive(Clone, Debug)]
pub(crate) struct Bound(Arc<AtomicUsize>);

/// The window of the end that takes a file.
#[derive(Debug)]
pub(crate) struct Window {
    stock: Stock,
    bound: Bound,
    /// What was taken from the stock.
    grown: Option<OwnedSemaphorePermit>,
    /// Frames that were used up since the last look.
    used: u32,
    looked: Instant,
}

impl Default for Stock {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(STOCK)))
    }
}

impl Bound {
    /// Whether one more may wait beside so many.
    pub(crate) fn allows(&self, waiting: usize) -> bool {
        waiting < self.0.load(Ordering::Relaxed)
    }

    fn set(&self, window: u32) {
        self.0.store(window as usize + MESSAGES, Ordering::Relaxed);
    }
}

impl Window {
    pub(crate) fn new(stock: Stock) -> Self {
        let bound = Bound(Arc::default());
        bound.set(WINDOW);
        Self { stock, bound, grown: None, used: 0, looked: Instant::now() }
    }

    /// What may wait, as it is now.
    pub(crate) fn bound(&self) -> Bound {
        self.bound.clone()
    }

    /// Its size in frames.
    pub(crate) fn frames(&self) -> u32 {
        WINDOW + self.grown.as_ref().map_or(0, |grown| grown.num_permits() as u32)
    }

    /// A transfer begins, or all data of one has come: the window is as at first.
    pub(crate) fn reset(&mut self) {
        (self.grown, self.used, self.looked) = (None, 0, Instant::now());
        self.bound.set(WINDOW);
    }

    /// A frame was used up.
    pub(crate) fn use_up(&mut self) {
        self.used += 1;
    }

    /// Lets the window grow when no frame waits, and the line could carry more in a round trip
    /// than the window lets it; by how many frames.
    pub(crate) fn grow(&mut self, round_trip: Duration, waiting: bool) -> u32 {
        let elapsed = self.looked.elapsed();
        // Frames that wait are waited for by nobody: the disk is what is slow.
        if waiting || elapsed < round_trip {
            return 0;
        }
        self.looked = Instant::now();
        let needed = needed(std::mem::take(&mut self.used), elapsed, round_trip);
        let wanted = needed.saturating_sub(self.frames());
        // Half of the rest, so that there is something for every stream.
        let granted = wanted.min(self.stock.0.available_permits() as u32 / 2);
        let Ok(more) = Arc::clone(&self.stock.0).try_acquire_many_owned(granted) else { return 0 };
        match &mut self.grown {
            Some(grown) => grown.merge(more),
            None => self.grown = Some(more),
        }
        self.bound.set(self.frames());
        granted
    }
}

/// The window for a line that carried so many frames meanwhile: what it carries in two round trips.
/// A window that was what held it up is doubled by that; any other one has room already.
fn needed(frames: u32, elapsed: Duration, round_trip: Duration) -> u32 {
    let in_round_trip = f64::from(frames) * round_trip.as_secs_f64() / elapsed.as_secs_f64();
    (2.0 * in_round_trip).ceil() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A window that has been looked at so long ago, and used up so many frames since.
    fn used(window: &mut Window, frames: u32, ago: Duration) {
        window.looked = Instant::now().checked_sub(ago).unwrap();
        window.used = frames;
    }

    #[test]
    fn a_window_that_holds_the_line_up_is_doubled_and_any_other_stays() {
        assert_eq!(needed(WINDOW, 100 * MS, 100 * MS), 2 * WINDOW);
        assert_eq!(needed(WINDOW, 400 * MS, 100 * MS), WINDOW / 2, "the line is slow");
        assert_eq!(needed(1000, 1000 * MS, MS), 2, "the line is short");
        assert_eq!(needed(1, Duration::ZERO, Duration::ZERO), 0, "nothing is known");
    }

    #[test]
    fn it_grows_while_nothing_waits_and_gives_back_what_it_took() {
        let stock = Stock::default();
        let mut window = Window::new(stock.clone());
        used(&mut window, WINDOW, 20 * MS);
        assert_eq!(window.grow(100 * MS, false), 0, "no round trip has passed");
        used(&mut window, 2 * WINDOW, 101 * MS);
        assert_eq!(window.grow(100 * MS, true), 0, "the disk is slow");
        assert!(window.bound().allows(WINDOW as usize + MESSAGES - 1));
        assert!(!window.bound().allows(WINDOW as usize + MESSAGES));
        let grown = window.grow(100 * MS, false);
        assert!((2 * WINDOW - 2..=3 * WINDOW).contains(&grown), "{grown}");
        assert_eq!(window.frames(), WINDOW + grown);
        assert!(window.bound().allows((WINDOW + grown) as usize));
        assert_eq!(stock.0.available_permits(), STOCK - grown as usize);
        window.reset();
        assert_eq!((window.frames(), stock.0.available_permits()), (WINDOW, STOCK));
    }

    #[test]
    fn all_windows_together_take_no_more_than_the_stock_and_each_gets_some() {
        let stock = Stock::default();
        let mut windows: Vec<_> = (0..5).map(|_| Window::new(stock.clone())).collect();
        for window in &mut windows {
            used(window, 1000, 100 * MS);
            assert!(window.grow(100 * MS, false) > 0);
        }
        let grown: u32 = windows.iter().map(|window| window.frames() - WINDOW).sum();
        assert!(grown as usize <= STOCK, "{grown}");
        drop(windows);
        assert_eq!(stock.0.available_permits(), STOCK);
    }
}
