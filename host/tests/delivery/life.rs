//! The life of a node: how it starts, fences its predecessors, and stops.

use std::time::Instant;

use ferryway_core::{Operation, Status};
use ferryway_host::{
    control::Operations,
    journal::{
        JournalStore,
        record::{HistoryQuery, JobSpec},
    },
};

use crate::{
    lab::{LIMIT, Lab, Setup, TARGET},
    wire::{Act, When},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_stop_parks_what_moves_and_the_next_node_goes_on() {
    let lab = Lab::new(Setup::default());
    let wire = lab.wire("n1");
    let point = wire.plan(When::On(Operation::Store, "a1"), Act::PauseMid(70_000));
    let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
    let jobs = [node.submit().await.unwrap(), node.submit().await.unwrap()];
    point.strikes().await;
    let journal = std::sync::Arc::clone(&node.journal);
    node.desk.stop().await;
    let parked = journal.in_flight().await.unwrap();
    assert!(parked.iter().all(|job| job.status == Status::Accepted), "{parked:?}");
    assert_eq!(parked[0].state.failures, 0, "a stop is no failure");
    node.stop_again().await;
    point.release();
    let node = lab.start("n2").await;
    for job in &jobs {
        node.rest(&job.id).await;
    }
    let result = lab.check(&node, &jobs).await;
    node.stop().await;
    assert_eq!(result, Ok(()), "{}", lab.log.print());
}

/// A file lies where the folder of the former epoch was: it can neither store nor make the
/// folder again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_former_epoch_is_barred_from_its_folder() {
    let lab = Lab::new(Setup::default());
    let wire = lab.wire("n1");
    let point = wire.plan(When::On(Operation::Store, "a1"), Act::DieMid(70_000));
    let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
    let job = node.submit().await.unwrap();
    point.strikes().await;
    node.dies().await;
    let node = lab.start("n2").await;
    node.rest(&job.id).await;
    node.quiet().await.unwrap();
    let bar = "in/.ferryway/night.BANK/e1";
    assert_eq!(lab.partner.bytes(bar).as_deref(), Some(&b""[..]));
    let mut zombie = lab.session().await;
    for path in ["in/.ferryway/night.BANK/e1", "in/.ferryway/night.BANK/e1/x"] {
        zombie.make_folder(path.parse().unwrap()).await.expect_err("it is barred");
    }
    let away = "in/.ferryway/night.BANK/e1/x".parse().unwrap();
    let moved = zombie.rename(TARGET.parse().unwrap(), away).await;
    moved.expect_err("nothing can be put there");
    let result = lab.check(&node, &[job]).await;
    node.stop().await;
    assert_eq!(result, Ok(()), "{}", lab.log.print());
    assert_eq!(lab.partner.files(), [bar, TARGET], "nothing but the bar stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_jobs_in_flight_are_taken_over() {
    const JOBS: usize = 10_000;
    let lab = Lab::new(Setup { size: 100, ..Setup::default() });
    let first = lab.start_idle("n1").await;
    let spec = |n: usize| JobSpec {
        publish: lab.setup.publish,
        resume: lab.setup.resume,
        ..JobSpec::plain(
            "PRDY01".parse().unwrap(),
            "BANK".parse().unwrap(),
            lab.setup.direction,
            ("report.csv", &format!("in/{n}.csv")),
        )
    };
    for batch in 0..JOBS / 1000 {
        let specs = (0..1000).map(|n| spec(batch * 1000 + n)).collect();
        first.journal.accept(specs).await.unwrap();
    }
    first.dies().await;
    let wire = lab.wire("n2");
    let point = wire.plan(When::On(Operation::Store, "PRDY011.a1"), Act::PauseAfter);
    let started = Instant::now();
    let node = lab.start_with(wire, "n2", Default::default()).await.unwrap();
    let ready = started.elapsed();
    point.strikes().await;
    let moving = started.elapsed();
    let health = node.desk.health().await;
    assert!(health.in_flight > JOBS / 2, "{health:?}");
    eprintln!("{JOBS} jobs in flight: taken over in {ready:?}, first bytes across {moving:?}");
    node.desk.stop().await;
    // The ends of the last jobs may still be on their way into the journal, between the two looks.
    let deadline = Instant::now() + LIMIT;
    let open = loop {
        let open = node.journal.in_flight().await.unwrap();
        let all = HistoryQuery { limit: JOBS, ..Default::default() };
        let ended = node.journal.history(all).await.unwrap();
        if ended.len() + open.len() == JOBS {
            break open;
        }
        assert!(Instant::now() < deadline, "{} and {} jobs", ended.len(), open.len());
    };
    let parked = |status| matches!(status, Status::Accepted | Status::Publishing);
    assert!(open.iter().all(|job| parked(job.status)));
    node.stop_again().await;
}
