//! Whether this host still owns its own instance: a zombie at the receiving end must put nothing
//! in place either.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ferryway_core::{Operation, TransportError};

use super::refusal::Refusal;
use crate::{journal::JournalStore, locks::lock};

/// For so long a look is good for effects that a later owner's cannot clash with for ever: what is
/// stored or removed meanwhile is no published file.
const A_MOMENT: Duration = Duration::from_millis(100);

/// Looks at the ownership of this host's instance, for all of its visitors.
pub(super) struct Ownership {
    journal: Arc<dyn JournalStore>,
    seen: Mutex<Option<Instant>>,
}

impl Ownership {
    /// Nobody has looked yet.
    pub(super) fn new(journal: Arc<dyn JournalStore>) -> Self {
        Self { journal, seen: Mutex::default() }
    }

    /// Looks now: for a rename, after which a file is in place.
    ///
    /// # Errors
    /// When the instance is another host's, or nobody can tell.
    pub(super) async fn now(&self, operation: Operation) -> Result<(), TransportError> {
        let begun = Instant::now();
        self.journal.check_ownership().await.map_err(|error| {
            tracing::warn!(%error, "a visitor is refused: the instance may be another host's");
            let text = "this host does not own its instance any more".to_owned();
            Refusal::NotNow(text).into_error(operation)
        })?;
        *lock(&self.seen) = Some(begun);
        Ok(())
    }

    /// As [`now`](Self::now), but a look of a moment ago will do.
    ///
    /// # Errors
    /// As there.
    pub(super) async fn lately(&self, operation: Operation) -> Result<(), TransportError> {
        if lock(&self.seen).is_some_and(|seen| seen.elapsed() < A_MOMENT) {
            return Ok(());
        }
        self.now(operation).await
    }
}
