//! Durable transitions of jobs, through the journal's whole interface, beside the same records in an
//! appended log, and the same rows in bare SQLite, on the same disk.

use std::{
    cell::Cell,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use ferryway_core::Event;
use ferryway_host::journal::{
    JournalStore, SqliteJournal,
    record::{Job, JobSpec},
};
use tokio::task::JoinSet;

use crate::{
    Failure, bare,
    jobs::{self, LIFE},
    log::{Log, Record},
    median,
};

/// How many write at once, each as soon as its write before is durable.
const WRITERS: [usize; 3] = [1, 16, 256];

/// Compares them in turn, `rounds` times for `slice` each, in files below `folder`, and prints a
/// table.
///
/// # Errors
/// When the journal or the log fails.
pub async fn compare(folder: &Path, rounds: u32, slice: Duration) -> Result<(), Failure> {
    let install = tempfile::tempdir_in(folder)?;
    let journal = Arc::new(jobs::open(install.path())?);
    let mut rows = WRITERS.map(|writers| Row { writers, ..Row::default() });
    for _ in 0..rounds {
        for row in &mut rows {
            let (install, writers) = (install.path(), row.writers);
            let job = journal.accept_first(vec![jobs::spec(install)?]).await?.remove(0);
            let record = record_of(&job)?;
            let log = Log::open(&install.join("log"))?;
            row.log.push(pace(in_log(log, writers, &record, slice)).await?);
            fs::remove_file(install.join("log"))?;
            let room = tempfile::tempdir_in(install)?;
            let bare = bare::open(room.path(), writers, &serde_json::to_string(&job.spec)?)?;
            row.bare.push(pace(in_log(bare, writers, &record, slice)).await?);
            row.steps.push(pace(in_journal(&journal, install, writers, slice, steps)).await?);
            row.lives.push(pace(in_journal(&journal, install, writers, slice, lives)).await?);
        }
    }
    println!(
        "| writers | appended log, records/s | CPU µs each | bare SQLite, rows of transitions/s | CPU \
         µs each | to the log | transitions/s | CPU µs each | to the log \
         | least | most | writes of whole jobs/s | CPU µs each | to the log |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for row in &rows {
        row.print();
    }
    Ok(journal.close().await?)
}

/// How fast writes became durable, and what each took of the processors, in microseconds.
#[derive(Debug)]
struct Pace {
    per_second: f64,
    cpu_us: f64,
}

#[derive(Debug, Default)]
struct Row {
    writers: usize,
    log: Vec<Pace>,
    bare: Vec<Pace>,
    steps: Vec<Pace>,
    lives: Vec<Pace>,
}

impl Row {
    fn print(&self) {
        let to_log = |paces: &[Pace]| -> Vec<f64> {
            paces
                .iter()
                .zip(&self.log)
                .map(|(ours, log)| ours.per_second / log.per_second)
                .collect()
        };
        let both = |paces: &[Pace]| {
            let of = |of: fn(&Pace) -> f64| median(&paces.iter().map(of).collect::<Vec<_>>());
            format!("{:.0} | {:.0}", of(|pace| pace.per_second), of(|pace| pace.cpu_us))
        };
        let (steps, lives) = (to_log(&self.steps), to_log(&self.lives));
        let least = steps.iter().copied().fold(f64::INFINITY, f64::min);
        let most = steps.iter().copied().fold(0.0, f64::max);
        println!(
            "| {} | {} | {} | {:.2} | {} | {:.2} | {least:.2} | {most:.2} | {} | {:.2} |",
            self.writers,
            both(&self.log),
            both(&self.bare),
            median(&to_log(&self.bare)),
            both(&self.steps),
            median(&steps),
            both(&self.lives),
            median(&lives),
        );
    }
}

async fn pace(writes: impl Future<Output = Result<u64, Failure>>) -> Result<Pace, Failure> {
    let (start, cpu) = (Instant::now(), cpu_ticks()?);
    let count = writes.await?;
    #[expect(clippy::cast_precision_loss, reason = "counts of some seconds")]
    let (count, ticks) = (count as f64, (cpu_ticks()? - cpu) as f64);
    Ok(Pace { per_second: count / start.elapsed().as_secs_f64(), cpu_us: ticks * 1e4 / count })
}

/// What this process has taken of the processors, in hundredths of a second.
fn cpu_ticks() -> Result<u64, Failure> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no such line in proc(5)")?;
    // utime and stime: fields 14 and 15, of which two are before the bracket.
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Ok(ticks.sum::<Result<u64, _>>()?)
}

