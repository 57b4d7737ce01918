//! What a partner does with a file when an upload that started at an offset ends before the
//! file's end. A server that cuts the file off there would let a dead session's late close
//! shorten a file that has gone on growing, so nothing is resumed on it.

use ferryway_core::{
    RemotePath, TransportError,
    bytes::{Meter, Source},
    transport::{Session, Upload},
};

use super::PartnerState;
use crate::config::LateClose;

const WHOLE: &[u8] = b"0123456789abcdef";
const PATCH: &[u8] = b"xyz";
const AT: u64 = 10;

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
        store(session, path, WHOLE, 0).await?;
        let found = match store(session, path, PATCH, AT).await {
            Ok(()) => match session.stat(path.clone()).await?.size {
                Some(size) if size == WHOLE.len() as u64 => LateClose::Keeps,
                _ => LateClose::Truncates,
            },
            // A partner that takes no offset is not resumed on either.
            Err(error) if error.reply().is_some() => LateClose::Truncates,
            Err(error) => return Err(error),
        };
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

async fn store(
    session: &mut dyn Session,
    path: &RemotePath,
    bytes: &'static [u8],
    offset: u64,
) -> Result<(), TransportError> {
    let upload = Upload {
        path: path.clone(),
        offset,
        length: bytes.len() as u64,
        source: Source::of_bytes(bytes.to_vec()),
        meter: Meter::new(),
    };
    session.store(upload).await.map(drop)
}
