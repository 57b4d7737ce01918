//! Partners that refuse, lie or go away, and sources that change: what becomes of the job.

use ferryway_core::{Direction, Kind, Operation, Outcome, ResumePolicy, Status};
use ferryway_host::journal::{JournalStore, record::Job};

use crate::{
    lab::{Lab, Node, Setup, TARGET, content},
    wire::{Act, Point, When},
};

/// Starts a node with this plan, gives it the job, and waits for its end.
async fn run(lab: &Lab, plans: &[(When, Act)]) -> (Node, Job, Vec<Point>) {
    let wire = lab.wire("n1");
    let points = plans.iter().map(|(when, act)| wire.plan(when.clone(), *act)).collect();
    let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
    let job = node.submit().await.unwrap();
    let job = node.rest(&job.id).await;
    (node, job, points)
}

#[track_caller]
fn holds(lab: &Lab, result: Result<(), String>) {
    assert_eq!(result, Ok(()), "{:?}\n{}", lab.setup, lab.log.print());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmed_upload_that_is_too_short_is_sent_anew() {
    for resume in [ResumePolicy::Verified, ResumePolicy::Size, ResumePolicy::Never] {
        let lab = Lab::new(Setup { resume, ..Setup::default() });
        let (node, job, points) =
            run(&lab, &[(When::On(Operation::Store, "a1"), Act::EarlyEnd(70_000))]).await;
        assert_eq!(points[0].fired(), 1);
        assert_eq!(job.status, Status::Idle(Outcome::Completed));
        let result = lab.check(&node, &[job]).await;
        node.stop().await;
        holds(&lab, result);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_changed_on_the_way_are_sent_anew() {
    for resume in [ResumePolicy::Verified, ResumePolicy::Size, ResumePolicy::Never] {
        let lab = Lab::new(Setup { resume, ..Setup::default() });
        let (node, job, points) =
            run(&lab, &[(When::On(Operation::Store, "a1"), Act::Corrupt(1000))]).await;
        assert_eq!(points[0].fired(), 1);
        let result = lab.check(&node, &[job]).await;
        node.stop().await;
        holds(&lab, result);
    }
}

/// Long enough for checkpoints, which are no proof of bytes that turned out wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_changed_on_the_way_are_fetched_anew() {
    let size = 40 << 20;
    let setup = Setup { direction: Direction::Fetch, size, retries: 3, ..Setup::default() };
    let lab = Lab::new(setup);
    let (node, job, points) =
        run(&lab, &[(When::On(Operation::Fetch, TARGET), Act::Corrupt(1000))]).await;
    assert_eq!(points[0].fired(), 1);
    let result = lab.check(&node, &[job]).await;
    node.stop().await;
    holds(&lab, result);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_changes_during_the_send_is_sent_as_it_is_then() {
    for (version, change) in [(2, 10_000_i64), (2, 0), (2, -100_000)] {
        let mut lab = Lab::new(Setup::default());
        let wire = lab.wire("n1");
        let point = wire.plan(When::On(Operation::Store, "a1"), Act::PauseMid(70_000));
        let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
        let job = node.submit().await.unwrap();
        point.strikes().await;
        let size = usize::try_from(lab.setup.size as i64 + change).unwrap();
        lab.write_source("report.csv", &content(version, size));
        point.release();
        let job = node.rest(&job.id).await;
        assert_eq!(job.status, Status::Idle(Outcome::Completed));
        node.quiet().await.unwrap();
        lab.setup.size = size;
        let result = lab.target(&content(version, size)).and(lab.published(1)).and(lab.tidy());
        node.stop().await;
        holds(&lab, result);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_that_are_used_up_suspend_the_job() {
    let lab = Lab::new(Setup { retries: 3, ..Setup::default() });
    let (node, job, points) =
        run(&lab, &[(When::Every(Operation::Store, "part"), Act::Fail)]).await;
    assert_eq!(job.status, Status::Suspended);
    assert!(!job.state.held);
    assert_eq!(points[0].fired(), 4, "one try and three retries");
    assert!(job.state.last_error.unwrap().contains("lost, as planned"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_for_good_fails_the_job_and_leaves_nothing() {
    for staging in ["folder", "beside"] {
        let lab = Lab::new(Setup { staging, ..Setup::default() });
        let refuse = Act::Refuse(552, Kind::Refused);
        let plan = [
            (When::On(Operation::Store, "a1"), Act::FailMid(70_000)),
            (When::On(Operation::Checksum, "a2"), refuse),
        ];
        let (node, job, points) = run(&lab, &plan).await;
        assert_eq!(points.iter().map(Point::fired).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(job.status, Status::Idle(Outcome::Failed));
        let result = node.quiet().await.and(lab.tidy());
        node.stop().await;
        holds(&lab, result);
        assert_eq!(lab.partner.bytes(TARGET), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_that_fails_for_good_leaves_nothing() {
    let lab = Lab::new(Setup { direction: Direction::Fetch, ..Setup::default() });
    let refuse = Act::Refuse(550, Kind::Refused);
    let (node, job, points) = run(&lab, &[(When::On(Operation::Checksum, TARGET), refuse)]).await;
    assert_eq!(points[0].fired(), 1);
    assert_eq!(job.status, Status::Idle(Outcome::Failed));
    let result = node.quiet().await.and(lab.tidy());
    node.stop().await;
    holds(&lab, result);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_partner_is_not_the_jobs_fault() {
    let lab = Lab::new(Setup { retries: 1, ..Setup::default() });
    let wire = lab.wire("n1");
    let points: Vec<_> =
        (0..10).map(|_| wire.plan(When::On(Operation::Connect, ""), Act::Fail)).collect();
    let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
    let job = node.submit().await.unwrap();
    let done = node.rest(&job.id).await;
    assert!(points.iter().all(|point| point.fired() == 1));
    assert_eq!(done.state.attempts, 1);
    let entries = node.journal.entries(&job.id).await.unwrap();
    assert!(entries.iter().all(|entry| entry.status != Status::Suspended), "{entries:?}");
    let result = lab.check(&node, &[job]).await;
    node.stop().await;
    holds(&lab, result);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_got_far_has_its_retries_again() {
    let size = 40 << 20;
    let lab = Lab::new(Setup { size, retries: 1, ..Setup::default() });
    let far = Act::FailMid(9 << 20);
    let plan: Vec<_> =
        ["a1", "a2", "a3"].map(|n| (When::On(Operation::Store, n), far)).into_iter().collect();
    let (node, job, points) = run(&lab, &plan).await;
    assert!(points.iter().all(|point| point.fired() == 1), "{}", lab.log.print());
    assert_eq!(job.state.moved_bytes, size as u64, "nothing is sent twice");
    let result = lab.check(&node, &[job]).await;
    node.stop().await;
    holds(&lab, result);
}
