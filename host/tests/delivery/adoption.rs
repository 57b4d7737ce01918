//! What of a former owner's partial is used, and what is not.

use std::time::{Duration, Instant};

use ferryway_core::{Direction, Operation, Outcome, ResumePolicy, Status};
use ferryway_host::journal::{JournalError, JournalStore, record::Job};
use tokio::time::timeout;

use crate::{
    lab::{LIMIT, Lab, Node, RESUME_MIN, Setup, TARGET, content},
    wire::{Act, Done, When},
};

/// Lets the first node die when so much is stored and its attempt is on record.
async fn dies_storing(lab: &Lab, bytes: u64) -> Job {
    let wire = lab.wire("n1");
    let point = wire.plan(When::On(Operation::Store, "a1"), Act::DieMid(bytes));
    let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
    let job = node.submit().await.unwrap();
    point.strikes().await;
    recorded(&node, &job, |job| job.state.attempt.is_some()).await;
    node.dies().await;
    job
}

/// Waits until the job's record is so.
async fn recorded(node: &Node, job: &Job, is: impl Fn(&Job) -> bool) -> Job {
    let started = Instant::now();
    loop {
        let found = node.journal.job(&job.id).await.unwrap().unwrap();
        if is(&found) {
            return found;
        }
        assert!(started.elapsed() < LIMIT, "{found:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// What the second node stored of the job: "N bytes at M", one for each try.
fn stored(lab: &Lab) -> Vec<String> {
    stored_by(lab, "n2")
}

fn stored_by(lab: &Lab, node: &str) -> Vec<String> {
    let of_job = |d: &Done| d.node == node && d.operation == Operation::Store;
    let entries = lab.log.entries().into_iter().filter(of_job);
    entries.filter(|d| d.path.ends_with(".part")).filter_map(|done| done.to).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rest_alone_is_sent_where_the_beginning_is_proved() {
    for (staging, checksums, late_close) in
        [("folder", true, "keeps"), ("folder", false, "probe"), ("beside", false, "keeps")]
    {
        let lab = Lab::new(Setup { staging, checksums, late_close, ..Setup::default() });
        let job = dies_storing(&lab, 70_000).await;
        let node = lab.start("n2").await;
        node.rest(&job.id).await;
        let result = lab.check(&node, &[job]).await;
        node.stop().await;
        assert_eq!(result, Ok(()), "{}", lab.log.print());
        let rest = 3 * RESUME_MIN - 70_000;
        let rest = [format!("{rest} bytes at 70000")];
        assert_eq!(stored(&lab), rest, "{late_close}\n{}", lab.log.print());
        let proof = if checksums { Operation::Checksum } else { Operation::Fetch };
        let of_second = lab.log.entries().into_iter().filter(|done| done.node == "n2");
        let mut before = of_second.take_while(|done| done.to != Some(rest[0].clone()));
        assert!(before.any(|done| done.operation == proof), "{}", lab.log.print());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_the_beginning_is_sent_anew() {
    let whole = format!("{} bytes at 0", 3 * RESUME_MIN);
    let scribble: fn(&mut Vec<u8>) = |bytes| bytes[60_000] ^= 1;
    let grow: fn(&mut Vec<u8>) = |bytes| bytes.resize(5 * RESUME_MIN, 0);
    let empty: fn(&mut Vec<u8>) = Vec::clear;
    for change in [scribble, grow, empty] {
        for (staging, partial) in [
            ("folder", "in/.ferryway/night.BANK/e1/PRDY011.a1.part"),
            ("beside", "in/.report.csv.PRDY011.e1.a1.part"),
        ] {
            for checksums in [true, false] {
                let lab = Lab::new(Setup { staging, checksums, ..Setup::default() });
                let job = dies_storing(&lab, 70_000).await;
                let mut bytes = lab.partner.bytes(partial).unwrap();
                change(&mut bytes);
                lab.partner.put(partial, bytes);
                let node = lab.start("n2").await;
                node.rest(&job.id).await;
                let result = lab.check(&node, &[job]).await;
                node.stop().await;
                assert_eq!(result, Ok(()), "{}", lab.log.print());
                assert_eq!(stored(&lab), std::slice::from_ref(&whole));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_be_adopted_is_sent_anew() {
    let base = Setup::default();
    for setup in [
        Setup { resume: ResumePolicy::Never, ..base.clone() },
        Setup { late_close: "truncates", ..base.clone() },
        // Without a checkpoint, a size proves nothing.
        Setup { resume: ResumePolicy::Size, ..base.clone() },
        Setup { size: RESUME_MIN - 1, ..base },
    ] {
        let lab = Lab::new(setup);
        let job = dies_storing(&lab, 60_000).await;
        let node = lab.start("n2").await;
        node.rest(&job.id).await;
        let result = lab.check(&node, &[job]).await;
        node.stop().await;
        assert_eq!(result, Ok(()), "{}", lab.log.print());
        assert_eq!(stored(&lab), [format!("{} bytes at 0", lab.setup.size)], "{:?}", lab.setup);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_source_is_sent_anew() {
    let lab = Lab::new(Setup::default());
    let job = dies_storing(&lab, 70_000).await;
    let changed = content(2, lab.setup.size);
    lab.write_source("report.csv", &changed);
    let node = lab.start("n2").await;
    node.rest(&job.id).await;
    let result = node.quiet().await.and(lab.target(&changed)).and(lab.tidy());
    node.stop().await;
    assert_eq!(result, Ok(()), "{}", lab.log.print());
    assert_eq!(stored(&lab), [format!("{} bytes at 0", lab.setup.size)]);
}

/// A node dies after it has recorded its own attempt, of a changed source, and before it has
/// removed the partial of the former version. That begins like the new one, and a former session
/// may still write into it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partial_is_never_taken_for_that_of_a_later_attempt() {
    for staging in ["folder", "beside"] {
        let lab = Lab::new(Setup { staging, ..Setup::default() });
        let job = dies_storing(&lab, 70_000).await;
        let mut changed = content(2, lab.setup.size);
        changed[..100_000].copy_from_slice(&content(1, lab.setup.size)[..100_000]);
        lab.write_source("report.csv", &changed);
        let wire = lab.wire("n2");
        let point = wire.plan(When::On(Operation::Remove, "a1.part"), Act::DieBefore);
        let node = lab.start_with(wire, "n2", Default::default()).await.unwrap();
        point.strikes().await;
        node.dies().await;
        let node = lab.start("n3").await;
        node.rest(&job.id).await;
        let result = node.quiet().await.and(lab.target(&changed)).and(lab.tidy());
        node.stop().await;
        assert_eq!(result, Ok(()), "{}", lab.log.print());
        let whole = format!("{} bytes at 0", lab.setup.size);
        assert_eq!(stored_by(&lab, "n3"), [whole], "{}", lab.log.print());
    }
}

/// A former owner that is held in the middle of its upload reads on after its successor has
/// published the same file, and after the source was changed in place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombie_does_not_send_what_was_written_into_the_source_later() {
    let lab = Lab::new(Setup::default());
    let wire = lab.wire("n1");
    let point = wire.plan(When::On(Operation::Store, "a1"), Act::PauseMid(70_000));
    let zombie = lab.start_with(wire, "n1", Default::default()).await.unwrap();
    let job = zombie.submit().await.unwrap();
    point.strikes().await;
    recorded(&zombie, &job, |job| job.state.attempt.is_some()).await;
    let node = lab.start("n2").await;
    node.rest(&job.id).await;
    let resumed = [format!("{} bytes at 70000", lab.setup.size - 70_000)];
    assert_eq!(stored(&lab), resumed, "{}", lab.log.print());
    lab.write_source("report.csv", &content(2, lab.setup.size));
    point.release();
    let ended = timeout(LIMIT, zombie.scheduler).await.expect("the zombie ends").unwrap();
    assert!(matches!(ended, Err(JournalError::Fenced { .. })), "{ended:?}");
    let result = lab.check(&node, &[job]).await;
    node.stop().await;
    assert_eq!(result, Ok(()), "{}", lab.log.print());
}

/// Under policy `size` the journal's checkpoint bounds what is taken for sent, whatever the
/// partner holds beyond it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_size_counts_up_to_the_checkpoint_only() {
    let size = 24 << 20;
    let lab = Lab::new(Setup { resume: ResumePolicy::Size, size, ..Setup::default() });
    let wire = lab.wire("n1");
    let point = wire.plan(When::On(Operation::Store, "a1"), Act::PauseMid(20 << 20));
    let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
    let job = node.submit().await.unwrap();
    point.strikes().await;
    let far = |job: &Job| job.checkpoint.as_ref().is_some_and(|point| point.offset >= 12 << 20);
    let checkpoint = recorded(&node, &job, far).await.checkpoint.unwrap();
    node.dies().await;
    let node = lab.start("n2").await;
    node.rest(&job.id).await;
    let result = lab.check(&node, &[job]).await;
    node.stop().await;
    point.release();
    assert_eq!(result, Ok(()), "{}", lab.log.print());
    let offset: usize = stored(&lab)[0].rsplit(' ').next().unwrap().parse().unwrap();
    assert!(offset as u64 >= checkpoint.offset && offset < 20 << 20, "resumed at {offset}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_of_a_changed_file_starts_anew() {
    let size = 24 << 20;
    let lab = Lab::new(Setup { direction: Direction::Fetch, size, ..Setup::default() });
    let wire = lab.wire("n1");
    let point = wire.plan(When::On(Operation::Fetch, TARGET), Act::DieAfter);
    let node = lab.start_with(wire, "n1", Default::default()).await.unwrap();
    let job = node.submit().await.unwrap();
    point.strikes().await;
    node.dies().await;
    let changed = content(2, size);
    lab.partner.put(TARGET, changed.clone());
    let node = lab.start("n2").await;
    let job = node.rest(&job.id).await;
    assert_eq!(job.status, Status::Idle(Outcome::Completed));
    let result = node.quiet().await.and(lab.target(&changed)).and(lab.tidy());
    node.stop().await;
    assert_eq!(result, Ok(()), "{}", lab.log.print());
}
