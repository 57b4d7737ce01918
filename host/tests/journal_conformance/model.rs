//! Random operations, against a journal that is only a map.

use std::collections::BTreeMap;

use ferryway_core::{Event, JobId, RunNumber, Status, apply};
use ferryway_host::journal::{
    Durability, JournalError, JournalStore, SqliteJournal,
    record::{Checkpoint, Entry, HistoryQuery, Job, JobState, Leftover},
};
use jiff::Timestamp;
use proptest::prelude::*;

use crate::{Install, keyed, spec};

const EVENTS: [Event; 20] = [
    Event::Prepare,
    Event::Connect,
    Event::Begin,
    Event::Verify,
    Event::Publish,
    Event::Settle,
    Event::Published,
    Event::Delivered,
    Event::StartExit,
    Event::Confirm,
    Event::Complete,
    Event::Retry,
    Event::Suspend,
    Event::Fail,
    Event::Cancel,
    Event::Release,
    Event::Restart,
    Event::ForceRestart,
    Event::TakeOver,
    Event::RerunExit,
];

#[derive(Clone, Debug)]
enum Operation {
    /// Definition, and a key or none.
    Accept(u8, Option<u8>),
    /// Job, how far its version is off, events.
    Step(prop::sample::Index, u64, Vec<Event>),
    /// Takes a job through its whole way.
    Finish(prop::sample::Index),
    Checkpoint(prop::sample::Index, u64),
    /// Days that pass.
    Pass(u8),
    /// A takeover, after a clean end or a dirty one.
    TakeOver(bool),
    /// A page of the history: its size, and days back from now.
    List(usize, u8),
}

fn operation() -> impl Strategy<Value = Operation> {
    let job = any::<prop::sample::Index>;
    let version = prop_oneof![9 => Just(0_u64), 1 => 1..3_u64];
    let events = prop::collection::vec(prop::sample::select(&EVENTS[..]), 0..3);
    prop_oneof![
        6 => (0..3_u8, prop::option::weighted(0.3, 0..12_u8))
            .prop_map(|(definition, key)| Operation::Accept(definition, key)),
        8 => (job(), version, events).prop_map(|(job, off, e)| Operation::Step(job, off, e)),
        6 => job().prop_map(Operation::Finish),
        2 => (job(), 0..1000_u64).prop_map(|(job, offset)| Operation::Checkpoint(job, offset)),
        2 => (1..20_u8).prop_map(Operation::Pass),
        1 => any::<bool>().prop_map(Operation::TakeOver),
        3 => (1..40_usize, 0..60_u8).prop_map(|(limit, days)| Operation::List(limit, days)),
    ]
}

/// What the journal ought to hold.
#[derive(Default)]
struct Model {
    jobs: BTreeMap<u64, (Job, Option<Timestamp>)>,
    runs: BTreeMap<String, u64>,
    entries: BTreeMap<JobId, usize>,
}

impl Model {
    fn accept(&mut self, definition: &str, key: Option<&str>, like: &Job) -> Job {
        if let Some(key) = key
            && let Some((job, _)) =
                self.jobs.values().find(|(job, _)| job.spec.key.as_deref() == Some(key))
        {
            return job.clone();
        }
        let run = self.runs.entry(definition.to_owned()).or_default();
        *run += 1;
        let sequence = self.jobs.len() as u64 + 1;
        let run = RunNumber(*run);
        let id = JobId::new(&definition.parse().unwrap(), run);
        let mut spec = spec(definition);
        spec.key = key.map(str::to_owned);
        let job = Job {
            id: id.clone(),
            run,
            sequence,
            spec: spec.into(),
            status: Status::Accepted,
            version: 1,
            state: JobState::default(),
            checkpoint: None,
            ..like.clone()
        };
        self.entries.insert(id, 1);
        self.jobs.insert(sequence, (job.clone(), None));
        job
    }

    fn in_flight(&self) -> Vec<Job> {
        self.jobs.values().filter(|(_, end)| end.is_none()).map(|(job, _)| job.clone()).collect()
    }

    fn history(&self, query: &HistoryQuery) -> Vec<Job> {
        let wanted = |(_, (_, end)): &(&u64, &(Job, Option<Timestamp>))| {
            end.is_some_and(|end| query.since.is_none_or(|since| end >= since))
        };
        let newest_first = self.jobs.iter().rev().filter(wanted).map(|(_, (job, _))| job.clone());
        newest_first.take(query.limit).collect()
    }
}

