//! One run of a program, in a process group of its own and with a time limit.

use std::{fmt, io, process::ExitStatus, time::Duration};

use tokio::{io::AsyncReadExt, process::Command, time::timeout};

use super::output::Output;
use crate::platform::group::{self, Group};

/// How long a program may take to end when it is told to.
const GRACE: Duration = Duration::from_secs(5);

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

/// Runs a program to its end, or for as long as `limit`; then its process group is told to end,
/// and ends by force. What it prints goes to `output`.
pub(super) async fn run(command: Command, limit: Duration, output: &mut Output) -> How {
    let (mut group, mut pipe) = match Group::start(command) {
        Ok(started) => started,
        Err(error) => return How::NotStarted(error.to_string()),
    };
    let mut chunk = vec![0; 8 * 1024];
    let mut open = true;
    let how = {
        let ended = ended(&mut group, limit);
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

async fn ended(group: &mut Group, limit: Duration) -> How {
    match timeout(limit, group.ended()).await {
        Ok(Ok(status)) => of_status(status),
        Ok(Err(error)) => How::NotStarted(format!("its end is not shown: {error}")),
        Err(_) => {
            group.end(GRACE).await;
            How::TimedOut(limit)
        }
    }
}

/// Keeps what was read; whether there may be more.
async fn keep(output: &mut Output, chunk: &[u8], read: io::Result<usize>) -> bool {
    let bytes = read.ok().and_then(|read| chunk.get(..read)).unwrap_or_default();
    output.add(bytes).await;
    !bytes.is_empty()
}

fn of_status(status: ExitStatus) -> How {
    match (status.code(), group::signal(status)) {
        (Some(code), _) => How::Code(code),
        (None, signal) => How::Signal(signal.unwrap_or_default()),
    }
}
