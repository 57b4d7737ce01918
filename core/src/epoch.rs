//! The number of an ownership.

use std::{fmt, num::NonZeroU64};

use serde::{Deserialize, Serialize};

/// Number of the ownership of an instance. Every takeover makes it larger; all durable
/// writes and all names that a partner sees carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(NonZeroU64);

impl Epoch {
    /// The epoch of an instance's first owner.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// The epoch with this number; `None` for 0, which no owner ever had.
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// The number.
    pub fn number(self) -> u64 {
        self.0.get()
    }

    /// The epoch of the next owner; `None` when the numbers are used up, which no
    /// instance lives to see.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_grow_from_one_and_end_without_wrapping() {
        assert_eq!(Epoch::FIRST.number(), 1);
        assert_eq!(Epoch::FIRST.next(), Epoch::new(2));
        assert_eq!(Epoch::new(0), None);
        assert_eq!(Epoch::new(u64::MAX).and_then(Epoch::next), None);
    }
}
