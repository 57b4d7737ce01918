//! Bars: empty files at names to which a lost command may still move a target.

use ferryway_core::{RemotePath, transport::Session};

use super::store_empty;
use crate::{attempt::Failure, journal::record::StagingState, partner::PartnerState};

impl PartnerState {
    /// Puts an empty file at `path`, where nothing is. It stays for as long as our epoch may have
    /// commands on their way: in a staging folder until that is swept, beside its target until
    /// the next owner sweeps, or a clean stop.
    ///
    /// # Errors
    /// When the partner or the journal fails.
    pub async fn bar(&self, session: &mut dyn Session, path: &RemotePath) -> Result<(), Failure> {
        let mut folders = self.staging.lock().await;
        let staged = |folder| folders.records.iter().any(|record| record.names.contains(&folder));
        if !path.parent().is_some_and(staged) {
            // On record before it exists, as a mark is: nothing else tells of it.
            let record = self.record(path.clone(), path.clone(), StagingState::Mark);
            self.keep(&mut folders, record).await?;
        }
        Ok(store_empty(session, path).await?)
    }
}
