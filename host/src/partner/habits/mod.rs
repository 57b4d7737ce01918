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

use ferryway_core::TransportError;

use super::{PartnerState, store};

pub use findings::{Advice, Findings, Folders, Idle, Locking, OpenFile, Row};
pub use late_close::Restart;

/// Whether the partner did as told; `false` when it refused.
fn taken(result: Result<(), TransportError>) -> Result<bool, TransportError> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.reply().is_some() => Ok(false),
        Err(error) => Err(error),
    }
}
