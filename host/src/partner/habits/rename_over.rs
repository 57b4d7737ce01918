//! What a partner does with a rename onto an existing file. Where it replaces the file, a refused
//! rename means that something holds on to one of the two, and the old target must stay where it
//! is: moving it away would help nobody, and the command could be read when it does harm.

use ferryway_core::{
    RemotePath, TransportError,
    transport::{Rename, Session},
};

use super::{PartnerState, taken};
use crate::{locks::lock, partner::staging::store_empty};

impl PartnerState {
    /// Whether a rename replaces a file, as far as it is known without a try.
    pub fn replaces(&self, session: &dyn Session) -> Option<bool> {
        match session.capabilities().rename {
            Rename::Replaces => Some(true),
            Rename::RefusesExisting | Rename::Unsupported => Some(false),
            Rename::Unknown => *lock(&self.replaces),
        }
    }

    /// Tries it out with two empty files, under names not used before or after, and keeps what is
    /// found: it holds for the partner as a whole until the host ends, so that one that answers
    /// differently by folder is taken for what it did the first time. `None` when the partner
    /// refuses for another reason than the file in the way; then nothing is learned. Either file
    /// may be there afterwards.
    ///
    /// # Errors
    /// When the connection fails on the way.
    pub async fn probe_rename(
        &self,
        session: &mut dyn Session,
        paths: &[RemotePath; 2],
    ) -> Result<Option<bool>, TransportError> {
        let found = try_out(session, paths).await?;
        if let Some(replaces) = found {
            *lock(&self.replaces) = found;
            let behaviour = match replaces {
                true => "a rename replaces a file: a refused one is tried again",
                false => "a rename replaces no file: an old target is moved aside first",
            };
            self.notices.learned(&self.name, behaviour);
        }
        Ok(found)
    }
}

/// `None` when the partner refuses for another reason than the file in the way.
pub(super) async fn try_out(
    session: &mut dyn Session,
    [from, onto]: &[RemotePath; 2],
) -> Result<Option<bool>, TransportError> {
    for path in [from, onto] {
        if !taken(store_empty(session, path).await)? {
            return Ok(None);
        }
    }
    if taken(session.rename(from.clone(), onto.clone()).await)? {
        return Ok(Some(true));
    }
    // Something may hold on to one of the two, as a scanner does to a fresh file. The file was in
    // the way only if the same rename is taken without it.
    let alone = taken(session.remove(onto.clone()).await)?
        && taken(session.rename(from.clone(), onto.clone()).await)?;
    Ok(alone.then_some(false))
}
