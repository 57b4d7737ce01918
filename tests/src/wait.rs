//! Waiting for a condition, with a limit.

use std::{
    io, thread,
    time::{Duration, Instant},
};

/// Long enough for anything a loaded two-core machine does in a test, short
/// enough to end a test that hangs.
pub const LIMIT: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const STEP: Duration = Duration::from_millis(5);

/// Looks at `condition` until it holds; false when `limit` passes first.
pub fn holds_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(STEP);
    }
}

/// Waits until `condition` holds.
///
/// # Errors
/// `limit` passes first; the message says so, with `what` as the condition's name.
pub fn await_within(
    limit: Duration,
    what: &str,
    condition: impl FnMut() -> bool,
) -> io::Result<()> {
    if holds_within(limit, condition) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("{what}: not within {limit:?}")))
}

/// Waits until `condition` holds, `what` being its name in the failure.
///
/// # Panics
/// When `limit` passes first.
#[track_caller]
pub fn wait_until(limit: Duration, what: &str, condition: impl FnMut() -> bool) {
    assert!(holds_within(limit, condition), "{what}: not within {limit:?}");
}

/// Like [`wait_until`], leaving the runtime's thread to others between looks.
///
/// # Panics
/// When `limit` passes first.
pub async fn wait_until_async(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        tokio::time::sleep(STEP).await;
    }
}
