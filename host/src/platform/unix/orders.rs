//! What whoever runs the host wants of it, by signals.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::platform::Order;

/// Hears SIGTERM, SIGINT and SIGHUP.
pub(crate) struct Orders {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Orders {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next order.
    pub(crate) async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::Stop,
            _ = self.interrupt.recv() => Order::Stop,
            _ = self.hangup.recv() => Order::Reload,
        }
    }
}
