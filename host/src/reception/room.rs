//! A visitor's room in the house: taken before it is let in, free when the last of its work is
//! over, which may be after it has left.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::OwnedSemaphorePermit;

/// One of the host's rooms. Each piece of work for the visitor holds it, so that no visitor has
/// more work under way than it has rooms.
#[derive(Debug)]
pub(super) struct Room {
    left: AtomicBool,
    _permit: OwnedSemaphorePermit,
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

impl Guest {
    /// Moves in.
    pub(super) fn new(permit: OwnedSemaphorePermit) -> Self {
        Self(Arc::new(Room { left: AtomicBool::new(false), _permit: permit }))
    }

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
