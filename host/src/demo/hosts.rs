//! The hosts as real processes, which die with the demo.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use tokio::{
    process::{Child, ChildStdin, Command},
    time::sleep,
};

use super::{Deadline, Failure, POLL, stage::Stage};
use crate::control::{api::Health, client::Client};

/// Kills the host's process group when standard input closes, which it does however the demo
/// ends. The host takes the shell's place, so its process id is the one we know.
const GUARD: &str = r#"exec 3<&0 </dev/null
(cat <&3 >/dev/null; kill -KILL 0) 2>/dev/null &
exec 3<&-
exec "$@""#;

/// How much of a log is shown when something goes wrong.
const TAIL_LINES: usize = 20;

/// A running host. Dropping it kills the process.
#[derive(Debug)]
pub(super) struct HostProcess {
    child: Child,
    /// The guard's end of the pipe, held here since waiting for the child closes its own.
    _guard: Option<ChildStdin>,
    pub(super) node: &'static str,
    pub(super) pid: u32,
    pub(super) client: Client,
}

impl HostProcess {
    /// Starts this executable as the host of a node.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn start(stage: &Stage, node: &'static str) -> Result<Self, Failure> {
        let failed = |error| Failure::io("start a host of", Path::new(node), error);
        let run_dir = stage.run_dir(node);
        let output = File::create_new(log_file(stage, node)).map_err(failed)?;
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", GUARD, "sh"])
            .arg(env::current_exe().map_err(failed)?)
            .arg("run")
            .arg(stage.install_dir())
            .args(["--node", node])
            .env("FERRYWAY_RUN_DIR", &run_dir)
            .env("FERRYWAY_LOG", "info")
            // What the visitor's shell says of another installation is not for this one.
            .env_remove("FERRYWAY_DIR")
            .env("HOSTNM", node)
            .stdin(Stdio::piped())
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output)
            // A Ctrl-C at the terminal is the demo's to answer.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let (pid, guard) = (child.id().unwrap_or_default(), child.stdin.take());
        let client = Client::new(&run_dir);
        Ok(Self { child, _guard: guard, node, pid, client })
    }

    /// Waits until it owns the instance and answers.
    ///
    /// # Errors
    /// When it ends, or does not answer before the deadline.
    pub(super) async fn ready(&mut self, deadline: Deadline) -> Result<Health, Failure> {
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
    pub(super) fn check(&mut self) -> Result<(), Failure> {
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
    pub(super) async fn kill(&mut self) -> Result<Instant, Failure> {
        self.check()?;
        let at = Instant::now();
        match self.child.kill().await {
            Ok(()) => Ok(at),
            Err(error) => Err(Failure::io("kill the host of", Path::new(self.node), error)),
        }
    }

    /// Asks it to stop, as `systemctl stop` does, and waits for the end.
    ///
    /// # Errors
    /// When it does not end within `limit`, or ends with an error.
    pub(super) async fn stop(&mut self, limit: Duration) -> Result<(), Failure> {
        let failed = |error| Failure::io("stop the host of", Path::new(self.node), error);
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)
                .map_err(|error| failed(error.into()))?;
        }
        let ended: Option<ExitStatus> = match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(status) => Some(status.map_err(failed)?),
            Err(_) => None,
        };
        match ended {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(Failure(format!("the host of {} stopped: {status}", self.node))),
            None => Err(Failure(format!("the host of {} did not stop in {limit:?}", self.node))),
        }
    }
}

/// The last lines of what the hosts of these nodes printed, under their names.
pub(super) fn logs(stage: &Stage, nodes: &[&'static str]) -> String {
    nodes
        .iter()
        .map(|node| (node, tail(&log_file(stage, node))))
        .filter(|(_, text)| !text.is_empty())
        .map(|(node, text)| format!("--- the end of {node}'s log ---\n{text}\n"))
        .collect()
}

fn log_file(stage: &Stage, node: &str) -> PathBuf {
    stage.folder().join(format!("{node}.log"))
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
