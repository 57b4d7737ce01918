//! What every journal must do, and what the one in SQLite does besides.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a failed expectation is how a test fails"
)]

mod faults;
mod model;
mod speed;
mod suite;
mod takeover;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use ferryway_core::{Direction, Event};
use ferryway_host::journal::{
    Clock, Durability, JournalStore, NodeName, Options, Result, SqliteJournal, Takeover,
    record::{Job, JobSpec, Step},
};
use jiff::Timestamp;

/// An install directory that hosts take over one after the other.
struct Install {
    /// Removed at the end, unless it belongs to somebody else.
    _folder: Option<tempfile::TempDir>,
    path: PathBuf,
    durability: Durability,
    seconds: Arc<AtomicI64>,
}

impl Install {
    fn new(durability: Durability) -> Self {
        let folder = quick_folder();
        let install = Self::at(folder.path(), durability);
        Self { _folder: Some(folder), ..install }
    }

    fn at(path: &Path, durability: Durability) -> Self {
        let start: Timestamp = "2024-03-05T12:00:00Z".parse().unwrap();
        Self {
            _folder: None,
            path: path.to_owned(),
            durability,
            seconds: Arc::new(AtomicI64::new(start.as_second())),
        }
    }

    fn path(&self) -> &Path {
        &self.path
    }

    /// Options for a host on a node: 10 recent jobs, a clock that only [`Self::pass`] moves.
    fn options(&self, node: &str) -> Options {
        let seconds = Arc::clone(&self.seconds);
        let mut options =
            Options::new(self.path(), NodeName(node.to_owned()), "night".parse().unwrap());
        options.durability = Some(self.durability);
        options.keep_recent = 10;
        options.clock =
            Clock::new(move || Timestamp::from_second(seconds.load(Ordering::Relaxed)).unwrap());
        options
    }

    fn host(&self, node: &str) -> (SqliteJournal, Takeover) {
        SqliteJournal::take_over(self.options(node)).unwrap()
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.seconds.load(Ordering::Relaxed)).unwrap()
    }

    fn pass(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }
}

/// A folder in memory where there is one: these tests are of meaning, not of the disk.
fn quick_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn spec(definition: &str) -> JobSpec {
    JobSpec::plain(
        definition.parse().unwrap(),
        "osaka".parse().unwrap(),
        Direction::Send,
        ("out/data.csv", "in/{job}.csv"),
    )
}

fn keyed(definition: &str, key: &str) -> JobSpec {
    JobSpec { key: Some(key.to_owned()), ..spec(definition) }
}

async fn accept(journal: &dyn JournalStore, definition: &str) -> Job {
    journal.accept(vec![spec(definition)]).await.unwrap().remove(0)
}

async fn write(journal: &dyn JournalStore, step: Step) -> Result<Job> {
    journal.queue(step).await?.await
}

/// Takes a job through events, one write each.
async fn walk(journal: &dyn JournalStore, job: &Job, events: &[Event]) -> Job {
    let mut job = job.clone();
    for &event in events {
        let (_, step) = job.step(&[event], None, |_| {}).unwrap();
        job = write(journal, step).await.unwrap();
    }
    job
}

/// Ends a job that was just accepted.
async fn finish(journal: &dyn JournalStore, job: &Job) -> Job {
    let events = [
        Event::Prepare,
        Event::Connect,
        Event::Begin,
        Event::Verify,
        Event::Publish,
        Event::Published,
        Event::Complete,
    ];
    let (_, step) = job.step(&events, Some("done".into()), |_| {}).unwrap();
    write(journal, step).await.unwrap()
}

/// Waits until a condition holds.
async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !condition().await {
        assert!(std::time::Instant::now() < deadline, "{what} never came");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
