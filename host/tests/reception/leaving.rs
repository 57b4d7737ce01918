//! What a visitor leaves behind that goes before its answer comes.

use std::{fs, time::Duration};

use ferryway_core::Algorithm;
use ferryway_host::journal::JournalStore;
use tokio::{runtime, task::spawn_blocking, time::timeout};

use crate::house::{House, LIMIT, Plugged};

/// Threads for work that blocks, in this test.
const THREADS: usize = 4;

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
