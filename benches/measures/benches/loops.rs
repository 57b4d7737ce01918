//! The inner loops: `cargo bench -p measures`, and a word after it picks some by their names.

#![allow(clippy::unwrap_used, reason = "a measurement ends by panicking")]

use std::{
    hint::black_box,
    sync::{Arc, Mutex},
};

use criterion::{Criterion, Throughput};
use ferryway_core::{
    Algorithm, Epoch, Event, RunNumber, Status, apply,
    bytes::{ByteSink, CHUNK_BYTES},
};
use ferryway_host::{
    attempt::stream::FileSink,
    digest::Hashes,
    journal::{
        JournalStore,
        record::{Checkpoint, Job},
    },
};
use jiff::Timestamp;
use measures::{
    frames::{Line, LineKind},
    jobs::{self, LIFE},
};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    frames(&mut criterion);
    statuses(&mut criterion);
    checkpoints(&mut criterion);
    hashes(&mut criterion);
    criterion.final_summary();
}

/// A frame made, taken apart and checked.
fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frames");
    group.throughput(Throughput::Bytes(Line::CHUNK_BYTES as u64));
    for (name, kind) in [
        ("data, tagged", LineKind::Keyed),
        ("data, with a checksum", LineKind::Summed),
        ("data, proved by the channel", LineKind::Channel),
    ] {
        let mut line = Line::new(kind);
        group.bench_function(name, |bencher| bencher.iter(|| line.data().unwrap()));
    }
    group.throughput(Throughput::Elements(1));
    let mut line = Line::new(LineKind::Keyed);
    group.bench_function("message, tagged", |bencher| bencher.iter(|| line.message().unwrap()));
    group.finish();
}

/// A job's way through the table, and with its record.
fn statuses(criterion: &mut Criterion) {
    let events: Vec<Event> = LIFE.concat();
    let mut group = criterion.benchmark_group("statuses");
    group.bench_function("a life", |bencher| {
        bencher.iter(|| {
            events
                .iter()
                .fold(black_box(Status::Accepted), |status, &event| apply(status, event).unwrap())
        });
    });
    let spec = jobs::spec("/night".as_ref()).unwrap();
    let job = Job::accepted(spec, RunNumber(1), 1, (Epoch::FIRST, Timestamp::UNIX_EPOCH));
    group.bench_function("a step, with what the journal is given", |bencher| {
        bencher.iter(|| black_box(&job).step(LIFE[0], None, |_| {}).unwrap());
    });
    group.finish();
}

/// What a transfer pays for a checkpoint, and what the journal does.
fn checkpoints(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let install = tempfile::tempdir().unwrap();
    let journal = jobs::open(install.path()).unwrap();
    let accept = async {
        let spec = jobs::spec(install.path()).unwrap();
        let accepted = journal.accept_first(vec![spec; 256]).await.unwrap();
        let mut begun = Vec::new();
        for job in &accepted {
            let (job, receipt) = jobs::live_on(&journal, job, 0).await.unwrap();
            receipt.await.unwrap();
            begun.push(job);
        }
        begun
    };
    let begun = runtime.block_on(accept);
    let mut offset = 0;
    let mut note = |job: &Job| {
        offset += 1;
        journal.checkpoint(&job.id, Checkpoint { attempt: 1, offset, moved_bytes: offset });
    };
    let mut group = criterion.benchmark_group("checkpoints");
    group.bench_function("noted", |bencher| bencher.iter(|| note(&begun[0])));
    group.throughput(Throughput::Elements(begun.len() as u64));
    group.bench_function("of 256 jobs, durable", |bencher| {
        bencher.iter(|| {
            begun.iter().for_each(&mut note);
            // A write after them is durable when they are.
            runtime.block_on(journal.probe()).unwrap();
        });
    });
    group.finish();
    runtime.block_on(journal.close()).unwrap();
}

/// What each chunk of a file goes through, in memory and on its way into a file.
fn hashes(criterion: &mut Criterion) {
    let chunk = vec![7; CHUNK_BYTES];
    let mut group = criterion.benchmark_group("hashes");
    group.throughput(Throughput::Bytes(CHUNK_BYTES as u64));
    let kinds: [(&str, &[Algorithm]); 3] = [
        ("BLAKE3", &[]),
        ("BLAKE3 and CRC32", &[Algorithm::Crc32]),
        ("BLAKE3 and SHA-256", &[Algorithm::Sha256]),
    ];
    for (name, wanted) in kinds {
        let mut hashes = Hashes::new(wanted);
        group.bench_function(name, |bencher| bencher.iter(|| hashes.update(black_box(&chunk))));
    }
    let shared = Arc::new(Mutex::new(Hashes::new(&[])));
    group.bench_function("BLAKE3 and a file", |bencher| {
        // Written over and over at its start, so that it stays as small as the chunks of one turn.
        bencher.iter_custom(|turns| {
            let file = tempfile::tempfile().unwrap();
            let mut sink = FileSink::new(file, Arc::clone(&shared), Box::new(|_| {}));
            let start = std::time::Instant::now();
            for _ in 0..turns {
                sink.write(black_box(&chunk)).unwrap();
            }
            start.elapsed()
        });
    });
    group.finish();
}
