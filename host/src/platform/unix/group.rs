//! A program and all that it starts, as a process group.

use std::{
    io,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::{
    net::unix::pipe::Receiver,
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

/// How often it is looked whether a program that was told to end has.
const LOOK: Duration = Duration::from_millis(20);

/// What the programs of a group print.
pub(crate) type Printed = Receiver;

/// A program and all that it starts. None of it outlives the value, unless the program has ended
/// by itself.
pub(crate) struct Group {
    child: Child,
    id: Pid,
    over: bool,
}

impl Group {
    /// Starts a program without input. Both its outputs go into one pipe.
    ///
    /// # Errors
    /// When the system does not start it.
    pub(crate) fn start(mut command: Command) -> io::Result<(Self, Printed)> {
        let (reader, writer) = io::pipe()?;
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
        let child = command.spawn()?;
        let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let id = id.ok_or_else(|| io::Error::other("it has no process id"))?;
        let group = Self { child, id, over: false };
        Ok((group, Receiver::from_owned_fd(OwnedFd::from(reader))?))
    }

    /// Waits until the program itself has ended.
    ///
    /// # Errors
    /// When the system does not show its end.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.over = true;
        Ok(status)
    }

    /// Tells all of the group to end, and ends it by force when the program itself has not within
    /// `grace`.
    ///
    /// The program is not waited for before the group is killed: its id stands for the group as
    /// long as it is there.
    pub(crate) async fn end(&mut self, grace: Duration) {
        self.send(Signal::TERM);
        let told = Instant::now();
        while told.elapsed() < grace && !self.program_has_ended() {
            sleep(LOOK).await;
        }
        self.send(Signal::KILL);
        // One that the system does not let go of is left to it.
        let _in_time = timeout(grace, self.child.wait()).await;
        self.over = true;
    }

    fn program_has_ended(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(self.id), look), Ok(None))
    }

    fn send(&self, signal: Signal) {
        if let Err(error) = kill_process_group(self.id, signal) {
            tracing::debug!(group = %self.id.as_raw_nonzero(), %error, "a user exit gets no signal");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.over {
            self.send(Signal::KILL);
        }
    }
}

/// The signal that ended a program, where one did.
pub(crate) fn signal(status: ExitStatus) -> Option<i32> {
    status.signal()
}
