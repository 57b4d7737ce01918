//! One side of the boundary, as the other one calls it.

use std::any::Any;

use tokio::{runtime::Handle, task::JoinHandle};
use tracing::Instrument;

use crate::{Kind, Operation, TransportError, bytes::panic_text, transport::Result};

/// Threads for the tasks of each side. The other half of the machine hashes, writes the journal, and
/// serves the kernel; and a thread more is one more to be woken for each thing that happens, which
/// costs more than a small file.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get().div_ceil(2))
}

/// Where calls from across the boundary run: the runtime of the side that owns the code.
/// Plugin and host each have their own copy of tokio, so a call that needs its reactor must be
/// a task of its own side; a panic ends there as well.
#[derive(Clone, Debug)]
pub(super) struct Side {
    name: &'static str,
    runtime: Handle,
}

impl Side {
    /// The side of this name, whose code runs on `runtime`.
    pub(super) fn new(name: &'static str, runtime: Handle) -> Self {
        Self { name, runtime }
    }

    /// Runs `call` as a task of this side; dropping the returned future cancels it.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        operation: Operation,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        struct Task<T>(JoinHandle<T>);
        impl<T> Drop for Task<T> {
            fn drop(&mut self) {
                self.0.abort();
            }
        }
        let mut task = Task(self.runtime.spawn(call.in_current_span()));
        (&mut task.0).await.map_err(|error| match error.try_into_panic() {
            Ok(panic) => TransportError::retryable(Kind::Panicked, operation, self.blame(&*panic)),
            Err(_) => TransportError::closed(operation),
        })
    }

    /// Drops what belongs to this side's reactor there.
    pub(super) fn drop_there(&self, thing: impl Send + 'static) {
        self.runtime.spawn(async move { drop(thing) });
    }

    /// A panic on this side, in words.
    pub(super) fn blame(&self, panic: &(dyn Any + Send)) -> String {
        format!("the {} panicked: {}", self.name, panic_text(panic))
    }
}
