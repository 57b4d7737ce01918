//! A visitor's room in the house: taken when its ownership is known to be the newest, free when
//! the last of its work is over, which may be after it has left.

use std::{
    collections::HashMap,
    io::{self, Read},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use ferryway_core::PartnerName;

use crate::locks::lock;

/// Rooms that are kept for each visitor, where there are as many: nobody fills the house alone.
const KEPT: usize = 4;

/// The rooms of the host, for all of its visitors.
#[derive(Debug)]
pub(super) struct Rooms {
    all: usize,
    taken: Mutex<HashMap<PartnerName, usize>>,
}

/// One of the host's rooms. Each piece of work for the visitor holds it, so that no visitor has
/// more work under way than it has rooms.
#[derive(Debug)]
pub(super) struct Room {
    left: AtomicBool,
    key: Mutex<Option<Key>>,
}

/// A room's number among those that are taken. Dropped, another may have the room.
#[derive(Debug)]
struct Key {
    visitor: PartnerName,
    rooms: Arc<Rooms>,
}

/// The visitor's own hold on its room. Dropped, the visitor has left, and work ends soon; so it
/// does when the visitor is shown out.
#[derive(Debug)]
pub(super) struct Guest(Arc<Room>);

/// A reader that ends with an error when the visitor has left.
pub(super) struct WhileThere<'a, R> {
    pub(super) room: &'a Room,
    pub(super) inner: R,
}

impl Rooms {
    /// So many rooms.
    pub(super) fn new(all: usize) -> Arc<Self> {
        Arc::new(Self { all, taken: Mutex::default() })
    }

    /// How many rooms each of `visitors` may count on, and one more that may come to know us: who
    /// takes no more keeps nobody out.
    pub(super) fn share(&self, visitors: usize) -> usize {
        self.all / (visitors + 1)
    }

    /// A room for this visitor, one of `visitors` that may come; `None` when all are taken, or
    /// the rest is kept for others.
    pub(super) fn take(self: &Arc<Self>, visitor: &PartnerName, visitors: usize) -> Option<Guest> {
        let mut taken = lock(&self.taken);
        let kept = KEPT.min(self.all / visitors.max(1));
        let free = self.all.saturating_sub(taken.values().sum());
        let own = taken.get(visitor).copied().unwrap_or(0);
        let used_by_others: usize =
            taken.iter().filter(|(name, _)| *name != visitor).map(|(_, n)| (*n).min(kept)).sum();
        let for_others = (kept * visitors.saturating_sub(1)).saturating_sub(used_by_others);
        if free == 0 || (own >= kept && free <= for_others) {
            return None;
        }
        *taken.entry(visitor.clone()).or_default() += 1;
        let key = Key { visitor: visitor.clone(), rooms: Arc::clone(self) };
        let room = Room { left: AtomicBool::new(false), key: Mutex::new(Some(key)) };
        Some(Guest(Arc::new(room)))
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        let mut taken = lock(&self.rooms.taken);
        if let Some(count) = taken.get_mut(&self.visitor) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.visitor);
            }
        }
    }
}

impl Guest {
    /// Whether the visitor may still ask for something.
    pub(super) fn is_welcome(&self) -> bool {
        !self.0.left.load(Ordering::Relaxed)
    }

    /// The room, for a piece of work.
    pub(super) fn room(&self) -> Arc<Room> {
        Arc::clone(&self.0)
    }
}

impl Room {
    /// Ends what the visitor does here, at its next chunk.
    pub(super) fn show_out(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    /// Whether the visitor is still there.
    ///
    /// # Errors
    /// When it is not: nobody waits for the work any more.
    pub(super) fn still_wanted(&self) -> io::Result<()> {
        match self.left.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(io::Error::other("the visitor has left")),
        }
    }

    /// Gives the room to others, whoever still works in it: that ends at its next chunk, and has
    /// no effect any more.
    pub(super) fn vacate(&self) {
        self.left.store(true, Ordering::Relaxed);
        lock(&self.key).take();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.left.store(true, Ordering::Relaxed);
    }
}

impl<R: Read> Read for WhileThere<'_, R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.room.still_wanted()?;
        self.inner.read(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> PartnerName {
        text.parse().unwrap()
    }

    /// As many guests as get in.
    fn fill(rooms: &Arc<Rooms>, visitor: &str, visitors: usize) -> Vec<Guest> {
        std::iter::from_fn(|| rooms.take(&name(visitor), visitors)).collect()
    }

    #[test]
    fn nobody_fills_the_house_alone() {
        let rooms = Rooms::new(20);
        let greedy = fill(&rooms, "A", 3);
        assert_eq!(greedy.len(), 20 - 2 * KEPT);
        let second = fill(&rooms, "B", 3);
        assert_eq!(second.len(), KEPT);
        assert_eq!(fill(&rooms, "C", 3).len(), KEPT);
        assert_eq!(fill(&rooms, "B", 3).len(), 0);
        drop(greedy);
        // Without others there is nothing to keep.
        let rest = fill(&rooms, "B", 1);
        assert_eq!(second.len() + rest.len(), 20);
    }

    #[test]
    fn who_takes_no_more_than_its_share_keeps_nobody_out() {
        let rooms = Rooms::new(20);
        assert_eq!((rooms.share(1), rooms.share(4)), (10, 4));
        let modest = (0..rooms.share(1)).map(|_| rooms.take(&name("A"), 1));
        let modest: Vec<_> = modest.map(|guest| guest.expect("a room is free")).collect();
        // A reload has let another one come.
        assert_eq!(fill(&rooms, "B", 2).len(), 20 - modest.len());
        assert_eq!(Rooms::new(2).share(3), 0);
    }

    #[test]
    fn a_small_house_serves_who_comes_first() {
        let rooms = Rooms::new(2);
        let first = fill(&rooms, "A", 3);
        assert_eq!(first.len(), 2);
        assert!(rooms.take(&name("B"), 3).is_none());
        // A room that is vacated is another's, though work still goes on in it.
        let work = first[0].room();
        work.vacate();
        work.still_wanted().unwrap_err();
        let second = rooms.take(&name("B"), 3).expect("a room is free");
        drop((work, first));
        assert_eq!(fill(&rooms, "B", 3).len(), 1, "each room is given back once");
        drop(second);
    }
}
