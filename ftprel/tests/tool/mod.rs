//! The built tool, and the host made of memory that it talks to.
#![allow(dead_code)] // Each test that uses it needs a part of it.

#[path = "../../../host/tests/fake_operations/mod.rs"]
mod fake_operations;

use std::{
    ffi::OsStr,
    process::{Output, Stdio},
    sync::Arc,
    time::Duration,
};

use fake_operations::FakeOperations;
use ferryway_core::JobId;
use ferryway_host::control::{server, socket::ControlSocket};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{process::Command, sync::oneshot, task::JoinHandle, time::timeout};

pub const DEADLINE: Duration = Duration::from_secs(30);

pub struct Host {
    pub operations: Arc<FakeOperations>,
    pub run_dir: TempDir,
    server: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Host {
    pub async fn start() -> Self {
        let run_dir = TempDir::new().unwrap();
        let operations = Arc::new(FakeOperations::new());
        let mut host = Self { operations, run_dir, server: None };
        host.resume().await;
        host
    }

    pub async fn resume(&mut self) {
        let socket = ControlSocket::bind(self.run_dir.path()).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async move { drop(stopped.await) };
        let server = tokio::spawn(server::serve(socket, self.operations.clone(), stopped));
        self.server = Some((stop, server));
    }

    pub async fn stop(&mut self) {
        let (stop, server) = self.server.take().unwrap();
        stop.send(()).unwrap();
        server.await.unwrap();
    }

    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = tool(args);
        command.arg("--run-dir").arg(self.run_dir.path());
        command
    }

    pub async fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        run(self.command(args)).await
    }
}

pub fn tool<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ftprel"));
    command.args(args).stdin(Stdio::null()).kill_on_drop(true).env("TZ", "Asia/Tokyo");
    command.env_remove("FERRYWAY_DIR").env_remove("FERRYWAY_RUN_DIR");
    command
}

pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Run {
    pub fn of(Output { status, stdout, stderr }: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
    }

    /// The output of a run that succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    /// The one line of JSON that was printed.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "{}{}", self.out, self.err);
        serde_json::from_str(&self.out).unwrap()
    }
}

pub async fn run(mut command: Command) -> Run {
    let output = timeout(DEADLINE, command.output()).await;
    Run::of(output.expect("the tool ends in time").unwrap())
}

pub fn id(text: &str) -> JobId {
    text.parse().unwrap()
}

pub fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}
