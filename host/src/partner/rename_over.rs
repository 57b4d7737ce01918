//! What a partner does with a rename onto an existing file. Where it replaces the file, a refused
//! rename means that something holds on to one of the two, and the old target must stay where it
//! is: moving it away would help nobody, and the command could be read when it does harm.

use ferryway_core::{
    RemotePath, TransportError,
    transport::{Rename, Session},
};

use super::{PartnerState, staging::store_empty};
use crate::locks::lock;

impl PartnerState {
    /// Whether a rename replaces a file, as far as it is known without a try.
    pub fn replaces(&self, session: &dyn Session) -> Option<bool> {
        match session.capabilities().rename {
            Rename::Replaces => Some(true),
            Rename::RefusesExisting | Rename::Unsupported => Some(false),
            Rename::Unknown => *lock(&self.replaces),
        }
    }

    /// Tries it out with two empty files, under names not used before or after. What is found
    /// holds for the partner as a whole until the host ends: one that answers differently by
    /// folder is taken for what it did the first time.
    ///
    /// # Errors
    /// When the partner fails on the way; the files may stay.
    pub async fn probe_rename(
        &self,
        session: &mut dyn Session,
        [from, onto]: [&RemotePath; 2],
    ) -> Result<bool, TransportError> {
        store_empty(session, from).await?;
        store_empty(session, onto).await?;
        let replaces = match session.rename(from.clone(), onto.clone()).await {
            Ok(()) => true,
            Err(error) if error.reply().is_none() => return Err(error),
            Err(_) => {
                session.remove(from.clone()).await?;
                false
            }
        };
        session.remove(onto.clone()).await?;
        *lock(&self.replaces) = Some(replaces);
        let behaviour = match replaces {
            true => "a rename replaces a file: a refused one is tried again",
            false => "a rename replaces no file: an old target is moved aside first",
        };
        self.notices.learned(&self.name, behaviour);
        Ok(replaces)
    }
}