/// Starts so many writers and adds up what they count.
async fn together<F>(writers: usize, writer: impl Fn() -> F) -> Result<u64, Failure>
where
    F: Future<Output = Result<u64, Failure>> + Send + 'static,
{
    let mut tasks: JoinSet<_> = (0..writers).map(|_| writer()).collect();
    let mut total = 0;
    while let Some(count) = tasks.join_next().await {
        total += count??;
    }
    Ok(total)
}

/// What the journal is given for a transition of a job, as bytes.
fn record_of(job: &Job) -> Result<Vec<u8>, Failure> {
    let (_, step) = job.step(LIFE[0], None, |_| {})?;
    let mut record = serde_json::to_vec(&(&step.job, step.version, &step.events, &step.state))?;
    record.push(b'\n');
    Ok(record)
}

async fn in_log(log: Log, writers: usize, record: &[u8], slice: Duration) -> Result<u64, Failure> {
    let (log, end, jobs) = (Arc::new(log), Instant::now() + slice, Cell::new(0));
    let count = together(writers, || {
        let (log, job) = (Arc::clone(&log), jobs.replace(jobs.get() + 1));
        let mut record = Record { job, number: 0, bytes: record.to_vec() };
        async move {
            while Instant::now() < end {
                record.number += 1;
                log.append(record.clone()).await?;
            }
            Ok(record.number)
        }
    });
    let count = count.await?;
    Arc::into_inner(log).ok_or("the log is in use")?.close()?;
    Ok(count)
}

/// Has each writer do its `work` with jobs in the journal until the time is over.
async fn in_journal<F>(
    journal: &Arc<SqliteJournal>,
    install: &Path,
    writers: usize,
    slice: Duration,
    work: impl Fn(Arc<SqliteJournal>, JobSpec, Instant) -> F,
) -> Result<u64, Failure>
where
    F: Future<Output = Result<u64, Failure>> + Send + 'static,
{
    let spec = jobs::spec(install)?;
    let end = Instant::now() + slice;
    together(writers, || work(Arc::clone(journal), spec.clone(), end)).await
}

/// Moves a job to and fro.
async fn steps(journal: Arc<SqliteJournal>, spec: JobSpec, end: Instant) -> Result<u64, Failure> {
    let mut job = journal.accept_first(vec![spec]).await?.remove(0);
    let mut count = 1;
    while Instant::now() < end {
        let event = if count % 2 == 1 { Event::Prepare } else { Event::Retry };
        let (next, step) = job.step(&[event], None, |_| {})?;
        journal.queue(step).await?.await?;
        job = next;
        count += 1;
    }
    Ok(count)
}

/// Brings one job after the other from its acceptance to its end; finished ones go to the history
/// meanwhile.
async fn lives(journal: Arc<SqliteJournal>, spec: JobSpec, end: Instant) -> Result<u64, Failure> {
    let mut count = 0;
    while Instant::now() < end {
        let mut job = journal.accept_first(vec![spec.clone()]).await?.remove(0);
        for stage in 0..LIFE.len() {
            let (next, receipt) = jobs::live_on(&*journal, &job, stage).await?;
            receipt.await?;
            job = next;
        }
        count += 1 + LIFE.len() as u64;
    }
    Ok(count)
}
