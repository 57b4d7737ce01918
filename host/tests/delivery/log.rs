//! What went over all wires.

use std::sync::{Arc, Mutex};

use ferryway_core::Operation;

/// What all nodes did, in order.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<Done>>>);

/// One operation that was performed.
#[derive(Clone, Debug)]
pub struct Done {
    pub node: String,
    pub number: usize,
    pub operation: Operation,
    pub path: String,
    pub to: Option<String>,
    pub ok: bool,
    pub note: String,
}

impl Log {
    /// The operations so far.
    pub fn entries(&self) -> Vec<Done> {
        self.0.lock().unwrap().clone()
    }

    /// All of it, for a failed test.
    pub fn print(&self) -> String {
        let lines = self.entries().into_iter().map(|done| {
            let to = done.to.map(|to| format!(" -> {to}")).unwrap_or_default();
            let result = if done.ok { "ok" } else { "failed" };
            let Done { node, number, operation, path, note, .. } = done;
            format!("  {node}#{number} {operation} {path}{to}: {result} {note}")
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    pub fn push(&self, done: Done) {
        self.0.lock().unwrap().push(done);
    }
}
