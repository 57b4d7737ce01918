//! Jobs as a host leaves them in a journal, made through the journal's own interface: small files
//! that are sent with `publish = "atomic"`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use ferryway_core::{Algorithm, Digest, Direction, Event};
use ferryway_host::journal::{
    JournalStore, NodeName, Options, Receipt, SqliteJournal,
    record::{Attempt, Fingerprint, Intent, Job, JobSpec, JobState, Token},
};
use jiff::{Span, Timestamp};

use crate::Failure;

/// The instance, and the file that its jobs send.
pub const INSTANCE: &str = "scale";
/// The definition of all jobs.
pub const DEFINITION: &str = "SCALE";
/// The partner of all jobs.
pub const PARTNER: &str = "MOCK";
/// The size of the file that all jobs send, in bytes.
pub const FILE_BYTES: u64 = 10 * 1024;

/// Jobs that are put in line at a time.
const PORTION: usize = 1000;

/// Days over which the ends of a history are spread.
const HISTORY_DAYS: i64 = 60;

/// The file that all jobs of an install directory send.
pub fn source(install: &Path) -> PathBuf {
    install.join("data/send/file")
}

/// Takes a journal over.
///
/// # Errors
/// As [`SqliteJournal::take_over`].
pub fn open(install: &Path) -> Result<SqliteJournal, Failure> {
    Ok(SqliteJournal::take_over(options(install)?)?.0)
}

fn options(install: &Path) -> Result<Options, Failure> {
    Ok(Options::new(install, NodeName("filler".to_owned()), INSTANCE.parse()?))
}

/// What is asked for: each job sends the same file to a name of its own.
///
/// # Errors
/// None with these names.
pub fn spec(install: &Path) -> Result<JobSpec, Failure> {
    let local = source(install).display().to_string();
    let files = (local.as_str(), "in/{job}");
    Ok(JobSpec::plain(DEFINITION.parse()?, PARTNER.parse()?, Direction::Send, files))
}

/// The writes of a job's life after its acceptance: its attempt is on record, the intent, the end.
pub const LIFE: [&[Event]; 3] = [
    &[Event::Prepare, Event::Connect, Event::Begin],
    &[Event::Verify, Event::Publish],
    &[Event::Published, Event::Complete],
];

/// Puts the next write of a job's life in line; `stage` counts [`LIFE`].
///
/// # Errors
/// When the journal takes no more writes, or the job is not where the stage begins.
pub async fn live_on(
    journal: &impl JournalStore,
    job: &Job,
    stage: usize,
) -> Result<(Job, Receipt<Job>), Failure> {
    let events = LIFE.get(stage).ok_or("a life has three stages")?;
    let epoch = journal.epoch();
    let partial = format!("in/.ferryway/{INSTANCE}.{PARTNER}/e{epoch}/{}.a1.part", job.id);
    let digest = Digest::from_bytes(Algorithm::Blake3, &[7; 32]);
    let (next, step) = job.step(events, None, |state| match stage {
        0 => state.begin_attempt(attempt(epoch, partial)),
        1 => state.intent = Some(intent(partial, digest)),
        _ => finish(state, digest),
    })?;
    Ok((next, journal.queue(step).await?))
}

fn attempt(epoch: ferryway_core::Epoch, partial: String) -> Attempt {
    let fingerprint = Fingerprint {
        size: FILE_BYTES,
        modified_ns: Some(1_750_000_000_000_000_000),
        identity: Some("64768:1311234".to_owned()),
    };
    Attempt { number: 1, epoch, fingerprint, names: vec![partial] }
}

fn intent(partial: String, digest: Digest) -> Intent {
    let witness = partial.rsplit_once('/').map(|(folder, _)| folder.to_owned());
    let token = Token {
        attempt: 1,
        names: vec![partial],
        size: FILE_BYTES,
        digest: Some(digest),
        proof: None,
        witness,
    };
    Intent { tokens: vec![token], ..Intent::default() }
}

fn finish(state: &mut JobState, digest: Digest) {
    state.forget_attempts();
    state.intent = None;
    (state.size, state.digest) = (Some(FILE_BYTES), Some(digest));
    state.published = 1;
    state.moved_bytes = FILE_BYTES;
}

/// Adds finished jobs to an install directory's history; their ends are spread over the last 60 days.
///
/// # Errors
/// As the journal's.
pub async fn add_history(install: &Path, count: usize) -> Result<(), Failure> {
    let began = Timestamp::now().checked_sub(Span::new().hours(24 * HISTORY_DAYS))?;
    let mut left = count;
    // Each owner has a clock of its own, so that a history is in several months' files.
    let days = HISTORY_DAYS / 10;
    for day in (0..HISTORY_DAYS).step_by(10) {
        let shift = began.duration_until(Timestamp::now());
        let back = shift - jiff::SignedDuration::from_hours(24 * day);
        let owners = usize::try_from(days - day / 10)?;
        let portion = left.div_ceil(owners);
        left -= portion;
        let mut options = options(install)?;
        options.clock = ferryway_host::journal::Clock::new(move || Timestamp::now() - back);
        let (journal, _) = SqliteJournal::take_over(options)?;
        live(&journal, &spec(install)?, portion).await?;
        come_to_rest(install, &journal).await?;
        journal.close().await?;
    }
    Ok(())
}

/// Waits until the finished jobs that are too many have gone to the history, as they have with a
/// host that is not always busy.
async fn come_to_rest(install: &Path, journal: &SqliteJournal) -> Result<(), Failure> {
    let hot = install.join("journal").join(format!("hot.{}", journal.epoch())).join("journal.db");
    let database = rusqlite::Connection::open(hot)?;
    let most = u32::try_from(options(install)?.keep_recent)? + 500;
    let ended = "SELECT count(*) FROM jobs WHERE ended_at IS NOT NULL";
    while database.query_row(ended, [], |row| row.get::<_, u32>(0))? > most {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn live(journal: &SqliteJournal, spec: &JobSpec, count: usize) -> Result<(), Failure> {
    let mut left = count;
    while left > 0 {
        let portion = left.min(PORTION);
        left -= portion;
        let mut jobs = journal.accept_first(vec![spec.clone(); portion]).await?;
        let mut last = Vec::with_capacity(portion);
        for stage in 0..LIFE.len() {
            last.clear();
            for job in &mut jobs {
                let (next, receipt) = live_on(journal, job, stage).await?;
                last.push(receipt);
                *job = next;
            }
        }
        for receipt in last {
            receipt.await?;
        }
    }
    Ok(())
}

/// Adds jobs in flight: a third accepted, a third that was connecting, and a third in the middle of
/// its transfer. Of the last two each costs its new owner a write.
///
/// # Errors
/// As the journal's.
pub async fn add_in_flight(install: &Path, count: usize) -> Result<(), Failure> {
    let journal = open(install)?;
    let (mut left, spec) = (count, spec(install)?);
    while left > 0 {
        let portion = left.min(PORTION);
        left -= portion;
        let jobs = journal.accept_first(vec![spec.clone(); portion]).await?;
        let mut last = None;
        for (number, job) in jobs.iter().enumerate() {
            last = match number % 3 {
                0 => last,
                1 => {
                    let (_, step) = job.step(&[Event::Prepare, Event::Connect], None, |_| {})?;
                    Some(journal.queue(step).await?)
                }
                _ => Some(live_on(&journal, job, 0).await?.1),
            };
        }
        if let Some(receipt) = last {
            receipt.await?;
        }
    }
    Ok(journal.close().await?)
}
