//! What a service manager is told: when the host is ready, reloads and stops, and that it is
//! alive.
//!
//! The words are those of `sd_notify(3)`. Where no `NOTIFY_SOCKET` is set nobody listens, and
//! nothing is told.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::scheduler::Desk;

/// Tells that the host works, and as whom.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Tells that the host stops.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// A reload under way. When it is dropped the manager is told that the host is ready again,
/// whatever became of the reload.
#[derive(Debug)]
pub(crate) struct Reload(());

impl Reload {
    /// Tells that the host reads its configuration again.
    pub(crate) fn begin() -> Self {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!(%error, "the service manager is told of no reload"),
        }
        Self(())
    }
}

impl Drop for Reload {
    fn drop(&mut self) {
        tell(&[NotifyState::Ready]);
    }
}

/// Feeds the manager's watchdog for as long as the host does its work: the scheduler answers,
/// and the journal has just seen that the instance is still ours. A host that hangs in either is
/// fed no more, and the manager ends it. Returns at once where no watchdog waits.
pub(crate) async fn feed(desk: Desk) {
    let Some(patience) = sd_notify::watchdog_enabled() else { return };
    // Twice within the manager's patience, as `sd_watchdog_enabled(3)` asks for.
    let pace = (patience / 2).max(Duration::from_millis(1));
    let mut turn = interval(pace);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        match timeout(pace, desk.pulse()).await {
            Ok(Ok(())) => tell(&[NotifyState::Watchdog]),
            Ok(Err(refusal)) => tracing::warn!(%refusal, "the watchdog is not fed"),
            Err(_) => tracing::warn!("the watchdog is not fed: the host does not come to its work"),
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager was not told");
    }
}
