//! A program and all that it starts, as a job object.

use std::{
    fs, io,
    os::windows::io::OwnedHandle,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use process_wrap::tokio::{ChildWrapper, CommandWrap, JobObject};
use tokio::{fs::File, process::Command, time::timeout};

/// What the programs of a group print.
pub(crate) type Printed = File;

/// A program and all that it starts. None of it outlives the value, unless the program has ended
/// by itself.
pub(crate) struct Group {
    child: Box<dyn ChildWrapper>,
    over: bool,
}

impl Group {
    /// Starts a program without input. Both its outputs go into one pipe.
    ///
    /// # Errors
    /// When the system does not start it.
    pub(crate) fn start(mut command: Command) -> io::Result<(Self, Printed)> {
        let (reader, writer) = io::pipe()?;
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let child = CommandWrap::from(command).wrap(JobObject).spawn()?;
        let printed = File::from_std(fs::File::from(OwnedHandle::from(reader)));
        Ok((Self { child, over: false }, printed))
    }

    /// Waits until the program itself has ended.
    ///
    /// # Errors
    /// When the system does not show its end.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        // The whole job would be waited for otherwise, with what the program leaves running.
        let status = self.child.inner_mut().wait().await?;
        self.over = true;
        Ok(status)
    }

    /// Ends all of the group by force. Windows has no way to tell programs without a window to
    /// end, so there is no `grace`.
    pub(crate) async fn end(&mut self, grace: Duration) {
        self.kill();
        // One that the system does not let go of is left to it.
        let _in_time = timeout(grace, self.child.inner_mut().wait()).await;
        self.over = true;
    }

    fn kill(&mut self) {
        if let Err(error) = self.child.start_kill() {
            tracing::debug!(%error, "a user exit is not ended");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.over {
            self.kill();
        }
    }
}

/// `None`: there are no signals.
pub(crate) fn signal(_status: ExitStatus) -> Option<i32> {
    None
}
