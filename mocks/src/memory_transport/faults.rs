//! What goes wrong in memory, and when.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ferryway_core::{Kind, Operation, TransportError};
use tokio::{sync::watch, time::timeout};

/// The faults of a transport; a handle on shared state.
#[derive(Clone, Debug, Default)]
pub struct MemoryFaults(Arc<Mutex<Vec<Planned>>>);

/// What happens to an operation.
#[derive(Debug)]
pub enum Effect {
    /// It does nothing and fails with this error.
    Fail(TransportError),
    /// It is done, and the connection is lost before the answer.
    LoseAnswer,
    /// A store or fetch moves so many bytes, then the connection is lost.
    CutAfter(u64),
    /// It waits, before it does anything, for [`MemoryFault::release`].
    StallBefore,
    /// It is done, and waits for [`MemoryFault::release`] before the answer.
    StallAfter,
    /// It panics.
    Panic,
}

/// A planned fault: tells when it fires, and lets a stalled operation go on.
#[derive(Clone, Debug)]
pub struct MemoryFault {
    fired: watch::Sender<bool>,
    released: watch::Sender<bool>,
}

#[derive(Debug)]
struct Planned {
    operation: Operation,
    path: Option<String>,
    /// How many operations that fit go by before.
    spared: u32,
    effect: Effect,
    fault: MemoryFault,
}

impl MemoryFaults {
    /// Plans `effect` for the `nth` `operation` from now on, counted from 1.
    pub fn on_nth(&self, operation: Operation, nth: u32, effect: Effect) -> MemoryFault {
        self.plan(operation, None, nth, effect)
    }

    /// Plans `effect` for the next `operation` on this path (for a rename: from this path).
    pub fn on_path(&self, operation: Operation, path: &str, effect: Effect) -> MemoryFault {
        self.plan(operation, Some(path.to_owned()), 1, effect)
    }

    fn plan(
        &self,
        operation: Operation,
        path: Option<String>,
        nth: u32,
        effect: Effect,
    ) -> MemoryFault {
        let fault =
            MemoryFault { fired: watch::Sender::new(false), released: watch::Sender::new(false) };
        let spared = nth.saturating_sub(1);
        self.lock().push(Planned { operation, path, spared, effect, fault: fault.clone() });
        fault
    }

    /// How many planned faults have not fired.
    pub fn unfired(&self) -> usize {
        self.lock().len()
    }

    /// The fault of an operation that begins; it fires by that.
    pub(super) fn fire(
        &self,
        operation: Operation,
        path: Option<&str>,
    ) -> Option<(Effect, MemoryFault)> {
        let mut planned = self.lock();
        let mut due = None;
        for (at, plan) in planned.iter_mut().enumerate() {
            let on_path = plan.path.as_deref().is_none_or(|wanted| Some(wanted) == path);
            if plan.operation != operation || !on_path {
                continue;
            }
            match plan.spared.checked_sub(1) {
                Some(spared) => plan.spared = spared,
                None => due = due.or(Some(at)),
            }
        }
        let Planned { effect, fault, .. } = planned.remove(due?);
        fault.fired.send_replace(true);
        Some((effect, fault))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Planned>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryFault {
    /// Whether the fault fired.
    pub fn fired(&self) -> bool {
        *self.fired.borrow()
    }

    /// Waits until the fault has fired; `false` when it has not after `limit`.
    pub async fn wait(&self, limit: Duration) -> bool {
        let mut fired = self.fired.subscribe();
        matches!(timeout(limit, fired.wait_for(|&fired| fired)).await, Ok(Ok(_)))
    }

    /// Lets an operation that this fault stalls go on.
    pub fn release(&self) {
        self.released.send_replace(true);
    }

    pub(super) async fn released(&self) {
        let mut released = self.released.subscribe();
        // The sender lives as long as `self`.
        let _released = released.wait_for(|&released| released).await;
    }
}

/// The error of an operation whose answer is lost.
pub(super) fn lost(operation: Operation) -> TransportError {
    TransportError::retryable(Kind::Connection, operation, "the connection was lost, as planned")
}
