//! The built tool against a server with a host made of memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)] // Tests may.

#[path = "../../host/tests/fake_operations/mod.rs"]
mod fake_operations;

use std::{
    ffi::OsStr,
    io::pipe,
    process::{Output, Stdio},
    sync::Arc,
    time::Duration,
};

use fake_operations::FakeOperations;
use ferryway_core::{Digest, Event, JobId, digest::Algorithm};
use ferryway_host::{
    control::{
        api::{Reason, Refusal},
        server,
        socket::ControlSocket,
    },
    journal::record::{Attempt, Checkpoint, Fingerprint, Intent, Token},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

const DEADLINE: Duration = Duration::from_secs(30);

struct Host {
    operations: Arc<FakeOperations>,
    run_dir: TempDir,
    server: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Host {
    async fn start() -> Self {
        let run_dir = TempDir::new().unwrap();
        let operations = Arc::new(FakeOperations::new());
        let mut host = Self { operations, run_dir, server: None };
        host.resume().await;
        host
    }

    async fn resume(&mut self) {
        let socket = ControlSocket::bind(self.run_dir.path()).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async move { drop(stopped.await) };
        let server = tokio::spawn(server::serve(socket, self.operations.clone(), stopped));
        self.server = Some((stop, server));
    }

    async fn stop(&mut self) {
        let (stop, server) = self.server.take().unwrap();
        stop.send(()).unwrap();
        server.await.unwrap();
    }

    fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = tool(args);
        command.arg("--run-dir").arg(self.run_dir.path());
        command
    }

    async fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        run(self.command(args)).await
    }
}

fn tool<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ftprel"));
    command.args(args).stdin(Stdio::null()).kill_on_drop(true).env("TZ", "Asia/Tokyo");
    command.env_remove("FERRYWAY_DIR").env_remove("FERRYWAY_RUN_DIR");
    command
}

struct Run {
    code: i32,
    out: String,
    err: String,
}

impl Run {
    fn of(Output { status, stdout, stderr }: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
    }

    /// The output of a run that succeeded.
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    /// The one line of JSON that was printed.
    #[track_caller]
    fn json(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "{}{}", self.out, self.err);
        serde_json::from_str(&self.out).unwrap()
    }
}

async fn run(mut command: Command) -> Run {
    let output = timeout(DEADLINE, command.output()).await;
    Run::of(output.expect("the tool ends in time").unwrap())
}