async fn check(operations: Vec<Operation>, durability: Durability) {
    let install = Install::new(durability);
    let mut model = Model::default();
    let mut takeovers = 0;
    let mut journal = install.host("n0").0;
    for operation in operations {
        let pick = |index: &prop::sample::Index| {
            (!model.jobs.is_empty()).then(|| *index.get(&model.jobs.keys().collect::<Vec<_>>()))
        };
        match operation {
            Operation::Accept(definition, key) => {
                let definition = ["A", "B", "PRDY01"][usize::from(definition)];
                let key = key.map(|key| format!("key {key}"));
                let request = match &key {
                    Some(key) => keyed(definition, key),
                    None => spec(definition),
                };
                let job = journal.accept(vec![request]).await.unwrap().remove(0);
                assert_eq!(job, model.accept(definition, key.as_deref(), &job));
            }
            Operation::Step(index, off, events) => {
                if let Some(&sequence) = pick(&index) {
                    step(&journal, &mut model, sequence, off, &events, install.now()).await;
                }
            }
            Operation::Finish(index) => {
                if let Some(&sequence) = pick(&index) {
                    let events = [
                        Event::Prepare,
                        Event::Connect,
                        Event::Begin,
                        Event::Verify,
                        Event::Publish,
                        Event::Published,
                        Event::Complete,
                    ];
                    step(&journal, &mut model, sequence, 0, &events, install.now()).await;
                }
            }
            Operation::Checkpoint(index, offset) => {
                if let Some(&sequence) = pick(&index) {
                    checkpoint(&journal, &mut model, sequence, offset).await;
                }
            }
            Operation::Pass(days) => install.pass(i64::from(days) * 86_400),
            Operation::TakeOver(clean) => {
                if clean {
                    journal.close().await.unwrap();
                }
                takeovers += 1;
                let (successor, takeover) = install.host(&format!("n{takeovers}"));
                assert_eq!(takeover.in_flight, model.in_flight());
                journal = successor;
            }
            Operation::List(limit, days) => {
                let back = jiff::SignedDuration::from_hours(24 * i64::from(days));
                let since = (days > 0).then(|| install.now() - back);
                let query = HistoryQuery { limit, since, ..HistoryQuery::default() };
                assert_eq!(journal.history(query.clone()).await.unwrap(), model.history(&query));
            }
        }
    }
    for (job, _) in model.jobs.values() {
        assert_eq!(journal.job(&job.id).await.unwrap().as_ref(), Some(job));
        let entries: Vec<Entry> = journal.entries(&job.id).await.unwrap();
        assert_eq!(entries.len(), model.entries[&job.id], "{}", job.id);
        assert_eq!(entries.last().unwrap().status, job.status);
    }
}

async fn step(
    journal: &SqliteJournal,
    model: &mut Model,
    sequence: u64,
    off: u64,
    events: &[Event],
    now: Timestamp,
) {
    let (job, ended_at) = model.jobs.get_mut(&sequence).unwrap();
    let (_, mut step) = job.step(&[], None, |state| state.failures += 1).unwrap();
    step.version += off;
    step.events = events.to_vec();
    let expected = events.iter().try_fold(job.status, |status, &event| apply(status, event));
    let result = journal.queue(step.clone()).await.unwrap().await;
    match result {
        Ok(written) => {
            assert_eq!(off, 0);
            let was_in_flight = job.status.in_flight();
            job.status = expected.unwrap();
            job.version += 1;
            job.epoch = journal.epoch();
            job.updated_at = now;
            job.state = step.state;
            if !job.status.in_flight() && was_in_flight {
                *ended_at = Some(now);
            } else if job.status.in_flight() {
                *ended_at = None;
            }
            assert_eq!(&written, job);
            *model.entries.get_mut(&job.id).unwrap() += events.len().max(1);
        }
        Err(JournalError::Stale { .. }) => assert_ne!(off, 0),
        Err(JournalError::Illegal(_)) => assert!(expected.is_err()),
        Err(error) => panic!("{error}"),
    }
}

async fn checkpoint(journal: &SqliteJournal, model: &mut Model, sequence: u64, offset: u64) {
    let (job, ended_at) = model.jobs.get_mut(&sequence).unwrap();
    let checkpoint = Checkpoint { attempt: 1, offset, moved_bytes: offset };
    journal.checkpoint(&job.id, checkpoint.clone());
    if ended_at.is_none() {
        job.checkpoint = Some(checkpoint);
        crate::until("the checkpoint", async || {
            journal.job(&job.id).await.unwrap().unwrap().checkpoint == job.checkpoint
        })
        .await;
    } else {
        // The next write takes it along; until then it could still find the job revived.
        let (partner, path) = ("osaka".parse().unwrap(), "in/none".parse().unwrap());
        let leftover = Leftover { partner, path, job: job.id.clone() };
        journal.forget_leftover(leftover).await.unwrap();
    }
}

fn run(operations: Vec<Operation>, durability: Durability) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(check(operations, durability));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn write_ahead(operations in prop::collection::vec(operation(), 1..400)) {
        run(operations, Durability::WriteAhead);
    }

    #[test]
    fn rollback(operations in prop::collection::vec(operation(), 1..400)) {
        run(operations, Durability::Rollback);
    }
}
