//! systemd, by the words of `sd_notify(3)`. Where no `NOTIFY_SOCKET` is set nobody listens, and
//! nothing is told.

use std::time::Duration;

use sd_notify::NotifyState;

/// Tells that the host works, and as whom.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Tells that the host stops, which takes no longer than `within`.
pub(crate) fn stopping(_within: Duration) {
    tell(&[NotifyState::Stopping]);
}

/// Tells that the host reads its configuration again.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager is told of no reload"),
    }
}

/// Tells that the reload is over.
pub(crate) fn reloaded() {
    tell(&[NotifyState::Ready]);
}

/// How long the manager's watchdog waits for a sign of life. `None` where none waits.
pub(crate) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// Gives the watchdog a sign of life.
pub(crate) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager was not told");
    }
}
