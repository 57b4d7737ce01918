//! What a service manager is told: when the host is ready, reloads and stops, and that it is
//! alive. `platform::manager` has the words.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::{platform::manager, scheduler::Desk};

pub(crate) use manager::{ready, stopping};

/// A reload under way. When it is dropped the manager is told that the host is ready again,
/// whatever became of the reload.
#[derive(Debug)]
pub(crate) struct Reload(());

impl Reload {
    /// Tells that the host reads its configuration again.
    pub(crate) fn begin() -> Self {
        manager::reloading();
        Self(())
    }
}

impl Drop for Reload {
    fn drop(&mut self) {
        manager::reloaded();
    }
}

/// Feeds the manager's watchdog for as long as the host does its work: the scheduler answers,
/// and the journal has just seen that the instance is still ours. A host that hangs in either is
/// fed no more, and the manager ends it. Returns at once where no watchdog waits.
pub(crate) async fn feed(desk: Desk) {
    let Some(patience) = manager::watchdog() else { return };
    // Twice within the manager's patience, as `sd_watchdog_enabled(3)` asks for.
    let pace = (patience / 2).max(Duration::from_millis(1));
    let mut turn = interval(pace);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        match timeout(pace, desk.pulse()).await {
            Ok(Ok(())) => manager::alive(),
            Ok(Err(refusal)) => tracing::warn!(%refusal, "the watchdog is not fed"),
            Err(_) => tracing::warn!("the watchdog is not fed: the host does not come to its work"),
        }
    }
}
