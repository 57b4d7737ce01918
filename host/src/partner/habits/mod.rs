//! A server's habits: what no protocol settles and only a try shows.
//!
//! A running job looks at what it needs to know, once; [`probe`](PartnerState::probe) tries
//! everything, for an operator who wants to know beforehand.

mod findings;
mod idle;
mod late_close;
mod open_upload;
mod probe;
mod rename_over;

use ferryway_core::{
    RemotePath, TransportError,
    bytes::{Meter, Source},
    transport::{Session, Upload},
};

use super::PartnerState;

pub use findings::{Advice, Findings, Folders, Idle, Locking, OpenFile, Row};
pub use late_close::Restart;

/// Stores these bytes at an offset of a file.
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

/// Whether the partner did as told; `false` when it refused.
fn taken(result: Result<(), TransportError>) -> Result<bool, TransportError> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.reply().is_some() => Ok(false),
        Err(error) => Err(error),
    }
}
