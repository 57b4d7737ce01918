//! Measurements; run with `--release -- --ignored --nocapture speed`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ferryway_core::Event;
use ferryway_host::journal::{JournalStore, NodeName, Options, SqliteJournal, record::Job};

use crate::spec;

fn options(install: &std::path::Path, node: &str) -> Options {
    Options::new(install, NodeName(node.into()), "night".parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn durable_transitions() {
    let install = tempfile::tempdir().unwrap();
    let (journal, _) = SqliteJournal::take_over(options(install.path(), "alpha")).unwrap();
    let journal = Arc::new(journal);
    for (submitters, pipeline) in [(1, 1), (64, 1), (64, 16)] {
        let end = Instant::now() + Duration::from_secs(5);
        let jobs = journal.accept(vec![spec("SPEED"); submitters]).await.unwrap();
        let tasks: Vec<_> = jobs
            .into_iter()
            .map(|job| tokio::spawn(toggle(Arc::clone(&journal), job, pipeline, end)))
            .collect();
        let mut total = 0;
        for task in tasks {
            total += task.await.unwrap();
        }
        println!(
            "{submitters} submitters, {pipeline} in line each: {} durable transitions/s",
            total / 5
        );
    }
    println!("appended log, one fdatasync each: {}/s", appended_log(install.path(), 1));
    println!("appended log, one fdatasync for 64: {}/s", appended_log(install.path(), 64));
}

/// Writes two transitions after the other until the end, and counts them.
async fn toggle(journal: Arc<SqliteJournal>, mut job: Job, pipeline: usize, end: Instant) -> u64 {
    let mut count = 0;
    while Instant::now() < end {
        let mut receipts = Vec::new();
        for _ in 0..pipeline {
            let event = if count % 2 == 0 { Event::Prepare } else { Event::Retry };
            let (next, step) = job.step(&[event], None, |_| {}).unwrap();
            receipts.push(journal.queue(step).await.unwrap());
            job = next;
            count += 1;
        }
        for receipt in receipts {
            receipt.await.unwrap();
        }
    }
    count
}

/// What the disk can do: records of 200 bytes, so many to one fdatasync.
fn appended_log(folder: &std::path::Path, group: usize) -> u64 {
    use std::io::Write;
    let mut file = std::fs::File::create(folder.join("log")).unwrap();
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(3) {
        file.write_all(&vec![b'x'; 200 * group]).unwrap();
        file.sync_data().unwrap();
        count += group as u64;
    }
    count / 3
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn takeover() {
    let install = tempfile::tempdir().unwrap();
    let (journal, _) = SqliteJournal::take_over(options(install.path(), "alpha")).unwrap();
    for _ in 0..50 {
        let mut receipts = Vec::new();
        for job in journal.accept(vec![spec("OLD"); 2000]).await.unwrap() {
            let (_, step) = job.step(&[Event::Fail], None, |_| {}).unwrap();
            receipts.push(journal.queue(step).await.unwrap());
        }
        for receipt in receipts {
            receipt.await.unwrap();
        }
    }
    for _ in 0..5 {
        journal.accept(vec![spec("FLIGHT"); 2000]).await.unwrap();
    }
    let hot = install.path().join("journal/hot.1/journal.db");
    crate::until("the move to the history", async || {
        let connection = rusqlite::Connection::open(&hot).unwrap();
        let ended = "SELECT count(*) FROM jobs WHERE ended_at IS NOT NULL";
        connection.query_row(ended, [], |row| row.get::<_, i64>(0)).unwrap() < 1300
    })
    .await;
    let mut epoch = 1;
    for node in ["beta", "gamma", "delta"] {
        let hot = install.path().join(format!("journal/hot.{epoch}/journal.db"));
        let size = std::fs::metadata(hot).unwrap().len() / 1_000_000;
        let start = Instant::now();
        let (_journal, takeover) = SqliteJournal::take_over(options(install.path(), node)).unwrap();
        println!(
            "takeover with {} in flight, 100,000 ended, hot file of {size} MB: {:?}",
            takeover.in_flight.len(),
            start.elapsed()
        );
        epoch = takeover.epoch.number();
    }
}

/// What a request with a key costs beside a long history: looked for there, and known to be the
/// first with its key.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn keys() {
    const ASKS: u32 = 200;
    let install = tempfile::tempdir().unwrap();
    for owners in [0, 12, 48] {
        for _ in 0..owners {
            let mut options = options(install.path(), "alpha");
            (options.keep_recent, options.replace) = (0, true);
            let (journal, _) = SqliteJournal::take_over(options).unwrap();
            let mut jobs = journal.accept(vec![spec("OLD"); 400]).await.unwrap();
            let last = jobs.pop().unwrap();
            for job in &jobs {
                crate::finish(&journal, job).await;
            }
            crate::until("the move to the history", async || {
                let hot = install.path().join("journal").join(format!("hot.{}", journal.epoch()));
                let connection = rusqlite::Connection::open(hot.join("journal.db")).unwrap();
                let ended = "SELECT count(*) FROM jobs WHERE ended_at IS NOT NULL";
                connection.query_row(ended, [], |row| row.get::<_, i64>(0)).unwrap() == 0
            })
            .await;
            crate::finish(&journal, &last).await;
            journal.close().await.unwrap();
        }
        let mut options = options(install.path(), "beta");
        options.replace = true;
        let (journal, _) = SqliteJournal::take_over(options).unwrap();
        let files = std::fs::read_dir(install.path().join("journal/hist")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let files = names.filter(|name| name.ends_with(".db")).count();
        let mut took = [Duration::ZERO; 2];
        for ask in 0..ASKS {
            for (first, took) in took.iter_mut().enumerate() {
                let key = format!("{owners} {first} {ask}");
                let request = vec![crate::keyed("NEW", &key)];
                let start = Instant::now();
                match first {
                    0 => journal.accept(request).await.unwrap(),
                    _ => journal.accept_first(request).await.unwrap(),
                };
                *took += start.elapsed();
            }
        }
        let [looked_for, first] = took.map(|took| took / ASKS);
        println!("{files} history files: {looked_for:?} when looked for, {first:?} when the first");
        journal.close().await.unwrap();
    }
}
