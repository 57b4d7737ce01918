//! What the built tool does, and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)] // Tests may.

mod tool;

use std::{io::pipe, process::Stdio};

use ferryway_core::Event;
use ferryway_host::control::api::{Progress, Reason, Refusal};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    time::timeout,
};
use tool::{DEADLINE, Host, Run, id, run, tool};

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
    host.run(["submit", "PRDY03"]).await.ok();
    let exits = [
        Event::Prepare,
        Event::Connect,
        Event::Begin,
        Event::Verify,
        Event::Publish,
        Event::Published,
        Event::StartExit,
    ];
    host.operations.advance(&id("PRDY031"), &exits, |view| view.at_rest = true);
    let cases: [(&[&str], i32); 18] = [
        (&["list"], 0),
        (&["--help"], 0),
        (&["release", "PRDY011"], 1),
        (&["watch", "PRDY021"], 1),
        (&["watch", "PRDY031"], 7),
        (&["watch", "PRDY021", "PRDY031"], 1),
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
    host.operations.advance(&id("PRDY011"), &[], |view| {
        view.progress = Some(Progress { done: 9, total: 10, resumed_at: 0 });
    });
    assert!(line().await.unwrap().ends_with("PRDY011 04 transferring 90%"));
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
    let reason = timeout(DEADLINE, err.next_line()).await.unwrap().unwrap().unwrap();
    assert!(reason.ends_with("not every job is completed: 1 completed, 1 failed"), "{reason}");
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

#[tokio::test(flavor = "multi_thread")]
async fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().to_str().unwrap();
    assert_eq!(run(tool(["man", to])).await.ok(), "");
    let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(page("ftprel.1").contains("Exit codes"));
    for (command, word) in [("submit", "from\\-file"), ("history", "newest"), ("man", "FOLDER")] {
        let page = page(&format!("ftprel-{command}.1"));
        assert!(page.contains(word), "{command}\n{page}");
    }

    let nowhere = run(tool(["man", &format!("{to}/nowhere")])).await;
    assert_eq!(nowhere.code, 6, "{}", nowhere.err);
    assert!(nowhere.err.contains("name a folder that exists"), "{}", nowhere.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_a_host_that_hangs_ends_in_time() {
    let host = Host::start().await;
    let gate = host.operations.close_gate().await;
    let health = ["health", "--depth", "journal", "--timeout", "1"];
    let silent = host.run(health).await;
    assert_eq!((silent.code, silent.out.as_str()), (5, ""), "{}", silent.err);
    assert!(silent.err.contains("did not answer within 1 s"), "{}", silent.err);
    drop(gate);
    assert!(host.run(health).await.ok().contains("Journal    written and read within 2.5ms"));
}
