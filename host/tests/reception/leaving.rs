//! Visitors that go before their answer comes, or take their time, and what they leave to others.

use std::{fs, time::Duration};

use ferryway_core::{
    Algorithm,
    bytes::Meter,
    transport::{Download, Upload},
};
use ferryway_host::journal::JournalStore;
use ferryway_mocks::streams::{Collected, Then, source_then};
use tokio::{
    runtime,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use crate::house::{House, LIMIT, Plugged, upload};

/// Threads for work that blocks, where long work keeps them.
const THREADS: usize = 4;

/// The same where visitors keep the host waiting: more than those for which it waits on its threads.
const MORE_THREADS: usize = 20;

const HUGE_BYTES: u64 = 2 << 40;

/// Visitors that ask for long work and go do not keep this host from its own: a host that cannot
/// look whether it owns its instance ends itself.
#[test]
fn no_work_goes_on_for_a_visitor_that_has_left() {
    let mut builder = runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().max_blocking_threads(THREADS).build().unwrap();
    let house = House::new(Plugged::Linked);
    // Holes only; to read it takes far longer than the test may.
    let huge = fs::File::create(house.received().join("huge")).unwrap();
    huge.set_len(HUGE_BYTES).unwrap();
    let done = runtime.block_on(async {
        let open = house.open().await;
        for _ in 0..2 * THREADS {
            let mut session = open.session("both.example", 1).await;
            let hash = session.checksum("huge".parse().unwrap(), Algorithm::Blake3, HUGE_BYTES);
            let gave_up = timeout(Duration::from_millis(50), hash).await.is_err();
            assert!(gave_up, "the work is not long");
        }
        timeout(LIMIT, spawn_blocking(|| ())).await.map_err(|_| "there is no thread")?.unwrap();
        let owns = timeout(LIMIT, open.journal.check_ownership()).await;
        owns.map_err(|_| "the journal does not answer")?.unwrap();
        Ok::<_, &str>(())
    });
    // Work that goes on all the same is not waited for.
    runtime.shutdown_background();
    assert_eq!(done, Ok(()));
}

/// As many visitors as that send, and as many that fetch, and all of them stop in the middle: others
/// find threads.
#[test]
fn no_thread_is_held_for_a_visitor_that_takes_its_time() {
    let mut builder = runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().max_blocking_threads(MORE_THREADS).build().unwrap();
    let house = House::new(Plugged::Linked);
    fs::File::create(house.received().join("huge")).unwrap().set_len(HUGE_BYTES).unwrap();
    let done = runtime.block_on(async {
        let open = house.open().await;
        let mut moving = Vec::new();
        for number in 0..MORE_THREADS {
            let (mut sender, mut fetcher) =
                (open.session("both.example", 1).await, open.session("both.example", 1).await);
            let taken = Collected::new();
            let sink = taken.sink_then(1000, Then::Halt);
            let (path, meter) = ("huge".parse().unwrap(), Meter::new());
            tokio::spawn(
                async move { fetcher.fetch(Download { path, offset: 0, sink, meter }).await },
            );
            let (name, source) = (format!("{number}"), source_then([7; 1000], 1000, Then::Halt));
            let upload = Upload { source, length: 2000, ..upload(&name, 0, &[]) };
            tokio::spawn(async move { sender.store(upload).await });
            moving.push((house.received().join(name), taken));
        }
        let come = |path| fs::metadata(path).is_ok_and(|facts| facts.len() == 1000);
        let all_move = async {
            while !moving.iter().all(|(path, taken)| come(path) && taken.bytes().len() == 1000) {
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(LIMIT, all_move).await.map_err(|_| "not all of them move")?;
        timeout(LIMIT, spawn_blocking(|| ())).await.map_err(|_| "there is no thread")?.unwrap();
        Ok::<_, &str>(())
    });
    // Work that goes on all the same is not waited for.
    runtime.shutdown_background();
    assert_eq!(done, Ok(()));
}
