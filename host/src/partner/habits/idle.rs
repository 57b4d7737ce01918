//! Whether a session outlives a silence.

use std::{sync::Arc, time::Duration};

use ferryway_core::TransportError;

use super::Idle;
use crate::partner::pool::Pool;

/// Says nothing on a new session for so long, and then asks for a sign of life.
///
/// # Errors
/// When there is no session to begin with.
pub(super) async fn try_out(pool: &Arc<Pool>, silent: Duration) -> Result<Idle, TransportError> {
    let mut lease = Pool::lend(pool).await?;
    tokio::time::sleep(silent).await;
    let alive = lease.session().ping().await.is_ok();
    Ok(Idle { silent_s: silent.as_secs(), alive })
}
