//! One run of a program, in a process group of its own and with a time limit.

use std::{
    fmt, io,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe::Receiver,
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use super::output::Output;

/// How long a program may take to end when it is told to.
const GRACE: Duration = Duration::from_secs(5);

/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(20);

/// How long output is waited for after a program's end: what it left running may keep it open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum How {
    /// By itself, with this code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// By force, after its time.
    TimedOut(Duration),
    /// It never began.
    NotStarted(String),
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::TimedOut(limit) => write!(f, "no end within {} s", limit.as_secs()),
            Self::NotStarted(reason) => write!(f, "not started: {reason}"),
        }
    }
}

/// Runs a program to its end, or for as long as `limit`; then TERM and KILL end its process
/// group. What it prints goes to `output`.
pub(super) async fn run(command: Command, limit: Duration, output: &mut Output) -> How {
    let (mut group, mut pipe) = match start(command) {
        Ok(started) => started,
        Err(error) => return How::NotStarted(error.to_string()),
    };
    let mut chunk = vec![0; 8 * 1024];
    let mut open = true;
    let how = {
        let ended = group.ended(limit);
        tokio::pin!(ended);
        loop {
            let read = tokio::select! {
                how = &mut ended => break how,
                read = pipe.read(&mut chunk), if open => read,
            };
            open = keep(output, &chunk, read).await;
        }
    };
    let rest = async {
        while open {
            let read = pipe.read(&mut chunk).await;
            open = keep(output, &chunk, read).await;
        }
    };
    // What is still to come is of a process that nobody waits for.
    let _in_time = timeout(LAST_WORDS, rest).await;
    how
}

/// Starts a program. Both its outputs go into one pipe.
fn start(mut command: Command) -> io::Result<(Group, Receiver)> {
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    let child = command.spawn()?;
    let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let id = id.ok_or_else(|| io::Error::other("it has no process id"))?;
    let group = Group { child, id, over: false };
    Ok((group, Receiver::from_owned_fd(OwnedFd::from(reader))?))
}

/// Keeps what was read; whether there may be more.
async fn keep(output: &mut Output, chunk: &[u8], read: io::Result<usize>) -> bool {
    let bytes = read.ok().and_then(|read| chunk.get(..read)).unwrap_or_default();
    output.add(bytes).await;
    !bytes.is_empty()
}

/// A program and all that it starts. None of it outlives the value, unless the program has ended
/// by itself.
struct Group {
    child: Child,
    id: Pid,
    over: bool,
}

impl Group {
    async fn ended(&mut self, limit: Duration) -> How {
        match timeout(limit, self.child.wait()).await {
            Ok(Ok(status)) => {
                self.over = true;
                of_status(status)
            }
            Ok(Err(error)) => How::NotStarted(format!("its end is not shown: {error}")),
            Err(_) => {
                self.end_by_force().await;
                How::TimedOut(limit)
            }
        }
    }

    /// The program is not waited for before the group is killed: its id stands for the group as
    /// long as it is there.
    async fn end_by_force(&mut self) {
        self.send(Signal::TERM);
        let told = Instant::now();
        while told.elapsed() < GRACE && !self.program_has_ended() {
            sleep(LOOK).await;
        }
        self.send(Signal::KILL);
        // One that the system does not let go of is left to it.
        let _in_time = timeout(GRACE, self.child.wait()).await;
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

fn of_status(status: ExitStatus) -> How {
    match (status.code(), status.signal()) {
        (Some(code), _) => How::Code(code),
        (None, signal) => How::Signal(signal.unwrap_or_default()),
    }
}
