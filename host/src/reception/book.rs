//! Who was turned away: the operator hears of each cause once, whatever number comes.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::locks::lock;

/// How long the same is not told again.
const QUIET: Duration = Duration::from_secs(60 * 60);

/// Entries at most; a flood from more addresses than that is told of no further.
const ENTRIES: usize = 256;

/// What was told, and when.
#[derive(Debug)]
pub(super) struct Book<K>(Mutex<HashMap<K, Instant>>);

impl<K: Eq + Hash> Book<K> {
    /// Nothing was told.
    pub(super) fn new() -> Self {
        Self(Mutex::default())
    }

    /// Whether this is to be told now. The caller tells it then.
    pub(super) fn is_news(&self, what: K) -> bool {
        let (mut told, now) = (lock(&self.0), Instant::now());
        if told.get(&what).is_some_and(|&at| now.duration_since(at) < QUIET) {
            return false;
        }
        if told.len() >= ENTRIES {
            told.retain(|_, at| now.duration_since(*at) < QUIET);
        }
        if told.len() >= ENTRIES {
            return false;
        }
        told.insert(what, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_news_once_and_a_flood_of_things_is_bounded() {
        let book = Book::new();
        assert!(book.is_news(1));
        assert!(!book.is_news(1));
        let news = (0..10_000).filter(|&n| book.is_news(n)).count();
        assert_eq!(news, ENTRIES - 1);
        assert_eq!(lock(&book.0).len(), ENTRIES);
    }
}
