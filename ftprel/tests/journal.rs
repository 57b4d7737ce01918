//! What the built tool says while no host is running.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)] // Tests may.

mod tool;

use std::{fs, path::Path};

use ferryway_core::{Direction, Event};
use ferryway_host::journal::{
    JournalStore, NodeName, Options, SqliteJournal,
    record::{Job, JobSpec},
};
use serde_json::json;
use tempfile::TempDir;
use tool::{Run, keys, run, tool};

/// An installation whose journal has the job A1 in flight and B1 cancelled.
async fn install() -> (TempDir, SqliteJournal) {
    let install = TempDir::new().unwrap();
    let run_dir = install.path().join("run").display().to_string();
    let config = format!("[instance]\nname = 'night'\nrun_dir = '{run_dir}'\n");
    fs::write(install.path().join("ferryway.toml"), config).unwrap();
    fs::create_dir(install.path().join("journal")).unwrap();
    let node = NodeName("node1".to_owned());
    let options = Options::new(install.path(), node, "night".parse().unwrap());
    let (journal, _) = SqliteJournal::take_over(options).unwrap();
    let jobs = journal.accept(vec![spec("A"), spec("B")]).await.unwrap();
    let (_, step) = jobs[1].step(&[Event::Cancel], Some("not needed".into()), |_| {}).unwrap();
    let _cancelled: Job = journal.queue(step).await.unwrap().await.unwrap();
    (install, journal)
}

fn spec(definition: &str) -> JobSpec {
    JobSpec::plain(
        definition.parse().unwrap(),
        "bank".parse().unwrap(),
        Direction::Send,
        ("/data/{run}.csv", "in/{name}"),
    )
}

async fn ftprel(install: &Path, args: &[&str]) -> Run {
    let mut command = tool(args);
    command.arg("--dir").arg(install);
    run(command).await
}

async fn check_reads(install: &Path) {
    let list = ftprel(install, &["list", "--json"]).await;
    assert_eq!(list.code, 0, "{}", list.err);
    assert_eq!(list.err, "host is not running: read from the journal\n");
    let list = list.json();
    assert_eq!((&list["source"], &list["jobs"][0]["id"]), (&json!("journal"), &json!("A1")));
    assert_eq!(list["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(list["jobs"][0]["local"], "/data/1.csv");
    assert_eq!(list["jobs"][0]["remote"], "in/1.csv");

    let history = ftprel(install, &["history", "--json"]).await.json();
    assert_eq!((&history["source"], &history["jobs"][0]["id"]), (&json!("journal"), &json!("B1")));
    let shown = ftprel(install, &["show", "B1", "--json"]).await.json();
    assert_eq!(shown["job"]["status"]["outcome"], "cancelled");
    let entries = shown["entries"].as_array().unwrap();
    assert_eq!(entries.last().unwrap()["note"], "not needed");
    assert_eq!(ftprel(install, &["show", "C1"]).await.code, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_answers_after_a_clean_stop_and_after_a_death() {
    let (install, journal) = install().await;
    // A journal that nobody closed stands for a host that died, or is on another node.
    check_reads(install.path()).await;
    journal.close().await.unwrap();
    check_reads(install.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_need_a_host_and_health_names_the_last_owner() {
    let (install, journal) = install().await;
    journal.close().await.unwrap();
    for args in [&["submit", "A"][..], &["hold", "A1"], &["watch", "A1"], &["reload"]] {
        let run = ftprel(install.path(), args).await;
        assert_eq!((run.code, run.out.as_str()), (3, ""), "{args:?} {}", run.err);
        assert!(run.err.contains("ferryway run"), "{args:?} {}", run.err);
    }
    let health = ftprel(install.path(), &["health"]).await;
    assert_eq!(health.code, 3);
    assert!(health.out.starts_with("Last owner  node1, epoch 1, since "), "{}", health.out);
    let health = ftprel(install.path(), &["health", "--json"]).await.json();
    assert_eq!((&health["source"], &health["host"]), (&json!("journal"), &json!(null)));
    assert_eq!(keys(&health["owner"]), ["epoch", "node", "since"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_cannot_be_used_ends_with_6_and_is_left_alone() {
    let (install, journal) = install().await;
    journal.close().await.unwrap();
    let current = install.path().join("journal").join("CURRENT");
    fs::write(&current, "???").unwrap();
    let run = ftprel(install.path(), &["list"]).await;
    assert_eq!((run.code, run.out.as_str()), (6, ""), "{}", run.err);
    assert!(run.err.contains("CURRENT"), "{}", run.err);
    assert_eq!(fs::read_to_string(&current).unwrap(), "???");
}