fn id(text: &str) -> JobId {
    text.parse().unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn submitting_makes_a_job_of_each_file() {
    let host = Host::start().await;
    assert_eq!(host.run(["submit", "PRDY01"]).await.ok(), "PRDY011\n");

    let folder = TempDir::new().unwrap();
    let mut command = host.command(["submit", "PRDY01", "a.csv", "b.csv", "--remote", "in/"]);
    command.args(["--key", "k"]).current_dir(folder.path());
    assert_eq!(run(command).await.ok(), "PRDY012\nPRDY013\n");
    let shown = host.run(["show", "PRDY013", "--json"]).await.json();
    let local = folder.path().canonicalize().unwrap().join("b.csv");
    assert_eq!(shown["job"]["local"], local.to_str().unwrap());
    assert_eq!(shown["job"]["remote"], "in/b.csv");
    assert_eq!(shown["job"]["key"], format!("k:{}", local.display()));

    let mut again = host.command(["submit", "PRDY01", "a.csv", "b.csv", "--key", "k"]);
    again.current_dir(folder.path());
    assert_eq!(run(again).await.ok(), "PRDY012\nPRDY013\n", "the key keeps it from doubling");

    let twice = host.run(["submit", "PRDY01", "a", "b", "--remote", "in/x"]).await;
    assert_eq!(twice.code, 2, "{}", twice.err);
    assert!(twice.err.contains("would put all the files onto one"), "{}", twice.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_goes_in_batches() {
    let host = Host::start().await;
    let mut command = host.command(["submit", "PRDY01", "--from-file", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let list: String = (0..2_001).map(|number| format!("/data/{number}.csv\n\n")).collect();
    stdin.write_all(list.as_bytes()).await.unwrap();
    drop(stdin);
    let output = timeout(DEADLINE, child.wait_with_output()).await.unwrap().unwrap();
    let ids = Run::of(output).ok();
    assert_eq!(ids.lines().count(), 2_001);
    assert_eq!(ids.lines().last(), Some("PRDY012001"));
    assert_eq!(host.operations.calls(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_exit_code_is_given() {
    let host = Host::start().await;
    host.run(["submit", "PRDY01"]).await.ok();
    host.run(["submit", "PRDY02"]).await.ok();
    host.operations.advance(&id("PRDY021"), &[Event::Fail], |_| {});
    let cases: [(&[&str], i32); 16] = [
        (&["list"], 0),
        (&["--help"], 0),
        (&["release", "PRDY011"], 1),
        (&["watch", "PRDY021"], 1),
        (&["hold", "PRDY021", "X1"], 1),
        (&["hold", "X1", "PRDY021"], 4),
        (&["frobnicate"], 2),
        (&["show", "prdy011"], 2),
        (&["show", "PRDY011\n"], 2),
        (&["show", "../../etc"], 2),
        (&["submit", "PRDY01", "--from-file", "/does/not/exist"], 2),
        (&["submit", "NOPE"], 4),
        (&["show", "X1"], 4),
        (&["watch", "X1"], 4),
        (&["submit", "PRDY01", "--wait", "--timeout", "1"], 5),
        (&["history", "--limit", "0"], 2),
    ];
    for (args, code) in cases {
        let run = host.run(args).await;
        assert_eq!(run.code, code, "{args:?}\n{}{}", run.out, run.err);
    }
    let reasons = [
        (Reason::Invalid, 2),
        (Reason::NotFound, 4),
        (Reason::Conflict, 1),
        (Reason::Unavailable, 3),
    ];
    for (reason, code) in reasons {
        host.operations.refuse(Some(Refusal::new(reason, "because")));
        let run = host.run(["reload", "--json"]).await;
        assert_eq!(run.code, code, "{reason:?}");
        let error: Value = serde_json::from_str(&run.err).unwrap();
        assert_eq!(
            (&error["error"]["exit"], &error["error"]["message"]),
            (&json!(code), &json!("because"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_host_orders_end_with_3_and_say_how_to_start_one() {
    let nowhere = TempDir::new().unwrap();
    let commands: [&[&str]; 9] = [
        &["submit", "PRDY01"],
        &["list"],
        &["show", "A1"],
        &["watch"],
        &["restart", "A1"],
        &["cancel", "A1"],
        &["history"],
        &["health"],
        &["reload"],
    ];
    for args in commands {
        let mut command = tool(args);
        command.arg("--run-dir").arg(nowhere.path());
        let run = run(command).await;
        assert_eq!((run.code, run.out.as_str()), (3, ""), "{args:?}: {}", run.err);
        assert!(run.err.contains("ferryway run"), "{args:?}: {}", run.err);
    }
    let mut command = tool(["list"]);
    command.current_dir(nowhere.path());
    let lost = run(command).await;
    assert_eq!(lost.code, 2, "{}", lost.err);
    assert!(lost.err.contains("--dir"), "{}", lost.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_install_directory_tells_the_run_directory() {
    let host = Host::start().await;
    let install = TempDir::new().unwrap();
    let run_dir = host.run_dir.path().display();
    let config = format!("[instance]\nname = 'night'\nrun_dir = '{run_dir}'\n[faulty]\nx = 1\n");
    std::fs::write(install.path().join("ferryway.toml"), config).unwrap();

    let mut by_flag = tool(["health", "--dir"]);
    by_flag.arg(install.path());
    let mut by_variable = tool(["health"]);
    by_variable.env("FERRYWAY_DIR", install.path());
    let mut by_folder = tool(["health"]);
    by_folder.current_dir(install.path());
    for command in [by_flag, by_variable, by_folder] {
        assert!(run(command).await.ok().contains("Node       node1"));
    }
    let mut wrong = tool(["health", "--dir"]);
    wrong.arg(host.run_dir.path());
    assert_eq!(run(wrong).await.code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_as_the_jobs_do() {
    let host = Host::start().await;
    let finish = async |last: &[Event], code: i32| {
        let before = host.operations.calls();
        let output = tokio::spawn(run(host.command(["submit", "PRDY01", "--wait", "--json"])));
        host.operations.called(before + 2).await;
        let job = host.operations.newest();
        match last {
            [] => host.operations.complete(&job),
            events => host.operations.advance(&job, events, |_| {}),
        }
        let run = output.await.unwrap();
        assert_eq!(run.code, code, "{}{}", run.out, run.err);
        run.json()["jobs"][0]["status"].clone()
    };
    assert_eq!(finish(&[], 0).await["outcome"], "completed");
    assert_eq!(finish(&[Event::Fail], 1).await["outcome"], "failed");
    assert_eq!(finish(&[Event::Suspend], 1).await["code"], "05");
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_tells_each_step_and_outlives_a_restart_of_the_host() {
    let mut host = Host::start().await;
    host.run(["submit", "PRDY01"]).await.ok();
    host.run(["submit", "PRDY02"]).await.ok();
    let mut command = host.command(["watch"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut err = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut line = async || timeout(DEADLINE, out.next_line()).await.unwrap().unwrap();
    assert!(line().await.unwrap().ends_with("PRDY011 01 accepted"));
    assert!(line().await.unwrap().ends_with("PRDY021 01 accepted"));

    host.operations.transfer(&id("PRDY011"), 5, 10);
    assert!(line().await.unwrap().ends_with("PRDY011 04 transferring 50%"));
    host.stop().await;
    let note = timeout(DEADLINE, err.next_line()).await.unwrap().unwrap().unwrap();
    assert!(note.contains("looking for it"), "{note}");
    host.operations.advance(&id("PRDY011"), &[Event::Fail], |view| {
        view.job.state.last_error = Some("550\u{1b}[31m no".to_owned());
        view.progress = None;
    });
    host.operations.complete(&id("PRDY021"));
    host.resume().await;
    let mut last = [line().await.unwrap(), line().await.unwrap()];
    last.sort_by_key(|line| line.contains("PRDY021"));
    assert!(last[0].ends_with(r"PRDY011 00 failed: 550\u{1b}[31m no"), "{last:?}");
    assert!(last[1].ends_with("PRDY021 00 completed"), "{last:?}");
    assert_eq!(line().await, None);
    let status = timeout(DEADLINE, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_readable() {
    let host = Host::start().await;
    for definition in ["PRDY01", "PRDY01", "PRDY02"] {
        host.run(["submit", definition]).await.ok();
    }
    host.operations.transfer(&id("PRDY011"), 1, 3);
    host.operations.advance(&id("PRDY012"), &[Event::Suspend], |view| {
        view.job.state.last_error = Some("the partner\nis away".to_owned());
        view.job.state.held = true;
    });
    host.operations.complete(&id("PRDY021"));
    let list = host.run(["list"]).await.ok();
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split("  ").collect()).collect();
    assert_eq!(rows.len(), 3, "{list}");
    assert!(list.contains("PRDY011  04 transferring"), "{list}");
    assert!(list.contains(" 33% "), "{list}");
    assert!(list.contains(r"05 suspended (held)"), "{list}");
    assert!(list.contains(r"the partner\nis away"), "{list}");

    let ids = async |args: &[&str]| -> Vec<String> {
        let args = ["list", "--json"].iter().chain(args);
        let list = host.run(args).await.json();
        let jobs = list["jobs"].as_array().unwrap();
        jobs.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&["--all"]).await, ["PRDY021", "PRDY011", "PRDY012"]);
    assert_eq!(ids(&["--status", "05"]).await, ["PRDY012"]);
    assert_eq!(ids(&["--all", "--status", "completed"]).await, ["PRDY021"]);
    assert_eq!(ids(&["--definition", "PRDY02"]).await, [""; 0]);

    let history = host.run(["history"]).await.ok();
    assert!(history.contains("PRDY021  2000-03-01 19:06:18  00 completed"), "{history}");
    assert!(history.contains("2.0 KiB"), "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_comes_in_pages() {
    let host = Host::start().await;
    for number in 1..=3 {
        host.run(["submit", "PRDY01"]).await.ok();
        host.operations.complete(&id(&format!("PRDY01{number}")));
    }
    let first = host.run(["history", "--json", "--limit", "2"]).await.json();
    assert_eq!(first["jobs"][0]["id"], "PRDY013");
    assert_eq!(first["next_before"], 2);
    let next = host.run(["history", "--json", "--limit", "2", "--before", "2"]).await.json();
    assert_eq!(next["jobs"][0]["id"], "PRDY011");
    assert_eq!(next["next_before"], Value::Null);
    let none = host.run(["history", "--json", "--since", "2000-03-01 19:07"]).await.json();
    assert_eq!(none["jobs"], json!([]));
    let all = host.run(["history", "--json", "--since", "2000-03-01 19:06"]).await.json();
    assert_eq!(all["jobs"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_shown_whole() {
    let host = Host::start().await;
    host.run(["submit", "PRDY01", "/data/out.csv", "--key", "k1"]).await.ok();
    let job = id("PRDY011");
    host.operations.transfer(&job, 1_024, 2_048);
    host.operations.advance(&job, &[Event::Verify, Event::Publish], |view| {
        let digest = Digest::from_bytes(Algorithm::Crc32, &[0, 1, 2, 3]);
        let names = vec!["in/.ferryway/night/e1/PRDY011.a1.part".to_owned()];
        let fingerprint = Fingerprint { size: 2_048, modified_ns: Some(0), identity: None };
        let state = &mut view.job.state;
        state.attempt =
            Some(Attempt { number: 1, epoch: view.job.epoch, fingerprint, names: names.clone() });
        let token = Token { attempt: 1, names, size: 2_048, digest: Some(digest.clone()) };
        state.intent = Some(Intent { tokens: vec![token], displaced: Vec::new() });
        state.digest = Some(digest);
        view.job.checkpoint = Some(Checkpoint { attempt: 1, offset: 1_024, moved_bytes: 1_024 });
    });
    let text = host.run(["show", "PRDY011"]).await.ok();
    let parts = [
        "PRDY011 (run 1 of PRDY01)",
        "send to bank",
        "/data/out.csv",
        "07 publishing",
        "2000-03-01 19:06:18 JST",
        "50%, 1.0 KiB of 2.0 KiB",
        "in/.ferryway/night/e1/PRDY011.a1.part",
        "byte 1024 of attempt 1",
        "CRC32:00010203",
        "1970-01-01 09:00:00 JST",
        "accepted",
        "Begin",
    ];
    for part in parts {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let shown = host.run(["show", "PRDY011", "--json"]).await.json();
    assert_eq!(shown["source"], "host");
    assert_eq!(shown["job"]["intent"]["tokens"][0]["attempt"], 1);
    assert_eq!(shown["job"]["attempt"]["fingerprint"]["size"], 2_048);
    assert_eq!(shown["job"]["checkpoint"]["offset"], 1_024);
    assert_eq!(shown["entries"].as_array().unwrap().len(), 6);
    assert_eq!(keys(&shown["entries"][0]), ["at", "epoch", "event", "note", "status"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_keeps_its_shapes() {
    let job_keys = [
        "accepted_at",
        "attempts",
        "definition",
        "digest",
        "direction",
        "epoch",
        "failures",
        "held",
        "id",
        "key",
        "last_error",
        "local",
        "moved_bytes",
        "next_try_at",
        "partner",
        "priority",
        "progress",
        "published",
        "remote",
        "run",
        "sequence",
        "size_bytes",
        "status",
        "updated_at",
        "waits_for",
    ];
    let host = Host::start().await;
    let submitted = host.run(["submit", "PRDY01", "--json"]).await.json();
    assert_eq!(keys(&submitted), ["jobs"]);
    assert_eq!(keys(&submitted["jobs"][0]), job_keys);
    let status = json!({"code": "01", "meaning": "accepted", "side": "sender", "outcome": null});
    assert_eq!(submitted["jobs"][0]["status"], status);
    assert_eq!(submitted["jobs"][0]["accepted_at"], "2000-03-01T10:06:18Z");

    host.operations.transfer(&id("PRDY011"), 7, 10);
    let list = host.run(["list", "--json"]).await.json();
    assert_eq!(keys(&list), ["jobs", "source"]);
    assert_eq!(keys(&list["jobs"][0]), job_keys);
    assert_eq!(list["jobs"][0]["progress"], json!({"done": 7, "total": 10, "resumed_at": 0}));

    let shown = host.run(["show", "--json", "PRDY011"]).await.json();
    assert_eq!(keys(&shown), ["entries", "job", "source"]);
    for key in
        job_keys.iter().chain(&["version", "publish", "resume", "attempt", "intent", "checkpoint"])
    {
        assert!(shown["job"].get(key).is_some(), "{key}");
    }
    let ordered = host.run(["cancel", "--json", "PRDY011", "X1"]).await;
    assert_eq!(ordered.code, 4);
    let ordered = ordered.json();
    assert_eq!(keys(&ordered["jobs"][0]), ["error", "id", "job", "ok"]);
    assert_eq!(
        (&ordered["jobs"][0]["ok"], &ordered["jobs"][1]["ok"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(keys(&ordered["jobs"][0]["job"]), job_keys);
    let error = &ordered["jobs"][1]["error"];
    assert_eq!(keys(error), ["exit", "hint", "kind", "message"]);
    assert_eq!((&error["exit"], &error["kind"]), (&json!(4), &json!("not_found")));

    let history = host.run(["history", "--json"]).await.json();
    assert_eq!(keys(&history), ["jobs", "next_before", "source"]);
    assert_eq!(keys(&history["jobs"][0]), job_keys);
    let watched = host.run(["watch", "--json", "PRDY011"]).await;
    assert_eq!(watched.code, 1);
    assert_eq!(keys(&watched.json()), job_keys);
    let health = host.run(["health", "--json"]).await.json();
    let host_keys =
        ["epoch", "in_flight", "instance", "moving", "node", "pid", "recovered", "started_at"];
    assert_eq!(keys(&health["host"]), host_keys);
    let reloaded = host.run(["reload", "--json"]).await.json();
    assert_eq!(reloaded, json!({"message": "2 definitions are in force"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_leaves_is_no_failure() {
    let host = Host::start().await;
    host.run(["submit", "PRDY01"]).await.ok();
    for args in [&["list"][..], &["show", "PRDY011"], &["completions", "bash"]] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let mut command = host.command(args);
        let status = command.stdout(writer).status();
        let status = timeout(DEADLINE, status).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(0), "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_know_the_commands() {
    let script = run(tool(["completions", "bash"])).await.ok();
    for word in ["submit", "restart", "--from-file"] {
        assert!(script.contains(word), "{word}");
    }
}
