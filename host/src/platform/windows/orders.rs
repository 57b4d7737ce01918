//! What whoever runs the host wants of it: by the keys and events of its console, or by the
//! service control manager.

use std::io;

use tokio::{
    signal::windows::{
        CtrlBreak, CtrlC, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown,
    },
    sync::Notify,
};

use crate::platform::Order;

/// The manager wants the service to stop. Whoever comes later hears it, too.
static STOP: Notify = Notify::const_new();

/// Passes on that the manager wants the service to stop.
pub(crate) fn stop() {
    STOP.notify_one();
}

/// Hears Ctrl-C and Ctrl-Break, the end of the console and that of the system, and [`stop`].
pub(crate) struct Orders {
    interrupt: CtrlC,
    break_key: CtrlBreak,
    close: CtrlClose,
    shutdown: CtrlShutdown,
}

impl Orders {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: ctrl_c()?,
            break_key: ctrl_break()?,
            close: ctrl_close()?,
            shutdown: ctrl_shutdown()?,
        })
    }

    /// The next order. None of them is to reload: `ftprel reload` does that.
    pub(crate) async fn next(&mut self) -> Order {
        tokio::select! {
            () = STOP.notified() => Order::Stop,
            _ = self.interrupt.recv() => Order::Stop,
            _ = self.break_key.recv() => Order::Stop,
            _ = self.close.recv() => Order::Stop,
            _ = self.shutdown.recv() => Order::Stop,
        }
    }
}
