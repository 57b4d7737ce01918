//! The service control manager.

use std::time::Duration;

/// Tells that the host works, and as whom.
pub(crate) fn ready(_status: &str) {}

/// Tells that the host stops, which takes no longer than `within`.
pub(crate) fn stopping(_within: Duration) {}

/// Nothing: the manager knows of no reload.
pub(crate) fn reloading() {}

/// Nothing: the manager knows of no reload.
pub(crate) fn reloaded() {}

/// `None`: the manager waits for no sign of life.
pub(crate) fn watchdog() -> Option<Duration> {
    None
}

/// Nothing: nobody waits for a sign of life.
pub(crate) fn alive() {}
