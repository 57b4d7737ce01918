//! Hosts as real processes, which die with the process that started them.

use std::{
    env,
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, ChildStdin, Command},
    time::{sleep, timeout},
};

use super::{Deadline, Failure, POLL};
use crate::control::{api::Health, client::Client};

/// Kills the host's process group when standard input closes, which it does however this
/// process ends. The host takes the shell's place, so its process id is the one we know.
const GUARD: &str = r#"exec 3<&0 </dev/null
(cat <&3 >/dev/null; kill -KILL 0) 2>/dev/null &
exec 3<&-
exec "$@""#;

/// The message that tells where a host listens.
const DOOR_OPEN: &str = "0501I";

/// How much of a log is shown when something goes wrong.
const TAIL_LINES: usize = 20;

/// Where and as whom a host runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// The node, which is also its host name.
    pub(crate) node: &'static str,
    /// The install directory, as the node sees it.
    pub(crate) install: &'a Path,
    /// The folder of its control socket: short, since a socket's path must be.
    pub(crate) run_dir: &'a Path,
    /// Where what it prints goes; the file is made.
    pub(crate) log: &'a Path,
    /// More of its environment.
    pub(crate) variables: &'a [(&'a str, &'a str)],
}

/// A host that was started. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct HostProcess {
    child: Child,
    /// The guard's end of the pipe, held here since waiting for the child closes its own.
    _guard: Option<ChildStdin>,
    pub(crate) node: &'static str,
    pub(crate) pid: u32,
    pub(crate) client: Client,
}

impl HostProcess {
    /// Starts this executable as the host of a node.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn start(place: Place<'_>) -> Result<Self, Failure> {
        let node = place.node;
        let failed = |error| Failure::io("start a host of", Path::new(node), error);
        let output = File::create_new(place.log).map_err(failed)?;
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", GUARD, "sh"])
            .arg(env::current_exe().map_err(failed)?)
            .arg("run")
            .arg(place.install)
            .args(["--node", node])
            .env("FERRYWAY_RUN_DIR", place.run_dir)
            .env("FERRYWAY_LOG", "info")
            // What the visitor's shell says of another installation is not for this one.
            .env_remove("FERRYWAY_DIR")
            .env("HOSTNM", node)
            .envs(place.variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output)
            // A Ctrl-C at the terminal is ours to answer.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let (pid, guard) = (child.id().unwrap_or_default(), child.stdin.take());
        let client = Client::new(place.run_dir);
        Ok(Self { child, _guard: guard, node, pid, client })
    }

    /// Waits until it owns the instance and answers.
    ///
    /// # Errors
    /// When it ends, or does not answer before the deadline.
    pub(crate) async fn ready(&mut self, deadline: Deadline) -> Result<Health, Failure> {
        loop {
            if let Ok(health) = self.client.health().await {
                return Ok(health);
            }
            self.check()?;
            deadline.check(&format!("node {} to answer", self.node))?;
            sleep(POLL).await;
        }
    }

    /// Sees that it still runs.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(Failure(format!("the host of {} ended: {status}", self.node))),
            Err(error) => Err(Failure::io("look after the host of", Path::new(self.node), error)),
        }
    }

    /// `kill -9`: the process has no chance to do anything more. It is gone on `Ok`.
    ///
    /// # Errors
    /// When the system refuses, or it had ended before.
    pub(crate) async fn kill(&mut self) -> Result<Instant, Failure> {
        self.check()?;
        let at = Instant::now();
        match self.child.kill().await {
            Ok(()) => Ok(at),
            Err(error) => Err(Failure::io("kill the host of", Path::new(self.node), error)),
        }
    }

    /// Stops the process where it is: it holds its connections and knows of nothing when it
    /// goes on.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn freeze(&self) -> Result<(), Failure> {
        self.signal(Signal::STOP, "freeze the host of")
    }

    /// Lets a frozen process go on.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn thaw(&self) -> Result<(), Failure> {
        self.signal(Signal::CONT, "thaw the host of")
    }

    /// Waits for its end; `None` when it has not ended within `limit`.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) async fn ended(&mut self, limit: Duration) -> Result<Option<ExitStatus>, Failure> {
        match timeout(limit, self.child.wait()).await {
            Ok(Ok(status)) => Ok(Some(status)),
            Ok(Err(error)) => Err(Failure::io("wait for the host of", Path::new(self.node), error)),
            Err(_) => Ok(None),
        }
    }

    /// Asks it to stop, as `systemctl stop` does, and waits for the end.
    ///
    /// # Errors
    /// When it does not end within `limit`, or ends with an error.
    pub(crate) async fn stop(&mut self, limit: Duration) -> Result<(), Failure> {
        self.signal(Signal::TERM, "stop the host of")?;
        match self.ended(limit).await? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(Failure(format!("the host of {} stopped: {status}", self.node))),
            None => Err(Failure(format!("the host of {} did not stop in {limit:?}", self.node))),
        }
    }

    fn signal(&self, signal: Signal, action: &str) -> Result<(), Failure> {
        // Once it was waited for, the process id may be another program's.
        let pid = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let Some(pid) = pid else {
            return Err(Failure(format!("cannot {action} {}: it has ended", self.node)));
        };
        kill_process(pid, signal)
            .map_err(|error| Failure::io(action, Path::new(self.node), error.into()))
    }
}

/// Where an install directory's hosts listen for others, as soon as its log tells of the
/// `count`th opened door.
///
/// # Errors
/// When it does not before the deadline.
pub(crate) async fn door(
    install: &Path,
    count: usize,
    deadline: Deadline,
) -> Result<SocketAddr, Failure> {
    let log = operators_log(install);
    loop {
        let text = fs::read_to_string(&log).unwrap_or_default();
        let line = lines(&text, DOOR_OPEN).nth(count - 1);
        let address =
            line.and_then(|line| line.rsplit_once('(')?.1.split(')').next()?.parse().ok());
        if let Some(address) = address {
            return Ok(address);
        }
        deadline.check(&format!("an open door in {}", log.display()))?;
        sleep(POLL).await;
    }
}

/// Whether an install directory's operator was told this message, with this word in it.
pub(crate) fn told(install: &Path, code: &str, word: &str) -> bool {
    let text = fs::read_to_string(operators_log(install)).unwrap_or_default();
    lines(&text, code).any(|line| line.contains(word))
}

/// What an install directory's operator was told under a code, a line each.
pub(crate) fn messages(install: &Path, code: &str) -> Vec<String> {
    let text = fs::read_to_string(operators_log(install)).unwrap_or_default();
    lines(&text, code).map(str::to_owned).collect()
}

fn operators_log(install: &Path) -> PathBuf {
    install.join("logs/ferryway.log")
}

fn lines<'a>(log: &'a str, code: &str) -> impl Iterator<Item = &'a str> {
    let code = format!(" {code} ");
    log.lines().filter(move |line| line.contains(&code))
}

/// The last lines of what a host printed.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
