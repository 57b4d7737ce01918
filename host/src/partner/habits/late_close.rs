//! What a partner does with a file when an upload that started at an offset ends before the
//! file's end. A server that cuts the file off there would let a dead session's late close
//! shorten a file that has gone on growing, so nothing is resumed on it.

use ferryway_core::{RemotePath, TransportError, transport::Session};

use super::{PartnerState, store, taken};
use crate::config::LateClose;

const WHOLE: &[u8] = b"0123456789abcdef";
const PATCH: &[u8] = b"xyz";
const AT: u64 = 10;

ferryway_core::words! {
    /// What a partner does with an upload that starts at an offset.
    Restart {
        /// It takes it, and keeps what lies behind the upload's end.
        Keeps = "keeps",
        /// It takes it, and cuts the file off where the upload ends.
        Truncates = "truncates",
        /// It takes none.
        Refuses = "refuses",
    }
}

impl Restart {
    /// What that means for a dead session's late close. A partner that takes no offset is not
    /// resumed on either.
    pub fn late_close(self) -> LateClose {
        match self {
            Self::Keeps => LateClose::Keeps,
            Self::Truncates | Self::Refuses => LateClose::Truncates,
        }
    }
}

impl PartnerState {
    /// Tries it out with a file of 16 bytes at `path`, a name not used before or after, unless
    /// the answer is known.
    ///
    /// # Errors
    /// When the partner fails on the way; the file may stay.
    pub async fn probe_late_close(
        &self,
        session: &mut dyn Session,
        path: &RemotePath,
    ) -> Result<LateClose, TransportError> {
        if self.late_close() != LateClose::Probe {
            return Ok(self.late_close());
        }
        let found = try_out(session, path).await?.late_close();
        session.remove(path.clone()).await?;
        self.learn_late_close(found);
        let behaviour = match found {
            LateClose::Truncates => "a late close cuts a file off: nothing is resumed",
            LateClose::Keeps | LateClose::Probe => "a late close keeps a file whole",
        };
        self.notices.learned(&self.name, behaviour);
        Ok(found)
    }
}

/// Leaves a file at `path`.
pub(super) async fn try_out(
    session: &mut dyn Session,
    path: &RemotePath,
) -> Result<Restart, TransportError> {
    store(session, path, WHOLE, 0).await?;
    if !taken(store(session, path, PATCH, AT).await)? {
        return Ok(Restart::Refuses);
    }
    let size = session.stat(path.clone()).await?.size;
    Ok(if size == Some(WHOLE.len() as u64) { Restart::Keeps } else { Restart::Truncates })
}
